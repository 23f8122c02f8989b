import pytest

from eafl_flower.baselines.no_communication import no_communication
from eafl_flower.core.rng import generator
from eafl_flower.tasks.tabular import TabularTask


@pytest.fixture
def task():
    return TabularTask(num_features=5, num_classes=3, hidden=(8,), learning_rate=0.2)


def test_without_training_every_seen_client_has_the_common_initial_model(task, toy_source):
    scores = no_communication(task, toy_source, {}, seed=1)
    initial = task.init(generator(1, "init"))
    hits = [task.evaluate(initial, toy_source.partition(i))[1]["accuracy"] for i in range(4)]  # equally many test rows
    assert scores["accuracy-before"] == pytest.approx(sum(hits) / 4)


def test_training_alone_helps_and_one_job_more_is_the_score_after(task, toy_source):
    nothing = no_communication(task, toy_source, {}, seed=1)
    trained = no_communication(task, toy_source, dict.fromkeys(range(4), 20), seed=1)
    assert trained["accuracy-before"] > nothing["accuracy-before"] + 0.2
    assert trained["accuracy-unseen"] == nothing["accuracy-unseen"]
    assert set(trained) == {"accuracy-before", "accuracy-after", "accuracy-unseen"}


def test_jobs_start_the_optimiser_afresh(toy_source):
    task = TabularTask(num_features=5, num_classes=3, hidden=(8,), optimizer="adamw", learning_rate=0.01)
    epochs = {0: 3}
    scores = no_communication(task, toy_source, epochs, seed=1, local_epochs=2)
    rows = toy_source.partition(0)
    model, _ = task.train(task.init(generator(1, "init")), rows, generator(1, "train", 0, 1), epochs=2)
    model, _ = task.train(model, rows, generator(1, "train", 0, 2), epochs=1)
    initial = task.init(generator(1, "init"))
    others = [task.evaluate(initial, toy_source.partition(i))[1]["accuracy"] for i in (1, 2, 3)]
    assert scores["accuracy-before"] == pytest.approx((task.evaluate(model, rows)[1]["accuracy"] + sum(others)) / 4)


def test_unseen_clients_train_all_layers_for_the_given_steps(task, toy_source):
    scores = no_communication(task, toy_source, {}, seed=1, unseen_steps=7)
    hits = []
    for client in (4, 5):
        rows = toy_source.partition(client)
        model, _ = task.train(task.init(generator(1, "init")), rows, generator(1, "unseen", client), steps=7)
        hits.append(task.evaluate(model, rows)[1]["accuracy"])
    assert scores["accuracy-unseen"] == pytest.approx(sum(hits) / 2)
