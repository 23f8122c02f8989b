r"""Tables of frequencies: how often a token occurs in each context, and what that costs.

A context's table gives each magnitude a frequency of 1024ths. One that is not zero has that many of 2048 slots for
either sign, zero has twice as many, so that a token costs :math:`-\log_2 (f / 1024)` bits and its sign one more.
"""

import math
from functools import cache
from types import ModuleType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from eafl_flower.errors import CodecError

TOKENS: Final = 64
CONTEXTS: Final = 64
_MOST_TOKENS: Final = 56
_SHARES: Final = 1024

Counts = NDArray[np.int64]


@cache
def loops() -> ModuleType:
    """Return the compiled loops, imported once they are needed: numba takes a while."""
    from eafl_flower.codecs.emq import compiled

    return compiled


def frequencies_of(counts: Counts) -> Counts:
    """Return frequencies that add up to 1024 a context, in proportion to ``counts``, at least 1 where there is a count.

    Parameters
    ----------
    counts
        How often each token occurs in each context, `(contexts, 64)`. A context without any is given to token 0.

    Returns
    -------
    NDArray
        `(contexts, 64)`.
    """
    counts = counts.copy()
    counts[counts.sum(axis=1) == 0, 0] = 1
    shares = counts * (_SHARES / counts.sum(axis=1, keepdims=True))
    frequencies = np.where(counts > 0, np.maximum(1, np.rint(shares)), 0).astype(np.int64)
    rows = np.arange(len(counts))
    while (excess := frequencies.sum(axis=1) - _SHARES).any():  # the largest bears it: at most a few rounds
        largest = frequencies.argmax(axis=1)
        frequencies[rows, largest] -= np.minimum(excess, frequencies[rows, largest] // 2)
    return frequencies


def cost_bits(counts: Counts) -> NDArray[np.float64]:
    """Return what the tokens of each context cost by its own frequencies [bit], without the table, `(contexts,)`."""
    frequencies = np.maximum(frequencies_of(counts), 1)
    cost: NDArray[np.float64] = (counts * (math.log2(_SHARES) - np.log2(frequencies))).sum(axis=1)
    return cost


def write_tables(frequencies: Counts) -> bytes:
    """Return tables as bytes: of each context the number of tokens (u8), then the frequency of each.

    A frequency below 128 is one byte, any other two: the high seven bits with the top bit set, and the low eight bits.
    """
    parts = bytearray()
    for row in frequencies.tolist():
        used = max(i for i, frequency in enumerate(row) if frequency) + 1
        parts.append(used)
        for frequency in row[:used]:
            parts += bytes([frequency]) if frequency < 128 else bytes([128 | frequency >> 8, frequency & 255])
    return bytes(parts)


def read_tables(body: memoryview, offset: int, contexts: int) -> tuple[Counts, int]:
    """Return the tables at ``offset`` and where they end; raises ``CodecError`` unless ``write_tables`` made them."""
    frequencies = np.zeros((contexts, TOKENS), np.int64)
    try:
        for context in range(contexts):
            used, offset = body[offset], offset + 1
            if not 0 < used <= _MOST_TOKENS:
                msg = f"a table of the payload has {used} tokens: expected 1 to {_MOST_TOKENS}"
                raise CodecError(msg)
            for token in range(used):
                frequency, offset = body[offset], offset + 1
                if frequency >= 128:
                    frequency, offset = (frequency & 127) << 8 | body[offset], offset + 1
                frequencies[context, token] = frequency
    except IndexError:
        msg = "the payload ends within its tables: truncated in transit?"
        raise CodecError(msg) from None
    if (frequencies.sum(axis=1) != _SHARES).any():
        msg = f"a table of the payload does not add up to {_SHARES}"
        raise CodecError(msg)
    return frequencies, offset


def entries_of(frequencies: Counts) -> NDArray[np.uint64]:
    """Return what the encoder needs of each context and symbol, one behind the other."""
    entries = np.zeros(len(frequencies) * loops().SYMBOLS, np.uint64)
    loops().fill_entries(frequencies, entries)
    return entries


def slots_of(frequencies: Counts) -> NDArray[np.uint32]:
    """Return the 2048 slots of each context, one context behind the other."""
    slots = np.empty(len(frequencies) << loops().PRECISION, np.uint32)
    loops().fill_slots(frequencies, slots)
    return slots
