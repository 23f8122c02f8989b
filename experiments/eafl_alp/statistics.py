"""The rules by which a result counts: fitness of a score, share of the gap, time to a target, intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

FIT_POINTS = 0.01
FIT_DEVIATIONS = 2.0
SMOOTHED_OVER = 5


@dataclass(frozen=True)
class Mean:
    """Mean and standard deviation over seeds (0 for a single one)."""

    mean: float
    sd: float
    n: int

    def __str__(self) -> str:
        return f"{100 * self.mean:.1f} ± {100 * self.sd:.1f}"


def mean_of(values: Sequence[float]) -> Mean:
    """Return mean and sample standard deviation."""
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return Mean(float(np.mean(values)), sd, len(values))


@dataclass(frozen=True)
class Fitness:
    """Whether a score of a data set can show that federation works."""

    gap: Mean
    standard_error: float
    fit: bool


def fitness(exact: Sequence[float], none: Sequence[float]) -> Fitness:
    """Judge paired scores of runs with exact updates and without communication.

    Fit: the mean difference is above 2 standard errors of it and above 1 point.
    """
    gap = mean_of([e - n for e, n in zip(exact, none, strict=True)])
    error = gap.sd / np.sqrt(gap.n) if gap.n > 1 else float("inf")
    return Fitness(gap, float(error), gap.mean > FIT_DEVIATIONS * error and gap.mean > FIT_POINTS)


def share_of_gap(method: Sequence[float], none: Sequence[float], exact: Sequence[float]) -> float:
    """Return (method - none) / (exact - none) of the means over seeds."""
    low = float(np.mean(none))
    return (float(np.mean(method)) - low) / (float(np.mean(exact)) - low)


def smoothed(values: Sequence[float], over: int = SMOOTHED_OVER) -> list[float]:
    """Return the mean of each value and those before it, ``over`` in all; fewer at the beginning."""
    return [float(np.mean(values[max(0, i + 1 - over) : i + 1])) for i in range(len(values))]


def first_at(target: float, curve: Sequence[Sequence[float]], column: int) -> Sequence[float] | None:
    """Return the row of ``curve`` at which the smoothed score first reaches ``target``, None if none does.

    A row holds merge, time [s] and scores. The first full window counts first.
    """
    values = smoothed([row[column] for row in curve])
    return next(
        (row for row, v in zip(curve[SMOOTHED_OVER - 1 :], values[SMOOTHED_OVER - 1 :], strict=True) if v >= target),
        None,
    )


def time_to(target: float, curve: Sequence[Sequence[float]], column: int) -> float | None:
    """Return the time [s] at which the smoothed score first reaches ``target``, None if never."""
    row = first_at(target, curve, column)
    return None if row is None else float(row[1])


def geometric_mean_ratio(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float, float]:
    """Return the geometric mean of the paired ratios ours/theirs and its 95 % interval (t over seeds)."""
    logs = np.log(np.asarray(ours) / np.asarray(theirs))
    mean = float(logs.mean())
    if len(logs) < 2:
        return float(np.exp(mean)), 0.0, float("inf")
    half = float(stats.t.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / np.sqrt(len(logs)))
    return float(np.exp(mean)), float(np.exp(mean - half)), float(np.exp(mean + half))
