"""When a run writes checkpoints, asked or unasked: one a minute, and at most a fiftieth of the time for them."""

import time
from logging import WARNING

from eafl_flower.core.events import flush
from eafl_flower.engines.flower_log import log
from eafl_flower.errors import CheckpointError
from eafl_flower.runs.clock import Clock
from eafl_flower.runs.keeping.checkpoint import write_checkpoint
from eafl_flower.runs.state import Run

EVERY_S = 60.0  # of real time
WRITING_TIMES = 50.0  # at least so many times what writing one took lies between it and the next unasked one


class Autosave:
    """Writes the checkpoints of a run that has a file for them.

    They are no part of what the run computes or tells: with more of them it makes the same arrays and events.
    """

    def __init__(self) -> None:
        self._next_s = time.monotonic() + EVERY_S
        self._has_warned = False

    def look(self, run: Run, clock: Clock) -> None:
        """Write one that nobody asked for, if it is due; where that fails, the run goes on and says so once."""
        if run.options.checkpoint is None or time.monotonic() < self._next_s:
            return
        try:
            self.write(run, clock)
        except CheckpointError as error:
            if not self._has_warned:
                log(WARNING, "%s; the run goes on, and tries again now and then", error)
            self._has_warned = True

    def write(self, run: Run, clock: Clock) -> None:
        """Write one now. The log that it counts the events of is written out before it.

        Raises
        ------
        CheckpointError
            If it cannot be written; the one before it is still there then.
        """
        path, table, began_s = run.options.checkpoint, run.jobs.table, time.monotonic()
        assert path is not None
        durable = table.durable.copy()
        run.jobs.mark_durable()
        try:
            flush(run.options.observer)
            place = clock.snapshot()
            write_checkpoint(path, run.snapshot(queue=place.queue, away=place.away))
        except BaseException:
            table.durable[:] = durable  # clients keep what the one before it names
            raise
        finally:
            now_s = time.monotonic()
            self._next_s = now_s + max(EVERY_S, WRITING_TIMES * (now_s - began_s))
