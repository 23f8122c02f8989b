"""Processes that really die: SIGKILL at random merges, Ctrl-C, SIGTERM and SIGHUP."""

import contextlib
import json
import multiprocessing
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from eafl_flower.core.rng import generator

ROOT = Path(__file__).parent.parent
MERGES = 160
SETTINGS = {
    **{"name": "killed", "data.clients": 8, "data.unseen": 2, "data.idm.rows-per-client": 32},
    **{"strategy.merges": MERGES, "strategy.concurrency": 4, "clients.slowdown": "1,2,4", "evaluate.every": 40},
    **{"churn.on-job-times": 8.0, "churn.off-job-times": 3.0, "checkpoint.every": 10, "results.baselines": "none"},
}
SMALL = {"task.tabular.hidden": "8,8"}
# heads sized by the clients' rows, and pruned
PERSONAL = {
    **{
        "data.idm.rows-per-client": 72,
        "task.name": "fractal",
        "task.learning-rate": 0.02,
        "task.fractal.prune-threshold": 0.3,
    },
    "codec.name": "lqgcm",
}
# uploads that overlap, and take about as long as the computation
CELL_FREE = {
    **{"codec.name": "emq", "radio.name": "cell-free", "radio.cell-free.speed-m-s": 14.0},
    **{"radio.cell-free.bandwidth-hz": 180e3, "radio.cell-free.noise-dbm": -114.5},
}


def merges_in(folder):
    path = folder / "events.jsonl"
    return path.read_bytes().count(b'"event":"merge"') if path.exists() else 0


def events_of(folder):
    lines = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    return [{k: v for k, v in e.items() if not k.endswith("wall_s")} for e in lines]


def summary_of(folder):
    return json.loads((folder / "summary.json").read_text())


def wait_until(condition, is_alive):
    while is_alive() and not condition():
        time.sleep(0.0005)


@pytest.fixture
def processes():
    """Processes that start with everything imported, and share nothing with this one."""
    sys.path.insert(0, str(Path(__file__).parent))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["killed_run", "torch", "eafl_flower.data.sets.idm", "eafl_flower.tasks.fractal"])
    yield context
    sys.path.remove(str(Path(__file__).parent))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize(
    ("special", "kills"),
    [
        ({**SMALL, "codec.name": "int8"}, 4),
        ({**SMALL, "codec.name": "lqgcm"}, 10),
        (PERSONAL, 4),
        ({**SMALL, **CELL_FREE}, 4),
    ],
    ids=["int8", "lqgcm", "personal", "cell-free"],
)
def test_runs_killed_at_random_merges_end_as_if_nothing_had_happened(tmp_path, processes, special, kills):
    """With private heads, and with codecs that remember: error feedback, or predictions and what clients hold."""
    import killed_run

    settings = {**SETTINGS, **special}

    def start(folder, resume):
        # the same name of the directory in each case: it is the name of the run
        process = processes.Process(target=killed_run.work, args=(settings, str(folder), resume))
        process.start()
        return process

    undisturbed = tmp_path / "undisturbed" / "run"
    first = start(undisturbed, resume=False)
    first.join()
    assert first.exitcode == 0
    expected, told = summary_of(undisturbed), events_of(undisturbed)
    assert expected["lost"] > 0
    places = sorted(
        int(k)
        for k in generator(7, "kills", settings["codec.name"]).choice(range(11, MERGES - 20), kills, replace=False)
    )
    for place in places:
        folder = tmp_path / str(place) / "run"
        process = start(folder, resume=False)
        wait_until(lambda folder=folder, place=place: merges_in(folder) >= place, process.is_alive)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, "the run ended before it was killed"
        assert not (folder / "summary.json").exists()
        resumed = start(folder, resume=True)
        resumed.join()
        assert resumed.exitcode == 0
        summary = summary_of(folder)
        for key in ("arrays_sha256", "order_sha256", "energy_j", "uplink_bytes", "downlink_bytes", "accuracy", "lost"):
            assert summary[key] == expected[key], (place, key)
        assert events_of(folder) == told


def command_line(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def descendants(pid):
    """Return the processes that ``pid`` has started, directly or not, with their command lines."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # ended meanwhile
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found, newest = {}, {pid}
    while newest := {child for child, parent in parents.items() if parent in newest}:
        found |= {child: command_line(child) for child in newest}
    return found


def script(*arguments):
    command = [sys.executable, str(ROOT / "run_simulation.py"), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "place", "engine"),
    [
        (signal.SIGINT, 0, "inline"),
        (signal.SIGINT, 60, "inline"),
        (signal.SIGTERM, 60, "inline"),
        (signal.SIGHUP, 60, "inline"),
        (signal.SIGTERM, 60, "ray"),
        (signal.SIGTERM, 10, "flower"),
    ],
)
def test_a_signal_leaves_a_checkpoint_and_says_how_to_go_on(tmp_path, number, place, engine):
    """Without checkpoints on schedule, at the start or in the middle; nothing that was started stays behind."""
    settings = {**SETTINGS, **SMALL, "checkpoint.every": 0}
    arguments = ["emam", *[f"--set={key}={value}" for key, value in settings.items()]]
    whole = script(*arguments, "--out", str(tmp_path / "whole"))
    told = whole.communicate()[1]
    assert whole.returncode == 0, told
    process = script(*arguments, "--out", str(tmp_path / "cut"), "--engine", engine)
    cut = tmp_path / "cut"

    def begun():  # not before the loop has: the first event is written when the clients are there
        logs = [f for f in cut.glob("killed-*/events.jsonl") if f.stat().st_size]
        return any(merges_in(log.parent) >= place for log in logs)

    wait_until(begun, lambda: process.poll() is None)
    started = descendants(process.pid)
    process.send_signal(number)
    _, told = process.communicate()
    assert process.returncode == 128 + number, told
    why = "interrupted" if number == signal.SIGINT else f"stopped by {number.name}"
    command = re.search(rf"{why}; go on with: (.*)", told)[1]
    assert engine == "inline" or started
    deadline = time.monotonic() + 60
    while left := [command for pid, command in started.items() if command and command_line(pid) == command]:
        assert time.monotonic() < deadline, left
        time.sleep(0.2)
    resume = shlex.split(command)[2:]
    assert resume[0] == "--resume"
    again = script(*resume)
    told = again.communicate()[1]
    assert again.returncode == 0, told
    (folder,), (undisturbed,) = cut.glob("killed-*"), (tmp_path / "whole").glob("killed-*")
    assert summary_of(folder)["arrays_sha256"] == summary_of(undisturbed)["arrays_sha256"]
    assert events_of(folder) == events_of(undisturbed)
