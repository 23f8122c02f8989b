"""A run goes on where its checkpoint says."""

from dataclasses import replace
from pathlib import Path

from eafl_flower.core.orders import NO_ORDER
from eafl_flower.errors import CheckpointError
from eafl_flower.runs.clock import Clock
from eafl_flower.runs.keeping.checkpoint import open_checkpoint
from eafl_flower.runs.origin import NO_ORIGIN, Origin
from eafl_flower.runs.state import Run
from eafl_flower.types import layout_of


def take_up(run: Run, clock: Clock) -> None:
    """Replace the fresh state of ``run`` and ``clock`` by that of the run's checkpoint.

    Raises
    ------
    CheckpointError
        If the checkpoint cannot be read, or belongs to another run or model.
    """
    path = run.options.checkpoint
    assert path is not None
    opened = open_checkpoint(path)
    origin = opened.restore_field("origin", NO_ORIGIN)  # first, because another aggregator has another state
    origin.check(path, run.origin(in_flight=origin.in_flight))
    stored = opened.restore(run.snapshot(queue=clock.snapshot().queue, away=(), template=True))
    held = [(name, layout_of(run.aggregator.arrays(state, NO_ORDER))) for name, state in stored.aggregator.items()]
    if held != [(model.name, model.layout) for model in run.models]:
        order = ", or models in another order" if len(held) > 1 else ""
        msg = f"checkpoint {path} holds a model with other arrays than the one to be trained{order}"
        raise CheckpointError(msg)
    pace, planned = replace(run.pace, round_size=stored.round_size), run.plan.num_rounds
    if (
        done := pace.done(merges=run.merges_of(stored.aggregator, stored.tally), updates=stored.tally.updates)
    ) > planned:
        msg = f"checkpoint {path} holds {done} {run.options.unit}: expected at most the {planned} "
        raise CheckpointError(f"{msg}that the run is to make; ask for more, or start it afresh")
    run.restore(stored, pace)
    clock.restore(stored)


def read_origin(path: Path) -> Origin:
    """Return the origin that a checkpoint holds; raises ``CheckpointError`` if it cannot be read."""
    return open_checkpoint(path).restore_field("origin", NO_ORIGIN)
