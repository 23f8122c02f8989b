"""One asynchronous job over gRPC with TLS and node keys gives what its updates give in the pure core.

Flower runs in an environment without eafl-flower: what runs there is the app bundle.
"""

import json
import math
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from certificates import make_certificates
from empty_environment import make_environment
from federation import NAME, Federation, copy_app, tls_name
from pure_core import replay
from safetensors import safe_open

from eafl_flower.app.client import client_app
from eafl_flower.app.prediction import predictor_of
from eafl_flower.app.resolving import resolve
from eafl_flower.app.training import train
from eafl_flower.config import RunConfig
from eafl_flower.engines import InlineGrid
from eafl_flower.errors import CheckpointError
from eafl_flower.results.run_directory import RunDirectory
from eafl_flower.types import digest

pytestmark = pytest.mark.slow

JOB = """
name = "wires"
seed = 7

[data]
clients = {clients}
unseen = 0

[data.idm]
rows-per-client = 32

[strategy]
merges = {merges}

[codec]
name = "{codec}"

[job]
reply-timeout-s = 100.0

[checkpoint]
every = {every}

[results]
dir = "{results}"
baselines = "none"
"""


ALIGNMENT = """
name = "aligned"
seed = 7

[data]
name = "latent-world"
clients = 2
unseen = 0

[data.latent-world]
pilots = 200
tests = 50

[task]
name = "alignment"

[strategy]
name = "alignment"
mode = "sync"
merges = 2

[codec]
name = "emq"

[job]
reply-timeout-s = 350.0

[results]
dir = "{results}"
baselines = "none"
"""


@pytest.fixture(scope="module")
def federation(tmp_path_factory):
    """A SuperLink with two SuperNodes that are allowed in."""
    folder = tmp_path_factory.mktemp("wires")
    copy_app(folder / "eafl-flower")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("federation.BIN", make_environment(folder / "environment"))
        yield from two_nodes(folder / "federation")


def two_nodes(folder, *, kept=False):
    """A SuperLink with two nodes; ``kept`` ones keep their model."""
    with Federation(folder) as federation:
        federation.start_superlink()
        for node in range(2):
            key = federation.make_key(f"node-{node}")
            federation.register(key)
            start_node(federation, node, kept=kept)
        yield federation


@pytest.fixture(autouse=True)
def logs(federation):
    """Let a failed test show what the processes wrote."""
    yield
    print(federation.logs())


def start_node(federation, node, *, kept=False):
    config = {"partition-id": node, "num-partitions": 2, "state-dir": str(state_dir(federation, node))}
    start = federation.start_kept_node if kept else federation.start_node
    return start(f"node-{node}", federation.folder / "keys" / f"node-{node}", config)


def state_dir(federation, node):
    return federation.folder / f"state-{node}"


def submit(federation, results, *, merges, every=0, clients=2, codec="int8"):
    path = results.with_suffix(".toml")
    path.write_text(JOB.format(merges=merges, every=every, clients=clients, codec=codec, results=results))
    return federation.submit(federation.folder.parent / "eafl-flower", path)


def run_of(results):
    (path,) = results.iterdir()
    return RunDirectory.open(path)


def merges_of(run):
    return [event for event in run.events() if event["event"] == "merge"]


def merged(results, at_least):
    """Whether the run has begun and made so many merges."""
    return results.is_dir() and any(results.glob("*/events.jsonl")) and len(merges_of(run_of(results))) >= at_least


def assert_arrays_are_those_of_the_pure_core(run):
    merges, summary, model = merges_of(run), run.summary(), run.model()
    replayed = replay(RunConfig.from_toml(run.config_path), merges, in_flight=2, clients=2)
    assert [event["merge"] for event in merges] == list(range(1, summary["merges"] + 1))
    assert [event["metrics"]["loss"] for event in merges] == replayed.losses
    assert [event["uplink_bytes"] for event in merges] == replayed.uplink_bytes
    assert digest(replayed.arrays) == summary["arrays_sha256"]
    assert digest([model[str(place)] for place in range(len(model))]) == digest(replayed.served)


def test_merged_arrays_are_those_of_the_pure_core(federation, tmp_path):
    results = tmp_path / "results"
    run_id = submit(federation, results, merges=6)
    assert federation.wait(run_id, 400) == "finished:completed"
    run = run_of(results)
    assert_arrays_are_those_of_the_pure_core(run)

    summary, merges = run.summary(), merges_of(run)
    assert {event["client"] for event in merges} == {0, 1}
    assert summary["virtual_time_s"] == summary["wall_s"]  # one clock
    assert summary["staleness"]["max"] >= 1  # two clients at work: somebody was overtaken
    assert (summary["merges"], summary["refused"], summary["lost"], summary["errors"]) == (6, 0, 0, 0)
    # several seconds a message over real wires, where the price model has milliseconds
    assert merges[-1]["time_s"] == pytest.approx(merges[-1]["wall_s"], abs=0.1)
    assert summary["wall_s"] > merges[-1]["wall_s"] > 2
    assert summary["uplink_bytes"] == sum(event["uplink_bytes"] for event in merges)
    assert 0 < summary["uplink_bytes"] < summary["uplink_framed_bytes"] < summary["raw_bytes"]
    assert set(summary["accuracy"]) == {"before", "after"}
    for node in range(2):
        states = (state_dir(federation, node) / run.path.name / f"client-{node}").glob("state-*.safetensors")
        newest = max(event["counter"] for event in merges if event["client"] == node)
        assert newest in {int(path.stem.removeprefix("state-")) for path in states}
    assert_heads_are_on_their_nodes_alone(federation, run)


def test_an_alignment_ends_with_the_bits_of_the_inline_engine(federation, tmp_path):
    results = tmp_path / "results"
    path = results.with_suffix(".toml")
    path.write_text(ALIGNMENT.format(results=results))
    run_id = federation.submit(federation.folder.parent / "eafl-flower", path)
    assert federation.wait(run_id, 400) == "finished:completed"
    run = run_of(results)
    summary, merges = run.summary(), merges_of(run)
    inline = train(resolve(RunConfig.from_toml(run.config_path)), inline_grid(run))
    assert summary["arrays_sha256"] == inline.arrays_sha256()
    rounds = sorted((event["merge"], event["client"]) for event in merges)
    assert rounds == [(number, client) for number in (1, 2) for client in (0, 1)]
    assert (summary["merges"], summary["refused"], summary["lost"], summary["errors"]) == (2, 0, 0, 0)
    assert summary["uplink_bytes"] == inline.ledger.total("uplink").payload_bytes
    assert summary["accuracy"]["before"] == inline.client_scores[2]["accuracy-before"]


SHORT = {"data.clients": 2, "data.unseen": 0, "evaluate.every": 0, "job.reply-timeout-s": 350.0, "checkpoint.every": 0}


def run_preset(federation, results, preset, **changes):
    """Run a preset on the wires, changed to a few merges of two clients, and return its results."""
    path = results.with_suffix(".toml")
    there = {"results.dir": str(results), "results.baselines": "none"}
    path.write_text(RunConfig.from_toml(preset).replace({**SHORT, **there, **changes}).to_toml())
    run_id = federation.submit(federation.folder.parent / "eafl-flower", path)
    assert federation.wait(run_id, 400) == "finished:completed"
    return run_of(results)


def test_rounds_of_emq_end_with_the_bits_of_the_inline_engine(federation, tmp_path):
    """Its budget of time is one of virtual time: on the wall only the budget of energy is kept."""
    changes = {"strategy.merges": 2, "task.local-epochs": 1, "stop.virtual-time-s": 0.0, "stop.energy-j": 10.0}
    run = run_preset(federation, tmp_path / "results", "emq", **changes)
    summary, inline = run.summary(), train(resolve(RunConfig.from_toml(run.config_path)), inline_grid(run))
    assert summary["arrays_sha256"] == inline.arrays_sha256()
    assert (summary["merges"], summary["refused"], summary["lost"], summary["errors"]) == (2, 0, 0, 0)
    assert summary["uplink_bytes"] == inline.ledger.total("uplink").payload_bytes
    assert summary["accuracy"]["before"] == inline.client_scores[2]["accuracy-before"]
    assert summary["rates_measured"] == 0  # four exchanges show no rate: joules are those of the allocated powers


def test_eafl_alp_with_private_heads_and_a_few_bytes_an_upload_is_the_pure_core(federation, tmp_path):
    """The preset of the recorded trips, on rows that are generated."""
    rows = {"data.name": "idm", "data.idm.rows-per-client": 32}
    run = run_preset(
        federation, tmp_path / "results", "alp-geolife", **rows, **{"strategy.merges": 6, "strategy.concurrency": 0}
    )
    assert_arrays_are_those_of_the_pure_core(run)
    summary = run.summary()
    assert (summary["merges"], summary["refused"], summary["lost"], summary["errors"]) == (6, 0, 0, 0)
    assert 0 < max(event["uplink_bytes"] for event in merges_of(run)) < 0.01 * summary["raw_bytes"] / 6
    assert_heads_are_on_their_nodes_alone(federation, run)


def test_vehicles_that_choose_ranks_under_roadside_units_end_with_the_bits_of_the_inline_engine(federation, tmp_path):
    for package in ("torch", "transformers", "peft"):
        pytest.importorskip(package, reason=f"needs {package}: pip install 'eafl-flower[lora]'")
    import vehicles

    path = tmp_path / "vehicles.toml"
    path.write_text(f'[results]\ndir = "{tmp_path / "results"}"\n')
    run_id = federation.submit(bundled_vehicles(tmp_path / "vehicles"), path)
    assert federation.wait(run_id, 400) == "finished:completed", federation.flwr("log", run_id, NAME, "--show")
    found = json.loads((tmp_path / "results" / "found.json").read_text())
    assert found == vehicles.fine_tune(InlineGrid(vehicles.client_app, 2))
    orders = [[1, 0, 1, "three", 1], [1, 1, 2, "two", 1], [2, 0, 1, "three", 2], [2, 1, 2, "two", 2]]
    assert [merge[:5] for merge in found["merges"]] == orders  # round, vehicle, unit, task and rank


def bundled_vehicles(target):
    """Copy the app of the vehicles, with the package beside it, for `flwr run`."""
    copy_app(target)
    tests = Path(__file__).parents[1]
    for source in (tests / "deployment" / "vehicles.py", tests / "tiny_encoders.py", tests / "tuning_rows.py"):
        shutil.copy(source, target)
    project = (target / "pyproject.toml").read_text()
    for ours, theirs in (
        ("eafl_flower.server_app:app", "vehicles:server_app"),
        ("eafl_flower.client_app:app", "vehicles:client_app"),
        ("fab-include = [", 'fab-include = ["/vehicles.py", "/tiny_encoders.py", "/tuning_rows.py", '),
    ):
        assert ours in project
        project = project.replace(ours, theirs)
    (target / "pyproject.toml").write_text(project)
    return target


def inline_grid(run):
    return InlineGrid(client_app(resolve(RunConfig.from_toml(run.config_path))), 2)


def assert_heads_are_on_their_nodes_alone(federation, run):
    shared = len(run.model())
    first, second = (predictor_of(run, node, state_dir=state_dir(federation, node)).model[shared:] for node in range(2))
    assert digest(first) != digest(second)
    for folder in (None, state_dir(federation, 1)):
        with pytest.raises(CheckpointError, match=r"no head of client 0: there is no .*client-0"):
            predictor_of(run, 0, state_dir=folder)


def test_nodes_come_in_by_tls_and_with_a_registered_key_only(federation):
    assert tls_name(federation.fleet, federation.ca) == tls_name(federation.http, federation.ca) == "superlink"
    config = {"partition-id": 1, "num-partitions": 2}
    stranger = federation.start_node("stranger", federation.make_key("stranger"), config)
    try:
        assert stranger.wait(30) != 0
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
        assert [process.wait(60) for process in refused.values()] == [1, 1]
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
    assert federation.wait(run_id, 200) == "finished:failed"
    log = federation.flwr("log", run_id, NAME, "--show")
    assert "start them with num-partitions = 3, or set data.clients = 2" in log
    assert list((tmp_path / "results").glob("*")) == []


def test_a_run_goes_on_in_a_new_one_after_its_server_app_was_killed(federation, tmp_path):
    results = tmp_path / "results"
    submit(federation, results, merges=6, every=2, codec="lqgcm")
    federation.wait_until(lambda: merged(results, 3), 240, "no three merges")
    time.sleep(1)  # a message whose arrays the dead process did not push would hold its SuperNode up for a minute
    federation.kill_server_app()
    run = run_of(results)
    killed_at = len(merges_of(run))

    again = tmp_path / "again.toml"
    again.write_text(run.config_path.read_text().replace('resume = ""', f'resume = "{run.path}"'))
    run_id = federation.submit(federation.folder.parent / "eafl-flower", again)
    assert federation.wait(run_id, 400) == "finished:completed"
    assert list(results.iterdir()) == [run.path]
    assert_arrays_are_those_of_the_pure_core(run)
    assert run.summary()["merges"] == 6 > killed_at
    assert run.summary()["refused"] == 0  # both sides held the same


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

    again = tmp_path / "again.toml"
    again.write_text(run.config_path.read_text().replace('resume = ""', f'resume = "{run.path}"'))
    run_id = federation.submit(federation.folder.parent / "eafl-flower", again)
    assert federation.wait(run_id, 400) == "finished:completed"
    assert_arrays_are_those_of_the_pure_core(run)
    assert killed_at <= 8 == run.summary()["merges"]
    assert run.summary()["refused"] == run.summary()["client_states_lost"] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
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


def test_a_killed_node_comes_back_with_its_state_and_a_stopped_run_leaves_a_checkpoint(federation, tmp_path):
    results = tmp_path / "results"
    run_id = submit(federation, results, merges=1000, codec="lqgcm")
    federation.wait_until(lambda: merged(results, 3), 240, "no three merges")
    run = run_of(results)
    federation.kill("node-0")
    killed_at = len(merges_of(run))
    federation.wait_until(lambda: lost_by(run, 0), 200, "nobody missed the node")  # its session ends after 37 to 60 s
    alone = merges_of(run)[killed_at:]
    assert {event["client"] for event in alone[1:]} == {1}  # one reply of the other may have been on its way

    start_node(federation, 0)
    federation.wait_until(lambda: merges_of(run)[-1]["client"] == 0, 150, "the node has not come back")
    federation.flwr("stop", run_id, NAME)
    assert federation.status(run_id) == "finished:stopped"
    federation.wait_until(lambda: not federation.server_apps(), 90, "the ServerApp goes on")
    assert run.has_checkpoint and not run.finished

    merges = merges_of(run)
    assert len(alone) > 1 and "has lost its state" not in federation.log("superlink")
    replayed = replay(RunConfig.from_toml(run.config_path), merges, in_flight=2, clients=2)
    assert [event["metrics"]["loss"] for event in merges] == replayed.losses
    assert digest(stored_arrays(run.checkpoint_dir / "server.safetensors", "/aggregator//arrays/")) == digest(
        replayed.arrays
    )


def stored_arrays(path, prefix):
    with safe_open(path, framework="np") as file:
        values, text = file.get_tensor("values").tobytes(), file.metadata()["text"]
    places = [place for name, place in json.loads(text)["arrays"].items() if name.startswith(prefix)]
    return [np.frombuffer(values, kind, math.prod(shape), begin).reshape(shape) for kind, shape, begin in places]


def lost_by(run, client):
    return [event for event in run.events() if event["event"] == "lost" and event["client"] == client]
