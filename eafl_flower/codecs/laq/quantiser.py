r"""Vectors as integers of a few bits relative to the last quantised vector.

With the innovation :math:`y = x - q'` of a vector of :math:`d` values, its range :math:`R = \max_i |y_i|` and
:math:`\Delta = R / (2^b - 1)`, the canonical quantiser is

.. math:: n_i = \Bigl\lfloor \frac{y_i + R + \Delta}{2 \Delta} \Bigr\rfloor \in \{0, \dots, 2^b - 1\}, \qquad
          q_i = q'_i - R + 2 \Delta n_i, \qquad |x_i - q_i| \le \Delta

at :math:`b d + 32` bits. The quantiser that is called "authors" here rounds to multiples instead,
:math:`n_i = \mathrm{round}(y_i / 2 \Delta)` to even, :math:`q_i = q'_i + 2 \Delta n_i`. It has :math:`2^b + 1` levels,
which do not fit into :math:`b` bits, overshoots :math:`\pm R` and gives zero for all innovations at :math:`b = 1`.

References
----------
Sun, Chen, Giannakis and Yang, "Communication-Efficient Distributed Learning via Lazily Aggregated Quantized
Gradients", NeurIPS 2019; Zhao et al., "AQUILA: Communication Efficient Federated Learning with Adaptive
Quantization of Lazily-Aggregated Gradients", arXiv 2308.00258.
"""

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

Rounding = Literal["canonical", "authors"]
MAX_BITS: Final = 16
_LARGEST: Final = float(np.finfo(np.float32).max)


@dataclass(frozen=True, kw_only=True)
class Levels:
    """The levels of one vector: their number by ``bits`` (1 to 16), their range :math:`R`, and where they lie."""

    bits: int
    range: float
    rounding: Rounding = "canonical"

    @property
    def count_of_bits(self) -> int:
        """How many integers that many bits hold."""
        return 1 << self.bits

    @property
    def step(self) -> float:
        r"""Distance :math:`2 \Delta` of two levels."""
        return 2 * self.range / (self.count_of_bits - 1)

    @property
    def lowest(self) -> int:
        """The least integer :math:`n`: negative where zero is a level."""
        return 0 if self.rounding == "canonical" else -self.count_of_bits // 2

    @property
    def count(self) -> int:
        """How many integers there are."""
        return self.count_of_bits + (self.rounding == "authors")

    def integers(self, innovation: NDArray[np.float64]) -> NDArray[np.int32]:
        """Return :math:`n_i` `(d,)`; the range is that of the innovation and above zero."""
        if self.rounding == "authors":
            return np.rint(innovation / self.step).astype(np.int32)
        places = np.floor((innovation + self.range + self.step / 2) / self.step)
        return np.clip(places, 0, self.count - 1).astype(np.int32)

    def values(self, integers: NDArray[np.int32], previous: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return :math:`q` `(d,)` in float32, cut off at its largest number; ``previous`` may be empty for zeros."""
        moved = self.step * integers
        if self.rounding == "canonical":
            moved -= self.range
        if previous.size:
            moved += previous
        values: NDArray[np.float32] = np.clip(moved, -_LARGEST, _LARGEST).astype(np.float32)
        return values


def innovation_of(x: NDArray[np.float32], previous: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return :math:`x - q'`, within the range of float32; ``previous`` may be empty for zeros."""
    wide = x.astype(np.float64)
    if previous.size:
        wide -= previous
    return np.clip(wide, -_LARGEST, _LARGEST, out=wide)


def range_of(innovation: NDArray[np.float64]) -> float:
    """Return :math:`R` rounded up to float32, as it travels; 0 of an empty vector."""
    largest = max(float(innovation.max()), -float(innovation.min())) if innovation.size else 0.0
    rounded = np.float32(largest)
    return float(rounded if rounded >= largest else np.nextafter(rounded, np.float32(np.inf)))


def aquila_bits(innovation: NDArray[np.float64], rounding: Rounding = "canonical") -> int:
    r"""Return AQUILA's number of bits.

    .. math:: b = \Bigl\lfloor \log_2 \Bigl(1 + \frac{R \sqrt d}{\lVert y \rVert_2}\Bigr) \Bigr\rfloor

    At least 1, or 2 with the rounding of the authors, whose one bit says nothing; at most 16. The least if y = 0.

    Examples
    --------
    >>> aquila_bits(np.array([0.3, -1.2, 0.7, 0.05]))  # log2(1 + 1.2 * 2 / 1.4230) = 1.4263
    1
    """
    least = 2 if rounding == "authors" else 1
    largest = range_of(innovation)
    if largest == 0:
        return least
    scaled = innovation / largest
    norm = math.sqrt(float(np.einsum("i,i->", scaled, scaled)))
    return min(max(least, math.floor(math.log2(1 + math.sqrt(innovation.size) / norm))), MAX_BITS)
