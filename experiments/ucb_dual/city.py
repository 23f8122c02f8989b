"""The city: San Francisco's cabs on one afternoon, roadside units on a grid, and their radio."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from eafl_flower.core.files import data_folder
from numpy.typing import NDArray

from eafl_flower.mobility.coverage import Coverage, HandoverRule, cover
from eafl_flower.mobility.reading import read_traces
from eafl_flower.mobility.traces import Traces

DAY = "cabspotting/cabs_2008-05-21.csv.gz"
BEGIN_S = 17 * 3600.0  # after the first sample of the day, local midnight


@dataclass(frozen=True, kw_only=True)
class City:
    """Which part of the city, and who drives there.

    ``vehicles`` are those that are longest within the square of ``side_m`` about the middle of all positions during
    ``duration_s``; 0: all of the day. ``columns`` x ``columns`` units stand evenly in it; each reaches ``radius_m``.
    """

    vehicles: int = 18
    columns: int = 3
    side_m: float = 4000.0
    radius_m: float = 950.0
    hysteresis_m: float = 25.0
    duration_s: float = 3600.0


def coverage_of(city: City) -> Coverage:
    """Return who is covered when; time 0 is the beginning of the afternoon."""
    traces = _afternoon()
    times_s = np.arange(0.0, city.duration_s, 60.0)
    places = np.stack([traces.at(time_s)[0] for time_s in times_s])
    there = np.stack([traces.at(time_s)[1] for time_s in times_s])
    middle_m = np.median(places[there], axis=0)
    if city.vehicles:
        inside = there & (np.abs(places - middle_m) < city.side_m / 2).all(-1)
        longest = np.argsort(-inside.sum(0), kind="stable")[: city.vehicles]
        traces = traces.of(np.sort(longest))
    rule = HandoverRule(radius_m=city.radius_m, hysteresis_m=city.hysteresis_m)
    return cover(traces, units_of(city, middle_m), rule)


def units_of(city: City, middle_m: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the positions of the units [m], row by row."""
    step_m = city.side_m / city.columns
    along = (np.arange(city.columns) + 0.5) * step_m - city.side_m / 2
    x_m, y_m = np.meshgrid(along, along, indexing="ij")
    return np.stack([x_m.ravel(), y_m.ravel()], axis=1) + middle_m


def day_path() -> Path:
    """Return the file of the cabs."""
    return data_folder("", DAY)


@lru_cache(maxsize=1)
def _afternoon() -> Traces:
    traces = read_traces(day_path()).traces
    return traces.shifted(-(traces.start_s + BEGIN_S))
