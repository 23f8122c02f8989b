"""Checkpoints that nobody asked for: one a minute, never more than a fiftieth of the time, and part of nothing else."""

import errno
import os
from itertools import pairwise

import pytest
from toy_federation import Recorder, run_toy, toy_app

from eafl_flower.codecs import Int8Codec, LQGCMCodec
from eafl_flower.errors import CheckpointError
from eafl_flower.runs.keeping import autosave
from eafl_flower.runs.keeping.autosave import EVERY_S, WRITING_TIMES, Autosave
from eafl_flower.strategies import EMAM

CODEC = Int8Codec(block_size=4)
DIFFERENCES = LQGCMCodec(tuples=2, downlink_tuples=1)


class Killed(BaseException):
    """As if the process had died."""


@pytest.fixture
def always(monkeypatch):
    """A checkpoint before every step of a run: every one that a clock could choose."""
    monkeypatch.setattr(autosave, "EVERY_S", 0.0)
    monkeypatch.setattr(autosave, "WRITING_TIMES", 0.0)
    monkeypatch.setattr(os, "fsync", lambda file: None)


def settings(folder, codec, **options):
    return {"codec": codec, "seed": 3, "checkpoint": folder / "server.safetensors", "evaluate_every": 40, **options}


def go(folder, merges, recorder, codec, **options):
    app = toy_app(codec=codec, state_dir=folder / "state")
    return run_toy(2, merges, app=app, recorder=recorder, **settings(folder, codec, **options))[0]


@pytest.mark.parametrize("every", [0, 30])
@pytest.mark.parametrize("codec", [None, CODEC, DIFFERENCES], ids=str)
def test_they_change_neither_arrays_nor_events(tmp_path, always, monkeypatch, codec, every):
    """Seventy jobs a client, whose numbers take two bytes on the wire from 64 on."""
    saved, plain = Recorder(), Recorder()
    run = go(tmp_path / "saved", 140, saved, codec, checkpoint_every=every)
    assert (tmp_path / "saved" / "server.safetensors").exists()
    monkeypatch.setattr(Autosave, "look", lambda self, run, clock: None)
    expected = go(tmp_path / "plain", 140, plain, codec)
    told = [e for e in saved.told() if e["event"] != "checkpoint"]
    assert told == plain.told()
    assert run.arrays_sha256() == expected.arrays_sha256()
    assert run.ledger.total() == expected.ledger.total()


@pytest.mark.parametrize("codec", [CODEC, DIFFERENCES], ids=str)
@pytest.mark.parametrize(
    "strategy", [None, pytest.param(EMAM, marks=pytest.mark.slow)], ids=["asynchronous", "barrier"]
)
def test_a_killed_run_goes_on_from_them(tmp_path, always, strategy, codec):
    options = {} if strategy is None else {"strategy": strategy}
    undisturbed = Recorder()
    expected = go(tmp_path / "undisturbed", 12, undisturbed, codec, **options)
    for place in range(2, len(undisturbed.events), 3):
        recorder, folder = Recorder(stop_at=place, error=Killed), tmp_path / str(place)
        with pytest.raises(Killed):
            go(folder, 12, recorder, codec, **options)
        run = go(folder, 12, recorder, codec, resume=True, **options)
        assert run.arrays_sha256() == expected.arrays_sha256()
        assert recorder.told() == undisturbed.told()
        assert run.tally.states_lost == 0


class Clock:
    """A clock that only moves when told."""

    now_s = 1000.0

    def monotonic(self):
        return self.now_s


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(autosave, "time", clock)
    return clock


def written_at(clock, tmp_path, monkeypatch, clocks, *, takes_s, until_s, step_s=1.0):
    """Return when checkpoints of a run were begun that looks every ``step_s``."""
    times = []

    def write(path, snapshot):
        times.append(clock.now_s)
        clock.now_s += takes_s

    monkeypatch.setattr(autosave, "write_checkpoint", write)
    run = run_toy(2, 3, checkpoint=tmp_path / "x" / "server.safetensors")[0]
    times.clear()
    start_s = clock.now_s
    saving = Autosave()
    while clock.now_s < start_s + until_s:
        saving.look(run, clocks[-1])
        clock.now_s += step_s
    return [at - start_s for at in times]


def test_there_is_one_a_minute(clock, tmp_path, monkeypatch, clocks):
    times = written_at(clock, tmp_path, monkeypatch, clocks, takes_s=0.0, until_s=5 * EVERY_S)
    assert times == [EVERY_S, 2 * EVERY_S, 3 * EVERY_S, 4 * EVERY_S]


def test_where_writing_takes_long_there_are_fewer(clock, tmp_path, monkeypatch, clocks):
    times = written_at(clock, tmp_path, monkeypatch, clocks, takes_s=20.0, until_s=3500.0)
    assert len(times) == 4
    assert all(b - a >= 20.0 + WRITING_TIMES * 20.0 for a, b in pairwise(times))


def test_a_run_without_a_file_for_checkpoints_makes_none(always):
    run_toy(2, 10)


def full_disk(*args):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_costs_none_of_the_run_and_is_told_once(tmp_path, always, monkeypatch):
    """The checkpoints that are asked for still fail, and what they would replace stays whole and can be resumed."""
    folder = tmp_path / "full"
    undisturbed, told = Recorder(), []
    expected = go(tmp_path / "undisturbed", 40, undisturbed, CODEC)
    monkeypatch.setattr(autosave, "log", lambda level, text, *values: told.append(text % values))

    class Filling(Recorder):
        def write(self, event):
            super().write(event)
            if len(self.events) == 12 and not told:
                monkeypatch.setattr(os, "fsync", full_disk)

    recorder = Filling()
    with pytest.raises(CheckpointError, match=r"server\.safetensors cannot be written \(No space left .*one before it"):
        go(folder, 40, recorder, CODEC)
    assert sum(e["event"] == "merge" for e in recorder.events) == 40
    assert len(told) == 1
    assert "No space left on device" in told[0]
    assert not list(folder.glob("*.tmp"))
    monkeypatch.undo()
    run = go(folder, 40, recorder, CODEC, resume=True)
    assert run.arrays_sha256() == expected.arrays_sha256()
    assert run.tally.states_lost == 0
    assert recorder.told() == undisturbed.told()


def test_what_was_told_is_made_durable_before_the_checkpoint_that_counts_it(tmp_path, always, monkeypatch):
    did = []

    class Flushing(Recorder):
        def flush(self):
            did.append(("flush", len(self.events)))

    write = autosave.write_checkpoint
    monkeypatch.setattr(
        autosave, "write_checkpoint", lambda path, state: (did.append(("write", state.num_events)), write(path, state))
    )
    go(tmp_path, 10, Flushing(), None, checkpoint_every=2)
    flushes, writes = did[::2], did[1::2]
    assert [("write", events) for _, events in flushes] == writes
