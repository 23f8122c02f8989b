"""Recorded vehicles, from samples in any order to `Traces`: repeats and jumps are left out, and counted."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eafl_flower.errors import ConfigError, DataError
from eafl_flower.mobility.jumps import possible
from eafl_flower.mobility.plane import Plane
from eafl_flower.mobility.traces import Array, Integers, Traces

FASTEST_M_S = 120 / 3.6
LONGEST_GAP_S = 300.0
_LATEST_S = 1e11  # in the year 5138; milliseconds since 1970 are beyond
_FURTHEST = 1e8  # metres; planes of national grids are within


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What is believed of a recording.

    Parameters
    ----------
    fastest_m_s
        A sample that would need more than this from the one before and to the one after is left out [m/s]; see `jumps`.
    longest_gap_s
        Between two samples further apart than this a vehicle is not there [s].

    Raises
    ------
    ConfigError
        If one is not positive.
    """

    fastest_m_s: float = FASTEST_M_S
    longest_gap_s: float = LONGEST_GAP_S

    def __post_init__(self) -> None:
        for name in ("fastest_m_s", "longest_gap_s"):
            if not getattr(self, name) > 0:
                msg = f"{name} = {getattr(self, name)}: expected a positive number"
                raise ConfigError(msg)


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """Samples of vehicles in any order: number of the vehicle in ``names``, time [s], position, ``(n,)`` each.

    ``geographic``: x is the longitude and y the latitude, in degrees; otherwise both are metres.
    """

    names: tuple[str, ...]
    vehicle: Integers
    time_s: Array
    x: Array
    y: Array
    geographic: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Recording:
    """The traces of a file, and what was read and left out.

    Parameters
    ----------
    traces
        The vehicles; ``time_s`` is that of the file.
    plane
        Where the point (0, 0) of a geographic file is; None for a file in metres.
    num_rows
        Samples in the file.
    num_repeats
        Samples left out because the vehicle has another one of the same time, the first of which counts.
    num_jumps
        Samples left out because they are too far away.
    """

    traces: Traces
    plane: Plane | None
    num_rows: int
    num_repeats: int
    num_jumps: int


def recording_of(path: Path, samples: Samples, limits: Limits) -> Recording:
    """Return what a file has recorded.

    Raises
    ------
    DataError
        If there are no samples, a number is not finite or out of all bounds, or most latitudes are none.
    """
    if not len(samples.time_s):
        msg = f"{path} has no sample of a vehicle"
        raise DataError(msg)
    if not all(np.isfinite(column).all() for column in (samples.time_s, samples.x, samples.y)):
        msg = f"{path}: a time or a position is not a finite number; leave that sample out"
        raise DataError(msg)
    if np.abs(samples.time_s).max() > _LATEST_S:
        msg = f"{path}: the time {np.abs(samples.time_s).max():.0f} is no time in seconds: are these milliseconds?"
        raise DataError(msg)
    if (furthest := max(np.abs(samples.x).max(), np.abs(samples.y).max())) > _FURTHEST:
        msg = f"{path}: a position of {furthest:g} is nowhere on Earth, in metres or degrees; leave that sample out"
        raise DataError(msg)
    x_m, y_m, plane = samples.x, samples.y, None
    if samples.geographic:
        plane = _plane(path, samples)
        x_m, y_m = plane.metres(samples.y, samples.x)
    order = np.lexsort((samples.time_s, samples.vehicle))
    vehicle, (time_s, x_m, y_m) = samples.vehicle[order], (column[order] for column in (samples.time_s, x_m, y_m))
    first = np.concatenate([[True], (np.diff(vehicle) != 0) | (np.diff(time_s) != 0)])
    vehicle, (time_s, x_m, y_m) = vehicle[first], (column[first] for column in (time_s, x_m, y_m))
    keep = possible(time_s, x_m, y_m, _offsets(vehicle), limits.fastest_m_s)
    traces = Traces(
        names=samples.names,
        offsets=_offsets(vehicle[keep]),
        time_s=time_s[keep],
        x_m=x_m[keep],
        y_m=y_m[keep],
        longest_gap_s=limits.longest_gap_s,
    )
    return Recording(
        traces=traces,
        plane=plane,
        num_rows=len(order),
        num_repeats=int(np.count_nonzero(~first)),
        num_jumps=int(np.count_nonzero(~keep)),
    )


def numbered(words: Sequence[str]) -> tuple[tuple[str, ...], Integers]:
    """Return the different words in order of appearance, and the number of each word among them."""
    found: dict[str, int] = {}
    numbers = [found.setdefault(word, len(found)) for word in words]
    return tuple(found), np.array(numbers, np.int64)


def _plane(path: Path, samples: Samples) -> Plane:
    latitude, longitude = float(np.median(samples.y)), float(np.median(samples.x))
    if not (abs(latitude) < 90 and abs(longitude) <= 180):
        msg = (
            f"{path}: half of the samples are beyond latitude {latitude:g}, longitude {longitude:g}; expected degrees "
            "up to 90 and 180 (are the two exchanged, or are these metres?)"
        )
        raise DataError(msg)
    return Plane(latitude=latitude, longitude=longitude)


def _offsets(vehicle: Integers) -> Integers:
    return np.concatenate([[0], np.cumsum(np.bincount(vehicle))]).astype(np.int64)
