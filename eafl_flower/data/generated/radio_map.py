"""Generated drives through a town with roadside units: which unit is best where. It needs no download.

A vehicle has driven through the streets for ten minutes, and recorded each 5 s where it was and which unit it heard
best. The task is the map behind this: the best unit at a place, from the two coordinates of the place. Held out is
what lies ahead, the last part of each drive: it is asked about before the vehicle gets there, so that nothing it has
measured is the answer. A vehicle has seen a few streets of the town, and all together most of them.

Streets and traffic are random (``mobility/synthetic.py``), units and radio those of ``town``. Ours are the period of
the rows, and the error of a position: 5 m in each direction, about that of a satellite receiver in the open.
"""

from dataclasses import dataclass, field
from typing import Annotated

import numpy as np

from eafl_flower.core.rng import generator
from eafl_flower.core.settings import NotNegative, Positive, Range, check_settings
from eafl_flower.data.generated.town import Town
from eafl_flower.data.holders import Holders
from eafl_flower.data.source import InMemorySource
from eafl_flower.data.splits import client_counts, seen_and_unseen, seen_part, unseen_part
from eafl_flower.mobility.synthetic import street_traces
from eafl_flower.mobility.traces import Array, Integers

FEATURE_NAMES = ("east_m", "north_m")
TEST_SHARE = 0.3


@dataclass(frozen=True, kw_only=True)
class RadioMap:
    """The best unit by place, a client a vehicle: ``simulate_radio_map``.

    Parameters
    ----------
    rows_per_client
        Rows of a vehicle, one each 5 s.
    units_along
        Units along each side of the town.

    Raises
    ------
    ConfigError
        If a setting is out of range.
    """

    rows_per_client: Annotated[int, Range(16)] = 120
    units_along: Annotated[int, Range(2, 10)] = 4

    def __post_init__(self) -> None:
        check_settings(self)

    def make(self, holders: Holders) -> InMemorySource:
        """Generate it."""
        drives = Drives(town=Town(units_along=self.units_along), rows=self.rows_per_client)
        return simulate_radio_map(drives=drives, **holders.counts)


@dataclass(frozen=True, kw_only=True)
class Drives:
    """What vehicles record in a town.

    Parameters
    ----------
    town
        Streets, units and radio.
    rows
        Rows of a vehicle.
    every_s
        Time between two of them [s].
    position_error_m
        Standard deviation of the recorded position in each direction [m].

    Raises
    ------
    ConfigError
        If a number is out of range.
    """

    town: Town = field(default_factory=Town)
    rows: Annotated[int, Range(16)] = 120
    every_s: Positive = 5.0
    position_error_m: NotNegative = 5.0

    def __post_init__(self) -> None:
        check_settings(self)

    def places_m(self, vehicles: int, seed: int) -> Array:
        """Return where vehicles are at their rows [m], ``(vehicles, rows, 2)``."""
        traces = street_traces(self.town.streets, vehicles=vehicles, duration_s=self.every_s * self.rows, seed=seed)
        places_m, _ = traces.at(self.every_s * np.arange(self.rows)[:, None])
        return places_m.swapaxes(0, 1)

    def recorded(self, vehicles: int, seed: int) -> tuple[Array, Integers]:
        """Return what they record: positions [m], ``(vehicles, rows, 2)``, and best units, ``(vehicles, rows)``."""
        places_m = self.places_m(vehicles, seed)
        best = self.town.best_unit(places_m.reshape(-1, 2), self.town.units_m(seed), seed)
        error_m = generator(seed, "town", "position").standard_normal(places_m.shape)
        return places_m + self.position_error_m * error_m, best.reshape(places_m.shape[:2])


def simulate_radio_map(
    *, clients: int = 60, unseen: int = 12, seed: int = 1, drives: Drives | None = None
) -> InMemorySource:
    """Generate drives: one client a vehicle, the last 30 % of its drive held out.

    A vehicle is a function of the seed and its number: more vehicles change nothing of the others' rows.

    Parameters
    ----------
    clients, unseen
        Number of vehicles, and how many of them never train.
    seed
        Everything depends on the seed and the arguments alone.
    drives
        Town, radio, and what vehicles record.

    Raises
    ------
    ConfigError
        If the counts leave nobody to train.
    """
    clients, unseen = client_counts(clients, unseen, if_zero=60)
    drives = drives or Drives()
    x, y = drives.recorded(clients, seed)
    num_seen = clients - unseen
    order = seen_and_unseen(clients, clients=clients, unseen=unseen, rng=generator(seed, "data", "radio-map"))
    parts = [
        seen_part(x[vehicle], y[vehicle], test_share=TEST_SHARE, gap=0)
        if client < num_seen
        else unseen_part(x[vehicle], y[vehicle])
        for client, vehicle in enumerate(order)
    ]
    return InMemorySource.scaled(
        parts,
        name="radio-map",
        class_names=tuple(f"unit_{unit}" for unit in range(drives.town.num_units)),
        feature_names=FEATURE_NAMES,
        num_seen=num_seen,
    )
