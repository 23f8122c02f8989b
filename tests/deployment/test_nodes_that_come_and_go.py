"""Who may come in, who is refused, and what becomes of nodes that die, or whose SuperLink does."""

import time

import pytest
from certificates import make_certificates
from federation import NAME, tls_name
from pure_core import replay
from two_nodes import (
    assert_arrays_are_those_of_the_pure_core,
    exit_status_of,
    go_on,
    merged,
    merges_of,
    run_of,
    start_node,
    stored_arrays,
    submit,
)

from eafl_flower.config import RunConfig
from eafl_flower.types import digest

pytestmark = pytest.mark.slow


def test_nodes_come_in_by_tls_and_with_a_registered_key_only(federation):
    assert tls_name(federation.fleet, federation.ca) == tls_name(federation.http, federation.ca) == "superlink"
    config = {"partition-id": 1, "num-partitions": 2}
    stranger = federation.start_node("stranger", federation.make_key("stranger"), config)
    try:
        assert stranger.wait(120) != 0
    finally:
        federation.kill("stranger")
    assert "Exit Code: 305" in federation.log("stranger")


def test_nodes_without_a_key_or_with_another_authority_end_and_say_why(federation, tmp_path):
    make_certificates(tmp_path)
    config, key = {"partition-id": 1, "num-partitions": 2}, federation.make_key("elsewhere")
    federation.register(key)
    refused = {
        "keyless": federation.start_node("keyless", None, config),
        "elsewhere": federation.start_node("elsewhere", key, config, ca=tmp_path / "ca.crt"),
    }
    try:
        assert [process.wait(120) for process in refused.values()] == [1, 1]
    finally:
        for name in refused:
            federation.kill(name)
    for name, words in (
        ("keyless", "SuperNode authentication is enabled. All SuperNodes must be registered via the CLI."),
        ("elsewhere", "SSL/TLS handshake error detected."),
    ):
        assert "Exit Code: 305" in federation.log(name)
        assert words in federation.log(name)


def test_a_run_for_another_number_of_clients_fails_at_once_and_says_what_to_do(federation, tmp_path):
    run_id = submit(federation, tmp_path / "results", merges=6, clients=3)
    assert exit_status_of(tmp_path / "results") > 0  # where that of `flwr run` is 0
    assert federation.wait(run_id, 200) == "finished:failed"
    log = federation.flwr("log", run_id, NAME, "--show")
    assert "start them with num-partitions = 3, or set data.clients = 2" in log
    assert list((tmp_path / "results").glob("*")) == []


def test_a_killed_node_comes_back_with_its_state_and_a_stopped_run_leaves_a_checkpoint(nodes, tmp_path):
    results = tmp_path / "results"
    run_id = submit(nodes, results, merges=1000, codec="lqgcm")
    nodes.wait_until(lambda: merged(results, 3), 240, "no three merges")
    run = run_of(results)
    nodes.kill("node-0")
    time.sleep(5)  # for its replies that are on their way
    killed_at = len(merges_of(run))
    nodes.wait_until(lambda: lost_by(run, 0), 200, "nobody missed the node")  # its session ends after 37 to 60 s
    alone = merges_of(run)[killed_at:]
    assert {event["client"] for event in alone} == {1}

    start_node(nodes, 0, kept=nodes.kept)
    nodes.wait_until(lambda: merges_of(run)[-1]["client"] == 0, 150, "the node has not come back")
    nodes.flwr("stop", run_id, NAME)
    assert nodes.status(run_id) == "finished:stopped"
    nodes.wait_until(lambda: not nodes.server_apps(), 90, "the ServerApp goes on")
    assert run.has_checkpoint and not run.finished

    merges = merges_of(run)
    assert len(alone) > 1 and "has lost its state" not in nodes.log("superlink")
    replayed = replay(RunConfig.from_toml(run.config_path), merges, in_flight=2, clients=2)
    assert [event["metrics"]["loss"] for event in merges] == replayed.losses
    assert digest(stored_arrays(run.checkpoint_dir / "server.safetensors", "/aggregator//arrays/")) == digest(
        replayed.arrays
    )


@pytest.mark.long
def test_a_run_goes_on_after_its_superlink_was_killed_and_started_again(federation, tmp_path):
    """Only the SuperLink dies: its ServerApp lives on, until the new SuperLink does not know it."""
    results = tmp_path / "results"
    submit(federation, results, merges=8, codec="lqgcm")
    federation.wait_until(lambda: merged(results, 3), 400, "no three merges")
    run = run_of(results)
    federation.kill("superlink", alone=True)
    killed_at = len(merges_of(run))
    nodes = [federation.processes.pop(f"node-{node}") for node in range(2)]
    federation.start_superlink()
    assert [node.wait(120) for node in nodes] == [0, 0]  # as if all were well: the new SuperLink does not know them
    for node in range(2):
        federation.register(federation.folder / "keys" / f"node-{node}")
        start_node(federation, node)

    assert federation.wait(go_on(federation, run), 400) == "finished:completed"
    assert_arrays_are_those_of_the_pure_core(run)
    assert killed_at <= 8 == run.summary()["merges"]
    assert run.summary()["refused"] == run.summary()["client_states_lost"] == 0


def lost_by(run, client):
    return [event for event in run.events() if event["event"] == "lost" and event["client"] == client]
