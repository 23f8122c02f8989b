"""Nobody is sent to a checkpoint that would be refused."""

import pytest
from toy_federation import run_toy

from eafl_flower.app.resumable import way_on
from eafl_flower.config import RunConfig
from eafl_flower.core.events import Fanout
from eafl_flower.results.ownership import owned
from eafl_flower.results.run_directory import RunDirectory
from eafl_flower.runs.keeping import checkpoint
from eafl_flower.runs.keeping.checkpoint import write_checkpoint


@pytest.fixture
def run(tmp_path):
    """A run that was killed after its 6th merge, when it had a checkpoint."""
    run = RunDirectory.create(tmp_path, "killed")
    run.write_config(RunConfig().to_toml())
    run_toy(2, 6, recorder=Fanout([run.log]), checkpoint=run.checkpoint_path, checkpoint_every=3)
    run.log.close()
    return run


def again(run):
    return f"start it again with: eafl run {run.config_path}"


def test_a_run_with_a_checkpoint_and_the_log_to_it_is_to_be_resumed(run):
    assert way_on(run) == f"resume it with: eafl run --resume {run.path}"


def test_a_run_without_a_checkpoint_is_to_be_started_again(run):
    run.checkpoint_path.unlink()
    assert way_on(run) == f"it left no checkpoint to go on from; {again(run)}"


def test_a_run_that_still_runs_is_to_be_waited_for(run):
    with owned(run.path, wait_s=0):
        assert "still running" in way_on(run)
    assert "resume it with" in way_on(run)


def cut_checkpoint(run, monkeypatch):
    run.checkpoint_path.write_bytes(run.checkpoint_path.read_bytes()[:-8])


def other_version(run, monkeypatch):
    monkeypatch.setattr(checkpoint, "FORMAT", "eafl-flower checkpoint 1")
    write_checkpoint(run.checkpoint_path, ())
    monkeypatch.undo()


def cut_log(run, monkeypatch):
    run.events_path.write_bytes(b"".join(run.events_path.read_bytes().splitlines(keepends=True)[:3]))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [(cut_checkpoint, "damaged"), (other_version, "not a checkpoint of this version"), (cut_log, "has 3 events")],
)
def test_a_run_whose_checkpoint_would_be_refused_is_to_be_started_again(run, monkeypatch, damage, reason):
    damage(run, monkeypatch)
    told = way_on(run)
    assert told.startswith("it cannot be resumed (")
    assert reason in told
    assert told.endswith(again(run))
