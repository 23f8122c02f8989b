"""The loops of the quantiser, compiled; importing this module imports numba."""

from typing import Any

import numba
import numpy as np

from eafl_flower.core.compiled import compile_loop
from eafl_flower.types import Array


def _round(x: Array, step: float, largest: float, integers: Array) -> float:
    """Fill the multiples of ``step`` nearest to ``x``, unless ``integers`` is empty; return the squared error."""
    per_step, total = 1.0 / step, 0.0
    if integers.size == 0:
        for i in range(x.size):
            m = min(max(np.rint(np.float64(x[i]) * per_step), -largest), largest)
            rest = np.float64(np.float32(m * step)) - np.float64(x[i])
            total += rest * rest
    else:
        for i in range(x.size):
            m = min(max(np.rint(np.float64(x[i]) * per_step), -largest), largest)
            integers[i] = np.int32(m)
            rest = np.float64(np.float32(m * step)) - np.float64(x[i])
            total += rest * rest
    return total


def _add_lengths(integers: Array, longest: int) -> Any:
    """Return the sum of the lengths of magnitudes in bits, none above ``longest``."""
    total = np.int64(0)
    for first in range(0, integers.size, 4096):
        part = integers[first : min(first + 4096, integers.size)]
        for bit in range(longest):
            least, count = np.int32(1 << bit), np.int32(0)
            for i in range(part.size):
                count += np.int32(1) if abs(part[i]) >= least else np.int32(0)
            total += count
    return total


def _scale(integers: Array, step: float, zero: float, values: Array) -> Any:
    """Fill the multiples of ``step``, with ``zero`` for zeros; return the largest magnitude of an integer."""
    largest = np.int32(0)
    for i in range(integers.size):
        m = integers[i]
        largest = max(largest, abs(m))
        values[i] = np.float32(zero if m == 0 else m * step)
    return np.int64(largest)


def _miss(integers: Array, step: float, zero: float, x: Array) -> float:
    """Return the squared norm of what the multiples of ``step`` miss of ``x``."""
    total = 0.0
    for i in range(integers.size):
        m = integers[i]
        rest = np.float64(np.float32(zero if m == 0 else m * step)) - np.float64(x[i])
        total += rest * rest
    return total


_f32, _i32 = (numba.types.Array(t, 1, "C") for t in (numba.float32, numba.int32))
_f, _n, _SUMS = numba.float64, numba.int64, {"error_model": "numpy", "fastmath": {"reassoc", "nsz"}}

round_to = compile_loop(_round, (_f32, _f, _f, _i32), **_SUMS)
add_lengths = compile_loop(_add_lengths, (_i32, _n), **_SUMS)
scale = compile_loop(_scale, (_i32, _f, _f, _f32), **_SUMS)
miss = compile_loop(_miss, (_i32, _f, _f, _f32), **_SUMS)
