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
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eafl_flower.codecs.lqgcm_tuples import BLOCK, PICKED, Tuples, make_tuples, sign_words

Pursuit = Callable[..., int]

MAX_GAIN = 32752.0  # the largest float16 below 2**15: times any scale still a float32


def scale_for(peak: float) -> float:
    """Return the power of two in which gains up to ``peak`` lie in the upper half of float16's range."""
    return math.ldexp(1.0, max(math.frexp(peak)[1] - 15, -149))  # 2**-149 is the smallest float32


def pursue(
    residual: NDArray[np.float32], *, num_values: int, num_tuples: int, scale: float, step: Pursuit | None = None
) -> Tuples:
    """Return at most ``num_tuples`` sign-sparse tuples that code ``residual``; fewer if nothing is left of it.

    Parameters
    ----------
    residual
        `(num_blocks * 256,)`, finite; what the tuples leave out of it is written back.
    num_values
        How many of them count; the rest is padding and zero.
    num_tuples
        The budget.
    scale
        Unit of the gains, from ``scale_for``.
    step
        The loop: compiled where numba is installed, else the numpy form, which gives the same tuples.
    """
    blocks = np.empty(num_tuples, np.uint32)
    positions = np.empty((num_tuples, PICKED), np.int64)
    negative = np.empty((num_tuples, PICKED), np.bool_)
    gains = np.empty(num_tuples, np.float64)
    count = 0
    if num_values and num_tuples:
        run = step or compiled_pursuit() or numpy_pursuit
        count = run(residual.reshape(-1, BLOCK), num_values, scale, blocks, positions, negative, gains)
    return make_tuples(blocks[:count], sign_words(positions[:count], negative[:count]), gains[:count])


@cache
def compiled_pursuit() -> Pursuit | None:
    """Return the compiled loop, None where numba is not installed."""
    try:
        from eafl_flower.codecs.lqgcm_compiled import pursuit
    except ImportError:
        return None
    return pursuit


def numpy_pursuit(
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
    sums = np.array([_sum(row[places], width) for row, places, width in zip(residual, best, widths, strict=True)])
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
        sums[b] = _sum(row[best[b]], width)
    return gains.size


def half(value: float) -> float:
    """Return a positive number rounded to the nearest float16, ties to even, at most ``MAX_GAIN``."""
    exponent = max(math.frexp(value)[1] - 11, -24)
    return min(math.ldexp(float(np.rint(math.ldexp(value, -exponent))), exponent), MAX_GAIN)


def _sum(values: NDArray[Any], width: int) -> float:
    # one after the other, as the compiled loop does
    total = 0.0
    for value in values[:width]:
        total += abs(float(value))
    return total
