import math
from dataclasses import dataclass, replace

import numpy as np
import pytest

from eafl_flower.baselines.measuring import Phases
from eafl_flower.baselines.no_communication import no_communication
from eafl_flower.baselines.pooled import pool_of, pooled, steps_of
from eafl_flower.core.rng import generator
from eafl_flower.core.scores import ACCURACY, Score
from eafl_flower.heads.newcomer import adapted
from eafl_flower.heads.size import HeadSize
from eafl_flower.tasks.fractal import FractalTask
from eafl_flower.tasks.passes import steps_per_pass
from eafl_flower.tasks.tabular import TabularTask

SEED = 1


@pytest.fixture
def task():
    return TabularTask(num_features=5, num_classes=3, hidden=(8,), learning_rate=0.2, batch_size=16)


def by_hand(task, source, model, *, before=None):
    """Mean accuracy of a model over the seen clients, which have equally many test rows in the toy source."""
    return np.mean([task.evaluate(model, source.partition(i))[1]["accuracy"] for i in range(source.num_seen)])


def test_the_pool_holds_the_training_rows_of_who_trains_and_nothing_else(toy_source):
    pool = pool_of(toy_source)
    assert np.array_equal(pool.x_train[24:48], toy_source.partition(1).x_train)
    assert (len(pool.y_train), len(pool.y_test)) == (4 * 24, 0)


def test_the_pool_takes_as_many_steps_as_all_clients_together(task, toy_source):
    # 24 rows in batches of 16: two steps an epoch
    assert steps_of(task, toy_source, {0: 3, 2: 1}) == (3 + 1) * math.ceil(24 / 16)
    assert steps_of(replace(task, batch_size=5), toy_source, {0: 3}) == 3 * math.ceil(24 / 5)
    assert steps_of(task, toy_source, {0: 0}) == 0
    by_jobs = steps_per_pass(24, 16, epochs=3, steps=None) + steps_per_pass(24, 16, epochs=1, steps=None)
    assert steps_of(task, toy_source, {0: 3, 2: 1}) == sum(by_jobs)


def test_the_pooled_model_is_the_common_initial_model_trained_on_the_pool(task, toy_source):
    scores = pooled(task, toy_source, {0: 3, 2: 1}, seed=SEED)
    initial = task.init(generator(SEED, "init"))
    model, _ = task.train(initial, pool_of(toy_source), generator(SEED, "pooled"), steps=8)
    assert scores["accuracy-before"] == pytest.approx(by_hand(task, toy_source, model))


def test_without_a_merge_it_is_the_initial_model_as_for_clients_alone(task, toy_source):
    assert pooled(task, toy_source, {}, seed=SEED)["accuracy-before"] == pytest.approx(
        no_communication(task, toy_source, {}, seed=SEED)["accuracy-before"]
    )


def test_after_is_one_local_job_more_of_each_client(task, toy_source):
    scores = pooled(task, toy_source, {0: 1}, seed=SEED, local_epochs=2)
    model, _ = task.train(task.init(generator(SEED, "init")), pool_of(toy_source), generator(SEED, "pooled"), steps=2)
    hits = []
    for client in range(toy_source.num_seen):
        rows = toy_source.partition(client)
        after, _ = task.train(model, rows, generator(SEED, "after", client), epochs=2)
        hits.append(task.evaluate(after, rows)[1]["accuracy"])
    assert scores["accuracy-after"] == pytest.approx(np.mean(hits))


def test_an_unseen_client_goes_by_the_pools_head_or_adapts_it(task, toy_source):
    scores = pooled(task, toy_source, {0: 1}, seed=SEED, unseen_steps=7)
    initial = task.init(generator(SEED, "init"))
    model, _ = task.train(initial, pool_of(toy_source), generator(SEED, "pooled"), steps=2)
    hits = {"unlabelled": [], "unseen": []}
    for client in (4, 5):
        rows = toy_source.partition(client)
        own = adapted(task, model, model, rows, seed=SEED, client=client, steps=7).model
        hits["unlabelled"].append(task.evaluate(model, rows)[1]["accuracy"])
        hits["unseen"].append(task.evaluate(own, rows)[1]["accuracy"])
    for phase, values in hits.items():
        assert scores[f"accuracy-{phase}"] == pytest.approx(np.mean(values))


def test_where_clients_have_little_and_alike_the_pool_is_better_than_each_alone(toy_source):
    task = TabularTask(num_features=5, num_classes=3, hidden=(8,), head="federated", learning_rate=0.2)
    few = replace(toy_source, num_rows=12)
    epochs = dict.fromkeys(range(4), 5)
    assert (
        pooled(task, few, epochs, seed=SEED)["accuracy-before"]
        >= no_communication(task, few, epochs, seed=SEED)["accuracy-before"]
    )


def test_of_private_heads_the_median_in_size_is_common_to_all(toy_source):
    sizes = [HeadSize(0, 16), HeadSize(2, 32), HeadSize(1, 16), HeadSize(0, 16)]  # of the four clients
    task = FractalTask(num_features=5, num_classes=3, head_sizes=tuple(sizes), learning_rate=0.05)
    initial = task.init(generator(SEED, "init"))
    # in order: 0x16, 0x16, 1x16, 2x32, of which the upper median is 1x16, that of client 2
    model = task.personalise(initial, toy_source.partition(2), generator(SEED, "personalise", 2), client=2)
    assert pooled(task, toy_source, {}, seed=SEED)["accuracy-before"] == pytest.approx(by_hand(task, toy_source, model))


def test_the_same_seed_gives_the_same_scores_and_another_one_others(task, toy_source):
    epochs = dict.fromkeys(range(4), 2)
    first = pooled(task, toy_source, epochs, seed=SEED)
    assert pooled(task, toy_source, epochs, seed=SEED) == first
    assert pooled(task, toy_source, epochs, seed=SEED + 1) != first


@dataclass(frozen=True)
class Halves(TabularTask):
    """Has a score that is averaged over clients alike."""

    scores = (ACCURACY, Score(name="rows", title="rows", higher_is_better=True, weighting="clients"))

    def evaluate(self, arrays, rows):
        loss, values = super().evaluate(arrays, rows)
        return loss, {**values, "rows": float(len(rows.y_test))}


def test_every_score_is_averaged_as_it_says(toy_source):
    found = pooled(Halves(num_features=5, num_classes=3, hidden=(8,)), toy_source, {}, seed=SEED)
    assert (found["rows-before"], found["rows-unseen"]) == (12.0, 27.0)


def test_a_score_that_is_not_finite_on_a_client_has_no_mean():
    phases = Phases((ACCURACY,))
    phases.add("before", {"accuracy": 0.5}, 10)
    phases.add("after", {"accuracy": 0.5}, 10)
    phases.add("after", {"accuracy": math.nan}, 10)
    phases.add("unseen", {"accuracy": 0.0}, 0)
    assert phases.means() == {"accuracy-before": 0.5}
