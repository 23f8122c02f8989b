"""The loops of the entropy coder, compiled; importing this module imports numba.

Entropy coding is interleaved rANS: eight states of 31 bits, one for every eighth column, share one stream of 16-bit
words. A table per context has 2048 slots for symbols from -55 to 55, as many for each sign. Encoding runs from the last
symbol to the first, so that decoding runs forwards. Rows of class 0 hold nothing but zeros and are not coded.

States stay in numbers of their own, not in an array, so that they live in registers; places are unsigned, so that no
index is tested for being negative.

References
----------
Duda, "Asymmetric numeral systems", arXiv 1311.2540; Giesen, "Interleaved entropy coders", arXiv 1402.3392.
"""

from typing import Any, Final

import numba
import numpy as np

from eafl_flower.core.compiled import compile_loop
from eafl_flower.types import Array

PRECISION: Final = 11
LANES: Final = 8
SYMBOLS: Final = 256  # as bytes, of two's complement
LOWEST_STATE: Final = 1 << 15

_MASK: Final = np.uint64((1 << PRECISION) - 1)
_BITS: Final = np.uint64(PRECISION)
_LOWEST: Final = np.uint64(LOWEST_STATE)
_ROOM: Final = np.uint64(31 - PRECISION)
_SLOTS: Final = np.uint64(1 << PRECISION)
_WORD, _HALF, _FIELD = np.uint64(16), np.uint64(32), np.uint64(0xFFF)
_0, _1, _2, _3, _4, _5, _6, _7, _8 = (np.uint64(n) for n in range(9))
_WORD_MASK, _BYTE, _SHIFT = np.uint64(0xFFFF), np.uint64(0xFF), np.uint64(15)


def _place(row: int, by_column: Array, coarseness: int, bits: int, places: Array) -> None:
    """Fill where the table of each column begins, in a row of this class, among tables of ``2 ** bits`` entries."""
    for j in range(by_column.size):
        fine: Any = min(max(np.int32(row) + np.int32(by_column[j]), 1), 63)
        places[j] = np.uint32((1 + ((fine - 1) >> coarseness)) << bits)


_u8, _u16, _u32, _u64 = (numba.types.Array(t, 1, "C") for t in (numba.uint8, numba.uint16, numba.uint32, numba.uint64))
_i8, _frequencies, _n = numba.types.Array(numba.int8, 1, "C"), numba.int64[:, ::1], numba.int64
_OPTIONS: Final = {"error_model": "numpy"}

place = compile_loop(_place, (_n, _i8, _n, _n, _u32), **_OPTIONS)


def _put(x: Any, entry: Any, words: Any, at: Any) -> tuple[Any, Any]:
    """Push a symbol: ``entry`` has its frequency, where its slots begin, a shift and a reciprocal."""
    frequency = entry & _FIELD
    full = x >= (frequency << _ROOM)
    words[at] = np.uint16(x & _WORD_MASK)
    at -= _1 if full else _0
    x = x >> _WORD if full else x
    quotient = ((x * (entry >> _HALF)) >> _HALF) >> ((entry >> np.uint64(24)) & _SHIFT)
    return x + ((entry >> np.uint64(12)) & _FIELD) + quotient * (_SLOTS - frequency), at


def _get(x: Any, slot: Any, words: Any, at: Any) -> tuple[Any, Any, Any]:
    """Pop a symbol: ``slot`` has it, above it the offset of the slot, above that the frequency."""
    wide = np.uint64(slot)
    x = (wide >> np.uint64(20)) * (x >> _BITS) + ((wide >> _8) & _FIELD)
    word = np.uint64(words[at])
    low = x < _LOWEST
    return np.int8(wide & _BYTE), (x << _WORD) | word if low else x, at + (_1 if low else _0)


_compiled_put: Any = numba.njit(inline="always")(_put)
_compiled_get: Any = numba.njit(inline="always")(_get)


def _encode(
    words: Array,
    end: Array,
    states: Array,
    lanes: int,
    entries: Array,
    rows: Array,
    by_column: Array,
    coarseness: int,
    symbols: Array,
) -> None:
    """Code the rows of a table from the last to the first, before ``words[end[0] + 1]``; moves ``end`` and ``states``.

    ``lanes`` is 8, or 1 for streams so short that the states of the others would count.
    """
    columns = by_column.size
    places, known = np.empty(columns, np.uint32), np.uint8(0)
    a, b, c, d = states[0], states[1], states[2], states[3]
    e, f, g, h = states[4], states[5], states[6], states[7]
    at, mask = end[0], np.uint64(lanes - 1)
    for r in range(rows.size - 1, -1, -1):
        if rows[r] == 0:
            continue
        if rows[r] != known:
            known = rows[r]
            place(known, by_column, coarseness, 8, places)
        row = symbols[r * columns : min((r + 1) * columns, symbols.size)]
        count = np.uint64(row.size)
        whole = count & ~_7 if lanes == LANES else _0
        if whole < count:
            states[0], states[1], states[2], states[3] = a, b, c, d
            states[4], states[5], states[6], states[7] = e, f, g, h
            for i in range(_0, count - whole):
                j = count - _1 - i
                lane, entry = j & mask, entries[np.uint64(places[j]) + np.uint64(np.uint8(row[j]))]
                states[lane], at = _compiled_put(states[lane], entry, words, at)
            a, b, c, d = states[0], states[1], states[2], states[3]
            e, f, g, h = states[4], states[5], states[6], states[7]
        for i in range(_0, whole, _8):
            j = whole - _8 - i
            h, at = _compiled_put(h, entries[np.uint64(places[j + _7]) + np.uint64(np.uint8(row[j + _7]))], words, at)
            g, at = _compiled_put(g, entries[np.uint64(places[j + _6]) + np.uint64(np.uint8(row[j + _6]))], words, at)
            f, at = _compiled_put(f, entries[np.uint64(places[j + _5]) + np.uint64(np.uint8(row[j + _5]))], words, at)
            e, at = _compiled_put(e, entries[np.uint64(places[j + _4]) + np.uint64(np.uint8(row[j + _4]))], words, at)
            d, at = _compiled_put(d, entries[np.uint64(places[j + _3]) + np.uint64(np.uint8(row[j + _3]))], words, at)
            c, at = _compiled_put(c, entries[np.uint64(places[j + _2]) + np.uint64(np.uint8(row[j + _2]))], words, at)
            b, at = _compiled_put(b, entries[np.uint64(places[j + _1]) + np.uint64(np.uint8(row[j + _1]))], words, at)
            a, at = _compiled_put(a, entries[np.uint64(places[j]) + np.uint64(np.uint8(row[j]))], words, at)
    end[0] = at
    states[0], states[1], states[2], states[3] = a, b, c, d
    states[4], states[5], states[6], states[7] = e, f, g, h


def _decode(
    words: Array,
    num_words: int,
    begin: Array,
    states: Array,
    lanes: int,
    slots: Array,
    rows: Array,
    by_column: Array,
    coarseness: int,
    symbols: Array,
) -> bool:
    """Fill ``symbols`` with rows of a table, from ``words[begin[0]]`` on; moves ``begin`` and ``states``.

    Return whether there were as many words; ``words`` go on for 4,100 behind the ``num_words`` that count, as a row
    takes no more.
    """
    columns = by_column.size
    places, known = np.empty(columns, np.uint32), np.uint8(0)
    a, b, c, d = states[0], states[1], states[2], states[3]
    e, f, g, h = states[4], states[5], states[6], states[7]
    at, mask = begin[0], np.uint64(lanes - 1)
    for r in range(rows.size):
        row = symbols[r * columns : min((r + 1) * columns, symbols.size)]
        if rows[r] == 0:
            row[:] = 0
            continue
        if rows[r] != known:
            known = rows[r]
            place(known, by_column, coarseness, PRECISION, places)
        count = np.uint64(row.size)
        whole = count & ~_7 if lanes == LANES else _0
        for j in range(_0, whole, _8):
            row[j], a, at = _compiled_get(a, slots[np.uint64(places[j]) + (a & _MASK)], words, at)
            row[j + _1], b, at = _compiled_get(b, slots[np.uint64(places[j + _1]) + (b & _MASK)], words, at)
            row[j + _2], c, at = _compiled_get(c, slots[np.uint64(places[j + _2]) + (c & _MASK)], words, at)
            row[j + _3], d, at = _compiled_get(d, slots[np.uint64(places[j + _3]) + (d & _MASK)], words, at)
            row[j + _4], e, at = _compiled_get(e, slots[np.uint64(places[j + _4]) + (e & _MASK)], words, at)
            row[j + _5], f, at = _compiled_get(f, slots[np.uint64(places[j + _5]) + (f & _MASK)], words, at)
            row[j + _6], g, at = _compiled_get(g, slots[np.uint64(places[j + _6]) + (g & _MASK)], words, at)
            row[j + _7], h, at = _compiled_get(h, slots[np.uint64(places[j + _7]) + (h & _MASK)], words, at)
        if whole < count:
            states[0], states[1], states[2], states[3] = a, b, c, d
            states[4], states[5], states[6], states[7] = e, f, g, h
            for j in range(whole, count):
                lane = j & mask
                slot = slots[np.uint64(places[j]) + (states[lane] & _MASK)]
                row[j], states[lane], at = _compiled_get(states[lane], slot, words, at)
            a, b, c, d = states[0], states[1], states[2], states[3]
            e, f, g, h = states[4], states[5], states[6], states[7]
        if at > np.uint64(num_words):
            return False
    begin[0] = at
    states[0], states[1], states[2], states[3] = a, b, c, d
    states[4], states[5], states[6], states[7] = e, f, g, h
    return True


def _fill_slots(frequencies: Array, slots: Array) -> None:
    """Fill the slots of each context: of every symbol as many as its frequency, zero's twice, in the order 0, 1, -1."""
    at = 0
    for context in range(frequencies.shape[0]):
        for token in range(frequencies.shape[1]):
            count = frequencies[context, token] * (2 if token == 0 else 1)
            for offset in range(count):
                slots[at + offset] = np.uint32(count << 20 | offset << 8 | token)
            at += count
            if token > 0:
                for offset in range(count):
                    slots[at + offset] = np.uint32(count << 20 | offset << 8 | (SYMBOLS - token))
                at += count


def _fill_entries(frequencies: Array, entries: Array) -> None:
    """Fill what the encoder needs of each context and symbol; see ``_put``.

    floor(x / f) = (x * reciprocal >> 32) >> shift for states x below 2**31 (Alverson, 1991).
    """
    for context in range(frequencies.shape[0]):
        start = 0
        for token in range(frequencies.shape[1]):
            count = frequencies[context, token] * (2 if token == 0 else 1)
            for sign in range(0 if count == 0 else 1 if token == 0 else 2):
                shift, reciprocal, first = 0, np.uint64(2**32 - 1), start
                if count == 1:
                    first += (1 << PRECISION) - 1
                else:
                    while 1 << (shift + 1) < count:
                        shift += 1
                    reciprocal = ((_1 << np.uint64(shift + 32)) + np.uint64(count - 1)) // np.uint64(count)
                entry = np.uint64(count) | np.uint64(first) << np.uint64(12) | np.uint64(shift) << np.uint64(24)
                entries[context * SYMBOLS + (SYMBOLS - token if sign else token)] = entry | reciprocal << _HALF
                start += count


encode = compile_loop(_encode, (_u16, _u64, _u64, _n, _u64, _u8, _i8, _n, _i8), **_OPTIONS)
decode = compile_loop(_decode, (_u16, _n, _u64, _u64, _n, _u32, _u8, _i8, _n, _i8), **_OPTIONS)
fill_slots = compile_loop(_fill_slots, (_frequencies, _u32), **_OPTIONS)
fill_entries = compile_loop(_fill_entries, (_frequencies, _u64), **_OPTIONS)
