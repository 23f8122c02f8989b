"""The city: San Francisco's cabs on one afternoon, roadside units on a grid, and their radio."""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eafl_flower.data.tables.files import DataFile, find
from eafl_flower.mobility.coverage import Coverage, HandoverRule, cover
from eafl_flower.mobility.reading import read_traces
from eafl_flower.mobility.traces import Traces

DAY = DataFile(
    title="San Francisco cabs of 21 May 2008",
    relative="cabspotting/cabs_2008-05-21.csv.gz",
    published="https://ieee-dataport.org/open-access/crawdad-epflmobility",
)
BEGIN_S = 17 * 3600.0  # after local midnight


@dataclass(frozen=True, kw_only=True)
class City:
    """Which part of the city, and who drives there.

    ``vehicles`` are those that are longest within the square of ``side_m`` about the middle of all positions during
    ``duration_s``; 0: all of the day. ``columns`` x ``columns`` units stand evenly in it; each reaches ``radius_m``.
    """

    vehicles: int = 18
    columns: int = 4
    side_m: float = 4000.0
    radius_m: float = 600.0
    hysteresis_m: float = 25.0
    duration_s: float = 3600.0


@lru_cache(maxsize=8)
def coverage_of(city: City) -> Coverage:
    """Return who is covered when; time 0 is the beginning of the afternoon."""
    traces = _afternoon()
    times_s = np.arange(0.0, city.duration_s, 60.0)
    found = [traces.at(time_s) for time_s in times_s]
    places_m, there = (np.stack(parts) for parts in zip(*found, strict=True))
    middle_m = np.median(places_m[there], axis=0)
    if city.vehicles:
        inside = there & (np.abs(places_m - middle_m) < city.side_m / 2).all(-1)
        longest = np.argsort(-inside.sum(0), kind="stable")[: city.vehicles]
        traces = traces.of(np.sort(longest))
    rule = HandoverRule(radius_m=city.radius_m, hysteresis_m=city.hysteresis_m)
    return cover(traces, _units_m(city, middle_m), rule)


def handovers(coverage: Coverage, end_s: float) -> list[int]:
    """Return how often each vehicle is handed from one unit to another one, from time 0 until before ``end_s``.

    Coming back from where nobody serves is none.
    """
    found = []
    for begin, end in pairwise(coverage.offsets):
        unit, change_s = coverage.unit[begin:end], coverage.change_s[begin:end]
        within = (change_s[1:] >= 0) & (change_s[1:] < end_s)
        found.append(int((within & (unit[1:] >= 0) & (unit[:-1] >= 0)).sum()))
    return found


def day_path() -> Path:
    """Return the file of the cabs."""
    return find(DAY)


def _units_m(city: City, middle_m: NDArray[np.float64]) -> NDArray[np.float64]:
    step_m = city.side_m / city.columns
    along_m = (np.arange(city.columns) + 0.5) * step_m - city.side_m / 2
    x_m, y_m = np.meshgrid(along_m, along_m, indexing="ij")
    return np.stack([x_m.ravel(), y_m.ravel()], axis=1) + middle_m


@lru_cache(maxsize=1)
def _afternoon() -> Traces:
    traces = read_traces(day_path()).traces
    midnight_s = 1211353200.0  # of 21 May 2008, Pacific time
    return traces.shifted(-(midnight_s + BEGIN_S))
