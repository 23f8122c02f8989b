"""The steps of serving on a grid of times: where vehicles are, which unit is nearest, and which one serves."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from eafl_flower.mobility.traces import Array, Booleans, Integers, Traces

NOBODY = -1
_ROUNDING = 1e-9  # 0.9 s are three steps of 0.3 s
_FEW_UNITS = 12  # up to so many all distances are cheaper than a tree


@dataclass(frozen=True, kw_only=True, eq=False)
class Nearest:
    """Of vehicles at times, all ``(num_times, num_vehicles)``: who is there, x and y, nearest unit and its distance."""

    present: Booleans
    x_m: Array
    y_m: Array
    unit: Integers
    distance_m: Array


@dataclass(frozen=True, kw_only=True, eq=False)
class Served:
    """Changes of the unit that serves, in order of time: step of the grid, vehicle, and unit, ``(num_changes,)``."""

    num_vehicles: int
    step: Integers
    vehicle: Integers
    unit: Integers
    num_served: Integers


def nearest_units(traces: Traces, vehicles: slice, grid_s: Array, units_m: Array) -> Nearest:
    """Return where a range of vehicles is on a grid of times, and which unit is nearest to each.

    Each position is that of `Traces.at`.
    """
    place = _last_samples(traces, vehicles, grid_s)  # (num_vehicles, num_times)
    ends = traces.offsets[vehicles.start + 1 : vehicles.stop + 1, None]
    there = np.maximum(place, 0)
    follower = np.minimum(there + 1, ends - 1)
    gap_s = traces.time_s[follower] - traces.time_s[there]
    elapsed_s = grid_s - traces.time_s[there]
    present = (place >= 0) & ((elapsed_s == 0) | ((gap_s > 0) & (gap_s <= traces.longest_gap_s)))
    share = np.divide(elapsed_s, gap_s, out=np.zeros_like(elapsed_s), where=present & (elapsed_s > 0))
    x_m, y_m = (line[there] + share * (line[follower] - line[there]) for line in (traces.x_m, traces.y_m))
    unit, distance_m = np.zeros(present.shape, np.int64), np.full(present.shape, np.inf)
    unit[present], distance_m[present] = _nearest(x_m[present], y_m[present], units_m)
    by_time = (np.ascontiguousarray(values.T) for values in (present, x_m, y_m, unit, distance_m))
    return Nearest(**dict(zip(("present", "x_m", "y_m", "unit", "distance_m"), by_time, strict=True)))


def serve(near: Nearest, units_m: Array, radius_m: float, hysteresis_m: float, trigger_steps: float) -> Served:
    """Return who is served by whom from when on, all vehicles at once, step by step.

    Parameters
    ----------
    near
        Vehicles on the grid.
    units_m
        Positions of the units [m].
    radius_m, hysteresis_m
        As in `coverage.HandoverRule` [m].
    trigger_steps
        Time to trigger, in steps of the grid.
    """
    num_times, num_vehicles = near.present.shape
    serving = np.full(num_vehicles, NOBODY)
    candidate, since = np.full(num_vehicles, NOBODY), np.zeros(num_vehicles, np.int64)
    steps, changed, units = [], [], []
    num_served = np.zeros(num_times, np.int64)
    within = near.distance_m <= radius_m  # never where nobody is
    for step in range(num_times):
        nearest, least_m = near.unit[step], near.distance_m[step]
        distance_m = np.hypot(near.x_m[step] - units_m[serving, 0], near.y_m[step] - units_m[serving, 1])
        stays = (serving != NOBODY) & near.present[step] & (distance_m <= radius_m)
        # A vehicle at infinity is not there, so the difference is never that of two infinities.
        better = stays & (nearest != serving) & (distance_m - least_m > hysteresis_m)
        since = np.where(better & (candidate == nearest), since, step)
        candidate = np.where(better, nearest, NOBODY)
        moves = better & (step - since >= trigger_steps - _ROUNDING)
        taken = np.where(within[step], nearest, NOBODY)
        now = np.where(stays & ~moves, serving, taken)
        if len(who := np.flatnonzero(now != serving)):
            steps.append(np.full(len(who), step))
            changed.append(who)
            units.append(now[who])
        serving = now
        num_served[step] = np.count_nonzero(now != NOBODY)
    none = [np.zeros(0, np.int64)]
    return Served(
        num_vehicles=num_vehicles,
        step=np.concatenate(none + steps),
        vehicle=np.concatenate(none + changed),
        unit=np.concatenate(none + units),
        num_served=num_served,
    )


def _last_samples(traces: Traces, vehicles: slice, grid_s: Array) -> Integers:
    """Return the last sample up to each time of the grid, ``(num_vehicles, num_times)``; -1 if there is none."""
    offsets = traces.offsets[vehicles.start : vehicles.stop + 1]
    samples = np.arange(offsets[0], offsets[-1])
    row = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    column = np.searchsorted(grid_s, traces.time_s[samples], side="left")
    on_grid = column < len(grid_s)
    place = np.full((len(offsets) - 1, len(grid_s)), -1)
    place[row[on_grid], column[on_grid]] = samples[on_grid]  # of several, the last one is assigned
    return np.maximum.accumulate(place, axis=1)


def _nearest(x_m: Array, y_m: Array, units_m: Array) -> tuple[Integers, Array]:
    if len(units_m) > _FEW_UNITS:
        distance_m, unit = cKDTree(units_m).query(np.stack([x_m, y_m], axis=1))
        return unit.astype(np.int64), distance_m
    unit, square = np.zeros(len(x_m), np.int64), np.full(len(x_m), np.inf)
    for number, (unit_x_m, unit_y_m) in enumerate(units_m):
        other = (x_m - unit_x_m) ** 2 + (y_m - unit_y_m) ** 2
        nearer = other < square
        unit[nearer], square[nearer] = number, other[nearer]
    return unit, np.sqrt(square)
