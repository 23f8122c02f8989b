"""A client that trains the model and the rank that it is ordered."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch: pip install 'eafl-flower[lora]'")
pytest.importorskip("transformers", reason="needs transformers: pip install 'eafl-flower[lora]'")
pytest.importorskip("peft", reason="needs peft: pip install 'eafl-flower[lora]'")

from dataclasses import dataclass
from functools import lru_cache

from flwr.app import ArrayRecord, Context, RecordDict
from tiny_encoders import adapted
from toy_federation import Recorder, network
from tuning_rows import sentences

from eafl_flower.aggregation.lora import LoRAAggregator
from eafl_flower.clients import ClientTask, FineTuneClient, HowToTune, finetune_app
from eafl_flower.codecs import Int8Codec
from eafl_flower.core.orders import Order
from eafl_flower.engines.inline import InlineGrid
from eafl_flower.errors import ConfigError, DataError, ProtocolError
from eafl_flower.strategies import AsynchronousStrategy
from eafl_flower.tasks.finetune import FineTune

NAMES = ("three", "two")
CLIENTS = 4


@lru_cache
def learners():
    encoder = adapted(features="mean")
    how = {"encoder": encoder, "learning_rate": 0.02, "batch_size": 8}
    return {"three": FineTune(num_labels=3, **how), "two": FineTune(num_labels=2, **how)}


@lru_cache
def tasks_of(client, num_clients):
    count = {"three": 10 + client, "two": 8}
    return {
        name: ClientTask(
            learner=task,
            train=sentences(count[name], 2 * client, task.num_labels),
            test=sentences(9, 2 * client + 1, task.num_labels),
        )
        for name, task in learners().items()
    }


def context(client=0):
    return Context(
        run_id=1,
        node_id=1,
        node_config={"partition-id": client, "num-partitions": CLIENTS},
        state=RecordDict(),
        run_config={},
    )


def client(number=0, tasks=None, **how):
    return FineTuneClient(context(number), tasks or tasks_of(number, CLIENTS), HowToTune(**how))


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_job_follows_the_order_and_reports_what_was_learnt():
    one = client()
    start = list(one.initial("two", rank=4))
    config = {"eafl.model": "two", "eafl.rank": 4, "eafl.epochs": 3, "eafl.seed": 5, "eafl.counter": 2}
    arrays, count, metrics = one.fit(start, config)
    task = tasks_of(0, CLIENTS)["two"]
    assert count == 8 and [a.shape for a in arrays] == [a.shape for a in start]
    assert metrics.keys() == {"loss", "accuracy"}
    assert metrics["accuracy"] == task.learner.evaluate(tuple(arrays), task.test)[1]["accuracy"]
    assert same(arrays, client().fit(start, config)[0])
    for changed in ({"eafl.epochs": 1}, {"eafl.seed": 6}, {"eafl.counter": 3}):
        assert not same(arrays, client().fit(start, {**config, **changed})[0])
    loss, rows, scores = one.evaluate(arrays, {"eafl.model": "two"})
    assert rows == 9 and scores == {"accuracy-before": metrics["accuracy"]} and loss > 0


def test_the_first_model_is_trained_where_none_is_named_and_accuracy_is_left_out_where_it_is_not_wanted():
    one = client(2, score_after_training=False)
    arrays, count, metrics = one.fit(list(one.initial(rank=2)), {})
    assert count == 12 and metrics.keys() == {"loss"} and len(arrays[-1]) == 3
    assert one.num_examples == 12


def test_a_rule_to_stop_by_is_followed_and_the_epochs_are_told():
    one = client()
    stop = {"eafl.stop-share": 1.0, "eafl.least-epochs": 1, "eafl.most-epochs": 9}
    assert one.fit(list(one.initial(rank=2)), stop)[2]["epochs"] == 2


def test_a_private_head_stays_on_the_node_one_of_each_model():
    one = client(head="private")
    start = one.initial("three", rank=2)
    assert len(start) == learners()["three"].num_factors
    one.fit(list(start), {"eafl.model": "three"})
    head = {name: r for name, r in one.context.state.array_records.items() if name.startswith("head.")}
    assert head.keys() == {"head.three"}
    first = one.evaluate(list(start), {"eafl.model": "three"})[0]
    one.fit(list(one.initial("two", rank=2)), {"eafl.model": "two"})
    assert one.evaluate(list(start), {"eafl.model": "three"})[0] == first
    assert first != client(head="private").evaluate(list(start), {"eafl.model": "three"})[0]


def test_layers_that_a_rule_freezes_are_sent_back_as_they_came():
    asked = []

    def frozen(model, number, counter):
        asked.append((model, number, counter))
        return {1}

    one = client(3, frozen_layers=frozen)
    start = list(one.initial(rank=2))
    arrays = one.fit(start, {"eafl.counter": 7})[0]
    stays = [i for i, (a, b) in enumerate(zip(arrays, start, strict=True)) if np.array_equal(a, b)]
    assert stays == [2, 3]
    assert asked == [("three", 3, 7)]


@pytest.mark.parametrize(
    ("change", "config", "told"),
    [
        (lambda a: a, {"eafl.model": "five"}, 'client 0 is to use model "five": it has "three", "two"'),
        (lambda a: a, {"eafl.rank": 4}, "adapters of rank 2: expected rank 4 as ordered"),
        (lambda a: [a[0][:, :1], a[1][:1], *a[2:]], {}, "adapters of rank 1, 2: expected one rank"),
        (lambda a: a[:-2], {}, "expected 14, A and B of 6 layers, and weights and bias"),
        (lambda a: a, {"eafl.model": "two"}, "of 2 classes"),
        (lambda a: [np.ones((16, 17), "f4"), np.ones((17, 16), "f4"), *a[2:]], {}, "no layer can have: rank 17"),
        (lambda a: [a[0].T, *a[1:]], {}, "factors of"),
    ],
)
def test_what_does_not_fit_is_one_error_and_nothing_is_kept(change, config, told):
    one = client()
    with pytest.raises(ProtocolError, match=told) as raised:
        one.fit(change(list(one.initial(rank=2))), config)
    assert "\n" not in str(raised.value) and not one.context.state
    one.fit(list(one.initial(rank=2)), {})


def test_a_client_without_rows_trains_nothing_and_scores_nothing():
    task = tasks_of(0, CLIENTS)["three"]
    none = task.train.part(np.arange(0))
    one = client(tasks={"": ClientTask(learner=task.learner, train=none, test=none)})
    start = list(one.initial(rank=2))
    with pytest.raises(DataError, match="no training rows"):
        one.fit(start, {})
    assert one.evaluate(start, {}) == (None, 0, {})
    with pytest.raises(ConfigError, match="no tasks"):
        FineTuneClient(context(), {})


@dataclass(frozen=True)
class InTurn:
    """Models and ranks change from job to job."""

    def init(self, clients):
        return None

    def offer(self, state, client, forecast):
        place = client + forecast.jobs
        return Order(model=NAMES[place % 2], rank=(1, 2, 4)[place % 3])

    def learn(self, state, outcome):
        return None


def start_of(name):
    return ArrayRecord(list(client().initial(name, rank=4, seed=3)))


def run(codec=None):
    recorder = Recorder()
    strategy = AsynchronousStrategy(
        lambda *_: LoRAAggregator(alpha=0.5, head=2),
        codec=codec,
        observer=recorder,
        scheduler=InTurn(),
        unit="merges",
        seed=3,
        **network(),
    )
    app = finetune_app(tasks_of, codec=codec)
    strategy.start(InlineGrid(app, CLIENTS), {name: start_of(name) for name in NAMES}, num_rounds=24)
    return strategy.run, recorder


def test_two_tasks_of_one_encoder_are_learnt_in_one_run_with_ranks_that_change():
    state, recorder = run()
    merges = recorder.of("merge")
    assert {e["model"] for e in merges} == set(NAMES) and len(merges) == 24
    for name in NAMES:
        task = tasks_of(0, CLIENTS)[name]
        arrays = LoRAAggregator(alpha=0.5, head=2).arrays(state.states[name])
        before = task.learner.evaluate(client().initial(name, rank=4, seed=3), task.test)[0]
        assert task.learner.evaluate(arrays, task.test)[0] < before
    again, _ = run()
    for name in NAMES:
        assert same(state.states[name].head, again.states[name].head)


def test_updates_of_any_rank_go_through_a_codec():
    assert len(run(Int8Codec())[1].of("merge")) == 24


def test_the_mean_of_equal_ranks_is_that_of_their_products():
    starts = client().initial(rank=4)
    told = [client(i).fit(list(starts), {})[0] for i in range(2)]
    from eafl_flower.types import Update

    aggregator = LoRAAggregator(head=2, max_rank=16)
    state = aggregator.init(starts)
    base = aggregator.arrays(state)
    updates = [
        Update(
            client=i,
            delta=tuple(a - b for a, b in zip(t, base, strict=True)),
            base=base,
            base_version=0,
            num_examples=n,
        )
        for i, (t, n) in enumerate(zip(told, (10, 30), strict=True))
    ]
    arrays = aggregator.arrays(aggregator.apply(state, updates)[0], Order(rank=16))
    # alpha / r is 8 of rank 4 and 2 of rank 16
    for i in range(0, len(arrays) - 2, 2):
        mean = 0.25 * told[0][i] @ told[0][i + 1] + 0.75 * told[1][i] @ told[1][i + 1]
        np.testing.assert_allclose(2 * arrays[i] @ arrays[i + 1], 8 * mean, atol=1e-5)


def test_a_job_may_train_on_some_of_the_rows_drawn_anew_each_time():
    client = FineTuneClient(context(2), tasks_of(2, CLIENTS), HowToTune(rows_a_job=5))
    whole = FineTuneClient(context(2), tasks_of(2, CLIENTS))
    assert client.num_examples == 5 and whole.num_examples == 12
    start = list(client.initial("three", rank=2))
    jobs = [client.fit(start, {"eafl.model": "three", "eafl.counter": counter}) for counter in (1, 1, 2)]
    assert [count for _, count, _ in jobs] == [5, 5, 5]
    first, again, other = (arrays for arrays, _, _ in jobs)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(first, other, strict=True))
    assert whole.fit(start, {"eafl.model": "three", "eafl.counter": 1})[1] == 12
