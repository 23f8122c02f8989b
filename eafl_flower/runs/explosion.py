"""A run that diverges is told so once: what clients report of their loss, or the norm of updates, has exploded."""

import math
from collections import deque
from collections.abc import Mapping
from logging import WARNING
from statistics import median

from eafl_flower.engines.flower_log import log

OVER = 16  # updates whose median counts
TIMES_NORM, TIMES_LOSS = 3.0, 3.0  # the smallest median so far

_TEXT = (
    "the %s explodes: after merge %d its median over %d updates is %.3g, it has been %.3g; training "
    "diverges, so lower the clients' learning rate, or the server's step where you have set one (alpha, mixing, "
    "server_rate): the default of AsyncEMAM needs none"
)


class Explosion:
    """Compares the newest updates with those before them, and warns once."""

    def __init__(self) -> None:
        self._seen = {
            "norm of updates": _Series(TIMES_NORM),
            "loss of the clients": _Series(TIMES_LOSS, above_first=True),
        }
        self._has_warned = False

    def note(self, merge: int, norm: float | None, metrics: Mapping[str, float]) -> None:
        """Take in the update of one merge: its L2 norm, if that is known, and what its client reports."""
        if self._has_warned:
            return
        losses = [value for name, value in metrics.items() if "loss" in name.lower()]
        values = {"norm of updates": norm, "loss of the clients": losses[0] if losses else None}
        for name, value in values.items():
            series = self._seen[name]
            if value is not None and series.note(abs(value)):
                self._has_warned = True
                log(WARNING, _TEXT, name, merge, OVER, series.newest_median, series.least_median)
                return


class _Series:
    """The newest values, the smallest median there was, and the first, if values have to be above that one as well.

    Losses have to: where clients differ, whichever answered last decide the median, once all are small.
    """

    def __init__(self, times: float, *, above_first: bool = False) -> None:
        self._times = times
        self._first = math.nan if above_first else 0.0
        self._newest: deque[float] = deque(maxlen=OVER)
        self.least_median, self.newest_median = math.inf, math.nan

    def note(self, value: float) -> bool:
        """Take in one value; return whether the newest are far above that."""
        self._newest.append(value if math.isfinite(value) else math.inf)
        if len(self._newest) < OVER:
            return False
        self.newest_median = median(self._newest)
        self.least_median = min(self.least_median, self.newest_median)
        if math.isnan(self._first):
            self._first = self.newest_median
        return self.newest_median > max(self._times * self.least_median, self._first) and self.least_median > 0
