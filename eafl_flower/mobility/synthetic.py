"""Random traffic on a grid of streets, for as many vehicles as one likes.

A vehicle goes at a speed of its own from crossing to crossing: straight on with probability 1/2, to the left or to the
right with 1/4 each; at the edge of the town, where a way would lead out, it turns round. It is a function of the seed
and its own number: more vehicles, or a longer time, change nothing of it. These odds are usual for a Manhattan grid;
that speeds are uniform and stay is ours.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from eafl_flower.core.rng import generator
from eafl_flower.core.settings import CountFromOne, Positive, Range, check_settings
from eafl_flower.errors import ConfigError
from eafl_flower.mobility.traces import Integers, Traces

# East, north, west, south: one more is a turn to the left.
_EAST, _NORTH = np.array([1, 0, -1, 0]), np.array([0, 1, 0, -1])


@dataclass(frozen=True, kw_only=True)
class Streets:
    """A town of square blocks, and how fast vehicles are in it.

    Parameters
    ----------
    block_m
        Side of a block [m].
    blocks
        Blocks along each side of the town.
    slowest_m_s, fastest_m_s
        A vehicle's speed is uniform between them [m/s].

    Raises
    ------
    ConfigError
        If a number is out of range, or the slowest is faster than the fastest.
    """

    block_m: Positive = 100.0
    blocks: CountFromOne = 20
    slowest_m_s: Positive = 5.0
    fastest_m_s: Annotated[float, Range(0, 1000, above=True)] = 15.0

    def __post_init__(self) -> None:
        slower = "expected at most fastest_m_s" if self.slowest_m_s > self.fastest_m_s else ""
        check_settings(self, slowest_m_s=slower)

    @property
    def side_m(self) -> float:
        """Side of the town [m]; positions are from 0 to this."""
        return self.blocks * self.block_m


def street_traces(streets: Streets, *, vehicles: int, duration_s: float, seed: int) -> Traces:
    """Return vehicles from time 0 to at least ``duration_s`` [s], each on a crossing at time 0.

    Raises
    ------
    ConfigError
        If there is no vehicle or no time.
    """
    if vehicles < 1 or not 0 < duration_s < np.inf:
        msg = f"traffic of {vehicles} vehicles for {duration_s} s: expected at least one, and a positive time"
        raise ConfigError(msg)
    num_legs = int(np.ceil(duration_s * streets.fastest_m_s / streets.block_m))
    drawn = np.empty((vehicles, 4 + num_legs))
    for vehicle in range(vehicles):
        generator(seed, "streets", vehicle).random(out=drawn[vehicle])
    speed_m_s = streets.slowest_m_s + drawn[:, 0] * (streets.fastest_m_s - streets.slowest_m_s)
    corner = np.empty((2, vehicles, num_legs + 1), np.int64)
    corner[:, :, 0] = (drawn[:, 1:3].T * (streets.blocks + 1)).astype(np.int64)
    heading = (drawn[:, 3] * 4).astype(np.int64)
    turns = np.select([drawn[:, 4:] < 0.5, drawn[:, 4:] < 0.75], [0, 1], 3)
    for leg in range(num_legs):
        heading = _allowed(corner[:, :, leg], (heading + turns[:, leg]) % 4, streets.blocks)
        corner[:, :, leg + 1] = corner[:, :, leg] + np.stack([_EAST[heading], _NORTH[heading]])
    # Slow vehicles need fewer legs: each keeps those up to the first that ends at duration_s or later.
    legs = np.minimum(np.ceil(duration_s * speed_m_s / streets.block_m).astype(np.int64), num_legs)
    kept = np.arange(num_legs + 1) <= legs[:, None]
    time_s = np.arange(num_legs + 1) * (streets.block_m / speed_m_s)[:, None]
    return Traces(
        names=tuple(map(str, range(vehicles))),
        offsets=np.concatenate([[0], np.cumsum(legs + 1)]),
        time_s=time_s[kept],
        x_m=streets.block_m * corner[0][kept],
        y_m=streets.block_m * corner[1][kept],
        longest_gap_s=np.inf,
    )


def _allowed(
    corner: Integers,
    heading: Integers,
    blocks: int,
) -> Integers:
    """Return headings that stay in the town: one that leads out is turned round."""
    east, north = corner[0] + _EAST[heading], corner[1] + _NORTH[heading]
    leads_out = (east < 0) | (east > blocks) | (north < 0) | (north > blocks)
    return np.where(leads_out, (heading + 2) % 4, heading)
