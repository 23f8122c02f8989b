"""Vehicles that never leave: where no positions are known, as over a network."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eafl_flower.core.settings import Count, check_settings


@dataclass(frozen=True, kw_only=True)
class Parked:
    """Each vehicle is served by one unit for ever.

    Parameters
    ----------
    units
        Number of the unit, from 0, given to the vehicles in turn.

    Raises
    ------
    ConfigError
        If there is none, or a number is negative.

    Examples
    --------
    >>> Parked(units=(0, 1)).interval(3, 60.0)
    (1, inf)
    """

    units: tuple[Count, ...] = (0,)

    def __post_init__(self) -> None:
        check_settings(self, units="" if self.units else "expected one unit at least")

    @property
    def num_units(self) -> int:
        """The number of units."""
        return max(self.units) + 1

    def interval(self, vehicle: int, time_s: float) -> tuple[int, float]:
        """Return the unit of ``vehicle``, for ever."""
        return self.units[vehicle % len(self.units)], math.inf

    def served(self, vehicle: int, time_s: float) -> tuple[bool, float]:
        """Return that it is, for ever."""
        return True, math.inf

    def predicted_stay_s(self, time_s: float, vehicles: Sequence[int]) -> NDArray[np.float64]:
        """Return infinity for each."""
        return np.full(len(vehicles), math.inf)

    def predicted_next_unit(self, time_s: float, vehicles: Sequence[int]) -> NDArray[np.int64]:
        """Return that each has none."""
        return np.full(len(vehicles), -1)
