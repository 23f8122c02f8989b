"""Figures of who serves whom: hand-overs, how many are undone at once, how long a unit serves, how much is covered."""

from dataclasses import dataclass

import numpy as np

from eafl_flower.mobility.coverage import Coverage
from eafl_flower.mobility.service import NOBODY
from eafl_flower.mobility.traces import Array, Booleans, Integers

PING_PONG_S = 30.0


@dataclass(frozen=True, kw_only=True, eq=False)
class HandoverStatistics:
    """What happened over all vehicles.

    Parameters
    ----------
    handover_s
        Times of the hand-overs [s], in order: one unit serves right after another one.
    num_ping_pongs
        Hand-overs that lead back to the unit before, which was left less than a given time ago.
    stay_s
        For how long units served, one number for each time that one did [s]; those that the end of a drive cut short
        are among them.
    num_left
        Of those, how many ended while the vehicle was still there: it crossed a border.
    present_s, served_s
        Vehicle-seconds that vehicles were there, and that they were served.
    num_vehicles
        Vehicles, also those never served.
    """

    handover_s: Array
    num_ping_pongs: int
    stay_s: Array
    num_left: int
    present_s: float
    served_s: float
    num_vehicles: int

    @property
    def num_handovers(self) -> int:
        """Hand-overs of all vehicles."""
        return len(self.handover_s)

    @property
    def handovers_per_vehicle(self) -> float:
        """Hand-overs of a vehicle, on average over all."""
        return self.num_handovers / self.num_vehicles

    @property
    def handovers_per_minute(self) -> float:
        """Hand-overs of a vehicle in a minute in which it is served."""
        return 60 * self.num_handovers / self.served_s

    @property
    def ping_pong_share(self) -> float:
        """Share of hand-overs that lead back at once; 0 if there are none."""
        return self.num_ping_pongs / max(1, self.num_handovers)

    @property
    def covered_share(self) -> float:
        """Share of the time that vehicles are there in which they are served."""
        return self.served_s / self.present_s

    @property
    def seconds_a_border(self) -> float:
        """Time that a vehicle is served from one border it crosses to the next [s]; infinity if it never does."""
        return self.served_s / self.num_left if self.num_left else float("inf")

    def stay_quantiles_s(self, *shares: float) -> Array:
        """Return the stay [s] below which these shares of all stays are."""
        return np.asarray(np.quantile(self.stay_s, shares), np.float64)


def handover_statistics(coverage: Coverage, *, ping_pong_s: float = PING_PONG_S) -> HandoverStatistics:
    """Count what happened.

    Parameters
    ----------
    coverage
        Who serves whom.
    ping_pong_s
        A hand-over is a ping-pong if it leads back to a unit that was left less than so long ago [s].
    """
    unit, change_s = coverage.unit, coverage.change_s
    vehicle = np.repeat(np.arange(len(coverage)), np.diff(coverage.offsets))
    same = np.concatenate([[False], vehicle[1:] == vehicle[:-1]])
    handover = same & (unit != NOBODY) & (_before(unit, 1, NOBODY) != NOBODY)
    back = handover & (_before(handover, 1, False)) & (_before(unit, 2, NOBODY) == unit)
    soon = np.concatenate([[False], _steps(change_s) < ping_pong_s])
    serving = unit != NOBODY
    # The last change of every vehicle is to nobody, so each stay has an end in the next row.
    start, end = np.flatnonzero(serving), np.flatnonzero(serving) + 1
    stay_s = change_s[end] - change_s[start]
    _, present = coverage.traces.at(change_s[end], vehicle[end]) if len(end) else (None, np.zeros(0, np.bool_))
    return HandoverStatistics(
        handover_s=np.sort(change_s[handover]),
        num_ping_pongs=int(np.count_nonzero(back & soon)),
        stay_s=stay_s,
        num_left=int(np.count_nonzero(present)),
        present_s=float(coverage.present_s.sum()),
        served_s=float(stay_s.sum()),
        num_vehicles=len(coverage),
    )


def _steps(change_s: Array) -> Array:
    with np.errstate(invalid="ignore"):
        return np.diff(change_s)  # of two vehicles: from anything to minus infinity


def _before(values: Integers | Booleans, rows: int, first: int | bool) -> Integers | Booleans:
    return np.concatenate([np.full(rows, first, values.dtype), values])[: len(values)]
