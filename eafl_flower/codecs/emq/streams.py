"""Rows of integers as one stream of bytes: coded symbols, and the raw bits beside them.

Writer and reader go through the same rows in the same order. Of each row they know the class before; where it is 0, the
row is all zero and takes nothing. ``docs/emq.md`` has the bytes.
"""

import struct
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from eafl_flower.codecs.emq.rans import (
    CONTEXTS,
    TOKENS,
    Counts,
    cost_bits,
    entries_of,
    frequencies_of,
    loops,
    read_tables,
    slots_of,
    write_tables,
)
from eafl_flower.errors import CodecError

Integers = NDArray[np.int32]
Bytes = NDArray[np.uint8]

_HEAD: Final = struct.Struct("<BQ")
_SIZES: Final = struct.Struct("<II")
_COARSEST: Final = 4
_PADDING: Final = 4100
_SHORT: Final = 4096  # a stream of fewer values has one state
_LOWEST_STATE: Final = 1 << 15


@cache
def row_loops() -> ModuleType:
    """Return the compiled loops of rows, imported once they are needed."""
    from eafl_flower.codecs.emq import compiled_rows

    return compiled_rows


@dataclass(frozen=True)
class _Rows:
    classes: Bytes
    by_column: NDArray[np.int8]
    symbols: NDArray[np.int8]


class Writer:
    """Takes rows of integers, ``size`` of them together, and makes bytes of all."""

    def __init__(self, size: int) -> None:
        self._size, self._taken = size, 0
        self._symbols = np.empty(size, np.int8)
        self._raw = np.empty(size + 2, np.uint32)
        self._position = np.zeros(3, np.uint64)
        self._counts = np.zeros((2, CONTEXTS * TOKENS), np.uint32)
        self._rows: list[_Rows] = []

    def take(self, rests: Integers, classes: Bytes, by_column: NDArray[np.int8]) -> None:
        """Take rows of as many integers as there are columns, the last one perhaps fewer, below 2**27 in magnitude."""
        symbols = self._symbols[self._taken : self._taken + rests.size]
        self._taken += rests.size
        row_loops().fold(rests, classes, by_column, symbols, self._counts, self._raw, self._position)
        self._rows.append(_Rows(classes, by_column, symbols))

    def to_bytes(self) -> bytes:
        """Return all rows as bytes."""
        counts = self._counts.astype(np.int64).sum(axis=0).reshape(CONTEXTS, TOKENS)
        coarseness = min(range(_COARSEST), key=lambda c: _bits(_merged(counts, c)))
        merged = _merged(counts, coarseness)
        frequencies, occurs = frequencies_of(merged), merged.any(axis=1)
        lanes, entries = _lanes(self._size), entries_of(frequencies)
        words, states = np.empty(self._size + 8, np.uint16), np.full(loops().LANES, _LOWEST_STATE, np.uint64)
        end = np.array([words.size - 1], np.uint64)
        for rows in reversed(self._rows):
            loops().encode(words, end, states, lanes, entries, rows.classes, rows.by_column, coarseness, rows.symbols)
        used, kept, filled = self._position.tolist()
        if filled:
            self._raw[used], used = kept, used + 1
        coded = words[int(end[0]) + 1 :]
        return b"".join(
            [
                _HEAD.pack(coarseness, sum(1 << int(c) for c in np.flatnonzero(occurs))),
                write_tables(frequencies[occurs]),
                states[:lanes].astype("<u4").tobytes(),
                _SIZES.pack(coded.size, used),
                coded.astype("<u2", copy=False).view(np.uint8).data,
                self._raw[:used].astype("<u4", copy=False).view(np.uint8).data,
            ]
        )


class Reader:
    """Reads rows of integers, ``size`` of them together, that a ``Writer`` has made bytes of.

    Attributes
    ----------
    end
        Where the bytes end.

    Raises
    ------
    CodecError
        If the bytes at ``offset`` of ``body`` are none.
    """

    def __init__(self, body: memoryview, offset: int, size: int) -> None:
        self._lanes = _lanes(size)
        self._coarseness, mask = _unpack(_HEAD, body, offset)
        if self._coarseness >= _COARSEST:
            msg = (
                f"{2**self._coarseness} contexts of the payload share a table: expected at most {2 ** (_COARSEST - 1)}"
            )
            raise CodecError(msg)
        occurs = np.array([mask >> c & 1 for c in range(CONTEXTS)], bool)
        read, offset = read_tables(body, offset + _HEAD.size, int(occurs.sum()))
        frequencies = np.zeros((CONTEXTS, TOKENS), np.int64)
        frequencies[:, 0] = 1024  # of a context without a table, which no encoder makes
        frequencies[occurs] = read
        self._slots = slots_of(frequencies[: 2 + ((CONTEXTS - 2) >> self._coarseness)])
        states = struct.Struct(f"<{self._lanes}I")
        self._states = np.full(loops().LANES, _LOWEST_STATE, np.uint64)
        self._states[: self._lanes] = _unpack(states, body, offset)
        offset += states.size
        self._num_words, num_raw = _unpack(_SIZES, body, offset)
        offset += _SIZES.size
        self.end = offset + 2 * self._num_words + 4 * num_raw
        if self.end > len(body):
            msg = f"the payload ends at byte {len(body)}, its coded values at {self.end}: truncated in transit?"
            raise CodecError(msg)
        if (self._states < _LOWEST_STATE).any() or (self._states >= _LOWEST_STATE << 16).any():
            raise CodecError(_ALTERED)
        self._words, self._raw = np.zeros(self._num_words + _PADDING, np.uint16), np.zeros(num_raw + 2, np.uint32)
        self._words[: self._num_words] = np.frombuffer(body, "<u2", self._num_words, offset)
        self._raw[:num_raw] = np.frombuffer(body, "<u4", num_raw, offset + 2 * self._num_words)
        self._begin, self._bit, self._num_bits = np.zeros(1, np.uint64), 0, 32 * num_raw

    def read(
        self,
        classes: Bytes,
        by_column: NDArray[np.int8],
        weights: NDArray[np.int16],
        coefficients: Integers,
        symbols: NDArray[np.int8],
        values: Integers,
    ) -> None:
        """Fill ``values`` with the next rows, the prediction added; ``symbols`` is room for as many.

        Raises
        ------
        CodecError
            If no writer has made such rows.
        """
        decoded = loops().decode(
            *(self._words, self._num_words, self._begin, self._states, self._lanes, self._slots),
            *(classes, by_column, self._coarseness, symbols),
        )
        if decoded:
            self._bit = row_loops().unfold(
                symbols, by_column.size, classes, weights, coefficients, self._raw, self._bit, self._num_bits, values
            )
        if not decoded or self._bit < 0:
            raise CodecError(_ALTERED)

    def finish(self) -> None:
        """Raise ``CodecError`` unless states, words and raw bits come to their end with the last row."""
        rest = self._num_bits - self._bit
        over = self._raw[self._bit >> 5] >> np.uint32(self._bit & 31)
        if (
            (self._states != _LOWEST_STATE).any()
            or int(self._begin[0]) != self._num_words
            or rest >= 32
            or (rest > 0 and over)
        ):
            raise CodecError(_ALTERED)


_ALTERED: Final = "the coded values of the payload do not end where they must: altered in transit?"


def _unpack(what: struct.Struct, body: memoryview, offset: int) -> tuple[int, ...]:
    if offset + what.size > len(body):
        msg = f"the payload ends at byte {len(body)}, within its coded values: truncated in transit?"
        raise CodecError(msg)
    return what.unpack_from(body, offset)


def _lanes(size: int) -> int:
    """Return how many states take turns in a stream of so many values."""
    return 1 if size < _SHORT else int(loops().LANES)


def _merged(counts: Counts, coarseness: int) -> Counts:
    """Return counts of coarser contexts, of which the first stays alone, for 2 ** coarseness at a time."""
    width = 2**coarseness
    rest = np.zeros((-(-(CONTEXTS - 1) // width) * width, TOKENS), np.int64)
    rest[: CONTEXTS - 1] = counts[1:]
    return np.concatenate([counts[:1], rest.reshape(-1, width, TOKENS).sum(axis=1)])


def _bits(counts: Counts) -> float:
    used = counts[counts.any(axis=1)]
    return float(cost_bits(used).sum()) + 8 * len(write_tables(frequencies_of(used))) if len(used) else 0.0
