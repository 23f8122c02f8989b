"""The loops that make symbols of the rows of integers and integers of symbols, compiled; importing imports numba.

Sums are of whole numbers, so that every machine has the same ones, however it orders them.
"""

from typing import Any, Final

import numba
import numpy as np

from eafl_flower.codecs.emq.compiled import place
from eafl_flower.core.compiled import compile_loop
from eafl_flower.types import Array

TOKENS: Final = 64
DIRECT: Final = 32  # magnitudes below are tokens of their own
FIRST_LENGTH: Final = 4  # bits that follow the first of the other tokens
MIDDLE: Final = 24  # the class of a row whose mean is 1
WEIGHT_BITS: Final = 14
LARGEST_COEFFICIENT: Final = 8e6
LARGEST_REST: Final = 1 << 27
_UNSHIFTED: Final = 29  # the classes up to the one after have means up to 8

_ONE, _FIVE, _31, _32 = np.uint64(1), np.uint64(5), np.uint64(31), np.uint64(32)
_LOW: Final = np.uint64(0xFFFFFFFF)


def _shift_of(row: int) -> Any:
    """Return how many low bits of each value of a row of this class follow raw."""
    return max(0, (np.int64(row) - _UNSHIFTED) >> 1)


def _predicted(coefficient: Any, weight: Any) -> Any:
    return (np.int64(coefficient) * np.int64(weight) + (1 << (WEIGHT_BITS - 1))) >> WEIGHT_BITS


_compiled_shift: Any = numba.njit(inline="always")(_shift_of)
_compiled_predicted: Any = numba.njit(inline="always")(_predicted)


def _prototype(sample: Array, weights: Array, iterations: int) -> bool:
    """Fill the direction of most rows, its largest weight 2**14; return whether any row has one."""
    rows, columns = sample.shape
    squares, sums, alive = np.empty(rows, np.int64), np.empty(columns, np.float64), 0
    for r in range(rows):
        row, total = sample[r], np.int64(0)
        for j in range(columns):
            total += np.int64(row[j]) * np.int64(row[j])
        squares[r] = total
        alive += 1 if total > 0 else 0
    if alive == 0:
        return False
    first, passed = 0, 0
    while squares[first] == 0 or passed < alive // 2:  # the middle one of the rows that are not zero
        passed += 1 if squares[first] > 0 else 0
        first += 1
    sums[:] = sample[first]
    for iteration in range(iterations + 1):
        if iteration > 0:
            sums[:] = 0
            for r in range(rows):
                if squares[r] > 0:
                    row, dot = sample[r], np.int64(0)
                    for j in range(columns):
                        dot += np.int64(row[j]) * np.int64(weights[j])
                    share = np.float64(dot) / np.float64(squares[r])
                    for j in range(columns):
                        sums[j] += share * np.float64(row[j])
        largest = 0.0
        for j in range(columns):
            largest = max(largest, abs(sums[j]))
        if largest == 0:
            return False
        for j in range(columns):
            weights[j] = np.int16(np.rint(sums[j] * ((1 << WEIGHT_BITS) / largest)))
    return True


def _settle(
    values: Array, columns: int, weights: Array, norm: float, rests: Array, coefficients: Array, classes: Array
) -> float:
    """Fill coefficient, class and rests of each row; return about how many bits the prediction saves.

    ``norm`` is the squared norm of the weights over 2**14, 0 without a prototype. A row for which it saves nothing has
    the coefficient 0.
    """
    saved = 0.0
    for r in range(classes.size):
        row = values[r * columns : min((r + 1) * columns, values.size)]
        rest = rests[r * columns : r * columns + row.size]
        before, after, dot, k, n = np.int64(0), np.int64(0), np.int64(0), np.int32(0), row.size
        for j in range(n):
            before += np.int64(abs(row[j]))
        if norm > 0 and before > 0:
            for j in range(n):
                dot += np.int64(row[j]) * np.int64(weights[j])
            k = np.int32(np.rint(min(max(np.float64(dot) / norm, -LARGEST_COEFFICIENT), LARGEST_COEFFICIENT)))
        if k != 0:
            for j in range(n):
                rest[j] = np.int32(row[j] - np.int32(_compiled_predicted(k, weights[j])))
                after += np.int64(abs(rest[j]))
            gain = n * np.log2((1.0 + before / n) / (1.0 + after / n)) - 8.0
            if gain > 0:
                saved += gain
            else:
                k = np.int32(0)
        if k == 0:
            rest[:] = row
            after = before
        coefficients[r] = k
        classes[r] = 0 if after == 0 else np.uint8(min(max(np.rint(2 * np.log2(after / n)) + MIDDLE, 1.0), 63.0))
    return saved


def _column_sums(rests: Array, columns: int, sums: Array) -> float:
    """Add up the magnitudes of each column, rows of means above 1 by their share; return the sum of means up to 1."""
    smaller = 0.0
    for r in range(rests.size // columns):
        row, total = rests[r * columns : (r + 1) * columns], np.int64(0)
        for j in range(columns):
            total += np.int64(abs(row[j]))
        if total > 0:
            mean = total / columns
            smaller += min(mean, 1.0)
            scale = 1.0 / max(mean, 1.0)
            for j in range(columns):
                sums[j] += scale * np.float64(abs(row[j]))
    return smaller


def _fold(
    rests: Array, classes: Array, by_column: Array, symbols: Array, counts: Array, raw: Array, position: Array
) -> None:
    """Fill symbols and raw bits of rows, and count the tokens by context.

    ``counts`` `(2, 4096)` are of columns with even and with odd place, for adding to one count in a row takes long.
    ``position`` is the word of ``raw`` that is being filled, its bits so far, and their number.
    """
    columns = by_column.size
    places, known = np.empty(columns, np.uint32), np.uint8(0)
    high = np.empty(columns, np.int32)
    even, odd = counts[0], counts[1]
    at, kept, filled = position[0], position[1], position[2]
    for r in range(classes.size):
        row = rests[r * columns : min((r + 1) * columns, rests.size)]
        out, n = symbols[r * columns : r * columns + row.size], row.size
        if classes[r] == 0:
            out[:] = 0
            continue
        if classes[r] != known:
            known = classes[r]
            place(known, by_column, 0, 6, places)
        shift, largest = _compiled_shift(known), np.int32(0)
        half = np.int32((1 << shift) >> 1)
        for j in range(n):
            high[j] = (row[j] + half) >> shift
            largest = max(largest, abs(high[j]))
        if shift > 0:
            mask = (_ONE << np.uint64(shift)) - _ONE
            for j in range(n):
                kept |= (np.uint64(np.int64(row[j]) + half) & mask) << filled
                filled += np.uint64(shift)
                raw[at] = np.uint32(kept & _LOW)
                full = filled & _32  # never more than 31 + 27 bits are there
                kept >>= full
                filled -= full
                at += full >> _FIVE
        for j in range(n):
            out[j] = np.int8(high[j])
        if largest >= DIRECT:
            for j in range(n):
                size = abs(np.int64(high[j])) - (DIRECT - (1 << FIRST_LENGTH))
                if size >= 1 << FIRST_LENGTH:
                    length = FIRST_LENGTH
                    while size >> (length + 1):
                        length += 1
                    token = DIRECT - FIRST_LENGTH + length
                    out[j] = np.int8(token if high[j] > 0 else -token)
                    kept |= (np.uint64(size) & ((_ONE << np.uint64(length)) - _ONE)) << filled
                    filled += np.uint64(length)
                    raw[at] = np.uint32(kept & _LOW)
                    full = filled & _32
                    kept >>= full
                    filled -= full
                    at += full >> _FIVE
        pairs = np.uint64(n) & ~_ONE
        for j in range(np.uint64(0), pairs, np.uint64(2)):
            even[np.uint64(places[j]) + np.uint64(abs(out[j]))] += 1
            odd[np.uint64(places[j + _ONE]) + np.uint64(abs(out[j + _ONE]))] += 1
        if pairs < np.uint64(n):
            even[np.uint64(places[pairs]) + np.uint64(abs(out[pairs]))] += 1
    position[0], position[1], position[2] = at, kept, filled


def _unfold(
    symbols: Array,
    columns: int,
    classes: Array,
    weights: Array,
    coefficients: Array,
    raw: Array,
    bit: Any,
    num_bits: int,
    values: Array,
) -> Any:
    """Fill the integers of rows from symbols, raw bits from ``bit`` on and the prediction; return the bit behind them.

    -1 if there are fewer than ``num_bits`` bits, or an integer is too large. ``raw`` goes on for two words behind.
    """
    for r in range(classes.size):
        row = symbols[r * columns : min((r + 1) * columns, symbols.size)]
        out, n = values[r * columns : r * columns + row.size], row.size
        shift, largest = _compiled_shift(classes[r]), np.int8(0)
        for j in range(n):
            out[j] = np.int32(row[j]) << shift
            largest = max(largest, abs(row[j]))
        if shift > 0:
            if bit + shift * n > num_bits:
                return -1
            half, mask = 1 << (shift - 1), (_ONE << np.uint64(shift)) - _ONE
            for j in range(n):
                at = np.uint64(bit) >> _FIVE
                pair = np.uint64(raw[at]) | np.uint64(raw[at + _ONE]) << _32
                out[j] += np.int32((pair >> (np.uint64(bit) & _31)) & mask) - half
                bit += shift
        if largest >= DIRECT:
            for j in range(n):
                token = abs(np.int64(row[j]))
                if token >= DIRECT:
                    length = token - DIRECT + FIRST_LENGTH
                    if bit + length > num_bits:
                        return -1
                    at = np.uint64(bit) >> _FIVE
                    pair = np.uint64(raw[at]) | np.uint64(raw[at + _ONE]) << _32
                    low = (pair >> (np.uint64(bit) & _31)) & ((_ONE << np.uint64(length)) - _ONE)
                    bit += length
                    beyond = (np.int64(low) + (1 << length) + DIRECT - (1 << FIRST_LENGTH) - token) << shift
                    rest = np.int64(out[j]) + (beyond if row[j] > 0 else -beyond)
                    if abs(rest) > LARGEST_REST:
                        return -1
                    out[j] = np.int32(rest)
        k = coefficients[r]
        if k != 0:
            for j in range(n):
                out[j] += np.int32(_compiled_predicted(k, weights[j]))
    return bit


_u8, _u32, _u64 = (numba.types.Array(t, 1, "C") for t in (numba.uint8, numba.uint32, numba.uint64))
_i8, _i16, _i32 = (numba.types.Array(t, 1, "C") for t in (numba.int8, numba.int16, numba.int32))
_f64, _sample, _counts = numba.types.Array(numba.float64, 1, "C"), numba.int32[:, ::1], numba.uint32[:, ::1]
_n, _OPTIONS = numba.int64, {"error_model": "numpy"}

prototype = compile_loop(_prototype, (_sample, _i16, _n), **_OPTIONS)
settle = compile_loop(_settle, (_i32, _n, _i16, numba.float64, _i32, _i32, _u8), **_OPTIONS)
column_sums = compile_loop(_column_sums, (_i32, _n, _f64), **_OPTIONS)
fold = compile_loop(_fold, (_i32, _u8, _i8, _i8, _counts, _u32, _u64), **_OPTIONS)
unfold = compile_loop(_unfold, (_i8, _n, _u8, _i16, _i32, _u32, _n, _n, _i32), **_OPTIONS)
