"""A run is found by its directory, its name or its folder; whoever waits is not given an old one."""

import threading
import time
from datetime import UTC, datetime

import pytest
from recorded_logs import START, run_with

from eafl_flower.errors import CheckpointError
from eafl_flower.results.finding import await_run, find_run
from eafl_flower.results.ownership import owned
from eafl_flower.results.run_directory import RunDirectory

OLD, NEW = "lab-20260101T000000Z", "lab-20260101T000000Z-10"


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (NEW, f"{OLD}-2", OLD, "lab-two-20270101T000000Z"):
        run_with(tmp_path / "runs" / name, START)
    return tmp_path / "runs"


def now():
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"


def test_a_name_without_its_time_means_the_newest_run_of_exactly_this_name(runs):
    assert find_run(runs / "lab").path == runs / NEW
    assert find_run(runs / OLD).path == runs / OLD


def test_a_bare_name_is_looked_for_where_runs_go_by_default(runs):
    assert find_run(type(runs)("lab")).path.name == NEW


def test_of_a_folder_the_newest_run_counts(runs):
    assert find_run(runs).path.name == "lab-two-20270101T000000Z"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nope", "there is no run .*nope, nor .*nope-<time>: expected"),
        ("empty", "there is no run"),
        ("other", "other was not left by a run of eafl-flower"),
        ("file", "there is no run"),
    ],
)
def test_what_is_no_run_is_one_error(tmp_path, name, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "other" / "inside").mkdir(parents=True)
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match=message):
        find_run(tmp_path / name)


def test_who_waits_for_a_name_is_not_given_an_old_run_that_has_ended(runs):
    (runs / NEW / "summary.json").write_text("{}")
    with pytest.raises(
        CheckpointError, match=f"no run of .*lab goes on or has begun within 0.1 s; the newest is .*{NEW}"
    ):
        await_run(runs / "lab", within_s=0.1)
    assert await_run(runs / NEW, within_s=0).path == runs / NEW  # the directory itself means this one


def test_who_waits_is_given_a_run_that_goes_on_or_has_just_begun(runs):
    with owned(runs / OLD, wait_s=0):
        assert await_run(runs / "lab", within_s=5).path == runs / OLD
    name = f"lab-{now()}"
    run_with(runs / name, START)
    assert await_run(runs / "lab", within_s=60).path.name == name


def test_who_waits_is_given_a_run_that_begins_later(tmp_path):
    def begin():
        time.sleep(0.2)
        RunDirectory.create(tmp_path / "runs", "lab").write_config("")

    later = threading.Thread(target=begin)
    later.start()
    try:
        assert await_run(tmp_path / "runs" / "lab", within_s=20).run_name.startswith("lab-")
    finally:
        later.join()


def test_a_stopped_run_is_waited_for_until_somebody_takes_it_up(tmp_path):
    run = run_with(tmp_path / "run", START)
    taken = threading.Event()

    def take_up():
        time.sleep(0.1)
        with owned(run.path, wait_s=0):
            taken.wait(20)

    other = threading.Thread(target=take_up)
    other.start()
    try:
        began = time.monotonic()
        assert await_run(run.path, within_s=20).path == run.path
        assert time.monotonic() - began < 15
    finally:
        taken.set()
        other.join()
