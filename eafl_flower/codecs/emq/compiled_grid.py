"""The loops of the quantiser, compiled; importing this module imports numba."""

from typing import Any

import numba
import numpy as np

from eafl_flower.core.compiled import compile_loop
from eafl_flower.types import Array


def _norms(x: Array) -> tuple[Any, float]:
    """Return the bits of the largest magnitude, and the squared norm; that is not finite if a value is not."""
    bits, largest, total = x.view(np.int32), np.int32(0), 0.0  # magnitudes are in the order of their bits
    for i in range(x.size):
        largest = max(largest, bits[i] & np.int32(0x7FFFFFFF))
        total += np.float64(x[i]) * np.float64(x[i])
    return largest, total


def _round(x: Array, step: float, zero: float, largest: float, allowed: float, integers: Array) -> tuple[float, Any]:
    """Fill the multiples of ``step`` nearest to ``x``; return the squared error and the sum of their lengths in bits.

    ``zero`` is what zeros stand for. It ends as soon as the squared error is above what is ``allowed``. ``integers``
    may be empty.
    """
    per_step, total, lengths, room = 1.0 / step, 0.0, np.int64(0), np.empty(4096, np.int32)
    sizes = np.empty(4096, np.float32)
    bits = sizes.view(np.int32)  # of a whole number below 2**24, its length is in the exponent
    for first in range(0, x.size, 4096):
        part = x[first : min(first + 4096, x.size)]
        out = room if integers.size == 0 else integers[first : first + part.size]
        error, sum_of_lengths = 0.0, np.int32(0)
        for i in range(part.size):
            m = min(max(np.rint(np.float64(part[i]) * per_step), -largest), largest)
            out[i] = np.int32(m)
            sizes[i] = np.float32(abs(m))
            rest = np.float64(np.float32(zero if m == 0 else m * step)) - np.float64(part[i])
            error += rest * rest
        for i in range(part.size):
            sum_of_lengths += max((bits[i] >> 23) - 126, 0)
        total += error
        lengths += sum_of_lengths
        if total > allowed:
            break
    return total, lengths


def _scale(integers: Array, step: float, zero: float, values: Array) -> Any:
    """Fill the multiples of ``step``, with ``zero`` for zeros; return the largest magnitude of an integer."""
    largest = np.int32(0)
    for i in range(integers.size):
        m = integers[i]
        largest = max(largest, abs(m))
        values[i] = np.float32(zero if m == 0 else m * step)
    return np.int64(largest)


_f32, _i32 = (numba.types.Array(t, 1, "C") for t in (numba.float32, numba.int32))
_f, _SUMS = numba.float64, {"error_model": "numpy", "fastmath": {"reassoc", "nsz"}}

norms = compile_loop(_norms, (_f32,), **_SUMS)
round_to = compile_loop(_round, (_f32, _f, _f, _f, _f, _i32), **_SUMS)
scale = compile_loop(_scale, (_i32, _f, _f, _f32), **_SUMS)
