import pytest
from flwr.app import ConfigRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from eafl_flower.engines import InlineGrid
from eafl_flower.errors import RunFailedError
from eafl_flower.runs.members.roster import take_roster
from eafl_flower.runs.members.roster_answers import MOST_CLIENTS


def answering(metrics_of):
    """A ClientApp whose answer to the query depends on its place on the grid."""
    app = ClientApp()

    @app.query()
    def query(message, context):
        metrics = metrics_of(context.node_config["partition-id"])
        if metrics is None:
            raise ValueError("no roster here")
        content = {"metrics": MetricRecord(metrics), "roster": ConfigRecord({"kind": "delta"})}
        return Message(RecordDict(content), reply_to=message)

    return app


def metrics(client, total, examples=7, **others):
    return {"partition-id": client, "num-partitions": total, "num-examples": examples, **others}


def roster(metrics_of, num_nodes, *, min_nodes=1, timeout_s=5.0, **options):
    grid = InlineGrid(answering(metrics_of), num_nodes)
    return take_roster(grid, min_nodes=min_nodes, timeout_s=timeout_s, **options)


def test_clients_are_ordered_by_partition_whatever_their_node_ids():
    found = roster(lambda place: metrics(3 - place, 4, 10 * place, trains=place % 2), 4)
    assert [m.client for m in found.members] == [0, 1, 2, 3]
    assert [m.node_id for m in found.members] == [5, 4, 3, 2]
    assert [m.num_examples for m in found.members] == [30, 20, 10, 0]
    assert [m.trains for m in found.members] == [True, False, True, False]
    assert not any(m.plain for m in found.members)
    assert found.num_partitions == 4


def test_plain_clients_come_after_all_partitions_in_the_order_of_their_node_ids():
    found = roster(lambda place: metrics(place, 5) if place in (0, 4) else None, 5)
    assert [(m.client, m.plain) for m in found.members] == [(0, False), (4, False), (5, True), (6, True), (7, True)]
    assert [m.num_examples for m in found.members[2:]] == [1, 1, 1]


@pytest.mark.parametrize(
    "broken",
    [
        {"num-examples": 3},
        metrics(1.5, 3),
        metrics(1, 3, -4),
        metrics(1, 3, float("nan")),
        metrics(1, 3, 2**63),
    ],
)
def test_an_answer_that_makes_no_sense_is_one_of_a_plain_client(broken):
    found = roster(lambda place: broken if place == 1 else metrics(place, 3), 3)
    assert [(m.client, m.plain) for m in found.members] == [(0, False), (2, False), (3, True)]


def test_of_two_nodes_with_one_partition_the_first_keeps_it_and_both_are_named(flower_log):
    found = roster(lambda place: metrics(min(place, 2), 4), 4, timeout_s=1000.0)
    assert [(m.client, m.node_id) for m in found.members] == [(0, 2), (1, 3), (2, 4)]
    assert found.refused == {5: 4}
    assert "nodes 4 and 5 both have partition-id 2: the second gets no jobs while the first is there" in flower_log.text


@pytest.mark.parametrize("client", [-1, 3, 10**12])
def test_a_node_with_an_impossible_partition_is_left_out_and_named(client, flower_log):
    found = roster(lambda place: metrics(client if place == 1 else place, 3), 3, timeout_s=1000.0)
    assert [m.client for m in found.members] == [0, 2]
    assert f"node 3 was started with partition-id = {client} and num-partitions = 3: it gets no jobs" in flower_log.text


@pytest.mark.parametrize("liar", [metrics(0, 5), metrics(0, 1), metrics(0, 10**6), metrics(0, 0), metrics(0, -5)])
def test_one_node_does_not_decide_how_many_there_are(liar):
    found = roster(lambda place: liar if place == 0 else metrics(place, 4), 4, timeout_s=1000.0)
    assert [m.client for m in found.members] == [0, 1, 2, 3]
    assert found.num_partitions == 4


def test_a_node_far_beyond_the_partitions_of_most_is_left_out(flower_log):
    found = roster(lambda place: metrics(999_999, 10**6) if place == 0 else metrics(place, 4), 4, timeout_s=1000.0)
    assert [m.client for m in found.members] == [1, 2, 3]
    assert "node 2 was started with partition-id = 999999 and num-partitions = 1000000, most others" in flower_log.text


def test_nodes_that_do_not_agree_are_waited_for_no_longer_than_the_time_limit():
    found = roster(lambda place: metrics(place, 2 + place), 2, timeout_s=0.1)
    assert [m.client for m in found.members] == [0, 1]


def test_as_many_nodes_are_waited_for_as_the_clients_say_there_are():
    with pytest.raises(RunFailedError, match=r"2 of 3 nodes answered within 0.1 s: start the others or expect fewer"):
        roster(lambda place: metrics(place, 3), 2, timeout_s=0.1)
    with pytest.raises(RunFailedError, match=r"2 of 4 nodes answered"):
        roster(lambda place: None, 2, min_nodes=4, timeout_s=0.1)


@pytest.mark.parametrize(
    ("liar", "most"), [(metrics(2**40, 2**40 + 1), MOST_CLIENTS), (metrics(0, 2**41), MOST_CLIENTS), (metrics(0, 4), 3)]
)
def test_a_node_that_speaks_of_too_many_partitions_is_left_out_and_not_waited_for(liar, most, flower_log):
    found = roster(lambda place: liar if place == 0 else metrics(place - 1, 3), 4, min_nodes=2, most=most)
    assert [m.client for m in found.members] == [0, 1, 2]
    assert found.num_partitions == 3
    assert f"num-partitions = {liar['num-partitions']}, the run takes {most} at most" in flower_log.text


def test_when_all_nodes_speak_of_too_many_partitions_nobody_is_waited_for():
    with pytest.raises(RunFailedError, match=r"3 nodes left out, 0 there; node \d was started with num-partitions = 4"):
        roster(lambda place: metrics(place, 4), 3, most=3, timeout_s=1000.0)
