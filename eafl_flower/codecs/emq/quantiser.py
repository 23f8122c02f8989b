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
    """How integers stand for the numbers of one vector, which may come in pieces."""

    @property
    def head_bits(self) -> int:
        """What the source of the quantiser counts for the vector, beside its values."""

    def round(self, x: Vector, integers: Integers) -> tuple[float, int]:
        """Fill the integers of ``x``; return the squared norm of what they miss, and the bits of the source."""

    def fill(self, integers: Integers, values: Vector) -> None:
        """Fill the numbers; raises ``CodecError`` for an integer that stands for none."""


@dataclass(frozen=True)
class ZeroGrid:
    """The grid of a vector that is all zero, for which we count a bit."""

    head_bits: int = 1

    def round(self, x: Vector, integers: Integers) -> tuple[float, int]:
        """Fill zeros."""
        integers[:] = 0
        return 0.0, 0

    def fill(self, integers: Integers, values: Vector) -> None:
        """Fill zeros; raises ``CodecError`` if an integer is none."""
        if integers.any():
            msg = "a part of the payload that is all zero has values"
            raise CodecError(msg)
        values[:] = 0


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
    def head_bits(self) -> int:
        """Length of |e|, and the digits if they were chosen."""
        return abs(self.exponent).bit_length() + self.chose_digits * AUTO_DIGITS[self.base].bit_length()

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

    def round(self, x: Vector, integers: Integers) -> tuple[float, int]:
        """Fill m; return the squared norm of what s m misses, and the sum of sign and length of each |m|."""
        error, lengths = self.errors(x, integers, math.inf)
        return error, x.size + lengths

    def errors(self, x: Vector, integers: Integers, allowed: float) -> tuple[float, int]:
        """Fill m until the squared error is above what is ``allowed``; return that, and the sum of the lengths of |m|.

        ``integers`` may be empty: then nothing is filled.
        """
        error, lengths = loops().round_to(x, self.quantum, self.zero, float(self.largest), allowed, integers)
        return error, lengths

    def fill(self, integers: Integers, values: Vector) -> None:
        """Fill s m in float32; raises ``CodecError`` if one is larger than any vector with this exponent has."""
        if (largest := loops().scale(integers, self.quantum, self.zero, values)) > self.largest:
            msg = f"a mantissa of the payload is {largest}: expected at most {self.largest} with {self.digits} digits"
            raise CodecError(msg)


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


def norms_of(x: Vector) -> tuple[float, float]:
    """Return the largest magnitude, 0 of an empty vector, and the squared norm: not finite if a value is not."""
    bits, squared = loops().norms(x)
    return float(np.array(bits, np.int32).view(np.float32)), squared


def uniform_grid(
    x: Vector, *, base: int = 10, digits: int | None = None, squared_error: float = 0.01, tiny: bool = False
) -> UniformGrid:
    """Return the grid of a vector `(d,)`.

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
    >>> x, m = np.array([0.0421, -0.0098, 0.0999], np.float32), np.empty(3, np.int32)
    >>> grid = uniform_grid(x, digits=1)
    >>> grid.exponent, grid.head_bits + grid.round(x, m)[1], m
    (-2, 22, array([ 42, -10, 100], dtype=int32))
    """
    largest, squared = norms_of(x)
    exponent = exponent_of(largest, base)
    if digits is not None:
        return UniformGrid(base=base, exponent=exponent, digits=digits, tiny=tiny)
    nothing, allowed, most = np.zeros(0, np.int32), squared_error * squared, AUTO_DIGITS[base]
    grids = (UniformGrid(base=base, exponent=exponent, digits=r, tiny=tiny, chose_digits=True) for r in range(most + 1))
    return next(grid for grid in grids if grid.digits == most or grid.errors(x, nothing, allowed)[0] <= allowed)


def squared_difference(decoded: Vector, x: Vector) -> float:
    """Return the squared norm of the difference."""
    total = 0.0
    for first in range(0, x.size, _CHUNK):
        part = slice(first, first + _CHUNK)
        wide = x[part].astype(np.float64)
        wide -= decoded[part]
        total += float(np.einsum("i,i->", wide, wide))
    return total
