"""The loops over values, compiled; importing this module imports numba.

Entropy coding is interleaved rANS: four states of 31 bits take turns, symbol by symbol, and share one stream of 16-bit
words. A table per context gives each symbol a whole number of 4096ths. Encoding runs from the last symbol to the first,
so that decoding runs forwards.

References
----------
Duda, "Asymmetric numeral systems", arXiv 1311.2540; Giesen, "Interleaved entropy coders", arXiv 1402.3392.
"""

from typing import Any, Final

import numba
import numpy as np

from eafl_flower.core.compiled import compile_loop
from eafl_flower.types import Array

PRECISION: Final = 12
TOKENS: Final = 64
SMALL: Final = 16
LANES: Final = 4
LOWEST_STATE: Final = 1 << 15
WEIGHT_BITS: Final = 14

_EXTRA: Final = np.array([0 if t < SMALL else (t - SMALL) // 2 + 3 for t in range(TOKENS)], np.uint64)
_WIDTHS: Final = np.array([_EXTRA[t] + np.uint64(t > 0) for t in range(TOKENS)], np.uint64)
_LOW: Final = (np.uint64(1) << _EXTRA) - np.uint64(1)
_BASES: Final = np.array([t if t < SMALL else (2 + t % 2) << ((t - SMALL) // 2 + 3) for t in range(TOKENS)], np.uint64)

_MASK: Final = np.uint64((1 << PRECISION) - 1)
_BITS: Final = np.uint64(PRECISION)
_WORD: Final = np.uint64(16)
_WORD_MASK: Final = np.uint64(0xFFFF)
_LOWEST: Final = np.uint64(LOWEST_STATE)
_ROOM: Final = np.uint64(31 - PRECISION)


def _put(x: Any, entry: Any, reciprocal: Any, words: Any, place: int) -> tuple[Any, int]:
    """Push a symbol: ``entry`` is its frequency, above it where its slots begin, above that a shift."""
    frequency, start, shift = entry & np.uint64(0xFFFF), (entry >> _WORD) & _WORD_MASK, entry >> np.uint64(32)
    full = x >= (frequency << _ROOM)
    words[place] = np.uint16(x & _WORD_MASK)
    place -= 1 if full else 0
    x = x >> _WORD if full else x
    quotient = ((x * reciprocal) >> np.uint64(32)) >> shift
    return x + start + quotient * (np.uint64(1 << PRECISION) - frequency), place


_compiled_put: Any = numba.njit(inline="always")(_put)


def _encode(tokens: Array, contexts: Array, entries: Array, reciprocals: Array, words: Array, states: Array) -> int:
    """Fill ``words`` from the end and ``states``; return where the words begin."""
    n = tokens.size
    place = words.size - 1
    lanes = np.empty(LANES, np.uint64)
    lanes[:] = _LOWEST
    whole = n - n % LANES
    for i in range(n - 1, whole - 1, -1):
        at = np.int64(contexts[i]) * TOKENS + np.int64(tokens[i])
        lanes[i - whole], place = _compiled_put(lanes[i - whole], entries[at], reciprocals[at], words, place)
    a, b, c, d = lanes[0], lanes[1], lanes[2], lanes[3]
    for i in range(whole - LANES, -1, -LANES):
        at = np.int64(contexts[i + 3]) * TOKENS + np.int64(tokens[i + 3])
        d, place = _compiled_put(d, entries[at], reciprocals[at], words, place)
        at = np.int64(contexts[i + 2]) * TOKENS + np.int64(tokens[i + 2])
        c, place = _compiled_put(c, entries[at], reciprocals[at], words, place)
        at = np.int64(contexts[i + 1]) * TOKENS + np.int64(tokens[i + 1])
        b, place = _compiled_put(b, entries[at], reciprocals[at], words, place)
        at = np.int64(contexts[i]) * TOKENS + np.int64(tokens[i])
        a, place = _compiled_put(a, entries[at], reciprocals[at], words, place)
    states[0], states[1], states[2], states[3] = a, b, c, d
    return place + 1


def _get(x: Any, slot: Any, words: Any, place: int) -> tuple[Any, Any, int]:
    """Pop a symbol; ``slot`` is its token, above it its frequency less one, above that the offset of the slot."""
    x = (((slot >> np.uint64(8)) & np.uint64(0xFFF)) + np.uint64(1)) * (x >> _BITS) + (slot >> np.uint64(20))
    low = x < _LOWEST
    word = np.uint64(words[place])
    x = (x << _WORD) | word if low else x
    return np.uint8(slot & np.uint64(0xFF)), x, place + (1 if low else 0)


_compiled_get: Any = numba.njit(inline="always")(_get)


def _decode(words: Array, num_words: int, states: Array, contexts: Array, slots: Array, tokens: Array) -> bool:
    """Fill ``tokens``; return whether words and states end where they must.

    ``words`` go on for 4,100 zeros behind the ``num_words`` that count.
    """
    n = contexts.size
    a, b, c, d = states[0], states[1], states[2], states[3]
    place = 0
    whole = n - n % LANES
    for first in range(0, whole, 4096):
        if place > num_words:
            return False
        for i in range(first, min(first + 4096, whole), LANES):
            slot = np.uint64(slots[(np.int64(contexts[i]) << PRECISION) + np.int64(a & _MASK)])
            tokens[i], a, place = _compiled_get(a, slot, words, place)
            slot = np.uint64(slots[(np.int64(contexts[i + 1]) << PRECISION) + np.int64(b & _MASK)])
            tokens[i + 1], b, place = _compiled_get(b, slot, words, place)
            slot = np.uint64(slots[(np.int64(contexts[i + 2]) << PRECISION) + np.int64(c & _MASK)])
            tokens[i + 2], c, place = _compiled_get(c, slot, words, place)
            slot = np.uint64(slots[(np.int64(contexts[i + 3]) << PRECISION) + np.int64(d & _MASK)])
            tokens[i + 3], d, place = _compiled_get(d, slot, words, place)
    if place > num_words:
        return False
    lanes = np.empty(LANES, np.uint64)
    lanes[0], lanes[1], lanes[2], lanes[3] = a, b, c, d
    for i in range(whole, n):
        x = lanes[i - whole]
        slot = np.uint64(slots[(np.int64(contexts[i]) << PRECISION) + np.int64(x & _MASK)])
        tokens[i], lanes[i - whole], place = _compiled_get(x, slot, words, place)
    ends = place == num_words
    for k in range(LANES):
        ends = ends and lanes[k] == _LOWEST
    return ends


def _predicted(coefficient: int, weight: int) -> int:
    return (coefficient * weight + (1 << (WEIGHT_BITS - 1))) >> WEIGHT_BITS


_compiled_predicted: Any = numba.njit(inline="always")(_predicted)


def _fit_rows(values: Array, columns: int, weights: Array, norm: float, coefficients: Array) -> float:
    """Fill the least-squares coefficient of each row, 0 where none helps; return about how many bits that saves."""
    saved = 0.0
    for r in range(coefficients.size):
        row = values[r * columns : min((r + 1) * columns, values.size)]
        dot = 0.0
        for j in range(row.size):
            dot += np.float64(row[j]) * np.float64(weights[j])
        k = np.int64(np.rint(min(max(dot / norm, -8e6), 8e6)))
        coefficients[r] = 0
        if k != 0:
            before = after = np.int64(0)
            for j in range(row.size):
                before += abs(np.int64(row[j]))
                after += abs(np.int64(row[j]) - _compiled_predicted(k, np.int64(weights[j])))
            gain = row.size * np.log2((1.0 + before / row.size) / (1.0 + after / row.size)) - 8.0
            if gain > 0:
                coefficients[r] = k
                saved += gain
    return saved


def _leave(values: Array, columns: int, weights: Array, coefficients: Array, rests: Array, sums: Array) -> None:
    """Fill what the prediction leaves of each value, and the sum of its magnitudes of each row."""
    for r in range(sums.size):
        first = r * columns
        row, out = values[first : min(first + columns, values.size)], rests[first : first + columns]
        k = np.int64(coefficients[r])
        total = np.int64(0)
        if k == 0:
            for j in range(row.size):
                out[j] = row[j]
                total += abs(np.int64(row[j]))
        else:
            for j in range(row.size):
                rest = np.int64(row[j]) - _compiled_predicted(k, np.int64(weights[j]))
                out[j] = rest
                total += abs(rest)
        sums[r] = total


def _column_sums(rests: Array, columns: int, scales: Array, sums: Array) -> None:
    """Add up magnitudes of each column, each row by its scale."""
    for r in range(scales.size):
        scale = scales[r]
        if scale > 0:
            row = rests[r * columns : min((r + 1) * columns, rests.size)]
            for j in range(row.size):
                sums[j] += scale * np.float32(abs(row[j]))


def _spread(rows: Array, by_column: Array, contexts: Array) -> None:
    """Fill the context of each value from the classes of its row and its column; class 0 is that of rows of zeros."""
    columns = by_column.size
    for r in range(rows.size):
        out = contexts[r * columns : min((r + 1) * columns, contexts.size)]
        if rows[r] == 0:
            out[:] = 0
        else:
            base = np.int32(rows[r])
            for j in range(out.size):
                out[j] = min(max(base + np.int32(by_column[j]), np.int32(1)), np.int32(63))


def _tokenise(rests: Array, contexts: Array, small: Array, tokens: Array, counts: Array, words: Array) -> Any:
    """Fill tokens and raw bits, count tokens by context; return how many 32-bit words the raw bits take.

    ``counts`` `(2, 64, 64)` are of values with even and with odd place, for adding to one count in a row takes long.
    """
    kept, filled, place = np.uint64(0), np.uint64(0), np.int64(0)
    for i in range(rests.size):
        rest = np.int64(rests[i])
        size = abs(rest)
        if size < small.size:
            token = np.int64(small[size])
        else:
            length, top = 0, size
            while top > 0:
                top >>= 1
                length += 1
            token = SMALL + 2 * (length - 5) + ((size >> (length - 2)) & 1)
        tokens[i] = token
        counts[i & 1, np.int64(contexts[i]), token] += 1
        low = np.uint64(size) & _LOW[token]
        kept |= (np.uint64(1 if rest < 0 else 0) | (low << np.uint64(1))) << filled
        filled += _WIDTHS[token]
        words[place] = np.uint32(kept & np.uint64(0xFFFFFFFF))
        full = filled & np.uint64(32)  # never more than 31 + 25 bits are there
        kept >>= full
        filled -= full
        place += np.int64(full >> np.uint64(5))
    words[place] = np.uint32(kept)
    return place + (1 if filled > np.uint64(0) else 0)


def _raw_bits(tokens: Array) -> Any:
    """Return how many raw bits follow the tokens."""
    total = np.uint64(0)
    for i in range(tokens.size):
        total += _WIDTHS[tokens[i]]
    return np.int64(total)


def _assemble(
    tokens: Array, columns: int, weights: Array, coefficients: Array, words: Array, bit: int, values: Array
) -> Any:
    """Fill values from tokens, raw bits from ``bit`` on and the prediction; return the bit behind the last one.

    ``words`` go on for two behind those that hold a bit.
    """
    one, at = np.uint64(1), np.uint64(bit)
    for r in range(coefficients.size):
        first, last = r * columns, min((r + 1) * columns, values.size)
        for i in range(first, last):
            token = tokens[i]
            place = np.int64(at >> np.uint64(5))
            pair = np.uint64(words[place]) | np.uint64(words[place + 1]) << np.uint64(32)
            raw = pair >> (at & np.uint64(31))
            size = np.int64(_BASES[token] + ((raw >> one) & _LOW[token]))
            sign = np.int64(raw & one)
            values[i] = np.int32((size ^ -sign) + sign)
            at += _WIDTHS[token]
        k = np.int64(coefficients[r])
        if k != 0:
            for i in range(first, last):
                values[i] += _compiled_predicted(k, np.int64(weights[i - first]))
    return np.int64(at)


_u8, _u16, _u32, _u64 = (numba.types.Array(t, 1, "C") for t in (numba.uint8, numba.uint16, numba.uint32, numba.uint64))
_i16, _i32, _i64, _f32 = (numba.types.Array(t, 1, "C") for t in (numba.int16, numba.int32, numba.int64, numba.float32))
_i8, _f64, _counts = (
    numba.types.Array(numba.int8, 1, "C"),
    numba.types.Array(numba.float64, 1, "C"),
    numba.int64[:, :, ::1],
)
_n, _OPTIONS = numba.int64, {"error_model": "numpy"}

encode = compile_loop(_encode, (_u8, _u8, _u64, _u64, _u16, _u64), **_OPTIONS)
decode = compile_loop(_decode, (_u16, _n, _u64, _u8, _u32, _u8), **_OPTIONS)
fit_rows = compile_loop(_fit_rows, (_i32, _n, _i16, numba.float64, _i32), fastmath={"reassoc"}, **_OPTIONS)
leave = compile_loop(_leave, (_i32, _n, _i16, _i32, _i32, _i64), **_OPTIONS)
column_sums = compile_loop(_column_sums, (_i32, _n, _f32, _f32), **_OPTIONS)
spread = compile_loop(_spread, (_u8, _i8, _u8), **_OPTIONS)
tokenise = compile_loop(_tokenise, (_i32, _u8, _u8, _u8, _counts, _u32), **_OPTIONS)
raw_bits = compile_loop(_raw_bits, (_u8,), **_OPTIONS)
assemble = compile_loop(_assemble, (_u8, _n, _i16, _i32, _u32, _n, _i32), **_OPTIONS)
