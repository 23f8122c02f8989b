"""A run in a process of its own that is asked to stop."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

LONG = ("--set=strategy.merges=100000", "--set=job.deadline-s=0.01", "--set=checkpoint.every=1")
NOT_ASKED = """
import signal
signal.signal(signal.SIGHUP, signal.SIG_IGN)
"""


@pytest.fixture
def start(child):
    """Start a run and wait for its first checkpoint."""
    processes = []

    def start(*arguments, before=""):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        process = subprocess.Popen([sys.executable, "-c", before + child, "run", *arguments], **pipes)
        processes.append(process)
        while not list(Path("runs").glob("*/checkpoint/lines.txt")):
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_it_says_how_to_go_on_and_ends_with_the_status_of_the_signal(start, number):
    process = start(*LONG)
    process.send_signal(number)
    _, told = process.communicate()
    (path,) = Path("runs").iterdir()
    assert process.returncode == 128 + number
    assert told == f"stopped by {number.name}; go on with: eafl run --resume {path}\n"


def test_a_hang_up_that_is_ignored_stays_ignored(start):
    """As under nohup."""
    process = start(*LONG, before=NOT_ASKED)
    process.send_signal(signal.SIGHUP)
    time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert "stopped by SIGTERM" in process.communicate()[1]
    assert process.returncode == 128 + signal.SIGTERM


@pytest.mark.slow
def test_a_run_goes_on_when_nobody_reads_what_it_prints(start):
    process = start("--set=strategy.merges=400", "--set=job.deadline-s=0.001", "--set=checkpoint.every=1")
    process.stdout.close()
    assert process.stderr.read() == ""
    process.wait()
    (path,) = Path("runs").iterdir()
    assert (path / "summary.json").exists()
