"""Vehicles whose units are known by a table of times."""

from dataclasses import dataclass

import numpy as np
from flwr.app import ArrayRecord

from eafl_flower.core.rng import generator


@dataclass(frozen=True, kw_only=True)
class Timetable:
    """``ways`` tell of each vehicle, in turn, its units and until when; after the last one it stays there for ever.

    Vehicles predict their stay rightly, times ``hope``, and know which unit comes next unless ``foresight`` is false.
    """

    ways: tuple[tuple[tuple[int, float], ...], ...]
    hope: float = 1.0
    foresight: bool = True
    units_m: tuple = ()

    def interval(self, vehicle, time_s):
        way = self.ways[vehicle % len(self.ways)]
        for unit, until_s in way:
            if time_s < until_s:
                return unit, until_s
        return way[-1][0], float("inf")

    def served(self, vehicle, time_s):
        unit, until_s = self.interval(vehicle, time_s)
        is_on = unit >= 0
        while until_s < float("inf") and (self.interval(vehicle, until_s)[0] >= 0) == is_on:
            _, until_s = self.interval(vehicle, until_s)
        return is_on, until_s

    def predicted_stay_s(self, time_s, vehicles):
        return np.array([self.hope * (self.interval(vehicle, time_s)[1] - time_s) for vehicle in vehicles])

    def predicted_next_unit(self, time_s, vehicles):
        ends = [self.interval(vehicle, time_s)[1] for vehicle in vehicles]
        knows = [self.foresight and until_s < float("inf") for until_s in ends]
        return np.array(
            [self.interval(v, end)[0] if knew else -1 for v, end, knew in zip(vehicles, ends, knows, strict=True)]
        )


class Surprised(Timetable):
    """Sees that it leaves only when it has made an epoch."""

    def predicted_stay_s(self, time_s, vehicles):
        return super().predicted_stay_s(time_s, vehicles) if time_s else [1e9]


def to_and_fro(units, *, every_s, offset_s=0.0, times=400):
    """The way of a vehicle that changes between ``units`` all the time."""
    return tuple((units[i % len(units)], offset_s + (i + 1) * every_s) for i in range(times))


def adapters(name, rank=4):
    """Two layers of rank ``rank`` and a head of one array."""
    rng = generator(8, "adapters", name)
    a = [rng.standard_normal((d, rank)).astype(np.float32) for d in (8, 6)]
    b = [np.zeros((rank, d), np.float32) for d in (7, 9)]
    return ArrayRecord([a[0], b[0], a[1], b[1], np.zeros(3, np.float32)])
