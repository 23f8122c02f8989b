"""What an optimiser remembers is a client's own, and kept from job to job where its setting says so."""

import numpy as np
import pytest
from client_orders import SEED, metrics_of, state_of, terms

from eafl_flower.baselines.no_communication import no_communication
from eafl_flower.clients.bridge import numpy_client_app
from eafl_flower.clients.numpy_client import FederatedClient, Workload
from eafl_flower.core.rng import generator
from eafl_flower.errors import ProtocolError
from eafl_flower.heads.memory import NO_MEMORY
from eafl_flower.tasks.tabular import TabularTask
from eafl_flower.wire.arrays import array_record, arrays_of


def remembering(source, state, head="private"):
    """An app whose clients train by AdaDelta, and the arrays that travel."""
    task = TabularTask(
        num_features=5,
        num_classes=3,
        hidden=(8, 8),
        head=head,
        optimizer="adadelta",
        learning_rate=1.0,
        optimizer_state=state,
    )
    app = numpy_client_app(lambda c: FederatedClient(Workload(task=task, source=source, seed=SEED, local_epochs=2), c))
    initial = task.init(generator(SEED, "init"))
    return task, app, array_record([str(i) for i in range(task.num_shared)], initial[: task.num_shared]), initial


def test_what_the_optimizer_remembers_is_kept_from_job_to_job_beside_the_head(toy_source, make_message, make_context):
    task, app, shared, initial = remembering(toy_source, "kept")
    context, rows = make_context(1), toy_source.partition(1)
    model, memory = initial, NO_MEMORY
    for counter in (1, 2, 3):
        reply = app(make_message("train", shared, terms=terms(counter)), context)
        start = initial[: task.num_shared] + model[task.num_shared :]
        model, _, memory = task.train_on(start, rows, generator(SEED, "train", 1, counter), memory, epochs=2)
        for a, b in zip(arrays_of(reply.content.array_records["arrays"]), model, strict=False):
            assert np.array_equal(a, b)
    assert list(context.state) == ["optimizer", "head"]
    assert {key: a.numpy().tolist() for key, a in context.state["optimizer"].items()} == {
        key: a.tolist() for key, a in memory.items()
    }
    assert list(reply.content) == ["arrays", "metrics"]  # it never travels


def test_by_default_each_job_begins_afresh_and_nothing_is_kept(toy_source, make_message, make_context):
    task, app, shared, initial = remembering(toy_source, "reset", head="federated")
    context, rows = make_context(1), toy_source.partition(1)
    for counter in (1, 2):
        reply = app(make_message("train", shared, terms=terms(counter)), context)
        model, _ = task.train(initial, rows, generator(SEED, "train", 1, counter), epochs=2)
        for a, b in zip(arrays_of(reply.content.array_records["arrays"]), model, strict=True):
            assert np.array_equal(a, b)
    assert not context.state


@pytest.mark.parametrize("state", ["reset", "kept"])
def test_a_job_that_ends_by_a_rule_is_one_job_for_the_optimizer(toy_source, make_message, make_context, state):
    _, app, shared, _ = remembering(toy_source, state, head="federated")
    rule = {"stop-share": 0.0, "least-epochs": 5, "most-epochs": 5}
    context = make_context(1)
    for counter in (1, 2):
        reply = app(make_message("train", shared, terms={**terms(counter), **rule}), context)
    other = make_context(1)
    for counter in (1, 2):
        expected = app(make_message("train", shared, terms={**terms(counter), "epochs": 5}), other)
    ours, theirs = (r.content.array_records["arrays"] for r in (reply, expected))
    assert [a.data for a in ours.values()] == [a.data for a in theirs.values()]
    assert metrics_of(reply) == {**metrics_of(expected), "epochs": 5}
    assert state_of(context) == state_of(other)
    assert ("optimizer" in context.state) == (state == "kept")


def test_one_job_more_in_an_evaluation_goes_on_with_the_memory_and_leaves_it(
    toy_source, make_message, make_context, monkeypatch
):
    scored = []
    task, app, shared, initial = remembering(toy_source, "kept")
    monkeypatch.setattr(TabularTask, "evaluate", lambda _, arrays, rows: scored.append(arrays) or (0.0, {}))
    context, rows = make_context(0), toy_source.partition(0)
    app(make_message("train", shared, terms=terms(1)), context)
    before = state_of(context)
    app(make_message("evaluate", shared, {"after-training": True}, terms()), context)
    assert state_of(context) == before
    model, _, memory = task.train_on(initial, rows, generator(SEED, "train", 0, 1), NO_MEMORY, epochs=2)
    start = initial[: task.num_shared] + model[task.num_shared :]
    after, _, _ = task.train_on(start, rows, generator(SEED, "after", 0), memory, epochs=2)
    for ours, theirs in zip(scored, (start, after), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_a_stored_memory_of_another_optimizer_is_refused(toy_source, make_message, make_context):
    _, app, shared, _ = remembering(toy_source, "kept")
    context = make_context(0)
    context.state["optimizer"] = array_record(["model.adam.mean"], [np.zeros(139, np.float32)])
    with pytest.raises(ProtocolError, match=r"remembers does not fit the task \(unknown model.adam.mean\)"):
        app(make_message("train", shared, terms=terms(1)), context)


def test_a_client_alone_that_keeps_its_memory_is_the_baseline_that_does(toy_source, make_message, make_context):
    task, app, shared, _ = remembering(toy_source, "kept")
    hits, count = 0.0, 0
    for partition in range(toy_source.num_seen):
        context, arrays = make_context(partition), shared
        for counter in (1, 2):
            reply = app(make_message("train", arrays, terms=terms(counter)), context)
            arrays = reply.content.array_records["arrays"]
        scores = metrics_of(app(make_message("evaluate", arrays, {"after-training": True}, terms()), context))
        hits += scores["num-examples"] * scores["accuracy-after"]
        count += scores["num-examples"]
    epochs = dict.fromkeys(range(toy_source.num_seen), 4)
    alone = no_communication(task, toy_source, epochs, seed=SEED, local_epochs=2)
    assert alone["accuracy-after"] == pytest.approx(hits / count)
