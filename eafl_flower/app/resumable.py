"""Whether a run directory can be resumed: nobody is sent to a checkpoint that would be refused."""

from pathlib import Path

from eafl_flower.errors import CheckpointError
from eafl_flower.results.event_log import check_covers
from eafl_flower.results.ownership import is_owned
from eafl_flower.results.run_directory import RunDirectory
from eafl_flower.runs.keeping.checkpoint import open_checkpoint
from eafl_flower.runs.tally import Tally


def way_on(run: RunDirectory) -> str:
    """Return how to get the results of a run that has not ended, in words."""
    if is_owned(run.path):
        return "it is still running: wait for its end"
    if not run.has_checkpoint:
        return run.way_on
    try:
        check_covers(run.events_path, open_checkpoint(run.checkpoint_path).restore_field("num_events", 0))
    except CheckpointError as error:
        return f"it cannot be resumed ({error}); {run.way_again}"
    return run.way_on


def updates_in(checkpoint: Path) -> int:
    """Return how many updates a checkpoint holds; raises ``CheckpointError`` if it cannot be used."""
    return open_checkpoint(checkpoint).restore_field("tally", Tally()).updates
