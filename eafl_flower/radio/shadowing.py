r"""Log-normal shadowing that is alike at places near each other.

.. math:: E[F(x)\,F(x + \Delta)] = \sigma^2\,e^{-|\Delta| / d_c}

(Gudmundson, "Correlation model for shadow fading in mobile radio systems", Electronics Letters 27(23), 1991). It is a
function of the place: a sum of :math:`N` cosines with random wave vectors :math:`k_i` and phases,

.. math:: F(x) = \sigma\sqrt{2/N}\sum_i\cos(k_i\cdot x + \varphi_i), \qquad
    P(|k| \le \kappa) = 1 - \frac{1}{\sqrt{1 + (\kappa d_c)^2}}

whose lengths have the spectrum of that correlation in the plane (its Fourier transform is
:math:`\propto (1 + |k|^2 d_c^2)^{-3/2}`), one of each of :math:`N` equally likely ranges. For each unit it is
drawn anew. With :math:`N` cosines it is nearly, not exactly, normal.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from eafl_flower.core.rng import generator

Array = NDArray[np.float64]
NUM_WAVES = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Waves:
    """The waves of one unit: wave vectors [rad/m], ``(2, num_waves)``, and phases [rad], ``(num_waves,)``."""

    vectors: Array
    phases: Array

    def at(self, places_m: Array) -> Array:
        """Return shadowing of standard deviation 1 at places ``(n, 2)`` [m], ``(n,)``."""
        total: Array = np.cos(places_m @ self.vectors + self.phases).sum(axis=-1)
        return total * float(np.sqrt(2 / len(self.phases)))


@lru_cache(maxsize=65536)
def waves_of(seed: int, unit: int, correlation_m: float) -> Waves:
    """Return the waves of a unit, a function of the seed and its number.

    Parameters
    ----------
    seed
        Seed of the run.
    unit
        Number of the unit.
    correlation_m
        Distance :math:`d_c` at which correlation is 1/e [m].
    """
    rng = generator(seed, "radio", "shadowing", unit)
    below = (np.arange(NUM_WAVES) + rng.random(NUM_WAVES)) / NUM_WAVES
    length = np.sqrt(1 / (1 - below) ** 2 - 1) / correlation_m
    angle, phases = rng.uniform(0, 2 * np.pi, (2, NUM_WAVES))
    return Waves(vectors=length * np.stack([np.cos(angle), np.sin(angle)]), phases=phases)


def shadowing_db(
    seed: int, places_m: Array, units: NDArray[np.int64], deviation_db: float, correlation_m: float
) -> Array:
    """Return the shadowing between places ``(n, 2)`` [m] and the unit of each, ``(n,)``: [dB], ``(n,)``."""
    result = np.zeros(len(units))
    if not deviation_db or not len(units):
        return result
    order = np.argsort(units, kind="stable")
    starts = np.flatnonzero(np.diff(units[order], prepend=units[order[0]] - 1))
    for rows in np.split(order, starts[1:]):
        unit = int(units[rows[0]])
        result[rows] = deviation_db * waves_of(seed, unit, correlation_m).at(places_m[rows])
    return result
