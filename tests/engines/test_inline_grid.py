import re
import tracemalloc

import numpy as np
import pytest
import tiny_clients
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg
from tiny_clients import counting_app, train_message

from eafl_flower.engines import InlineGrid, WaitingGrid, wait_for
from eafl_flower.errors import ConfigError


def app_doing(train):
    app = ClientApp()
    app.train()(train)
    return app


def ok(message):
    return Message(RecordDict({"metrics": MetricRecord({"num-examples": 1})}), reply_to=message)


def counts(replies):
    return [reply.content["metrics"]["count"] for reply in replies]


def test_a_client_runs_when_its_reply_is_first_asked_for():
    ran = []
    grid = InlineGrid(app_doing(lambda message, context: ran.append(context.node_id) or ok(message)), 3)
    ids = grid.push_messages([train_message(node) for node in (2, 3, 4)])
    assert ran == []
    assert [reply.metadata.reply_to_message_id for reply in grid.wait(ids[1:])] == [ids[1]]
    assert ran == [3]
    assert {reply.metadata.src_node_id for reply in grid.pull_messages([ids[0], ids[2]])} == {2, 4}


def test_waiting_returns_parked_replies_without_running_anybody():
    ran = []
    grid = InlineGrid(app_doing(lambda message, context: ran.append(context.node_id) or ok(message)), 3)
    first, second, other = grid.push_messages([train_message(2), train_message(2), train_message(3)])
    grid.wait([second])  # runs the message before it, too, and keeps that reply
    assert ran == [2, 2]
    assert [reply.metadata.reply_to_message_id for reply in grid.wait([other, first])] == [first]
    assert ran == [2, 2]


def test_messages_to_one_node_are_handled_in_the_order_of_sending():
    grid = InlineGrid(counting_app(), 2)
    ids = grid.push_messages([train_message(2, value) for value in (1.0, 2.0, 3.0)])
    (last,) = grid.wait([ids[2]])
    assert (last.content["metrics"]["count"], last.content["metrics"]["value"]) == (3, 6.0)
    assert counts(grid.pull_messages(ids[:2])) == [1, 2]


def test_state_lasts_between_messages_and_belongs_to_one_node():
    grid = InlineGrid(counting_app(), 2, run_config={"setting": "on"}, node_config={"site": "depot"})
    replies = grid.send_and_receive([train_message(2), train_message(3), train_message(2)])
    assert sorted((r.metadata.src_node_id, r.content["metrics"]["count"]) for r in replies) == [(2, 1), (2, 2), (3, 1)]
    assert dict(replies[1].content["context"]) == {"partition": 1, "partitions": 2, "setting": "on"}


def test_a_client_that_raises_gives_flowers_error_and_keeps_its_old_state():
    grid = InlineGrid(counting_app(), 1)
    good, bad, again = grid.send_and_receive([train_message(2), train_message(2, do="raise"), train_message(2)])
    assert (good.content["metrics"]["count"], again.content["metrics"]["count"]) == (1, 2)
    assert bad.error.code == 2
    assert bad.error.reason.splitlines()[0] == "ValueError: this client has no data"
    assert "in misbehave" in bad.error.reason


def test_a_record_changed_in_place_by_a_client_that_raises_is_as_before():
    def train(message, context):
        if "seen" not in context.state:
            context.state["seen"] = MetricRecord({"n": 0})
        context.state["seen"]["n"] += 1
        context.run_config["setting"] = "changed"
        if message.content["config"]["do"] == "raise":
            raise ValueError
        return Message(RecordDict({"seen": context.state["seen"]}), reply_to=message)

    grid = InlineGrid(app_doing(train), 1, run_config={"setting": "on"})
    replies = grid.send_and_receive([train_message(2), train_message(2, do="raise"), train_message(2)])
    assert [r.content["seen"]["n"] for r in replies if r.has_content()] == [1, 2]


@pytest.mark.parametrize(
    ("train", "reason"),
    [
        (lambda message, context: exit(3), r"called sys.exit\(3\)"),
        (lambda message, context: None, "returned NoneType; expected Message"),
        (lambda message, context: ok(ok(message)), "answered message .*, not "),
    ],
)
def test_whatever_is_not_a_reply_is_an_error_of_that_client(train, reason):
    (reply,) = InlineGrid(app_doing(train), 1).send_and_receive([train_message(2)])
    assert reply.error.code == 2
    assert re.search(reason, reply.error.reason.splitlines()[0])


def test_out_of_memory_on_the_device_is_an_error_of_that_client_and_the_run_goes_on():
    torch = pytest.importorskip("torch")

    def train(message, context):
        if context.node_config["partition-id"] == 0:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return ok(message)

    failed, fine = InlineGrid(app_doing(train), 2).send_and_receive([train_message(2), train_message(3)])
    assert failed.error.reason.startswith("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB\n")
    assert fine.has_content()


def test_an_interrupt_reaches_the_caller():
    def train(message, context):
        raise KeyboardInterrupt

    grid = InlineGrid(app_doing(train), 1)
    with pytest.raises(KeyboardInterrupt):
        grid.send_and_receive([train_message(2)])


def test_a_mod_that_changes_its_message_does_not_change_the_servers():
    def vandal(message, context, call_next):
        message.content["config"]["do"] = "vandalised"
        message.content["config"]["list"].append(9)
        message.content["arrays"]["0"] = message.content["arrays"]["1"]
        message.content["more"] = ConfigRecord()
        message.metadata.ttl = 1.0
        reply = call_next(message, context)
        message.content = RecordDict()
        return reply

    message = train_message(2, list=[1, 2])
    before = dict(message.content["config"]), dict(message.content["arrays"]), message.metadata.ttl
    (reply,) = InlineGrid(counting_app(mods=[vandal]), 1).send_and_receive([message])
    assert reply.has_content()
    assert (dict(message.content["config"]), dict(message.content["arrays"]), message.metadata.ttl) == before
    assert message.content["config"]["list"] == [1, 2]
    assert set(message.content) == {"arrays", "config"}


def test_a_record_changed_after_sending_arrives_as_it_was_sent():
    grid = InlineGrid(app_doing(lambda message, context: Message(message.content, reply_to=message)), 3)
    config, ids = ConfigRecord(), []
    for number in (1, 2, 3):
        config["number"] = number
        ids += grid.push_messages([Message(RecordDict({"config": config}), 1 + number, "train")])
    assert [reply.content["config"]["number"] for reply in grid.pull_messages(ids)] == [1, 2, 3]


def test_a_reply_that_holds_the_clients_state_does_not_change_with_it():
    def train(message, context):
        state = context.state.setdefault("head", MetricRecord({"n": 0}))
        state["n"] += 1
        return Message(RecordDict({"head": state}), reply_to=message)

    first, second = InlineGrid(app_doing(train), 1).send_and_receive([train_message(2), train_message(2)])
    first.content["head"]["n"] = 100
    assert second.content["head"]["n"] == 2


def test_large_arrays_are_shared_not_copied():
    grid = InlineGrid(tiny_clients.echo_app(), 1)
    array = ArrayRecord([np.zeros(5_000_000, np.float32)])
    (reply,) = grid.send_and_receive([Message(RecordDict({"arrays": array}), 2, "train")])
    assert reply.content["arrays"]["0"].data is array["0"].data


def test_a_hundred_thousand_nodes_cost_nothing_until_they_are_used():
    tracemalloc.start()
    grid = InlineGrid(counting_app(), 100_000)
    nodes = grid.get_node_ids()
    (reply,) = grid.send_and_receive([train_message(nodes[-1])])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (len(nodes), reply.content["context"]["partition"]) == (100_000, 99_999)
    assert peak < 1_000_000  # ten bytes a node


def test_a_reply_comes_once_and_an_unknown_message_is_error_three():
    grid = InlineGrid(counting_app(), 1)
    (message_id,) = grid.push_messages([train_message(2)])
    assert grid.pull_messages([message_id])[0].has_content()
    for asked in (message_id, "never sent"):
        for (reply,) in (grid.pull_messages([asked]), grid.wait([asked])):
            assert (reply.error.code, reply.metadata.reply_to_message_id) == (3, asked)


def test_a_message_to_an_unknown_node_has_an_empty_id_in_its_place():
    ids = InlineGrid(counting_app(), 2).push_messages([train_message(node) for node in (1, 2, 4, 3)])
    assert [bool(message_id) for message_id in ids] == [False, True, False, True]


def test_no_nodes_are_refused():
    with pytest.raises(ConfigError, match="num_nodes = 0: expected at least one node"):
        InlineGrid(counting_app(), 0)


def test_the_inline_grid_waits_and_waiting_for_nothing_returns_at_once():
    grid = InlineGrid(counting_app(), 1)
    assert isinstance(grid, WaitingGrid)
    assert wait_for(grid, []) == grid.wait([]) == []


def test_flowers_own_fedavg_runs_on_it():
    grid = InlineGrid(counting_app(), 4)
    result = FedAvg(fraction_evaluate=0.0, min_available_nodes=4).start(
        grid, ArrayRecord([np.ones(3, np.float32)]), num_rounds=3
    )
    np.testing.assert_array_equal(result.arrays.to_numpy_ndarrays()[0], np.full(3, 8.0))
