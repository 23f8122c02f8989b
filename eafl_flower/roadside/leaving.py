r"""What a vehicle does with its job when it is about to leave its roadside unit.

After the download and after each epoch it predicts from where it is and where it is heading how long it will stay. If
that no longer covers one more epoch and the upload, or after the last one the upload, it takes the cheapest choice that
is possible:

==========  ===================================================  ==================================================
choice      what it does                                         what it costs
==========  ===================================================  ==================================================
early       uploads what it has, which weighs less               :math:`\gamma \max(0, A^* - a_v)`
migrate     goes on, and uploads through the next unit           :math:`\alpha\, t_{mig} + \beta\, e_{mig}`
abandon     stops                                                :math:`\beta\, e_{spent} + \gamma A^*`
==========  ===================================================  ==================================================

:math:`a_v` is its score and :math:`A^*` the best one of its task in the round before, in points; :math:`t_{mig}` and
:math:`e_{mig}` are what the upload takes. What it predicts may be wrong: a job that is not done when its vehicle leaves
is lost.

References
----------
The costs and their weights are those of the code released for arXiv 2508.09532, where a job migrates to another
vehicle and the arguments are in the wrong order; prediction and the next unit are ours (``docs/ucb-dual.md``).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from eafl_flower.core.orders import Leaving
from eafl_flower.core.settings import NotNegative, check_settings


class Coverage(Protocol):
    """Who is covered by which unit; units are numbered from 0, -1 is none."""

    def interval(self, vehicle: int, time_s: float) -> tuple[int, float]:
        """Return the unit that serves ``vehicle``, and until when it does [s]."""

    def served(self, vehicle: int, time_s: float) -> tuple[bool, float]:
        """Return whether any unit serves ``vehicle``, and until when that stays so [s]."""

    def predicted_stay_s(self, time_s: float, vehicles: Sequence[int]) -> NDArray[np.float64]:
        """Return for how long each will stay within its unit, by what is known at ``time_s`` [s]."""

    def predicted_next_unit(self, time_s: float, vehicles: Sequence[int]) -> NDArray[np.int64]:
        """Return the unit that each will come to next, by what is known at ``time_s``."""


def units_of(coverage: Coverage) -> int:
    """Return how many units ``coverage`` has, by its ``num_units`` or its ``units_m``; 0 if it does not say."""
    return int(getattr(coverage, "num_units", 0)) or len(getattr(coverage, "units_m", ()))


def places_of(coverage: Coverage, vehicle: int, unit: int, time_s: float) -> dict[str, float]:
    """Return where a vehicle and its unit are, to a decimetre [m], as fields of an event; nothing that is not known."""
    told: dict[str, float] = {}
    units_m, position = getattr(coverage, "units_m", ()), getattr(coverage, "position", None)
    if 0 <= unit < len(units_m):
        told |= {"unit_x_m": round(float(units_m[unit][0]), 1), "unit_y_m": round(float(units_m[unit][1]), 1)}
    if position is not None:
        places_m, there = position(time_s, [vehicle])
        if bool(there[0]):
            told |= {"x_m": round(float(places_m[0][0]), 1), "y_m": round(float(places_m[0][1]), 1)}
    return told


@dataclass(frozen=True, kw_only=True)
class Departures:
    r"""How vehicles choose.

    Parameters
    ----------
    choices
        What they may do; nothing: jobs are lost with those who leave.
    time_weight, energy_weight, score_weight
        :math:`\alpha` [1/s], :math:`\beta` [1/J] and :math:`\gamma` [1/point].

    Raises
    ------
    ConfigError
        If there is another choice, or a weight is negative.
    """

    choices: tuple[str, ...] = ("early", "migrate", "abandon")
    time_weight: NotNegative = 0.2
    energy_weight: NotNegative = 0.05
    score_weight: NotNegative = 2.0

    def __post_init__(self) -> None:
        known = [choice for choice in get_args(Leaving) if choice]
        wrong = "" if set(self.choices) <= set(known) else f"expected some of {', '.join(known)}"
        check_settings(self, choices=wrong)


@dataclass(frozen=True, kw_only=True)
class Expected:
    """A job as its vehicle expects it: so many ``epochs`` of ``epoch_s`` and ``epoch_j`` each, and then the upload.

    The download counts as a part of the epochs. ``behind`` is by how much the vehicle's score is below the best of its
    task, ``best`` how far that is above nothing, both in points.
    """

    epochs: int
    epoch_s: float
    epoch_j: float
    upload_s: float
    upload_j: float
    behind: float = 0.0
    best: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Course:
    """What becomes of a job: ``epochs`` of it, over at the latest at ``until_s`` [s], and what the vehicle did."""

    epochs: int
    until_s: float
    leaving: Leaving = ""


def course_of(coverage: Coverage, vehicle: int, time_s: float, job: Expected, departures: Departures) -> Course:
    """Return what becomes of a job that begins at ``time_s`` [s], if it takes what is expected.

    Each decision rests on what the vehicle knows when it takes it; only how long the job then really has is taken from
    its way.
    """
    _, leaves_s = coverage.interval(vehicle, time_s)
    for done in range(job.epochs + 1):
        now_s = time_s + done * job.epoch_s
        if now_s >= leaves_s:
            break
        needed_s = job.upload_s + (job.epoch_s if done < job.epochs else 0.0)
        stay_s = float(coverage.predicted_stay_s(now_s, [vehicle])[0])
        if stay_s >= needed_s:
            continue
        costs = _costs(coverage, vehicle, now_s, stay_s, job, done, departures)
        if not costs:
            break
        choice = min(costs, key=lambda choice: costs[choice])
        if choice == "abandon":
            return Course(epochs=job.epochs, until_s=now_s, leaving=choice)  # a part of it is not to come in
        if choice == "early":
            return Course(epochs=done, until_s=leaves_s, leaving=choice)
        return Course(epochs=job.epochs, until_s=_second_end(coverage, vehicle, leaves_s), leaving=choice)
    return Course(epochs=job.epochs, until_s=leaves_s)


def _costs(
    coverage: Coverage, vehicle: int, now_s: float, stay_s: float, job: Expected, done: int, departures: Departures
) -> dict[Leaving, float]:
    """Return the costs of what is possible."""
    d, found = departures, {}
    if "early" in d.choices and done > 0 and stay_s >= job.upload_s:
        found["early"] = d.score_weight * max(0.0, job.behind)
    if "migrate" in d.choices and coverage.predicted_next_unit(now_s, [vehicle])[0] >= 0:
        found["migrate"] = d.time_weight * job.upload_s + d.energy_weight * job.upload_j
    if "abandon" in d.choices:
        found["abandon"] = d.energy_weight * done * job.epoch_j + d.score_weight * job.best
    return found  # type: ignore[return-value]


def _second_end(coverage: Coverage, vehicle: int, leaves_s: float) -> float:
    """Return when the unit that comes after the first hand-over is left; if none comes, the job ends there."""
    if math.isinf(leaves_s):
        return leaves_s
    unit, until_s = coverage.interval(vehicle, leaves_s)
    return until_s if unit >= 0 else leaves_s
