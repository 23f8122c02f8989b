"""How a run on the wall clock stands, told at intervals: also where nothing has been merged for long."""

import time
from typing import Final

from eafl_flower.runs.clock import Clock
from eafl_flower.runs.state import Run

MOST_AWAY: Final = 100  # clients that an event names


class Pulse:
    """Tells ``status`` events. Virtual time has none: there every event is a function of the seed."""

    def __init__(self) -> None:
        self._next_s = time.monotonic()

    def look(self, run: Run, clock: Clock) -> None:
        """Tell one, if it is due."""
        every_s = run.options.status_every_s
        if not every_s or run.clock != "wall" or time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + every_s
        away = clock.snapshot().away
        run.emit(
            "status",
            merge=run.version,
            time_s=clock.now_s(),
            wall_s=run.wall_s(),
            in_flight=len(run.jobs),
            there=len(run.jobs.members.keys() - set(away)),
            away=len(away),
            away_clients=list(away[:MOST_AWAY]),
        )
