"""`eafl node` in the place of SuperNodes: over the same wires it gives what its updates give in the pure core."""

import signal
import time

import pytest
from federation import CHECKOUT, NAME, copy_app
from pure_core import replay
from two_nodes import (
    assert_arrays_are_those_of_the_pure_core,
    go_on,
    merged,
    merges_of,
    run_of,
    start_node,
    stored_arrays,
    submit,
)

from eafl_flower import __version__
from eafl_flower.config import RunConfig
from eafl_flower.types import digest

pytestmark = pytest.mark.slow


@pytest.fixture
def federation(two_kept_nodes):
    """``two_kept_nodes``; a failed test shows what the processes wrote."""
    yield two_kept_nodes
    print(two_kept_nodes.logs())


def test_merged_arrays_are_those_of_the_pure_core(federation, tmp_path):
    results = tmp_path / "results"
    assert federation.wait(submit(federation, results, merges=12), 400) == "finished:completed"
    run = run_of(results)
    assert_arrays_are_those_of_the_pure_core(run)
    summary, merges = run.summary(), merges_of(run)
    assert {event["client"] for event in merges} == {0, 1}
    assert (summary["merges"], summary["refused"], summary["lost"], summary["errors"]) == (12, 0, 0, 0)
    for node in range(2):
        assert federation.log(f"node-{node}").count("stays in memory") == 1


def test_a_node_that_was_told_to_end_returns_with_its_state(federation, tmp_path):
    results = tmp_path / "results"
    run_id = submit(federation, results, merges=1000, codec="lqgcm")
    federation.wait_until(lambda: merged(results, 4), 240, "no four merges")
    run = run_of(results)
    leaving = federation.processes.pop("node-0")
    leaving.send_signal(signal.SIGTERM)
    assert leaving.wait(60) == 128 + signal.SIGTERM
    at_least = len(merges_of(run))
    start_node(federation, 0, kept=True)
    federation.wait_until(
        lambda: any(event["client"] == 0 for event in merges_of(run)[at_least + 1 :]), 200, "it has not come back"
    )
    federation.flwr("stop", run_id, NAME)
    federation.wait_until(lambda: not federation.server_apps(), 90, "the ServerApp goes on")
    merges = merges_of(run)
    assert "has lost its state" not in federation.log("superlink")
    replayed = replay(RunConfig.from_toml(run.config_path), merges, in_flight=2, clients=2)
    assert [event["metrics"]["loss"] for event in merges] == replayed.losses


def test_a_run_goes_on_in_a_new_one_after_its_server_app_was_killed(federation, tmp_path):
    results = tmp_path / "results"
    submit(federation, results, merges=80, every=2, codec="lqgcm")
    federation.wait_until(lambda: merged(results, 3), 240, "no three merges")
    time.sleep(1)  # a message whose arrays the dead process did not push would hold its node up for a minute
    federation.kill_server_app()
    run = run_of(results)
    killed_at = len(merges_of(run))

    assert federation.wait(go_on(federation, run), 400) == "finished:completed"
    assert list(results.iterdir()) == [run.path]
    assert_arrays_are_those_of_the_pure_core(run)
    assert run.summary()["merges"] == 80 > killed_at
    assert run.summary()["refused"] == 0  # both sides held the same


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGHUP, marks=pytest.mark.long)])
def test_a_server_app_that_is_told_to_end_leaves_a_checkpoint_and_tells_its_superlink(federation, tmp_path, number):
    results = tmp_path / "results"
    run_id = submit(federation, results, merges=1000)
    federation.wait_until(lambda: merged(results, 3), 240, "no three merges")
    run = run_of(results)
    federation.kill_server_app(number)
    federation.wait_until(lambda: not federation.server_apps(), 60, "the ServerApp goes on")
    assert run.has_checkpoint
    federation.wait(run_id, 30)  # at once: a process that just dies is missed after 50 s
    replayed = replay(RunConfig.from_toml(run.config_path), merges_of(run), in_flight=2, clients=2)
    assert digest(stored_arrays(run.checkpoint_dir / "server.safetensors", "/aggregator//arrays/")) == digest(
        replayed.arrays
    )


def test_a_run_of_another_version_is_refused_by_one_line(federation, tmp_path):
    app = copy_app(tmp_path / "eafl-flower")
    changed = app / "eafl_flower" / "client_app.py"
    changed.write_text(changed.read_text() + "# another version\n")
    path = tmp_path / "job.toml"
    path.write_text('data.clients = 2\ndata.unseen = 0\nresults.dir = "results"\n')
    run_id = federation.submit(app, path)
    refusal = f"another eafl_flower than the {__version__} that is installed here, [eafl_flower/client_app.py] differ"
    federation.wait_until(lambda: refusal in federation.log("node-1"), 120, "nobody has refused it")
    federation.flwr("stop", run_id, NAME)


def test_a_superlink_that_was_restarted_gets_its_nodes_back_once_their_keys_are_registered(federation, tmp_path):
    federation.stop("superlink")
    federation.start_superlink()
    nodes = [f"node-{node}" for node in range(2)]
    for node in nodes:
        federation.register(federation.folder / "keys" / node)
    for node in nodes:
        federation.wait_until(
            lambda node=node: federation.log(node).count("answers the SuperLink at 127") > 1, 90, "a node is missing"
        )
    results = tmp_path / "results"
    assert federation.wait(submit(federation, results, merges=4), 400) == "finished:completed"
    assert_arrays_are_those_of_the_pure_core(run_of(results))


def test_a_transformer_is_loaded_once(federation, tmp_path):
    pytest.importorskip("peft")
    out = tmp_path / "out.json"
    path = tmp_path / "job.toml"
    path.write_text(f'task = "lora"\nnodes = 2\nupdates = 4\nout = "{out}"\n')
    run_id = federation.submit(CHECKOUT / "benchmarks" / "wires-app", path)
    assert federation.wait(run_id, 400) == "finished:completed"
    for node in range(2):
        log = federation.log(f"node-{node}")
        assert log.count("the transformer is loaded") == 1
