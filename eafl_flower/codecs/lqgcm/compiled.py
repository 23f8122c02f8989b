"""The matching pursuit of ``lqgcm_pursuit``, compiled. Importing this module imports numba.

A tournament tree over the blocks finds the best one in a number of steps that grows with the logarithm of
their number; a block is searched anew only after a tuple has changed it.
"""

import math
from typing import Any

import numba
import numpy as np

from eafl_flower.codecs.lqgcm.tuples import BLOCK, MAX_GAIN, PICKED
from eafl_flower.core.compiled import compile_loop
from eafl_flower.types import Array


def _search(row: Array, width: int, best: Array) -> float:
    """Find the largest magnitudes, the first of equal ones, largest first; return the sum of ``width``."""
    top = np.full(PICKED, np.float32(-1.0), np.float32)
    for p in range(BLOCK):
        a = abs(row[p])
        if a > top[PICKED - 1]:
            i = PICKED - 1
            while i > 0 and a > top[i - 1]:
                top[i] = top[i - 1]
                best[i] = best[i - 1]
                i -= 1
            top[i] = a
            best[i] = p
    total = 0.0
    for i in range(width):
        total += np.float64(top[i])
    return total


_compiled_search: Any = numba.njit(inline="always")(_search)


def _loop(
    residual: Array,
    num_values: int,
    scale: float,
    blocks: Array,
    positions: Array,
    negative: Array,
    gains: Array,
) -> int:
    num_blocks = residual.shape[0]
    last_width = min(PICKED, num_values - BLOCK * (num_blocks - 1))
    leaves = 1
    while leaves < num_blocks:
        leaves *= 2
    tree = np.full(2 * leaves, -1.0)  # leaf b at leaves + b: what the best atom of block b takes off
    sums = np.empty(num_blocks)
    best = np.empty((num_blocks, PICKED), np.int64)
    for b in range(num_blocks):
        width = PICKED if b < num_blocks - 1 else last_width
        sums[b] = _compiled_search(residual[b], width, best[b])
        tree[leaves + b] = sums[b] * sums[b] / width
    for node in range(leaves - 1, 0, -1):
        tree[node] = max(tree[2 * node], tree[2 * node + 1])
    for n in range(gains.size):
        node = 1
        while node < leaves:
            node = 2 * node if tree[2 * node] == tree[node] else 2 * node + 1
        b = node - leaves
        width = PICKED if b < num_blocks - 1 else last_width
        value = sums[b] / width / scale
        exponent = max(math.frexp(value)[1] - 11, -24)
        gain = min(math.ldexp(np.rint(math.ldexp(value, -exponent)), exponent), MAX_GAIN)
        amount = np.float32(gain * scale)
        if amount == 0:
            return n
        blocks[n] = b
        gains[n] = gain
        for i in range(PICKED):
            p = best[b, i]
            positions[n, i] = p
            negative[n, i] = residual[b, p] < 0
            if i < width:
                residual[b, p] += amount if negative[n, i] else -amount
        sums[b] = _compiled_search(residual[b], width, best[b])
        tree[node] = sums[b] * sums[b] / width
        while node > 1:
            node //= 2
            tree[node] = max(tree[2 * node], tree[2 * node + 1])
    return int(gains.size)


def _table(dtype: Any, ndim: int) -> Any:
    return numba.types.Array(numba.from_dtype(np.dtype(dtype)), ndim, "C")


loop = compile_loop(
    _loop,
    (
        _table(np.float32, 2),
        numba.int64,
        numba.float64,
        _table(np.uint32, 1),
        _table(np.int64, 2),
        _table(np.bool_, 2),
        _table(np.float64, 1),
    ),
)
