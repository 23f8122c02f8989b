"""The norm guard: one update that is far longer than those before it does not decide where the model goes."""

import statistics

from eafl_flower.aggregation.early_norms import longest_early
from eafl_flower.types import Arrays

KEPT = 64
NEEDED = 16


def guard_scale(arrays: Arrays, norms: tuple[float, ...], norm: float, most: float) -> float:
    """Return what an update of this L2 ``norm`` is multiplied by, at most 1.

    It is brought down to ``most`` times the median of ``norms``, those of the updates before it, and to
    ``longest_early`` as long as there are fewer than 16. With ``most`` 0 nothing is.
    """
    if not most:
        return 1.0
    limit = longest_early(arrays, norms, most) if len(norms) < NEEDED else most * statistics.median(norms)
    # A median of zero (clients that did not train) must not refuse everything that follows.
    return limit / norm if 0 < limit < norm else 1.0


def noted(norms: tuple[float, ...], norm: float, most: float) -> tuple[float, ...]:
    """Return the norms to compare the next update with, now that one of length ``norm`` was merged."""
    return (*norms, norm)[-KEPT:] if most else ()
