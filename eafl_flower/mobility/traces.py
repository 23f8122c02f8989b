"""Where vehicles are, as a function of time: samples of each, and straight lines between them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eafl_flower.errors import ConfigError

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]
Vehicles = Sequence[int] | Integers | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Traces:
    """Samples of vehicles, vehicle after vehicle, each in order of time.

    Between two samples a vehicle goes straight on at constant speed. It is not there before its first sample, after its
    last one, and between two that are more than ``longest_gap_s`` apart.

    Parameters
    ----------
    names
        What the recording calls the vehicles, ``(num_vehicles,)``.
    offsets
        Samples of vehicle v are ``offsets[v]:offsets[v + 1]``, ``(num_vehicles + 1,)``; each has at least one.
    time_s
        Times [s], increasing within each vehicle.
    x_m, y_m
        Positions on a plane [m].
    longest_gap_s
        Longest time between two samples that a vehicle is there [s].

    Raises
    ------
    ConfigError
        If there is no vehicle, shapes do not fit, a number is not finite, or times do not increase.

    Examples
    --------
    >>> drive = traces_of({"cab": ([0.0, 10.0], [0.0, 100.0], [0.0, 0.0])})
    >>> xy_m, present = drive.at(4.0)
    >>> xy_m.tolist(), present.tolist(), drive.velocity_m_s(12.0).tolist()
    ([[40.0, 0.0]], [True], [[10.0, 0.0]])
    """

    names: tuple[str, ...]
    offsets: Integers
    time_s: Array
    x_m: Array
    y_m: Array
    longest_gap_s: float = 300.0

    def __post_init__(self) -> None:
        starts, num_samples = self.offsets, len(self.time_s)
        if wrong := _wrong_shape(self):
            msg = f"traces: {wrong}; expected flat arrays of one length and the offset of each vehicle in them"
            raise ConfigError(msg)
        if not all(np.isfinite(values).all() for values in (self.time_s, self.x_m, self.y_m)):
            raise ConfigError("traces: a time or a position is not a finite number")
        inside = np.ones(num_samples - 1, np.bool_)
        inside[starts[1:-1] - 1] = False
        if (np.diff(self.time_s)[inside] <= 0).any():
            raise ConfigError("traces: times of a vehicle do not increase; sort them, and keep one sample of each time")
        if not self.longest_gap_s > 0:
            msg = f"traces: longest_gap_s = {self.longest_gap_s}: expected a positive number"
            raise ConfigError(msg)

    def __repr__(self) -> str:
        samples = f"{len(self.time_s):,} samples, {self.start_s:.10g} to {self.end_s:.10g} s"
        return f"<Traces of {len(self):,} vehicles: {samples}, longest_gap_s={self.longest_gap_s:g}>"

    def __len__(self) -> int:
        """Return the number of vehicles."""
        return len(self.names)

    @property
    def start_s(self) -> float:
        """Time of the first sample of all [s]."""
        return float(self.time_s.min())

    @property
    def end_s(self) -> float:
        """Time of the last sample of all [s]."""
        return float(self.time_s.max())

    def at(self, time_s: ArrayLike, vehicles: Vehicles = None) -> tuple[Array, Booleans]:
        """Return positions [m], ``(..., n, 2)``, and who is there, ``(..., n)``; without a place a position is NaN.

        Parameters
        ----------
        time_s
            One time for all [s], one for each of the ``n`` vehicles, or an array ``(..., n)`` or ``(..., 1)`` of them.
        vehicles
            Numbers of vehicles, ``(n,)``; all if not given.
        """
        time, chosen, place = self._last(time_s, vehicles)
        there = np.maximum(place, 0)
        follower = np.minimum(there + 1, self.offsets[chosen + 1] - 1)
        gap_s = self.time_s[follower] - self.time_s[there]
        elapsed_s = time - self.time_s[there]
        present: Booleans = (place >= 0) & ((elapsed_s == 0) | ((gap_s > 0) & (gap_s <= self.longest_gap_s)))
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(present, np.where(elapsed_s == 0, 0.0, elapsed_s / gap_s), np.nan)
        xy_m = [line[there] + share * (line[follower] - line[there]) for line in (self.x_m, self.y_m)]
        return np.stack(xy_m, axis=-1), present

    def velocity_m_s(self, time_s: ArrayLike, vehicles: Vehicles = None) -> Array:
        """Return velocities from the last two samples up to ``time_s`` [m/s], ``(..., n, 2)``; arguments as ``at``.

        It is 0 where there are no two, or they are too far apart in time. Nothing later than ``time_s`` counts.
        """
        _, velocity_m_s = self._reckoned(time_s, vehicles)
        return velocity_m_s

    def reckoned_m(self, time_s: ArrayLike, vehicles: Vehicles = None) -> tuple[Array, Array]:
        """Return where dead reckoning puts vehicles [m], and at what velocity [m/s], ``(..., n, 2)`` both.

        From the last sample it goes on at the velocity of the last two; nothing later than ``time_s`` counts. NaN
        before the first sample.
        """
        time, _, place = self._last(time_s, vehicles)
        _, velocity_m_s = self._reckoned(time_s, vehicles)
        there = np.maximum(place, 0)
        elapsed_s = np.where(place >= 0, time - self.time_s[there], np.nan)
        last_m = np.stack([self.x_m[there], self.y_m[there]], axis=-1)
        return last_m + velocity_m_s * elapsed_s[..., None], velocity_m_s

    def _reckoned(self, time_s: ArrayLike, vehicles: Vehicles) -> tuple[Integers, Array]:
        _, chosen, place = self._last(time_s, vehicles)
        there = np.maximum(place, 0)
        before = np.maximum(there - 1, 0)
        step_s = self.time_s[there] - self.time_s[before]
        known = (place > self.offsets[chosen]) & (step_s <= self.longest_gap_s)
        step_s = np.where(known, step_s, 1.0)
        velocity = [np.where(known, (line[there] - line[before]) / step_s, 0.0) for line in (self.x_m, self.y_m)]
        return place, np.stack(velocity, axis=-1)

    def of(self, vehicles: Sequence[int] | Integers) -> "Traces":
        """Return the traces of some vehicles, in this order; raises ``ConfigError`` if one is not there, or none is."""
        chosen = self.numbers(vehicles)
        lengths = np.diff(self.offsets)[chosen]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        rows = np.arange(offsets[-1]) + np.repeat(self.offsets[chosen] - offsets[:-1], lengths)
        return replace(
            self,
            names=tuple(self.names[vehicle] for vehicle in chosen),
            offsets=offsets,
            time_s=self.time_s[rows],
            x_m=self.x_m[rows],
            y_m=self.y_m[rows],
        )

    def shifted(self, by_s: float) -> "Traces":
        """Return the same drives ``by_s`` later [s]; by ``-start_s`` the first sample is at time 0."""
        return replace(self, time_s=self.time_s + by_s)

    def scaled(self, factor: float, about_m: tuple[float, float]) -> "Traces":
        """Return the same drives on a map stretched by ``factor`` about a point [m]; speeds stretch with it."""
        x_m, y_m = about_m
        return replace(self, x_m=x_m + factor * (self.x_m - x_m), y_m=y_m + factor * (self.y_m - y_m))

    def numbers(self, vehicles: Vehicles) -> Integers:
        """Return vehicles as an array, all if None; raises ``ConfigError`` for one that the traces do not have."""
        if vehicles is None:
            return np.arange(len(self))
        chosen = np.asarray(vehicles, np.int64)
        if chosen.size and not (chosen.min() >= 0 and chosen.max() < len(self)):
            wrong = chosen.max() if chosen.max() >= len(self) else chosen.min()
            msg = f"vehicle {wrong}: expected a number from 0 to {len(self) - 1}, as the traces have {len(self):,}"
            raise ConfigError(msg)
        return chosen

    def _last(self, time_s: ArrayLike, vehicles: Vehicles) -> tuple[Array, Integers, Integers]:
        """Return times, vehicles, and the last sample of each up to its time, -1 if there is none; one shape."""
        time, chosen = np.broadcast_arrays(np.asarray(time_s, np.float64), self.numbers(vehicles))
        after = first_after(self.time_s, self.offsets[chosen], self.offsets[chosen + 1], time)
        return time, chosen, np.where(after > self.offsets[chosen], after - 1, -1)


def first_after(times_s: Array, starts: Integers, ends: Integers, time_s: Array) -> Integers:
    """Return the first place in each ``starts:ends`` of ``times_s`` whose time is later, ``ends`` if none is.

    A bisection in all ranges at once; times increase within each.
    """
    low, high = starts.copy(), ends.copy()
    for _ in range(int((ends - starts).max(initial=0)).bit_length()):
        middle = (low + high) // 2
        is_open = low < high
        later = times_s[np.minimum(middle, len(times_s) - 1)] > time_s
        high = np.where(is_open & later, middle, high)
        low = np.where(is_open & ~later, middle + 1, low)
    return low


def traces_of(drives: dict[str, tuple[ArrayLike, ArrayLike, ArrayLike]], *, longest_gap_s: float = 300.0) -> Traces:
    """Return traces of drives by name, each its times [s], x and y [m]; raises as ``Traces``."""
    columns = [[np.asarray(values, np.float64) for values in drive] for drive in drives.values()]
    lengths = [len(times) for times, _, _ in columns]
    time_s, x_m, y_m = (np.concatenate([[], *(drive[k] for drive in columns)]) for k in range(3))
    return Traces(
        names=tuple(drives),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        time_s=time_s,
        x_m=x_m,
        y_m=y_m,
        longest_gap_s=longest_gap_s,
    )


def _wrong_shape(traces: Traces) -> str:
    shapes = {traces.time_s.shape, traces.x_m.shape, traces.y_m.shape}
    offsets = traces.offsets
    if not traces.names:
        return "no vehicle"
    if len(shapes) > 1 or traces.time_s.ndim != 1:
        return f"times and positions have shapes {', '.join(map(str, sorted(shapes)))}"
    if offsets.shape != (len(traces.names) + 1,) or offsets[0] != 0 or offsets[-1] != len(traces.time_s):
        return f"offsets {offsets.tolist()[:4]}... of {len(traces.names)} vehicles with {len(traces.time_s)} samples"
    return "a vehicle has no sample" if (np.diff(offsets) < 1).any() else ""
