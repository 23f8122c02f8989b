r"""Greedy matching pursuit with sign-sparse atoms.

An atom is five positions of one block of 256 values, a sign for each, and one gain. Its best positions in a
block with residual :math:`r` are those of the five largest :math:`|r_i|`, its best gain their mean, and it
takes :math:`(\sum |r_i|)^2 / 5` off the squared error. Each step takes the atom, over all blocks, that takes
off most, rounds its gain to float16 and subtracts it:

.. math:: g = s \cdot \mathrm{f16}\Bigl(\frac{1}{5 s} \sum_{i \in P} |r_i|\Bigr), \qquad
          r_i \leftarrow r_i - g \, \mathrm{sign}(r_i), \quad i \in P

A block may be chosen again. Ties go to the lower position and the lower block, and :math:`s` is a power of
two, so :math:`g` is exact in float32 and the compiled loops and the numpy form give the same bits. A last
block with fewer than five values of its own has atoms of that many; its positions in the padding are filled in
and mean nothing.

References
----------
Mallat and Zhang, "Matching pursuits with time-frequency dictionaries", IEEE Trans. Signal Processing 41, 1993.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from eafl_flower.codecs.lqgcm.tuples import (
    BLOCK,
    MAX_GAIN,
    PICKED,
    Tuples,
    Vector,
    make_tuples,
    positions_and_signs,
    sign_words,
    words_of,
)
from eafl_flower.errors import CodecError

Loop = Callable[..., int]


def scale_for(peak: float) -> float:
    """Return the power of two in which gains up to ``peak`` lie in the upper half of float16's range.

    Any gain in this unit is a float32 if ``peak`` is one.
    """
    return math.ldexp(1.0, max(math.frexp(peak)[1] - 15, -149))  # 2**-149 is the smallest float32


@dataclass(frozen=True)
class SignSparse:
    """Five positions with signs; see ``Atoms`` for the methods.

    ``loop`` makes the tuples: by default compiled where numba is installed, else the numpy form, which gives
    the same ones.
    """

    loop: Loop | None = None

    def scale_for(self, peak: float) -> float:
        """Return the unit; a gain is a mean of magnitudes."""
        return scale_for(peak)

    def pursue(self, residual: Vector, *, num_values: int, num_tuples: int, scale: float) -> Tuples:
        """Choose tuples greedily, fewer than ``num_tuples`` if nothing is left to code."""
        blocks = np.empty(num_tuples, np.uint32)
        positions = np.empty((num_tuples, PICKED), np.int64)
        negative = np.empty((num_tuples, PICKED), np.bool_)
        gains = np.empty(num_tuples, np.float64)
        count = 0
        if num_values and num_tuples:
            loop = self.loop or compiled_loop() or numpy_loop
            count = loop(residual.reshape(-1, BLOCK), num_values, scale, blocks, positions, negative, gains)
        return make_tuples(blocks[:count], sign_words(positions[:count], negative[:count]), gains[:count])

    def add(self, vector: Vector, tuples: Tuples, amounts: NDArray[np.float64]) -> None:
        """Add values one after the other, in the order of the tuples."""
        positions, negative = positions_and_signs(words_of(tuples))
        if not (amounts <= np.finfo(np.float32).max).all():
            msg = f"a tuple of the payload has gain {amounts.max()}, beyond the range of float32"
            raise CodecError(msg)
        places = tuples["block"][:, None].astype(np.int64) * BLOCK + positions
        signed = np.where(negative, -amounts[:, None], amounts[:, None]).astype(np.float32)
        np.add.at(vector, places.reshape(-1), signed.reshape(-1))


@cache
def compiled_loop() -> Loop | None:
    """Return the compiled loop, None where numba is not installed."""
    try:
        from eafl_flower.codecs.lqgcm.compiled import loop
    except ImportError:
        return None
    return loop


def numpy_loop(
    residual: NDArray[np.float32],
    num_values: int,
    scale: float,
    blocks: NDArray[np.uint32],
    positions: NDArray[np.int64],
    negative: NDArray[np.bool_],
    gains: NDArray[np.float64],
) -> int:
    """Fill in the tuples, return their number; `(num_blocks, 256)` residuals are changed."""
    widths = np.full(len(residual), PICKED)
    widths[-1] = min(PICKED, num_values - BLOCK * (len(residual) - 1))
    best = np.argsort(-np.abs(residual), axis=1, kind="stable")[:, :PICKED]
    sums = _sums(residual, best, widths)
    for n in range(gains.size):
        b = int(np.argmax(sums * sums / widths))
        gain = half(sums[b] / widths[b] / scale)
        amount = np.float32(gain * scale)
        if amount == 0:
            return n
        row, places, width = residual[b], best[b], widths[b]
        blocks[n], positions[n], gains[n] = b, places, gain
        negative[n] = row[places] < 0
        row[places[:width]] -= np.where(negative[n, :width], -amount, amount)
        best[b] = np.argsort(-np.abs(row), kind="stable")[:PICKED]
        sums[b] = _sums(row[None], best[b : b + 1], widths[b : b + 1])[0]
    return gains.size


def half(value: float) -> float:
    """Return a positive number rounded to the nearest float16, ties to even, at most ``MAX_GAIN``."""
    exponent = max(math.frexp(value)[1] - 11, -24)
    return min(math.ldexp(float(np.rint(math.ldexp(value, -exponent))), exponent), MAX_GAIN)


def _sums(rows: NDArray[np.float32], places: NDArray[np.int64], widths: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the sums `(n,)` of the first ``widths`` magnitudes at ``places`` `(n, 5)` of each row."""
    magnitudes = np.abs(np.take_along_axis(rows, places, axis=1)).astype(np.float64)
    magnitudes[np.arange(PICKED) >= widths[:, None]] = 0
    sums: NDArray[np.float64] = np.cumsum(magnitudes, axis=1)[:, -1]  # one after the other, as the compiled loop does
    return sums
