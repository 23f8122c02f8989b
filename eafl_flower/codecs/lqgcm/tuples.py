r"""The 88-bit tuple of LQGCM, and subsets as numbers.

A tuple is ``<I B I H>``, eleven bytes, little-endian and without padding: the block (u32), one byte and
a u32 that are 40 bits of content together, the word :math:`W = B + 2^8 I`, and a gain (float16). What a word
means depends on the mode. In the sign-sparse mode it is a set of five positions of the block's 256 and a
sign for each:

.. math:: W = \sum_{i=1}^{5} \binom{p_i}{i} + 2^{34} \sum_{i=1}^{5} 2^{i-1} [\text{value } p_i \text{ is negative}],
          \qquad p_1 < \dots < p_5

The first sum is the place of the subset in the combinatorial number system: 34 bits are enough, since
:math:`\binom{256}{5} = 8{,}809{,}549{,}056 < 2^{34}`. The top bit of the 40 is zero.

References
----------
Knuth, "The Art of Computer Programming", volume 4A, section 7.2.1.3 (combinatorial number system).
"""

from math import comb
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from eafl_flower.errors import CodecError

BLOCK: Final = 256  # values of a block
PICKED: Final = 5  # positions of a sign-sparse tuple, bytes of a word
TUPLE: Final = np.dtype([("block", "<u4"), ("low", "u1"), ("high", "<u4"), ("gain", "<f2")])
MAX_GAIN: Final = 32752.0  # in units of the scale: the largest float16 below 2**15
NUM_SUBSETS: Final = comb(BLOCK, PICKED)

_SIGN_SHIFT: Final = 34
_CHOOSE: Final = np.array([[comb(p, i) for p in range(BLOCK)] for i in range(1, PICKED + 1)], np.int64)  # [i - 1, p]
_SIGN_BITS: Final = 1 << np.arange(PICKED)
_BYTE_SHIFTS: Final = 8 * np.arange(PICKED)

Tuples = NDArray[np.void]
Vector = NDArray[np.float32]
Words = NDArray[np.int64]


class Atoms(Protocol):
    """What the tuples of a mode stand for, for one payload."""

    def scale_for(self, peak: float) -> float:
        """Return the unit of the gains, a power of two, for residuals up to ``peak``."""

    def pursue(self, residual: Vector, *, num_values: int, num_tuples: int, scale: float) -> Tuples:
        """Return at most ``num_tuples`` tuples that code ``residual``, which is used up.

        ``residual`` has ``num_values`` finite values and is padded with zeros to blocks of 256.
        """

    def add(self, vector: Vector, tuples: Tuples, amounts: NDArray[np.float64]) -> None:
        """Add tuples, of blocks that exist and gains ``amounts``, to ``vector``.

        What overflows may become infinite, but not NaN.

        Raises
        ------
        CodecError
            If ``pursue`` cannot have made a tuple.
        """


def make_tuples(blocks: NDArray[np.integer[Any]], words: Words, gains: NDArray[np.floating[Any]]) -> Tuples:
    """Return tuples `(n,)` of blocks, 40-bit words and gains."""
    tuples = np.empty(blocks.size, TUPLE)
    tuples["block"], tuples["low"], tuples["high"], tuples["gain"] = blocks, words & 0xFF, words >> 8, gains
    return tuples


def words_of(tuples: Tuples) -> Words:
    """Return the 40-bit contents `(n,)`."""
    words: Words = tuples["low"] + (tuples["high"].astype(np.int64) << 8)
    return words


def join_bytes(parts: NDArray[np.integer[Any]]) -> Words:
    """Return the words `(n,)` of five bytes each `(n, 5)`, the lowest first."""
    words: Words = np.bitwise_or.reduce(parts.astype(np.int64) << _BYTE_SHIFTS, axis=-1)
    return words


def split_bytes(words: Words) -> NDArray[np.int64]:
    """Return the five bytes `(n, 5)` of each word `(n,)`, the lowest first."""
    parts: NDArray[np.int64] = (words[:, None] >> _BYTE_SHIFTS) & 0xFF
    return parts


def rank(positions: NDArray[np.integer[Any]]) -> Words:
    """Return the numbers, 0 to ``NUM_SUBSETS - 1``, of subsets `(n, 5)` in ascending order of position."""
    ranks: Words = np.sum(_CHOOSE[np.arange(PICKED), positions], axis=1)
    return ranks


def unrank(ranks: Words) -> NDArray[np.int64]:
    """Return the subsets `(n, 5)`, positions ascending, that have these numbers `(n,)`."""
    rest = ranks.copy()
    positions = np.empty((ranks.size, PICKED), np.int64)
    for i in reversed(range(PICKED)):  # the largest position first
        positions[:, i] = np.searchsorted(_CHOOSE[i], rest, side="right") - 1
        rest -= _CHOOSE[i][positions[:, i]]
    return positions


def sign_words(positions: NDArray[np.integer[Any]], negative: NDArray[np.bool_]) -> Words:
    """Return the words of positions `(n, 5)`, in any order, and whether the value at each is negative."""
    order = np.argsort(positions, axis=1)
    signs = np.take_along_axis(negative, order, axis=1) @ _SIGN_BITS
    words: Words = rank(np.take_along_axis(positions, order, axis=1)) | (signs << _SIGN_SHIFT)
    return words


def positions_and_signs(words: Words) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return what ``sign_words`` was given, positions ascending.

    Raises
    ------
    CodecError
        If a word is none that ``sign_words`` returns.
    """
    ranks = words & ((1 << _SIGN_SHIFT) - 1)
    signs = words >> _SIGN_SHIFT
    if words.size and (ranks.max() >= NUM_SUBSETS or signs.max() >= 1 << PICKED):
        msg = f"a tuple of the payload names subset {ranks.max()} of {NUM_SUBSETS}, or has its spare bit set"
        raise CodecError(msg)
    return unrank(ranks), (signs[:, None] & _SIGN_BITS) != 0
