"""One job of each system over gRPC with TLS and node keys gives what its updates give in the pure core.

SuperNodes are in an environment without eafl-flower: what runs there is the app bundle. They start a process for every
message; that all systems run there, too, takes minutes, and is for the long tests.
"""

import json
import shutil
from pathlib import Path

import pytest
from federation import NAME, copy_app
from two_nodes import (
    assert_arrays_are_those_of_the_pure_core,
    exit_status_of,
    merges_of,
    run_of,
    state_dir,
    submit,
)

from eafl_flower.app.client import client_app
from eafl_flower.app.prediction import predictor_of
from eafl_flower.app.resolving import resolve
from eafl_flower.app.training import train
from eafl_flower.config import RunConfig
from eafl_flower.engines import InlineGrid
from eafl_flower.errors import CheckpointError
from eafl_flower.types import digest

pytestmark = pytest.mark.slow

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


def test_merged_arrays_are_those_of_the_pure_core(federation, tmp_path):
    results = tmp_path / "results"
    run_id = submit(federation, results, merges=6)
    assert exit_status_of(results) == 0
    assert federation.wait(run_id, 30) == "finished:completed"
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


def test_an_alignment_ends_with_the_bits_of_the_inline_engine(nodes, tmp_path):
    results = tmp_path / "results"
    path = results.with_suffix(".toml")
    path.write_text(ALIGNMENT.format(results=results))
    run_id = nodes.submit(nodes.folder.parent / "eafl-flower", path)
    assert nodes.wait(run_id, 400) == "finished:completed"
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


def test_rounds_of_emq_end_with_the_bits_of_the_inline_engine(nodes, tmp_path):
    """Its budget of time is one of virtual time: on the wall only the budget of energy is kept."""
    changes = {"strategy.merges": 2, "task.local-epochs": 1, "stop.virtual-time-s": 0.0, "stop.energy-j": 10.0}
    run = run_preset(nodes, tmp_path / "results", "emq", **changes)
    summary, inline = run.summary(), train(resolve(RunConfig.from_toml(run.config_path)), inline_grid(run))
    assert summary["arrays_sha256"] == inline.arrays_sha256()
    assert (summary["merges"], summary["refused"], summary["lost"], summary["errors"]) == (2, 0, 0, 0)
    assert summary["uplink_bytes"] == inline.ledger.total("uplink").payload_bytes
    assert summary["accuracy"]["before"] == inline.client_scores[2]["accuracy-before"]
    assert summary["rates_measured"] == 0  # four exchanges show no rate: joules are those of the allocated powers


def test_eafl_alp_with_private_heads_and_a_few_bytes_an_upload_is_the_pure_core(nodes, tmp_path):
    """The preset of the recorded trips, on rows that are generated."""
    rows = {"data.name": "idm", "data.idm.rows-per-client": 32}
    run = run_preset(
        nodes, tmp_path / "results", "alp-geolife", **rows, **{"strategy.merges": 6, "strategy.concurrency": 0}
    )
    assert_arrays_are_those_of_the_pure_core(run)
    summary = run.summary()
    assert (summary["merges"], summary["refused"], summary["lost"], summary["errors"]) == (6, 0, 0, 0)
    assert 0 < max(event["uplink_bytes"] for event in merges_of(run)) < 0.01 * summary["raw_bytes"] / 6
    assert_heads_are_on_their_nodes_alone(nodes, run)


def test_vehicles_that_choose_ranks_under_roadside_units_end_with_the_bits_of_the_inline_engine(nodes, tmp_path):
    for package in ("torch", "transformers", "peft"):
        pytest.importorskip(package, reason=f"needs {package}: pip install 'eafl-flower[lora]'")
    import vehicles

    path = tmp_path / "vehicles.toml"
    path.write_text(f'[results]\ndir = "{tmp_path / "results"}"\n')
    run_id = nodes.submit(bundled_vehicles(tmp_path / "vehicles"), path)
    assert nodes.wait(run_id, 400) == "finished:completed", nodes.flwr("log", run_id, NAME, "--show")
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
