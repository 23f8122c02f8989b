r"""A town, the roadside units in it, and which of them is heard best where.

The town is cut into ``units_along`` times ``units_along`` squares. In each a unit stands at a crossing, drawn at
random from the inner half of the square. At a place :math:`x` the best unit is the one that is heard best, fading
averaged out,

.. math:: u^*(x) = \arg\max_u\; g(|x - x_u|)\,10^{F_u(x)/10}

with path loss :math:`g` and shadowing :math:`F_u` of ``radio/roadside.py``. Nothing of it is measured: it is what that
model says of a town on the grid of streets of ``mobility/synthetic.py``.
"""

from dataclasses import dataclass, field

import numpy as np

from eafl_flower.core.rng import generator
from eafl_flower.core.settings import CountFromOne, check_settings
from eafl_flower.mobility.synthetic import Streets
from eafl_flower.mobility.traces import Array, Integers
from eafl_flower.radio.roadside import Roadside, snr_at


@dataclass(frozen=True, kw_only=True)
class Town:
    """Streets, units and radio.

    Parameters
    ----------
    streets
        The streets, and how fast vehicles are: 36 to 54 km/h by default.
    radio
        Path loss, shadowing and powers.
    units_along
        Units along each side of the town, one in each square.

    Raises
    ------
    ConfigError
        If a square has a side of less than two blocks.

    Examples
    --------
    >>> town = Town(units_along=2)
    >>> town.num_units, town.streets.side_m
    (4, 2000.0)
    """

    streets: Streets = field(default_factory=lambda: Streets(slowest_m_s=10.0))
    radio: Roadside = field(default_factory=Roadside)
    units_along: CountFromOne = 4

    def __post_init__(self) -> None:
        most = self.streets.blocks // 2  # in smaller squares two units might stand at one crossing
        text = f"expected at most {most}, half of the blocks along a side"
        check_settings(self, units_along="" if self.units_along <= most else text)

    @property
    def num_units(self) -> int:
        """Number of units."""
        return self.units_along**2

    def units_m(self, seed: int) -> Array:
        """Return where the units stand [m], ``(num_units, 2)``, from west to east, then to the north."""
        side = self.streets.blocks / self.units_along  # of a square, in blocks
        middle = (np.arange(self.units_along) + 0.5) * side
        squares = np.stack(np.meshgrid(middle, middle, indexing="xy"), axis=-1)
        off = generator(seed, "town", "units").uniform(-side / 4, side / 4, squares.shape)
        return self.streets.block_m * np.round(squares + off).reshape(-1, 2)

    def best_unit(self, places_m: Array, units_m: Array, seed: int) -> Integers:
        """Return the number of the unit that is heard best at places ``(n, 2)`` [m], ``(n,)``."""
        heard = [
            snr_at(self.radio, seed, places_m, units_m, np.full(len(places_m), unit), "down")
            for unit in range(len(units_m))
        ]
        best: Integers = np.argmax(heard, axis=0)
        return best
