r"""Which roadside unit serves which vehicle, and until when.

A vehicle that nobody serves is taken by the nearest unit within the radius. It stays there until it leaves the radius
or is gone, or until another unit is nearer by the hysteresis, :math:`d_u - d_w > H`, for the time to trigger without a
break. That is event A3 of 3GPP (TS 38.331, 5.5.4.4) with distances in place of levels, and one timer: that of the
nearest unit.

Everything is worked out once on a grid of times: what holds at a time of the grid holds until the next one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from eafl_flower.core.settings import NotNegative, Positive, check_settings
from eafl_flower.errors import ConfigError, DataError
from eafl_flower.mobility.dwell import next_unit, time_to_leave_s
from eafl_flower.mobility.service import NOBODY, Nearest, Served, nearest_units, serve
from eafl_flower.mobility.traces import Array, Booleans, Integers, Traces, Vehicles, first_after

_MOST_STEPS = 20_000_000
_BLOCK = 4_000_000  # vehicles x times that are worked out together


@dataclass(frozen=True, kw_only=True)
class HandoverRule:
    """When a unit serves a vehicle, and when another one takes over.

    Parameters
    ----------
    radius_m
        How far a unit reaches [m].
    hysteresis_m
        By how much another unit must be nearer [m].
    time_to_trigger_s
        For how long without a break [s].
    step_s
        Step of the grid of times [s].

    Raises
    ------
    ConfigError
        If a number is out of range.
    """

    radius_m: Positive = 500.0
    hysteresis_m: NotNegative = 25.0
    time_to_trigger_s: NotNegative = 5.0
    step_s: Positive = 5.0

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, kw_only=True, eq=False)
class Coverage:
    """Vehicles, units, and who serves whom; `cover` makes it.

    Parameters
    ----------
    traces
        The vehicles.
    units_m
        Positions of the units [m], ``(num_units, 2)``.
    rule
        When which unit serves.
    grid_s
        The grid of times [s], ``(num_times,)``, from the first sample to just after the last one.
    num_present, num_served
        Vehicles that are there, and that are served, at each time of the grid, ``(num_times,)``.
    offsets, change_s, unit
        Vehicle v changes to ``unit[offsets[v]:offsets[v + 1]]`` at ``change_s``; -1: to nobody. The first change of
        each, to nobody, is at minus infinity.
    present_s
        For how long each vehicle is there [s], ``(num_vehicles,)``.
    """

    traces: Traces
    units_m: Array
    rule: HandoverRule
    grid_s: Array
    num_present: Integers
    num_served: Integers
    offsets: Integers
    change_s: Array
    unit: Integers
    present_s: Array

    def __repr__(self) -> str:
        return f"<Coverage of {self.traces!r} by {len(self.units_m):,} units, {self.rule!r}>"

    def __len__(self) -> int:
        """Return the number of vehicles."""
        return len(self.traces)

    def position(self, time_s: ArrayLike, vehicles: Vehicles = None) -> tuple[Array, Booleans]:
        """Return positions [m] and who is there, as `Traces.at`."""
        return self.traces.at(time_s, vehicles)

    def serving(self, time_s: ArrayLike, vehicles: Vehicles = None) -> Integers:
        """Return the unit that serves each vehicle, ``(..., n)``; -1: nobody does. Arguments as of `Traces.at`."""
        time, chosen = np.broadcast_arrays(np.asarray(time_s, np.float64), self.traces.numbers(vehicles))
        after = first_after(self.change_s, self.offsets[chosen], self.offsets[chosen + 1], time)
        found: Integers = self.unit[after - 1]
        return found

    def interval(self, vehicle: int, time_s: float) -> tuple[int, float]:
        """Return the unit that serves a vehicle at ``time_s``, -1 if nobody does, and until when that stays so [s].

        Half-open: at the instant of a change it has happened. After the last change the end is infinity.
        """
        unit, after = self._changes(vehicle, time_s)
        return int(unit[0]), float(after[0]) if len(after) else math.inf

    def served(self, vehicle: int, time_s: float) -> tuple[bool, float]:
        """Return whether any unit serves a vehicle at ``time_s``, and until when that stays so [s]."""
        unit, after = self._changes(vehicle, time_s)
        is_on = bool(unit[0] != NOBODY)
        other = np.flatnonzero((unit[1:] != NOBODY) != is_on)
        return is_on, float(after[other[0]]) if len(other) else math.inf

    def _changes(self, vehicle: int, time_s: float) -> tuple[Integers, Array]:
        """Return the unit now and those after it, and the times of the changes to the latter."""
        (number,) = self.traces.numbers([vehicle])
        part = slice(self.offsets[number], self.offsets[number + 1])
        change_s = self.change_s[part]
        done = int(np.searchsorted(change_s, time_s, side="right"))
        return self.unit[part][done - 1 :], change_s[done:]

    def predicted_stay_s(self, time_s: ArrayLike, vehicles: Vehicles = None) -> Array:
        r"""Return for how long each vehicle will stay in the disc of its unit as far as one can tell [s], ``(..., n)``.

        .. math:: \hat T = \ell / \max(|v|, 1\,\mathrm{m/s})

        with :math:`\ell` the way along its heading to the border of the disc; for one without a heading, the way to the
        nearest point of it. Place and velocity are reckoned from the last two samples up to ``time_s``: nothing later
        counts but which unit serves now. 0 for whom nobody serves.
        """
        unit, place_m, velocity_m_s = self._reckoned(time_s, vehicles)
        stay_s = time_to_leave_s(place_m, velocity_m_s, self.units_m[unit], self.rule.radius_m)
        return np.where(unit == NOBODY, 0.0, stay_s)

    def predicted_next_unit(
        self, time_s: ArrayLike, vehicles: Vehicles = None, *, further_m: float | None = None
    ) -> Integers:
        """Return the unit that each vehicle will come to from its own, as far as one can tell, ``(..., n)``; -1: none.

        It is the nearest to a point ``further_m`` beyond where its way leaves the disc (a tenth of the radius if not
        given), of those whose discs hold that point. -1 for whom nobody serves, and without a heading.
        """
        unit, place_m, velocity_m_s = self._reckoned(time_s, vehicles)
        radius_m = self.rule.radius_m
        ahead_m = 0.1 * radius_m if further_m is None else further_m
        found = next_unit(place_m, velocity_m_s, unit, self.units_m, radius_m, further_m=ahead_m)
        return np.where(unit == NOBODY, NOBODY, found)

    def _reckoned(self, time_s: ArrayLike, vehicles: Vehicles) -> tuple[Integers, Array, Array]:
        return self.serving(time_s, vehicles), *self.traces.reckoned_m(time_s, vehicles)


def cover(traces: Traces, units_m: ArrayLike, rule: HandoverRule | None = None) -> Coverage:
    """Work out who serves whom.

    Parameters
    ----------
    traces
        The vehicles.
    units_m
        Positions of the units [m], ``(num_units, 2)``.
    rule
        When which unit serves; as it is by default if not given.

    Raises
    ------
    ConfigError
        If there is no unit, a position is not finite, or the grid of times has too many steps.
    DataError
        If no vehicle ever comes within the radius of a unit.
    """
    rule, units_m = rule or HandoverRule(), np.asarray(units_m, np.float64)
    if units_m.ndim != 2 or units_m.shape[1:] != (2,) or not len(units_m) or not np.isfinite(units_m).all():
        msg = f"units of shape {units_m.shape}: expected (number, 2), at least one, with finite coordinates"
        raise ConfigError(msg)
    grid_s = _grid(traces, rule)
    present, served = np.zeros(len(grid_s), np.int64), np.zeros(len(grid_s), np.int64)
    blocks, present_s, closest = [], [], []
    for vehicles in _blocks(len(traces), len(grid_s)):
        near = nearest_units(traces, vehicles, grid_s, units_m)
        here = serve(near, units_m, rule.radius_m, rule.hysteresis_m, rule.time_to_trigger_s / rule.step_s)
        present += near.present.sum(axis=1)
        served += here.num_served
        present_s.append(rule.step_s * near.present.sum(axis=0))
        blocks.append(here)
        closest.append(_closest(near, vehicles))
    if not served.any():
        raise DataError(_far_away(traces, units_m, rule, min(closest)))
    offsets, change_s, unit = _joined(blocks, grid_s)
    return Coverage(
        traces=traces,
        units_m=units_m,
        rule=rule,
        grid_s=grid_s,
        num_present=present,
        num_served=served,
        offsets=offsets,
        change_s=change_s,
        unit=unit,
        present_s=np.concatenate(present_s),
    )


def _grid(traces: Traces, rule: HandoverRule) -> Array:
    span_s = traces.end_s - traces.start_s
    if span_s / rule.step_s > _MOST_STEPS:
        msg = (
            f"step_s = {rule.step_s}: the traces last {span_s:,.0f} s, more than {_MOST_STEPS:,} steps; "
            "expected a longer step, or less of the traces"
        )
        raise ConfigError(msg)
    # One more than the traces last: there everybody is gone.
    return traces.start_s + rule.step_s * np.arange(int(span_s / rule.step_s) + 2, dtype=np.float64)


def _blocks(num_vehicles: int, num_times: int) -> list[slice]:
    size = max(1, _BLOCK // num_times)
    return [slice(start, min(start + size, num_vehicles)) for start in range(0, num_vehicles, size)]


def _joined(blocks: Sequence[Served], grid_s: Array) -> tuple[Integers, Array, Integers]:
    """Return offsets, times and units of the changes of all vehicles, each with one to nobody before all others."""
    firsts = np.cumsum([0, *(block.num_vehicles for block in blocks)])
    everybody = np.arange(firsts[-1])
    vehicle = np.concatenate([everybody, *(b.vehicle + f for b, f in zip(blocks, firsts, strict=False))])
    change_s = np.concatenate([np.full(len(everybody), -np.inf), *(grid_s[block.step] for block in blocks)])
    unit = np.concatenate([np.full(len(everybody), NOBODY), *(block.unit for block in blocks)])
    order = np.lexsort((change_s, vehicle))
    offsets = np.concatenate([[0], np.cumsum(np.bincount(vehicle))]).astype(np.int64)
    return offsets, change_s[order], unit[order]


def _closest(near: Nearest, vehicles: slice) -> tuple[float, int, int]:
    """Return the least distance of a vehicle to a unit [m], the vehicle, and the unit; infinity if nobody is there."""
    distance_m = np.where(near.present, near.distance_m, np.inf)
    step, vehicle = np.unravel_index(int(distance_m.argmin()), distance_m.shape)
    return float(distance_m[step, vehicle]), vehicles.start + int(vehicle), int(near.unit[step, vehicle])


def _far_away(traces: Traces, units_m: Array, rule: HandoverRule, closest: tuple[float, int, int]) -> str:
    distance_m, vehicle, unit = closest
    axes = ("x", traces.x_m), ("y", traces.y_m)
    places = [f"{name} {values.min():,.0f} to {values.max():,.0f} m" for name, values in axes]
    return (
        f"no unit ever serves a vehicle: radius_m = {rule.radius_m:g}, and the closest that any vehicle comes to a "
        f"unit is {distance_m:,.0f} m ({traces.names[vehicle]!r} to unit {unit} at {units_m[unit].round().tolist()}); "
        f"vehicles are at {' and '.join(places)}; expected a radius above {distance_m:,.0f} m, or units placed where "
        "vehicles are"
    )
