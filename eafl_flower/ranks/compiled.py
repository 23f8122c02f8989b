"""The loop of ``ucb_dual.select``, compiled; importing this module imports numba."""

import math
from typing import Any, Final

import numba
import numpy as np

from eafl_flower.core.compiled import compile_loop
from eafl_flower.types import Array


def _best(
    index: Array,
    counts: Array,
    flying: Array,
    ahead: Array,
    available: Array,
    low: int,
    high: int,
) -> int:
    """Return the best available arm from ``low`` to below ``high``, -1 if there is none.

    Arms without a play or a job come first, the smallest before; those with a job alone come last, the fewest before.
    """
    best, waiting, unplayed = -1, -1, -1
    largest = -math.inf
    for k in range(high - 1, low - 1, -1):  # from behind: of two alike the smaller one
        better = available[k] & (counts[k] > 0.0) & (index[k] >= largest)
        best = k if better else best
        largest = index[k] if better else largest
        unplayed = k if available[k] & (counts[k] <= 0.0) else unplayed
    if unplayed < 0:
        return best
    for k in range(unplayed, high):
        if available[k] and counts[k] <= 0.0:
            jobs = flying[k] + ahead[k]
            if jobs == 0.0:
                return k
            if waiting < 0 or jobs < flying[waiting] + ahead[waiting]:
                waiting = k
    return best if best >= 0 else waiting


_compiled_best: Any = numba.njit(inline="always", error_model="numpy")(_best)


def _fill(
    index: Array,
    counts: Array,
    rewards: Array,
    energies: Array,
    flying: Array,
    ahead: Array,
    price: float,
    width: float,
) -> None:
    """Fill what each arm promises; without a branch, so that arms are computed side by side."""
    total = 1.0
    for k in range(index.size):
        total += counts[k]
    width *= math.sqrt(2.0 * math.log(total))
    for k in range(index.size):
        n = counts[k]
        index[k] = (rewards[k] - price * energies[k]) / n + width / math.sqrt(n + (flying[k] + ahead[k]))


_compiled_fill: Any = numba.njit(inline="always", error_model="numpy")(_fill)


def _select(
    counts: Array,
    rewards: Array,
    energies: Array,
    flying: Array,
    dual: Array,
    current: Array,
    jobs: Array,
    vehicles: Array,
    available: Array,
    bonus: float,
    growth: float,
    scale: float,
    period: int,
    reach: int,
    pooled: bool,
    chosen: Array,
) -> None:
    """Fill the arm of each vehicle; where statistics are pooled, what was chosen before it is under way, too.

    The bonus is ``bonus`` (1 + ``growth`` lambda); ``reach`` arms on either side of the current one may be chosen.
    """
    pools, arms = counts.shape[0] if pooled else 1, counts.shape[1]
    ahead, index = np.zeros((pools, arms)), np.empty(arms)
    for i in range(vehicles.size):
        v = vehicles[i]
        pool = v % pools
        row = pool if pooled else v
        multiplier = dual[v] if dual.size > 1 else dual[0]
        now = current[v]
        best = -1
        if now >= 0 and jobs[v] % period != 0 and available[i, now]:
            best = now
        else:
            price, width = multiplier / scale, bonus * (1.0 + growth * multiplier)
            low = max(now - reach, 0) if now >= 0 else 0
            high = min(now + reach + 1, arms) if now >= 0 else arms
            _compiled_fill(index, counts[row], rewards[row], energies[row], flying[row], ahead[pool], price, width)
            best = _compiled_best(index, counts[row], flying[row], ahead[pool], available[i], low, high)
            if best < 0 and high - low < arms:  # no neighbour is available
                best = _compiled_best(index, counts[row], flying[row], ahead[pool], available[i], 0, arms)
        chosen[i] = best
        if pooled and best >= 0:
            ahead[pool, best] += 1.0


# Signatures that take arrays to read from take both kinds.
_table, _mask = (numba.types.Array(t, 2, "C", readonly=True) for t in (numba.float64, numba.boolean))
_f64, _i64 = (numba.types.Array(t, 1, "C", readonly=True) for t in (numba.float64, numba.int64))
_out = numba.types.Array(numba.int64, 1, "C")
_x, _n = numba.float64, numba.int64

select: Final = compile_loop(
    _select,
    (_table, _table, _table, _table, _f64, _i64, _i64, _i64, _mask, _x, _x, _x, _n, _n, numba.boolean, _out),
    error_model="numpy",
)
