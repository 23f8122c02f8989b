r"""Vectors as small floating-point numbers: other readings of "exponent and mantissa", behind the same integers.

Of a number :math:`\pm 2^{e_i} (1 + f)` an exponent out of a window below the largest, :math:`e_{max}`, and some bits
of :math:`f` are kept; smaller numbers become zero. Magnitudes are numbered from 1 in their order, zero is 0.

* ``float``: :math:`\max(0, M - (e_{max} - e_i))` bits of :math:`f`, as many as a quantum of :math:`2^{e_{max} - M}`
  leaves; :math:`M` is the least with a relative squared error of at most :math:`\tau`.
* ``fixed``: :math:`M = 3` bits of every number.

Counted are a sign, :math:`n_e` bits of exponent with one value for zero, and the mantissa, which can be decoded: the
exponent tells the length of the mantissa.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from eafl_flower.codecs.emq.quantiser import Integers, Vector, exponent_of, norms_of, squared_difference
from eafl_flower.errors import CodecError

MOST_MANTISSA_BITS: Final = 12
MOST_EXPONENT_BITS: Final = 6
FIXED_EXPONENT_BITS: Final = 4
FIXED_MANTISSA_BITS: Final = 3
_LARGEST: Final = np.finfo(np.float32).max


@dataclass(frozen=True, kw_only=True)
class FloatGrid:
    """Small floating-point numbers with exponents from ``exponent`` down, as many as ``exponent_bits`` number.

    ``fixed`` says whether all have ``mantissa_bits``, or only those with the largest exponent.
    """

    exponent: int
    exponent_bits: int
    mantissa_bits: int
    fixed: bool = False

    @cached_property
    def _lengths(self) -> NDArray[np.int64]:
        """Bits of the mantissa by octave, the lowest first."""
        below = np.arange(2**self.exponent_bits - 1)[::-1]
        return np.where(self.fixed, self.mantissa_bits, np.maximum(0, self.mantissa_bits - below))

    @cached_property
    def _magnitudes(self) -> Vector:
        """What the numbers 0, 1, ... stand for."""
        lowest = self.exponent - len(self._lengths) + 1
        octaves = [
            np.ldexp(1 + np.arange(2**bits) / 2**bits, lowest + octave) for octave, bits in enumerate(self._lengths)
        ]
        magnitudes: Vector = np.minimum(np.concatenate([[0.0], *octaves]), _LARGEST).astype(np.float32)
        return magnitudes

    @cached_property
    def _first(self) -> NDArray[np.int64]:
        """The first number of each octave, and the one behind the last."""
        return np.concatenate([[1], 1 + np.cumsum(2**self._lengths)])

    @property
    def head_bits(self) -> int:
        """Length of the largest exponent."""
        return abs(self.exponent).bit_length()

    def round(self, x: Vector, integers: Integers) -> tuple[float, int]:
        """Fill the number of the magnitude nearest to each within its octave, with its sign; ties to even."""
        fraction, exponents = np.frexp(np.abs(x.astype(np.float64)))
        octaves = exponents - 1 - (self.exponent - len(self._lengths) + 1)
        inside = np.clip(octaves, 0, len(self._lengths) - 1)
        steps = np.rint((2 * fraction - 1) * 2.0 ** self._lengths[inside])
        numbers = np.minimum(self._first[inside] + steps, self._first[-1] - 1)
        numbers = np.where(octaves < 0, np.where((octaves == -1) & (fraction > 0.5), 1, 0), numbers)
        numbers = np.where(x == 0, 0, numbers)
        integers[:] = np.where(x < 0, -numbers, numbers)
        decoded = np.empty(x.size, np.float32)
        self.fill(integers, decoded)
        return squared_difference(decoded, x), self._bits(integers)

    def fill(self, integers: Integers, values: Vector) -> None:
        """Fill the numbers; raises ``CodecError`` for an integer that stands for none."""
        numbers = np.abs(integers)
        if numbers.size and int(numbers.max()) >= len(self._magnitudes):
            msg = f"a number of the payload is {numbers.max()}: expected less than {len(self._magnitudes)}"
            raise CodecError(msg)
        values[:] = self._magnitudes[numbers]
        np.negative(values, out=values, where=integers < 0)

    def _bits(self, integers: Integers) -> int:
        """Return sign, exponent and mantissa of each."""
        per_number = np.concatenate([[self.mantissa_bits * self.fixed], np.repeat(self._lengths, 2**self._lengths)])
        return integers.size * (1 + self.exponent_bits) + int(per_number[np.abs(integers)].sum())


def fixed_grid(x: Vector) -> FloatGrid:
    """Return the grid of one sign, four exponent and three mantissa bits for a vector that is not all zero."""
    return FloatGrid(
        exponent=exponent_of(norms_of(x)[0], 2),
        exponent_bits=FIXED_EXPONENT_BITS,
        mantissa_bits=FIXED_MANTISSA_BITS,
        fixed=True,
    )


def float_grid(x: Vector, *, squared_error: float = 0.01) -> FloatGrid:
    """Return the grid with as short mantissas as keep the relative squared error of a vector that is not all zero.

    The window has room for as many exponents as occur, at most 63.
    """
    distinct = len(np.unique(np.frexp(x[x != 0])[1]))
    exponent_bits = min(max(1, math.ceil(math.log2(distinct + 1))), MOST_EXPONENT_BITS)
    largest, squared = norms_of(x)
    integers = np.empty(x.size, np.int32)
    for mantissa_bits in range(MOST_MANTISSA_BITS + 1):
        grid = FloatGrid(exponent=exponent_of(largest, 2), exponent_bits=exponent_bits, mantissa_bits=mantissa_bits)
        if grid.round(x, integers)[0] <= squared_error * squared:
            break
    return grid
