"""Ctrl-C, SIGTERM and SIGHUP end a run where it can go on."""

import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ended_runs import SETTINGS, SMALL, events_of, merges_in, summary_of, wait_until
from processes import command_line, descendants

ROOT = Path(__file__).parent.parent
ARGUMENTS = ["emam", *[f"--set={k}={v}" for k, v in {**SETTINGS, **SMALL, "checkpoint.every": 0}.items()]]


def script(*arguments):
    command = [sys.executable, str(ROOT / "run_simulation.py"), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The folder of the run that nobody has stopped."""
    out = tmp_path_factory.mktemp("whole")
    whole = script(*ARGUMENTS, "--out", str(out))
    told = whole.communicate()[1]
    assert whole.returncode == 0, told
    (folder,) = out.glob("killed-*")
    return folder


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
def test_a_signal_leaves_a_checkpoint_and_says_how_to_go_on(tmp_path, undisturbed, number, place, engine):
    """Without checkpoints on schedule, at the start or in the middle; nothing that was started stays behind."""
    process = script(*ARGUMENTS, "--out", str(tmp_path / "cut"), "--engine", engine)
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
    (folder,) = cut.glob("killed-*")
    assert summary_of(folder)["arrays_sha256"] == summary_of(undisturbed)["arrays_sha256"]
    assert events_of(folder) == events_of(undisturbed)
