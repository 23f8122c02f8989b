r"""Vectors as whole numbers of a quantum that a shared exponent gives: exponent-mantissa quantisation.

With base :math:`B`, the largest magnitude :math:`a = \max_i |x_i|` of a vector and :math:`r` extra digits,

.. math:: e = \lfloor \log_B a \rfloor, \quad s = B^{e - r}, \quad m_i = \mathrm{round}(x_i / s), \quad
          \hat x_i = s \, m_i, \qquad |x_i - \hat x_i| \le s / 2, \quad |m_i| \le B^{r + 1}

rounded to even. :math:`r` is given, or the least for which :math:`\lVert x - \hat x\rVert^2 \le \tau \lVert x\rVert^2`.
The count of the source, which charges no lengths and so cannot be decoded, is

.. math:: b = \sum_i (1 + \mathrm{bitlen} |m_i|) + \mathrm{bitlen} |e|

The quotient is one of float64, and :math:`\hat x` is rounded to float32: :math:`s / 2` holds up to that rounding, and
up to :math:`s` where the nearest multiple would lie beyond the largest float32.

References
----------
Mahmoudi, Xiao and Björnson, "Accelerating Energy-Efficient Federated Learning in Cell-Free Networks with Adaptive
Quantization", arXiv 2412.20785. Only its abstract was read; ``docs/emq.md`` says what the rest stands on.
"""

import math
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from eafl_flower.errors import CodecError

Vector = NDArray[np.float32]
Integers = NDArray[np.int32]

AUTO_DIGITS: Final = {10: 3, 2: 15}
MOST_DIGITS: Final = {10: 6, 2: 21}
TINY: Final = 0.001
_LARGEST: Final = float(np.finfo(np.float32).max)
_CHUNK: Final = 2**16


@cache
def loops() -> ModuleType:
    """Return the compiled loops, imported once they are needed: numba takes a while."""
    from eafl_flower.codecs.emq import compiled_grid

    return compiled_grid


class Grid(Protocol):
    """How integers stand for the numbers of one vector."""

    def values(self, integers: Integers) -> Vector:
        """Return the numbers; raises ``CodecError`` for an integer that stands for none."""

    def squared_error(self, integers: Integers, x: Vector) -> float:
        """Return the squared norm of what the numbers miss of ``x``."""

    def bits(self, integers: Integers) -> int:
        """Return how many bits the source of the quantiser would count for these integers."""


@dataclass(frozen=True, kw_only=True)
class UniformGrid:
    """Whole multiples of ``base ** (exponent - digits)``; with ``tiny`` zero stands for a thousandth of one.

    ``chose_digits`` says whether the number of digits is charged, as one that was chosen for the vector.
    """

    base: int
    exponent: int
    digits: int
    tiny: bool = False
    chose_digits: bool = False

    @property
    def quantum(self) -> float:
        """The quantum s, the double next to it, so that all machines have the same."""
        return power(self.base, self.exponent - self.digits)

    @property
    def zero(self) -> float:
        """What zero stands for."""
        return TINY * self.quantum if self.tiny else 0.0

    @property
    def largest(self) -> int:
        """The largest |m|: that of any vector with this exponent, and none beyond float32."""
        most: int = self.base ** (self.digits + 1)
        return min(most, math.floor(_LARGEST / self.quantum))

    def values(self, integers: Integers) -> Vector:
        """Return s m in float32; raises ``CodecError`` if one is larger than any vector with this exponent has."""
        values = np.empty(integers.size, np.float32)
        if (largest := loops().scale(integers, self.quantum, self.zero, values)) > self.largest:
            msg = f"a mantissa of the payload is {largest}: expected at most {self.largest} with {self.digits} digits"
            raise CodecError(msg)
        return values

    def squared_error(self, integers: Integers, x: Vector) -> float:
        """Return the squared norm of what the numbers miss of ``x``."""
        error: float = loops().miss(integers, self.quantum, self.zero, x)
        return error

    def bits(self, integers: Integers) -> int:
        """Return the count of the source: sign and length of each |m|, length of |e|, and the digits if chosen."""
        of_digits = self.chose_digits * AUTO_DIGITS[self.base].bit_length()
        return integers.size + _sum_of_lengths(integers) + abs(self.exponent).bit_length() + of_digits


def power(base: int, exponent: int) -> float:
    """Return the double nearest to a power of 2 or 10, whatever the machine."""
    return math.ldexp(1.0, exponent) if base == 2 else float(f"1e{exponent}")


def exponent_of(largest: float, base: int) -> int:
    """Return the largest e with ``base ** e <= largest``, which is above zero.

    Examples
    --------
    >>> exponent_of(0.0999, 10), exponent_of(1000.0, 10), exponent_of(0.75, 2)
    (-2, 3, -1)
    """
    exponent = math.floor(math.log(largest, base))
    while power(base, exponent + 1) <= largest:  # the logarithm is rounded
        exponent += 1
    while power(base, exponent) > largest:
        exponent -= 1
    return exponent


def peak_of(x: Vector) -> float:
    """Return the largest magnitude: 0 of an empty vector, NaN if one is NaN."""
    return float(np.maximum(x.max(), -x.min())) if x.size else 0.0


def quantise(
    x: Vector, *, base: int = 10, digits: int | None = None, squared_error: float = 0.01, tiny: bool = False
) -> tuple[Integers, UniformGrid]:
    """Return the mantissas of a vector `(d,)` and what they are multiples of.

    Parameters
    ----------
    x
        Finite, not all zero.
    base
        10 or 2.
    digits
        r; None: as few as keep the squared error, at most 3 of base 10 or 15 of base 2.
    squared_error
        tau, relative to the squared norm.
    tiny
        Whether zeros stand for a thousandth of a quantum, as in the code of the source.

    Examples
    --------
    >>> m, grid = quantise(np.array([0.0421, -0.0098, 0.0999], np.float32), digits=1)
    >>> m, grid.exponent, grid.bits(m)
    (array([ 42, -10, 100], dtype=int32), -2, 22)
    """
    exponent = exponent_of(peak_of(x), base)
    if digits is None:
        nothing, allowed = np.zeros(0, np.int32), squared_error * squares(x)
        for tried in range(AUTO_DIGITS[base] + 1):
            grid = UniformGrid(base=base, exponent=exponent, digits=tried, tiny=tiny, chose_digits=True)
            if tried == AUTO_DIGITS[base] or _round(x, grid, nothing) <= allowed:
                break
    else:
        grid = UniformGrid(base=base, exponent=exponent, digits=digits, tiny=tiny)
    integers = np.empty(x.size, np.int32)
    _round(x, grid, integers)
    return integers, grid


def _round(x: Vector, grid: UniformGrid, integers: Integers) -> float:
    error: float = loops().round_to(x, grid.quantum, float(grid.largest), integers)
    return error


def relative_error(decoded: Vector, x: Vector) -> float:
    """Return the L2 norm of the difference relative to that of ``x``, 0 if that is zero."""
    norm = squares(x)
    return math.sqrt(squared_difference(decoded, x) / norm) if norm else 0.0


def squared_difference(decoded: Vector, x: Vector) -> float:
    """Return the squared norm of the difference."""
    total = 0.0
    for first in range(0, x.size, _CHUNK):
        part = slice(first, first + _CHUNK)
        wide = x[part].astype(np.float64)
        wide -= decoded[part]
        total += float(np.einsum("i,i->", wide, wide))
    return total


def squares(x: Vector) -> float:
    """Return the squared norm."""
    chunks = (x[first : first + _CHUNK].astype(np.float64) for first in range(0, x.size, _CHUNK))
    return sum(float(np.einsum("i,i->", chunk, chunk)) for chunk in chunks)


def _sum_of_lengths(integers: Integers) -> int:
    longest = max(int(integers.max()), -int(integers.min())).bit_length() if integers.size else 0
    return int(loops().add_lengths(integers, longest))
