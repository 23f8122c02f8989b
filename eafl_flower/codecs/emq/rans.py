r"""Tokens in contexts as 16-bit words: static tables, one a context, and interleaved rANS.

A context's table gives each of 64 tokens a frequency of 4096ths, so that a token costs
:math:`-\log_2 (f / 4096)` bits. The tables travel in front of the words; see ``write_tables``.
"""

import math
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from eafl_flower.errors import CodecError

TOKENS: Final = 64
_SLOTS: Final = 4096
_LOWEST_STATE: Final = 1 << 15
_LANES: Final = 4
_PADDING: Final = 4100

Bytes = NDArray[np.uint8]
Counts = NDArray[np.int64]


@cache
def loops() -> ModuleType:
    """Return the compiled loops, imported once they are needed: numba takes a while."""
    from eafl_flower.codecs.emq import compiled

    return compiled


@dataclass(frozen=True)
class Coded:
    """What the tokens became: the words, and the states in which a decoder begins."""

    states: NDArray[np.uint64]
    words: NDArray[np.uint16]


def frequencies_of(counts: Counts) -> Counts:
    """Return frequencies that add up to 4096 a context, in proportion to ``counts``, at least 1 where there is a count.

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
    shares = counts * (_SLOTS / counts.sum(axis=1, keepdims=True))
    frequencies = np.where(counts > 0, np.maximum(1, np.rint(shares)), 0).astype(np.int64)
    rows = np.arange(len(counts))
    while (excess := frequencies.sum(axis=1) - _SLOTS).any():  # the largest bears it: at most a few rounds
        largest = frequencies.argmax(axis=1)
        frequencies[rows, largest] -= np.minimum(excess, frequencies[rows, largest] // 2)
    return frequencies


def cost_bits(counts: Counts) -> NDArray[np.float64]:
    """Return what the tokens of each context cost by its own frequencies [bit], without the table, `(contexts,)`."""
    frequencies = np.maximum(frequencies_of(counts), 1)
    cost: NDArray[np.float64] = (counts * (math.log2(_SLOTS) - np.log2(frequencies))).sum(axis=1)
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
            if not 0 < used <= TOKENS:
                msg = f"a table of the payload has {used} tokens: expected 1 to {TOKENS}"
                raise CodecError(msg)
            for token in range(used):
                frequency, offset = body[offset], offset + 1
                if frequency >= 128:
                    frequency, offset = (frequency & 127) << 8 | body[offset], offset + 1
                frequencies[context, token] = frequency
    except IndexError:
        msg = "the payload ends within its tables: truncated in transit?"
        raise CodecError(msg) from None
    if (frequencies.sum(axis=1) != _SLOTS).any():
        msg = f"a table of the payload does not add up to {_SLOTS}"
        raise CodecError(msg)
    return frequencies, offset


def encode(tokens: Bytes, contexts: Bytes, frequencies: Counts) -> Coded:
    """Code ``tokens`` `(n,)`, each by the table of its context; every one has a frequency there."""
    starts = np.cumsum(frequencies, axis=1) - frequencies
    used = np.maximum(frequencies, 1).astype(np.uint64)
    shifts = np.ceil(np.log2(used)).astype(np.uint64)  # exact: powers of two up to 4096
    # floor(x / f) = (x * reciprocal >> 32) >> shift for states below 2**31 (Alverson, 1991)
    reciprocals = ((np.uint64(1) << (shifts + np.uint64(31))) + used - np.uint64(1)) // used
    one = used == 1
    reciprocals[one] = np.uint64(2**32 - 1)
    starts = np.where(one, starts + _SLOTS - 1, starts)
    shifts = np.where(one, np.uint64(0), shifts - (~one).astype(np.uint64))
    entries = used | starts.astype(np.uint64) << np.uint64(16) | shifts << np.uint64(32)
    words, states = np.empty(tokens.size + 8, np.uint16), np.empty(_LANES, np.uint64)
    first = loops().encode(tokens, contexts, entries.reshape(-1), reciprocals.reshape(-1), words, states)
    return Coded(states, words[first:])


def decode(coded: Coded, contexts: Bytes, frequencies: Counts) -> Bytes:
    """Return the tokens `(n,)`.

    Raises
    ------
    CodecError
        If states or words do not come to their end with the last token.
    """
    tokens = np.empty(contexts.size, np.uint8)
    size = coded.words.size
    words = np.zeros(size + _PADDING, np.uint16)
    words[:size] = coded.words
    legal = (coded.states >= _LOWEST_STATE) & (coded.states < _LOWEST_STATE << 16)
    if not legal.all() or not loops().decode(words, size, coded.states, contexts, _slots(frequencies), tokens):
        msg = "the coded values of the payload do not end where they must: altered in transit?"
        raise CodecError(msg)
    return tokens


def _slots(frequencies: Counts) -> NDArray[np.uint32]:
    flat = frequencies.reshape(-1)
    tokens = np.tile(np.arange(TOKENS), len(frequencies))
    starts = (np.cumsum(frequencies, axis=1) - frequencies).reshape(-1)
    offsets = np.tile(np.arange(_SLOTS), len(frequencies)) - np.repeat(starts, flat)
    slots: NDArray[np.uint32] = np.repeat(tokens | (flat - 1) << 8, flat).astype(np.uint32)
    return slots | offsets.astype(np.uint32) << np.uint32(20)
