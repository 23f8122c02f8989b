"""How a run stands is read from its folder, whatever lies there."""

import os
import shutil
import time

import pytest
from recorded_logs import FAILED, INTERRUPTED, START, STOP, append, merge, run_with, status, trouble

from eafl_flower.app.resumable import updates_in
from eafl_flower.errors import CheckpointError
from eafl_flower.results.ownership import owned
from eafl_flower.results.run_state import QUIET_S, SETTLING_S, RunWatcher


def quiet_for(run, seconds):
    then = time.time() - seconds
    os.utime(run.events_path, (then, then))


def state_of(run):
    return RunWatcher(run, updates_in).status()["state"]


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ((), "starting"),
        ((START,), "running"),
        ((START, merge(1)), "running"),
        ((START, merge(1), STOP), "finishing"),
        ((START, merge(1), INTERRUPTED), "starting"),  # it is taken up again, and has not told so yet
    ],
)
def test_a_run_that_a_process_works_on_goes_on(tmp_path, events, state):
    run = run_with(tmp_path / "run", *events)
    with owned(run.path, wait_s=0):
        found = RunWatcher(run, updates_in).status()
        assert (found["state"], found["pid"]) == (state, os.getpid())
    assert RunWatcher(run, updates_in).status()["pid"] is None or state == "starting"


@pytest.mark.parametrize(
    ("events", "state", "reason"),
    [
        ((START, merge(1), FAILED), "failed", "11 errors and refusals without a merge"),
        ((START, merge(1), INTERRUPTED), "stopped", "stopped by SIGTERM"),
        ((START, merge(1)), "silent", "was it killed?"),
        ((START, merge(1), STOP), "failed", "its results were not written"),
    ],
)
def test_a_run_that_nobody_works_on_says_how_it_ended(tmp_path, events, state, reason):
    found = RunWatcher(run_with(tmp_path / "run", *events), updates_in).status()
    assert found["state"] == state
    assert reason in found["reason"]


def test_results_make_a_run_finished_unless_it_goes_on(tmp_path):
    run = run_with(tmp_path / "run", START, merge(1), STOP)
    run.write_summary({})
    assert state_of(run) == "finished"
    with owned(run.path, wait_s=0):
        assert state_of(run) == "finishing"
    append(run, {"event": "resume", "events": 2})  # with more merges, and killed
    assert state_of(run) == "silent"


def test_a_directory_without_an_event_is_given_a_moment(tmp_path):
    run = run_with(tmp_path / "run")
    assert state_of(run) == "starting"
    quiet_for(run, 2 * SETTLING_S)
    assert state_of(run) == "silent"


def test_where_locks_cannot_be_seen_young_events_say_that_the_run_goes_on(tmp_path, monkeypatch):
    run = run_with(tmp_path / "run", START, merge(1))
    monkeypatch.setattr("eafl_flower.results.run_state.is_owned", lambda folder: None)
    assert state_of(run) == "running"
    quiet_for(run, 2 * QUIET_S)
    assert state_of(run) == "silent"


def test_a_run_that_failed_at_its_start_and_left_nothing_has_failed(tmp_path):
    run = run_with(tmp_path / "run")
    watcher = RunWatcher(run, updates_in)
    assert watcher.status()["state"] == "starting"
    shutil.rmtree(run.path)
    found = watcher.status()
    assert (found["state"], "flwr log" in found["reason"]) == ("failed", True)


def test_only_what_is_new_is_read_and_a_line_that_is_being_written_waits(tmp_path):
    run = run_with(tmp_path / "run", START, merge(1))
    watcher = RunWatcher(run, updates_in)
    assert watcher.status()["merges"] == 1
    with run.events_path.open("ab") as file:
        file.write(b'{"event":"lost","time_s":2.0,')
        file.flush()
        assert (watcher.status()["lost"], watcher.status()["merges"]) == (0, 1)
        file.write(b'"client":1}\n')
    found = watcher.status()
    assert (found["lost"], found["merges"], found["events"]) == (1, 1, 3)


def test_a_log_that_was_cut_back_by_a_resume_is_read_afresh(tmp_path):
    run = run_with(
        tmp_path / "run", START, *(merge(n, wall_s=float(n)) for n in range(1, 6)), trouble("error", 1, 9.0, "x")
    )
    watcher = RunWatcher(run, updates_in)
    assert watcher.status()["error"] == 1
    append(run, {"event": "resume", "events": 3})
    assert (watcher.status()["merges"], watcher.status()["error"]) == (2, 0)
    append(run, *(merge(n, wall_s=100.0 + n) for n in range(3, 9)))
    assert (watcher.status()["merges"], watcher.status()["updates"]) == (8, 8)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"event":"merge"}\n', r"events\.jsonl is damaged at line 2: it lacks client"),
        (b"[1, 2]\n", r"damaged at line 2: expected a JSON object"),
        (b"\x00\xff\n", "damaged at line 2"),
        (b'{"event":"status","merge":-1}\n', "damaged at line 2"),
        (b'{"event":"error","time_s":1.0,"client":0,"reason":[]}\n', "reason = .*: expected a text"),
    ],
)
def test_a_damaged_line_is_one_error_that_says_where(tmp_path, content, message):
    run = run_with(tmp_path / "run", START)
    with run.events_path.open("ab") as file:
        file.write(content)
    with pytest.raises(CheckpointError, match=message):
        RunWatcher(run, updates_in).status()


def test_a_checkpoint_of_another_version_is_told_and_ends_nothing(tmp_path):
    run = run_with(tmp_path / "run", START, merge(1), INTERRUPTED)
    run.checkpoint_dir.mkdir()
    run.checkpoint_path.write_bytes(b"of another program")
    found = RunWatcher(run, updates_in).status()
    assert found["state"] == "stopped"
    assert "cannot be read" in found["checkpoint"]["problem"]


def test_on_the_wall_the_newest_status_says_who_is_there(tmp_path):
    run = run_with(tmp_path / "run", START, merge(1, client=1), status(1, 3.0, in_flight=1, there=2, away=(2,)))
    with owned(run.path, wait_s=0):
        found = RunWatcher(run, updates_in).status()
    assert (found["clock"], found["in_flight"], found["nodes"]) == ("wall", 1, {"there": 2, "away": 1})
    assert {row["client"]: row["away"] for row in found["clients"]} == {1: False, 2: True}
    assert next(row["seen_ago_s"] for row in found["clients"] if row["client"] == 1) >= 2.0


def test_clients_in_trouble_come_first_then_those_unseen_for_longest(tmp_path):
    events = (merge(1, 7), merge(2, 3), trouble("error", 5, 3.0, "old"), trouble("refused", 4, 4.0, "new"))
    found = RunWatcher(run_with(tmp_path / "run", START, *events), updates_in).status()
    assert [row["client"] for row in found["clients"]] == [4, 5, 7, 3]
    assert [row["trouble"] for row in found["clients"]] == ["refused: new", "failed: old", None, None]
