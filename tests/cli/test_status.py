"""``eafl status``: what it prints, and that its exit status says how a run stands."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from recorded_logs import FAILED, INTERRUPTED, START, STOP, append, merge, run_with, trouble

from eafl_flower.results.ownership import owned

SHORT = "strategy.merges=96"


def test_a_finished_run_is_shown_and_the_exit_status_is_0(experiment, eafl):
    eafl("run", "emam", "--set", SHORT)
    (path,) = Path("runs").iterdir()
    for run in (str(path), "emam", "runs/emam", "runs"):
        ended = eafl("status", run)
        assert (ended.code, ended.err) == (0, "")
        assert f"{path.name}  finished: all merges made" in ended.out
        assert "96 of 96" in ended.out
    assert eafl("status", "emam", "--wait").code == 0
    found = json.loads(eafl("status", "emam", "--json").out)
    assert (found["state"], found["merges"], found["lost"]) == ("finished", 96, 2)
    assert eafl("report", str(path)).code == 0


@pytest.mark.parametrize(
    ("last", "state", "way"),
    [
        (FAILED, "failed", "start it again with"),
        (INTERRUPTED, "stopped", "start it again"),
        (merge(2), "silent", "start"),
    ],
)
def test_a_run_that_did_not_complete_has_exit_status_1_and_says_what_to_do(eafl, last, state, way):
    run = run_with(Path("run"), START, merge(1), trouble("error", 0, 1.5, "no"), last)
    for more in ((), ("--wait", "--within", "0")):
        ended = eafl("status", "run", *more)
        assert ended.code == 1
        assert state in ended.out.splitlines()[0]
        assert way in ended.err
    assert json.loads(eafl("status", "run", "--json").out)["state"] == state
    with owned(run.path, wait_s=0):
        assert eafl("status", "run").code == 0  # somebody has taken it up


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: None, "there is no run run, nor run-<time>"),
        (lambda: Path("run/other").mkdir(parents=True), "run was not left by a run of eafl-flower"),
        (lambda: append(run_with(Path("run"), START), {"event": "merge"}), r"damaged at line 2: it lacks client"),
        (lambda: run_with(Path("run")).events_path.unlink(), "run is damaged: events.jsonl is missing"),
    ],
)
def test_what_cannot_be_read_is_one_error_with_exit_status_2(eafl, make, message):
    make()
    ended = eafl("status", "run")
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert ended.err.startswith("error: ")
    assert message in ended.err


def test_waiting_for_a_run_that_never_comes_ends_with_exit_status_2(eafl):
    ended = eafl("status", "nope", "--wait", "--within", "0.1")
    assert ended.code == 2
    assert "flwr log ID" in ended.err


@pytest.mark.parametrize(("last", "code"), [(STOP, 0), (FAILED, 1)])
def test_waiting_ends_with_the_run(eafl, monkeypatch, last, code):
    monkeypatch.setattr("eafl_flower.cli.status.POLL_S", 0.02)
    run = run_with(Path("run"), START, merge(1))
    begun = threading.Event()

    def go():
        with owned(run.path, wait_s=0):
            begun.set()
            time.sleep(0.2)
            append(run, last)
            if last == STOP:
                run.write_summary({})

    other = threading.Thread(target=go)
    other.start()
    assert begun.wait(20)
    ended = eafl("status", "run", "--wait", "--within", "1")  # it may have ended before it is looked at
    other.join()
    assert ended.code == code


def test_watching_prints_again_and_again_until_the_end(eafl):
    run = run_with(Path("run"), START, merge(1))

    def go():
        with owned(run.path, wait_s=0):
            begun.set()
            time.sleep(0.5)
            append(run, merge(2), INTERRUPTED)

    begun = threading.Event()
    other = threading.Thread(target=go)
    other.start()
    assert begun.wait(20)
    ended = eafl("status", "run", "--json", "--watch", "0.2")
    other.join()
    told = [json.loads(line) for line in ended.out.splitlines()]
    assert [told[0]["state"], told[-1]["state"]] == ["running", "stopped"]
    assert (told[0]["merges"], told[-1]["merges"], ended.code) == (1, 2, 1)


@pytest.mark.slow
def test_a_run_is_watched_while_it_goes_on(child):
    """In another process, as an operator does it; killed, it is silent."""
    command = [sys.executable, "-c", child, "run", "emam", "--set", "strategy.merges=100000", "job.deadline-s=0.005"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            seen = []
            deadline = time.monotonic() + 60
            while not seen or seen[-1]["state"] != "running" or seen[-1]["merges"] < 5:
                assert time.monotonic() < deadline
                done = status_of("emam")
                seen += [json.loads(done.stdout)] if done.returncode == 0 else []
            assert (seen[-1]["pid"], seen[-1]["merges_planned"]) == (process.pid, 100000)
        finally:
            process.kill()
            process.wait()
    done = status_of("emam")
    assert (done.returncode, json.loads(done.stdout)["state"]) == (1, "silent")


def status_of(run):
    command = [sys.executable, "-m", "eafl_flower.cli.main", "status", run, "--json"]
    return subprocess.run(command, capture_output=True, text=True, check=False)
