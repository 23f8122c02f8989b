"""The loops of ``merge`` in numpy, in blocks that stay in the cache; ``compiled`` has the same for large models."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from eafl_flower.types import Array

# Elements per block: two float32 scratch blocks and the block at work stay in the second-level cache.
# Not above 8,192, from where BLAS may split a dot product over threads and change its rounding.
_BLOCK = 8192


class Kernels(NamedTuple):
    """Loops over flat, contiguous, equally long arrays of one dtype."""

    step: Callable[..., None]
    pull: Callable[..., None]
    swap: Callable[..., None]
    lead: Callable[..., None]
    inner: Callable[..., float]
    along: Callable[..., tuple[float, float]]


def _blocks(size: int) -> list[slice]:
    return [slice(i, i + _BLOCK) for i in range(0, size, _BLOCK)]


def _working_dtype(array: Array) -> np.dtype[Any]:
    """Float16 arrays are merged in float32 and rounded once."""
    return np.dtype(np.float32) if array.dtype.itemsize == 2 else array.dtype


def _step(theta: Array, delta: Array, weight: float) -> None:
    dtype = _working_dtype(theta)
    w = dtype.type(weight)
    for block in _blocks(theta.size):
        t = theta[block]
        np.add(t, np.multiply(delta[block], w, dtype=dtype), out=t, casting="same_kind")


def _pull(theta: Array, delta: Array, mean: Array, weight: float, stiffness: float, rate: float) -> None:
    dtype = _working_dtype(theta)
    w, b, r = dtype.type(weight), dtype.type(stiffness), dtype.type(rate)
    for block in _blocks(theta.size):
        t, m = theta[block], mean[block]
        spring = _gap(m, t, dtype)
        spring *= b
        spring += np.multiply(delta[block], w, dtype=dtype)
        np.add(t, spring, out=t, casting="same_kind")
        spring = _gap(t, m, dtype)
        spring *= r
        np.add(m, spring, out=m, casting="same_kind")


def _swap(theta: Array, new: Array, old: Array, gain: float, loss: float) -> None:
    dtype = _working_dtype(theta)
    a, b = dtype.type(gain), dtype.type(loss)
    for block in _blocks(theta.size):
        t = theta[block]
        change = _gap(new[block], t, dtype)
        change *= a
        lost = _gap(old[block], t, dtype)
        lost *= b
        change -= lost
        np.add(t, change, out=t, casting="same_kind")


def _lead(ahead: Array, theta: Array, behind: Array, share: float, rate: float) -> None:
    dtype = _working_dtype(theta)
    c, r = dtype.type(share), dtype.type(rate)
    for block in _blocks(theta.size):
        t, m = theta[block], behind[block]
        way = _gap(t, m, dtype)
        way *= r
        np.add(m, way, out=m, casting="same_kind")
        way = _gap(t, m, dtype)
        way *= c
        np.add(t, way, out=ahead[block], casting="same_kind")


def _along(delta: Array, theta: Array, behind: Array) -> tuple[float, float]:
    product = square = 0.0
    for block in _blocks(theta.size):
        way = _gap(theta[block], behind[block], _working_dtype(theta)).astype(np.float64)
        product += float(np.dot(delta[block].astype(np.float64), way))
        square += float(np.dot(way, way))
    return product, square


def _gap(left: Array, right: Array, dtype: np.dtype[Any]) -> Array:
    """Return ``left - right``, 0 where they are equal: infinite elements, too, about which callers let nothing warn."""
    gap: Array = np.subtract(left, right, dtype=dtype)
    np.copyto(gap, 0.0, where=left == right)
    return gap


def _inner(x: Array, y: Array) -> float:
    result = 0.0
    for block in _blocks(x.size):
        a = x[block].astype(np.float64)
        result += float(np.dot(a, a if x is y else y[block].astype(np.float64)))
    return result


BLOCKWISE = Kernels(_step, _pull, _swap, _lead, _inner, _along)
