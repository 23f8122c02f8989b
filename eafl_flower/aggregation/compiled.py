"""The loops of ``merge``, compiled. Importing this module imports numba.

No fast-math flag is set for the merges, so LLVM neither fuses nor reorders their operations. Sums may
be re-associated (``reassoc`` alone: NaN and infinity keep their meaning), because a sum in one chain
runs at a tenth of the memory speed; their last bits depend on the vector width of the processor.
"""

from functools import cache
from typing import Any

import numba
import numpy as np

from eafl_flower.aggregation.blockwise import Kernels
from eafl_flower.core.compiled import compile_loop
from eafl_flower.types import Array


@cache
def compiled_kernels(dtype: str) -> Kernels:
    """Return the compiled loops for ``dtype``, "float32" or "float64"."""
    scalar = numba.from_dtype(np.dtype(dtype))
    written = numba.types.Array(scalar, 1, "C")
    # One read-only signature takes both kinds of arrays; otherwise each would be compiled apart.
    read = numba.types.Array(scalar, 1, "C", readonly=True)
    step = compile_loop(_step, (written, read, scalar))
    pull = compile_loop(_pull, (written, read, written, scalar, scalar, scalar))
    swap = compile_loop(_swap, (written, read, read, scalar, scalar))
    lead = compile_loop(_lead, (written, read, written, scalar, scalar))
    rounded = np.dtype(dtype).type
    return Kernels(
        lambda t, d, weight: step(t, d, rounded(weight)),
        lambda t, d, m, weight, stiffness, rate: pull(t, d, m, rounded(weight), rounded(stiffness), rounded(rate)),
        lambda t, new, old, gain, loss: swap(t, new, old, rounded(gain), rounded(loss)),
        lambda y, t, m, share, rate: lead(y, t, m, rounded(share), rounded(rate)),
        compile_loop(_inner, (read, read), fastmath={"reassoc"}),
        compile_loop(_along, (read, read, read), fastmath={"reassoc"}),
    )


def _step(theta: Array, delta: Array, weight: Any) -> None:
    for i in range(theta.size):
        theta[i] += weight * delta[i]


def _pull(theta: Array, delta: Array, mean: Array, weight: Any, stiffness: Any, rate: Any) -> None:
    nothing = weight - weight  # of this dtype
    for i in range(theta.size):
        t, m = theta[i], mean[i]
        gap = m - t if m != t else nothing  # infinite elements, too
        t += weight * delta[i] + stiffness * gap
        gap = t - m if m != t else nothing
        theta[i] = t
        mean[i] = m + rate * gap


def _swap(theta: Array, new: Array, old: Array, gain: Any, loss: Any) -> None:
    nothing = gain - gain  # of this dtype
    for i in range(theta.size):
        t, y, o = theta[i], new[i], old[i]
        come = y - t if y != t else nothing  # infinite elements, too
        go = o - t if o != t else nothing
        theta[i] = t + (gain * come - loss * go)


def _lead(ahead: Array, theta: Array, behind: Array, share: Any, rate: Any) -> None:
    nothing = share - share  # of this dtype
    for i in range(theta.size):
        t, m = theta[i], behind[i]
        way = t - m if t != m else nothing  # infinite elements, too
        m += rate * way
        way = t - m if t != m else nothing
        behind[i] = m
        ahead[i] = t + share * way


def _along(delta: Array, theta: Array, behind: Array) -> tuple[float, float]:
    product = square = 0.0
    for i in range(theta.size):
        t, m = theta[i], behind[i]
        way = np.float64(t - m) if t != m else 0.0  # infinite elements, too
        product += np.float64(delta[i]) * way
        square += way * way
    return product, square


def _inner(x: Array, y: Array) -> float:
    result = 0.0
    for i in range(x.size):
        result += np.float64(x[i]) * np.float64(y[i])
    return result
