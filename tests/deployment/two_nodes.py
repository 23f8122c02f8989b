"""A SuperLink with two nodes, jobs for them, and what their runs must have left."""

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from federation import CHECKOUT, Federation
from pure_core import replay
from safetensors import safe_open

from eafl_flower.config import RunConfig
from eafl_flower.results.run_directory import RunDirectory
from eafl_flower.types import digest

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


def two_nodes(folder: Path, *, kept: bool = False) -> Iterator[Federation]:
    """A SuperLink with two nodes that are allowed in; ``kept`` ones keep their model."""
    with Federation(folder) as federation:
        federation.start_superlink()
        for node in range(2):
            key = federation.make_key(f"node-{node}")
            federation.register(key)
            start_node(federation, node, kept=kept)
        yield federation


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


def stored_arrays(path, prefix):
    with safe_open(path, framework="np") as file:
        values, text = file.get_tensor("values").tobytes(), file.metadata()["text"]
    places = [place for name, place in json.loads(text)["arrays"].items() if name.startswith(prefix)]
    return [np.frombuffer(values, kind, math.prod(shape), begin).reshape(shape) for kind, shape, begin in places]


def go_on(federation, run):
    """Submit a run that goes on where ``run`` has ended, and return its id."""
    again = run.path.parent.with_name("again.toml")
    again.write_text(run.config_path.read_text().replace('resume = ""', f'resume = "{run.path}"'))
    return federation.submit(federation.folder.parent / "eafl-flower", again)


def exit_status_of(results, name="wires"):
    """Wait for the end of a run that has just been submitted, as a user does, and return the exit status that tells."""
    command = [sys.executable, "-m", "eafl_flower.cli.main", "status", str(results / name), "--wait"]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, timeout=400, check=False).returncode
