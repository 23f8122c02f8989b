from dataclasses import replace

import numpy as np
import pytest
from client_orders import SEED, metrics_of, state_of, terms
from flwr.app import ArrayRecord

from eafl_flower.baselines.no_communication import no_communication
from eafl_flower.clients.bridge import numpy_client_app
from eafl_flower.clients.numpy_client import FederatedClient, Workload, federated_client_fn, head_of
from eafl_flower.core.rng import generator
from eafl_flower.errors import ConfigError, ProtocolError
from eafl_flower.heads.blocks import FEWEST_ROWS
from eafl_flower.heads.newcomer import adapted
from eafl_flower.tasks.fractal import FractalTask
from eafl_flower.tasks.softmax import SoftmaxTask
from eafl_flower.tasks.tabular import TabularTask
from eafl_flower.wire.arrays import array_record, arrays_of


@pytest.fixture
def workload(toy_source):
    task = TabularTask(num_features=5, num_classes=3, hidden=(8, 8), optimizer="adamw", learning_rate=0.02)
    return Workload(task=task, source=toy_source, seed=1, local_epochs=2, unseen_steps=20)


@pytest.fixture
def app(workload):
    return numpy_client_app(lambda context: FederatedClient(workload, context))


@pytest.fixture
def initial(workload):
    return workload.task.init(generator(SEED, "init"))


@pytest.fixture
def shared(workload, initial):
    return array_record([str(i) for i in range(4)], initial[:4])


def test_a_job_is_the_task_on_global_backbone_and_initial_head(
    app, workload, initial, shared, make_message, make_context
):
    context = make_context(2)
    reply = app(make_message("train", shared, terms=terms(5)), context)
    rows = workload.source.partition(2)
    expected, loss = workload.task.train(initial, rows, generator(SEED, "train", 2, 5), epochs=2)
    for a, b in zip(arrays_of(reply.content.array_records["arrays"]), expected[:4], strict=True):
        assert np.array_equal(a, b)
    for a, b in zip(arrays_of(context.state.array_records["head"]), expected[4:], strict=True):
        assert np.array_equal(a, b)
    assert metrics_of(reply) == {"num-examples": 24, "loss": loss}


def test_the_head_goes_on_where_the_last_job_left_it(app, workload, initial, shared, make_message, make_context):
    context = make_context(0)
    app(make_message("train", shared, terms=terms(1)), context)
    reply = app(make_message("train", shared, terms=terms(2)), context)
    rows = workload.source.partition(0)
    first, _ = workload.task.train(initial, rows, generator(SEED, "train", 0, 1), epochs=2)
    model = initial[:4] + first[4:]
    second, _ = workload.task.train(model, rows, generator(SEED, "train", 0, 2), epochs=2)
    for a, b in zip(arrays_of(reply.content.array_records["arrays"]), second[:4], strict=True):
        assert np.array_equal(a, b)


def test_the_same_dispatch_gives_the_same_bytes(app, shared, make_message, make_context):
    replies = [app(make_message("train", shared, terms=terms(4)), make_context(1)) for _ in range(2)]
    first, second = ({k: a.data for k, a in r.content.array_records["arrays"].items()} for r in replies)
    assert first == second
    other = app(make_message("train", shared, terms=terms(5)), make_context(1)).content.array_records["arrays"]
    assert other["0"].data != first["0"]


def test_without_our_terms_seed_and_round_stand_in(app, workload, shared, make_message, make_context):
    plain = app(make_message("train", shared, {"server-round": 7}), make_context(1))
    ours = app(make_message("train", shared, terms={"seed": 1, "counter": 7}), make_context(1))
    assert plain.content.array_records["arrays"]["0"].data == ours.content.array_records["arrays"]["0"].data


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("partition", [0, 5])
def test_an_evaluation_leaves_the_state_alone(app, shared, make_message, make_context, partition, after):
    context = make_context(partition)
    app(make_message("evaluate", shared, {"after-training": after}, terms()), context)
    assert not context.state
    if partition == 0:
        app(make_message("train", shared, terms=terms()), context)
        before = state_of(context)
        app(make_message("evaluate", shared, {"after-training": after}, terms()), context)
        assert state_of(context) == before


def test_a_seen_client_is_scored_with_its_own_head(app, workload, initial, shared, make_message, make_context):
    context = make_context(0)
    app(make_message("train", shared, terms=terms()), context)
    scores = metrics_of(app(make_message("evaluate", shared, {"after-training": True}, terms()), context))
    rows = workload.source.partition(0)
    model = initial[:4] + arrays_of(context.state.array_records["head"])
    loss, before = workload.task.evaluate(model, rows)
    model, _ = workload.task.train(model, rows, generator(SEED, "after", 0), epochs=2)
    assert scores == {
        "num-examples": 12,
        "loss": loss,
        "head-parameters": 3 * 8 + 3,
        "accuracy-before": before["accuracy"],
        "accuracy-after": workload.task.evaluate(model, rows)[1]["accuracy"],
    }
    assert "accuracy-after" not in metrics_of(app(make_message("evaluate", shared, terms=terms()), context))


def test_an_unseen_client_fits_a_fresh_head_to_a_frozen_backbone(toy_source, make_message, make_context):
    task = TabularTask(num_features=5, num_classes=3, hidden=(8, 8), head="private")
    workload = Workload(task=task, source=toy_source, seed=SEED, unseen_steps=20)
    app = numpy_client_app(lambda context: FederatedClient(workload, context))
    initial = task.init(generator(SEED, "init"))
    moved = tuple(a + np.float32(0.1) for a in initial[: task.num_shared])
    message = make_message("evaluate", array_record([str(i) for i in range(len(moved))], moved), terms=terms())
    scores = metrics_of(app(message, make_context(5)))
    rows = toy_source.partition(5)
    rng = generator(SEED, "unseen", 5)
    model, _ = task.train(moved[:4] + initial[4:], rows, rng, steps=20, first_trained=4)
    score = task.evaluate(model, rows)[1]["accuracy"]
    assert scores == {"num-examples": 27, "accuracy-unseen": score, "adapted": 1.0, "unjudged": 0.0}


@pytest.mark.parametrize("rows", [9, 60])
def test_an_unseen_client_goes_by_a_head_that_travels_and_says_whether_it_adapted_it(
    toy_source, make_message, make_context, rows
):
    source = replace(toy_source, num_rows=4 * rows)
    task = TabularTask(num_features=5, num_classes=3, hidden=(8, 8), head="federated")
    workload = Workload(task=task, source=source, seed=SEED, unseen_steps=20)
    app = numpy_client_app(lambda context: FederatedClient(workload, context))
    fleets = tuple(a + np.float32(0.1) for a in task.init(generator(SEED, "init")))
    message = make_message("evaluate", array_record([str(i) for i in range(len(fleets))], fleets), terms=terms())
    scores, own = metrics_of(app(message, make_context(5))), source.partition(5)
    assert len(own.y_train) == rows
    found = adapted(task, fleets, fleets, own, seed=SEED, client=5, steps=20)
    assert bool(found.unjudged) == (rows < FEWEST_ROWS)
    assert scores == {
        "num-examples": len(own.y_test),
        "accuracy-unlabelled": task.evaluate(fleets, own)[1]["accuracy"],
        "accuracy-unseen": task.evaluate(found.model, own)[1]["accuracy"],
        "adapted": float(found.steps > 0),
        "unjudged": float(rows < FEWEST_ROWS),
    }


def test_who_joins_goes_by_the_head_that_travels_until_its_first_job(toy_source, make_message, make_context):
    """Before it a head of its own is as good as none; the fleet here knows the data, so the difference is large."""
    task = FractalTask(num_features=5, num_classes=3, head="both", optimizer="adamw", learning_rate=0.01)
    app = numpy_client_app(lambda c: FederatedClient(Workload(task=task, source=toy_source, seed=SEED), c))
    initial, rows = task.init(generator(SEED, "init")), toy_source.partition(1)
    model = task.personalise(initial, rows, generator(SEED, "personalise", 1), client=1)
    fleets = task.train(model, rows, generator(SEED, "fleet"), epochs=40)[0][: task.num_shared]
    arrays, context = array_record([str(i) for i in range(len(fleets))], fleets), make_context(0)
    own = toy_source.partition(0)
    first = metrics_of(app(make_message("evaluate", arrays, terms=terms()), context))
    found = adapted(task, fleets, fleets + fleets[task.num_backbone :], own, seed=SEED, client=0, steps=50)
    assert first["accuracy-before"] == task.evaluate(found.model, own)[1]["accuracy"] > 0.8
    app(make_message("train", arrays, terms=terms(1)), context)
    head = head_of(context.state)
    then = metrics_of(app(make_message("evaluate", arrays, terms=terms()), context))
    assert then["accuracy-before"] == task.evaluate(fleets + head, own)[1]["accuracy"]


def test_a_client_alone_is_the_baseline_without_communication(app, workload, initial, make_message, make_context):
    """Fed its own arrays back, a client does what no_communication computes for it."""
    hits, count = 0.0, 0
    for partition in range(workload.source.num_seen):
        context = make_context(partition)
        arrays = array_record([str(i) for i in range(4)], initial[:4])
        for counter in (1, 2):
            reply = app(make_message("train", arrays, terms=terms(counter)), context)
            arrays = reply.content.array_records["arrays"]
        scores = metrics_of(app(make_message("evaluate", arrays, {"after-training": True}, terms()), context))
        hits += scores["num-examples"] * scores["accuracy-after"]
        count += scores["num-examples"]
    epochs = dict.fromkeys(range(workload.source.num_seen), 4)
    alone = no_communication(workload.task, workload.source, epochs, seed=SEED, local_epochs=2)
    assert alone["accuracy-after"] == pytest.approx(hits / count)


def test_a_federated_head_leaves_nothing_on_the_node(toy_source, make_message, make_context):
    task = TabularTask(num_features=5, num_classes=3, hidden=(8,), head="federated")
    app = numpy_client_app(lambda c: FederatedClient(Workload(task=task, source=toy_source, seed=SEED), c))
    context = make_context(0)
    arrays = array_record(["a", "b", "c", "d"], task.init(generator(SEED, "init")))
    reply = app(make_message("train", arrays, terms=terms()), context)
    assert list(reply.content.array_records["arrays"]) == ["a", "b", "c", "d"]
    assert not context.state


def test_initial_parameters_are_the_shared_ones(workload, initial, make_context):
    parameters = FederatedClient(workload, make_context()).get_parameters({"eafl.seed": SEED})
    assert all(np.array_equal(a, b) for a, b in zip(parameters, initial[:4], strict=True))


@pytest.mark.parametrize("kind", ["train", "evaluate"])
def test_arrays_of_another_model_are_refused(app, shared, make_message, make_context, kind):
    fewer = ArrayRecord({k: shared[k] for k in ("0", "1")})
    with pytest.raises(ProtocolError, match="sent 2 arrays: expected 4"):
        app(make_message(kind, fewer, terms=terms()), make_context())
    arrays = list(arrays_of(shared))
    arrays[1] = arrays[1].astype(np.float64)
    arrays[2] = arrays[2][:, :5]
    with pytest.raises(ProtocolError, match=r'"1" is float64 \(8,\), expected float32 \(8,\); "2" is float32 \(8, 5\)'):
        app(make_message(kind, array_record(list(shared), arrays), terms=terms()), make_context())


def test_a_client_that_never_trains_refuses_a_job(app, shared, make_message, make_context):
    with pytest.raises(ProtocolError, match=r"client 4 never trains \(the data has 4 seen clients\)"):
        app(make_message("train", shared, terms=terms()), make_context(4))


def test_more_nodes_than_clients_can_join_the_roster_but_not_work(app, shared, make_message, make_context):
    assert metrics_of(app(make_message("query"), make_context(9, 10)))["num-partitions"] == 10
    with pytest.raises(ConfigError, match="num-partitions = 10, but the data toy has 6 clients"):
        app(make_message("train", shared, terms=terms()), make_context(0, 10))


@pytest.mark.parametrize(("partition", "num_examples", "trains"), [(0, 24, 1), (5, 9, 0)])
def test_the_roster_tells_rows_and_who_trains(app, make_message, make_context, partition, num_examples, trains):
    metrics = metrics_of(app(make_message("query"), make_context(partition)))
    assert (metrics["num-examples"], metrics["trains"]) == (num_examples, trains)


def test_the_workload_is_built_once_for_each_configuration(workload, make_context):
    built = []

    def build(key):
        built.append(key)
        return workload

    client_fn = federated_client_fn(build, lambda context: context.node_config["partition-id"] % 2)
    for partition in (0, 1, 2, 3, 2):
        assert client_fn(make_context(partition)).partition == partition
    assert built == [0, 1]


def test_a_stored_head_of_another_task_is_refused(app, shared, make_message, make_context):
    context = make_context(0)
    context.state["head"] = array_record(["0"], [np.zeros((2, 2), np.float32)])
    with pytest.raises(ProtocolError, match="the stored head has 1 arrays: expected 2"):
        app(make_message("train", shared, terms=terms()), context)


def test_an_order_says_how_many_epochs_a_job_has(app, workload, initial, shared, make_message, make_context):
    reply = app(make_message("train", shared, terms={**terms(5), "epochs": 3}), make_context(2))
    expected, loss = workload.task.train(
        initial, workload.source.partition(2), generator(SEED, "train", 2, 5), epochs=3
    )
    for a, b in zip(arrays_of(reply.content.array_records["arrays"]), expected[:4], strict=True):
        assert np.array_equal(a, b)
    assert metrics_of(reply) == {"num-examples": 24, "loss": loss}


def test_a_client_trains_until_it_has_had_enough_and_says_for_how_long(toy_source, make_message, make_context):
    task = SoftmaxTask(num_features=5, num_classes=3, learning_rate=0.01)
    workload = Workload(task=task, source=toy_source, seed=1)
    app = numpy_client_app(lambda context: FederatedClient(workload, context))
    initial, rows = task.init(generator(SEED, "init")), toy_source.partition(2)
    shared = array_record(["0", "1"], initial)

    losses = [task.train(initial, rows, generator(SEED, "train", 2, 5), epochs=n + 1)[1] for n in range(6)]
    gains = -np.diff(losses) / losses[0]
    share = float(gains[2]) * 1.001  # the fourth epoch is the first that gains so little
    assert (gains[:2] > share).all()
    rule = {"stop-share": share, "least-epochs": 1, "most-epochs": 6}
    reply = app(make_message("train", shared, terms={**terms(5), **rule}), make_context(2))
    expected, loss = task.train(initial, rows, generator(SEED, "train", 2, 5), epochs=4)
    for a, b in zip(arrays_of(reply.content.array_records["arrays"]), expected, strict=True):
        assert np.array_equal(a, b)
    assert metrics_of(reply) == {"num-examples": 24, "loss": loss, "epochs": 4}


def test_an_order_for_a_model_that_a_client_does_not_have_is_refused(app, shared, make_message, make_context):
    with pytest.raises(ProtocolError, match='client 2 is to use model "speech": it has one model, without a name'):
        app(make_message("train", shared, terms={**terms(), "model": "speech"}), make_context(2))
