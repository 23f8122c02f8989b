"""How large to draw the map so that vehicles cross a border once in so many rounds."""

import math
from dataclasses import dataclass

from numpy.typing import ArrayLike

from eafl_flower.errors import ConfigError, DataError
from eafl_flower.mobility.coverage import Coverage, HandoverRule, cover
from eafl_flower.mobility.handovers import handover_statistics
from eafl_flower.mobility.traces import Traces

_LEAST, _MOST = 2.0**-10, 2.0**10
_NEAR_ENOUGH = 0.02


@dataclass(frozen=True, kw_only=True, eq=False)
class Scaled:
    """A scale of the map, who serves whom on it, and in how many rounds a vehicle that is served crosses a border."""

    scale: float
    coverage: Coverage
    rounds_a_border: float


def motion_scale(
    traces: Traces,
    units_m: ArrayLike,
    rule: HandoverRule,
    *,
    round_s: float,
    rounds_a_border: float = 10.0,
    about_m: tuple[float, float],
) -> Scaled:
    """Find the factor by which the vehicles' map is to be stretched about a point; units and radius stay.

    At the factor s vehicles go s times as fast, so borders are crossed about s times as often. It is found by bisection
    of its logarithm, from 1/1024 to 1024, to a fiftieth or until the counted crossings allow no closer.

    Parameters
    ----------
    traces, units_m, rule
        As `coverage.cover` takes them.
    round_s
        How long a round lasts [s].
    rounds_a_border
        In how many rounds a vehicle that is served is to cross a border once, on average: to leave its unit's service
        while it is there.
    about_m
        The point that stays where it is [m].

    Raises
    ------
    ConfigError
        If a number is not positive.
    DataError
        If no vehicle is served at a scale near the one that is looked for.
    """
    if not (round_s > 0 and rounds_a_border > 0):
        msg = f"round_s = {round_s}, rounds_a_border = {rounds_a_border}: expected positive numbers"
        raise ConfigError(msg)
    low, high = _LEAST, _MOST  # crossings are too rare at the former, too frequent at the latter
    best: Scaled | None = None
    while high / low > 1.001:
        scale = math.sqrt(low * high)
        found = _at(traces, units_m, rule, scale, round_s, about_m)
        if found is None:  # everybody is off the map: too large
            high = scale
            continue
        best = found if best is None else min(best, found, key=lambda one: _miss(one, rounds_a_border))
        if _miss(found, rounds_a_border) < _NEAR_ENOUGH:
            break
        low, high = (scale, high) if found.rounds_a_border > rounds_a_border else (low, scale)
    if best is None:
        msg = (
            "no vehicle is served at any scale of the map: place units near where vehicles are, or about another point"
        )
        raise DataError(msg)
    return best


def _at(
    traces: Traces, units_m: ArrayLike, rule: HandoverRule, scale: float, round_s: float, about_m: tuple[float, float]
) -> Scaled | None:
    try:
        coverage = cover(traces.scaled(scale, about_m), units_m, rule)
    except DataError:
        return None
    rounds = handover_statistics(coverage).seconds_a_border / round_s
    return Scaled(scale=scale, coverage=coverage, rounds_a_border=rounds)


def _miss(found: Scaled, rounds_a_border: float) -> float:
    return abs(math.log(found.rounds_a_border / rounds_a_border)) if math.isfinite(found.rounds_a_border) else math.inf
