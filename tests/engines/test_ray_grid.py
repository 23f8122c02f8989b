import os
import signal
import time

import numpy as np
import pytest
import tiny_clients
from flwr.app import ArrayRecord, Message, RecordDict
from tiny_clients import counting_app, train_message

from eafl_flower.engines import InlineGrid, RayGrid, WaitingGrid, wait_for
from eafl_flower.errors import ConfigError, RunFailedError

MESSAGES = [
    (2, 1.0, "train"),
    (3, 2.0, "train"),
    (2, 3.0, "raise"),
    (2, 4.0, "train"),
    (4, 5.0, "exit"),
    (4, 6.0, "train"),
    (3, 7.0, "train"),
]


def replies_of(grid):
    """Replies to MESSAGES in order of sending: content, or error code and the first line of its reason."""
    ids = grid.push_messages([train_message(node, value, do=what) for node, value, what in MESSAGES])
    replies, open_ids = {}, set(ids)
    while open_ids:
        for reply in wait_for(grid, open_ids):
            replies[reply.metadata.reply_to_message_id] = reply
            open_ids.remove(reply.metadata.reply_to_message_id)
    return [
        r.content if r.has_content() else (r.error.code, r.error.reason.splitlines()[0])
        for r in (replies[message_id] for message_id in ids)
    ]


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
def test_ray_and_inline_give_equal_replies_and_close_ends_ray(ray_leftovers):
    import ray

    setting = {"setting": "on"}
    expected = replies_of(InlineGrid(counting_app(), 3, run_config=setting))
    with RayGrid(counting_app, 3, run_config=setting) as grid:
        assert isinstance(grid, WaitingGrid)
        assert list(grid.get_node_ids()) == [2, 3, 4]
        assert replies_of(grid) == expected
    assert not ray.is_initialized()
    with pytest.raises(RunFailedError, match="this RayGrid is closed"):
        grid.push_messages([train_message(2)])


@pytest.mark.slow
def test_replies_do_not_depend_on_the_number_of_workers(one_ray):
    expected = replies_of(InlineGrid(counting_app(), 3))
    for workers in (1, 4):
        with RayGrid(counting_app, 3, num_cpus=0.5, workers=workers) as grid:
            assert replies_of(grid) == expected
    assert one_ray.is_initialized()  # the grids did not start it


@pytest.mark.slow
def test_different_nodes_run_side_by_side_and_one_node_in_order(one_ray, tmp_path):
    with RayGrid(counting_app, 2, num_cpus=0.5, workers=2) as grid:
        paths = {name: str(tmp_path / name) for name in ("marker", "go")}
        slow, after_it = grid.push_messages([train_message(2, do="sleep", **paths), train_message(2, 3.0)])
        (other,) = grid.push_messages([train_message(3)])
        assert [r.metadata.reply_to_message_id for r in grid.wait([slow, after_it, other])] == [other]
        assert grid.wait([slow, after_it], timeout_s=0.2) == []
        assert grid.pull_messages([slow, after_it]) == []
        (tmp_path / "go").touch()
        assert [r.content["metrics"]["count"] for r in grid.wait([slow])] == [1]
        assert [r.content["metrics"]["count"] for r in grid.wait([after_it])] == [2]


@pytest.mark.slow
def test_a_worker_that_exits_is_replaced_and_its_job_done_again_from_the_old_state(one_ray, tmp_path):
    with RayGrid(counting_app, 1) as grid:
        die_once = train_message(2, do="die once", marker=str(tmp_path / "died"))
        replies = [
            reply for m in (train_message(2), die_once, train_message(2)) for reply in grid.send_and_receive([m])
        ]
        assert (tmp_path / "died").exists()
        assert [r.content["metrics"]["count"] for r in replies] == [1, 2, 3]


@pytest.mark.slow
def test_a_worker_killed_from_outside_is_replaced_and_its_job_done_again(one_ray, tmp_path):
    marker, go = tmp_path / "pid", tmp_path / "go"
    with RayGrid(counting_app, 1) as grid:
        grid.send_and_receive([train_message(2)])
        ids = grid.push_messages([train_message(2, do="sleep", marker=str(marker), go=str(go))])
        while not marker.exists() or not marker.read_text():
            time.sleep(0.01)
        killed = int(marker.read_text())
        go.touch()
        os.kill(killed, signal.SIGKILL)
        (reply,) = grid.wait(ids)
        assert reply.content["metrics"]["count"] == 2
        assert int(marker.read_text()) != killed


@pytest.mark.slow
def test_a_worker_killed_between_jobs_is_replaced(one_ray):
    with RayGrid(counting_app, 1) as grid:
        (first,) = grid.send_and_receive([train_message(2, do="where")])
        os.kill(first.content["where"]["pid"], signal.SIGKILL)
        (second,) = grid.send_and_receive([train_message(2, do="where")])
        assert second.content["metrics"]["count"] == 2
        assert second.content["where"]["pid"] != first.content["where"]["pid"]


@pytest.mark.slow
def test_a_client_that_always_kills_its_worker_becomes_an_error_and_the_others_go_on(one_ray):
    with RayGrid(counting_app, 2) as grid:
        deadly, fine = grid.push_messages([train_message(2, do="die"), train_message(3)])
        assert grid.wait([fine])[0].has_content()
        (reply,) = grid.wait([deadly])
        assert reply.error.code == 8
        assert reply.error.reason.startswith("message to node 2 failed 3 times, each time with the end of its worker")
        (after,) = grid.send_and_receive([train_message(2)])
        assert after.content["metrics"]["count"] == 1


@pytest.mark.slow
def test_an_app_that_cannot_load_is_an_error_of_every_message(one_ray):
    with RayGrid(tiny_clients.app_that_cannot_load, 2) as grid:
        for reply in grid.send_and_receive([train_message(2), train_message(3)]):
            assert reply.error.code == 1
            assert reply.error.reason.startswith("RuntimeError: the weights file is missing\n")


@pytest.mark.slow
def test_large_payloads_arrive_whole_and_a_shared_one_is_stored_once(one_ray):
    array = np.random.default_rng(1).standard_normal(5_000_000, dtype=np.float32)
    record = ArrayRecord([array])
    with RayGrid(tiny_clients.echo_app, 4) as grid:
        replies = grid.send_and_receive(
            [Message(RecordDict({"arrays": record}), node, "train") for node in range(2, 6)]
        )
        assert len(grid._shared._entries) == 1
    assert len(replies) == 4
    for reply in replies:
        np.testing.assert_array_equal(reply.content["arrays"].to_numpy_ndarrays()[0], array)


@pytest.mark.slow
def test_a_mod_that_changes_its_message_or_a_later_change_does_not_reach_the_other_side(one_ray):
    with RayGrid(tiny_clients.echo_app, 1) as grid:
        message, ids = train_message(2), []
        for number in (1, 2, 3):
            message.content["config"]["number"] = number
            ids += grid.push_messages([message])
        replies = {}
        while len(replies) < 3:
            replies |= {r.metadata.reply_to_message_id: r for r in grid.wait([i for i in ids if i not in replies])}
    assert [replies[message_id].content["config"]["number"] for message_id in ids] == [1, 2, 3]


@pytest.mark.slow
def test_none_of_the_workers_is_left_after_close(one_ray):
    free = one_ray.cluster_resources()["CPU"]
    with RayGrid(counting_app, 8, num_cpus=0.25) as grid:
        replies = grid.send_and_receive([train_message(node, do="where") for node in grid.get_node_ids()])
        pids = {reply.content["where"]["pid"] for reply in replies}
        assert all(alive(pid) for pid in pids)
    deadline = time.monotonic() + 60
    while (any(map(alive, pids)) or one_ray.available_resources().get("CPU") != free) and (time.monotonic() < deadline):
        time.sleep(0.1)
    assert not any(map(alive, pids))
    assert one_ray.available_resources()["CPU"] == free


@pytest.mark.slow
def test_what_does_not_fit_is_refused_and_says_what_would(one_ray):
    cpus = int(one_ray.cluster_resources()["CPU"])
    for arguments, message in (
        ({"num_cpus": 1000.0}, r"a client needs 1000 CPUs and 0 GPUs, more than any machine .* lower engine.num-cpus"),
        ({"workers": cpus + 1}, rf"{cpus + 1} workers of 1 CPUs and 0 GPUs: expected 1 to {cpus}"),
        ({"num_cpus": 0.0}, r"num_cpus = 0 .* expected more than 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            RayGrid(counting_app, 1, **arguments)


@pytest.mark.slow
def test_an_address_without_a_cluster_is_refused(ray_leftovers):
    with pytest.raises(ConfigError, match=r"no Ray cluster answers at '127.0.0.1:1'"):
        RayGrid(counting_app, 1, address="127.0.0.1:1")


@pytest.fixture
def two_node_cluster(ray_leftovers):
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    second = cluster.add_node(num_cpus=1)
    yield cluster, second
    import ray

    ray.shutdown()
    cluster.shutdown()


@pytest.mark.slow
def test_a_cluster_of_two_machines_gives_the_same_replies_with_work_on_both(two_node_cluster):
    cluster, _ = two_node_cluster
    with RayGrid(counting_app, 8, address=cluster.address) as grid:
        while len(nodes := where(grid)) < 2:  # the second worker may still be starting
            pass
        assert len(nodes) == 2
    with RayGrid(counting_app, 3, address=cluster.address) as grid:
        assert replies_of(grid) == replies_of(InlineGrid(counting_app(), 3))


def where(grid):
    replies = grid.send_and_receive([train_message(node, do="where") for node in grid.get_node_ids()])
    return {reply.content["where"]["ray-node"] for reply in replies}


@pytest.mark.slow
def test_a_machine_that_leaves_the_cluster_takes_no_client_with_it(two_node_cluster):
    cluster, second = two_node_cluster
    with RayGrid(counting_app, 8, address=cluster.address) as grid:
        while len(where(grid)) < 2:
            pass
        cluster.remove_node(second, allow_graceful=False)
        replies = grid.send_and_receive([train_message(node) for node in grid.get_node_ids()])
        assert all(reply.has_content() for reply in replies)  # small states live in this process


@pytest.mark.slow
def test_a_large_state_that_is_lost_with_its_machine_is_reported_once(two_node_cluster):
    cluster, second = two_node_cluster
    with RayGrid(counting_app, 8, address=cluster.address) as grid:
        while len(where(grid)) < 2:
            pass
        keep = [train_message(node, do="where", **{"keep-bytes": 500_000}) for node in grid.get_node_ids()]
        before = grid.send_and_receive(keep)
        held = {r.metadata.src_node_id for r in before if r.content["where"]["ray-node"] == second.node_id}
        cluster.remove_node(second, allow_graceful=False)
        replies = grid.send_and_receive([train_message(node) for node in grid.get_node_ids()])
        assert {r.metadata.src_node_id for r in replies if r.has_error()} == held
        assert held
        for reply in replies:
            if reply.has_error():
                assert reply.error.code == 8
                assert "was lost with the machine that held it; it starts again from none" in reply.error.reason
        replies = grid.send_and_receive([train_message(node) for node in held])
        assert [reply.content["metrics"]["count"] for reply in replies] == [1] * len(held)
