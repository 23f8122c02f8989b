"""In-place merges of large arrays, and their norm.

Models of at least ``COMPILED_FROM`` elements are merged by compiled loops (numba, one thread), which
run at memory speed; smaller ones by numpy in blocks that stay in the cache, so that a small model
never pays for importing a compiler. The choice depends on the layout alone, so a run repeats itself
bit for bit. Both ways round every element alike (no fused multiply-add, no reordering): ``step`` and
``pull`` give the same bits. Sums of ``inner`` agree to float64 rounding only.

Floating-point arrays follow the equations. Integer arrays are taken as counters (the batch counter of
a batch normalisation, say): a weighted count means nothing, so the whole delta is added, whatever the
weight, and the average holds a copy. They do not enter norms. Boolean arrays stay as they are (``acceptance.accept``
takes no others), and so do infinite elements, which are equal to their average.
"""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from eafl_flower.aggregation.blockwise import BLOCKWISE, Kernels
from eafl_flower.types import Array, Arrays

# Below this many elements import and compilation (0.4 s + 1 s, the latter once per machine) are not won
# back: at 2**20 elements numpy takes 1.2 ms for norm and merge, the compiled loops 0.4 ms.
COMPILED_FROM = 2**20


def step(arrays: Arrays, deltas: Arrays, weight: float) -> None:
    r"""Add weighted deltas in place.

    .. math:: \theta \leftarrow \theta + w\,\delta

    Parameters
    ----------
    arrays
        The arrays :math:`\theta`; C-contiguous and writable.
    deltas
        The deltas :math:`\delta`, of the same shapes; any strides, read-only is fine.
    weight
        The weight :math:`w`, rounded to each array's dtype.

    Raises
    ------
    ValueError
        If numbers of arrays or shapes differ, or ``arrays`` cannot be written in place.
    """
    total = _total(arrays)
    # Last array first: the norm was taken first to last, so the last deltas may still be cached.
    for theta, delta in reversed(_pairs(arrays, deltas)):
        flat, change = _target(theta), _source(delta, theta)
        if theta.dtype.kind == "f":
            kernels(theta.dtype, total).step(flat, change, weight)
        else:
            flat += change


def pull(arrays: Arrays, deltas: Arrays, average: Arrays, *, weight: float, stiffness: float, momentum: float) -> None:
    r"""Add weighted deltas and a pull to the average, then move the average; all in one pass.

    .. math:: \theta^+ = \theta + (w\,\delta + b\,(\bar\theta - \theta)), \qquad
              \bar\theta^+ = \bar\theta + (1-\mu)(\theta^+ - \bar\theta)

    The second is :math:`\mu\bar\theta + (1-\mu)\theta^+` in the form that leaves
    :math:`\bar\theta = \theta^+` exactly where it is.

    Parameters
    ----------
    arrays, average
        The arrays :math:`\theta` and their average :math:`\bar\theta`; C-contiguous and writable.
    deltas
        The deltas :math:`\delta`, of the same shapes; any strides, read-only is fine.
    weight, stiffness, momentum
        :math:`w`, :math:`b` and :math:`\mu`, rounded to each array's dtype.

    Raises
    ------
    ValueError
        If numbers of arrays or shapes differ, or ``arrays`` or ``average`` cannot be written in place.
    """
    total = _total(arrays)
    pairs = list(zip(_pairs(arrays, deltas), _pairs(arrays, average), strict=True))
    with _infinite_elements():
        for (theta, delta), (_, mean) in reversed(pairs):
            flat, flat_mean, change = _target(theta), _target(mean), _source(delta, theta)
            if theta.dtype.kind == "f":
                kernels(theta.dtype, total).pull(flat, change, flat_mean, weight, stiffness, 1.0 - momentum)
            else:
                flat += change
                flat_mean[...] = flat


def swap(arrays: Arrays, new: Arrays, old: Arrays, *, gain: float, loss: float) -> None:
    r"""Let one member of a mean take the place of another, in place.

    .. math:: \theta \leftarrow \theta + a\,(y - \theta) - b\,(o - \theta)

    Integer arrays are left alone: a mean of counters means nothing.

    Parameters
    ----------
    arrays
        The mean :math:`\theta`; C-contiguous and writable.
    new, old
        The members :math:`y` and :math:`o` that come and go, of the same shapes.
    gain, loss
        Their shares :math:`a` and :math:`b` of the mean as it will be, rounded to each array's dtype.

    Raises
    ------
    ValueError
        If numbers of arrays or shapes differ, or ``arrays`` cannot be written in place.
    """
    total = _total(arrays)
    with _infinite_elements():
        for (theta, come), (_, go) in zip(_pairs(arrays, new), _pairs(arrays, old), strict=True):
            if theta.dtype.kind == "f":
                flat = _target(theta)
                kernels(theta.dtype, total).swap(flat, _source(come, theta), _source(go, theta), gain, loss)


def lead(arrays: Arrays, mean: Arrays, average: Arrays, *, shares: Sequence[float], rate: float) -> None:
    r"""Move an average towards a mean, then set arrays ahead of the mean, away from the average; all in one pass.

    .. math:: \bar\theta \leftarrow \bar\theta + r\,(\theta - \bar\theta), \qquad
              y \leftarrow \theta + c\,(\theta - \bar\theta)

    Arrays that are not floating point become copies of the mean.

    Parameters
    ----------
    arrays, average
        The arrays :math:`y` and the average :math:`\bar\theta`; C-contiguous and writable.
    mean
        The mean :math:`\theta`, of the same shapes.
    shares
        :math:`c` of each array, rounded to its dtype.
    rate
        :math:`r`; with 1 the average becomes a copy.

    Raises
    ------
    ValueError
        If numbers of arrays or shapes differ, or ``arrays`` or ``average`` cannot be written in place.
    """
    total = _total(arrays)
    pairs = zip(_pairs(arrays, mean), _pairs(arrays, average), shares, strict=True)
    with _infinite_elements():
        for (ahead, theta), (_, behind), share in pairs:
            if theta.dtype.kind == "f" and rate < 1:
                source = _source(theta, ahead)
                kernels(ahead.dtype, total).lead(_target(ahead), source, _target(behind), share, rate)
            else:
                np.copyto(behind, theta)
                np.copyto(ahead, theta)


def along(deltas: Arrays, mean: Arrays, average: Arrays) -> tuple[float, float]:
    r"""Return :math:`\langle\delta,\ \theta-\bar\theta\rangle` and :math:`\lVert\theta-\bar\theta\rVert^2`.

    Both are sums over all floating-point entries, in float64, without arrays that hold NaN.

    Raises
    ------
    ValueError
        If numbers of arrays or shapes differ.
    """
    total = _total(mean)
    product = square = 0.0
    with _infinite_elements():
        for (delta, theta), (_, behind) in zip(_pairs(deltas, mean), _pairs(deltas, average), strict=True):
            if theta.dtype.kind == "f":
                flat = _source(theta, theta)
                sums = kernels(theta.dtype, total).along(_source(delta, theta), flat, _source(behind, theta))
                if math.isfinite(sums[1]):  # NaN that a client keeps as a mark, say
                    product, square = product + sums[0], square + sums[1]
    return product, square


def inner(left: Arrays, right: Arrays) -> float:
    r"""Sum of products :math:`\sum_i x_i y_i` over all floating-point entries, in float64.

    Raises
    ------
    ValueError
        If numbers of arrays or shapes differ.
    """
    total = _total(left)
    result = 0.0
    with np.errstate(over="ignore", invalid="ignore"):  # a sum that is not finite is an answer here
        for x, y in _pairs(left, right):
            if x.dtype.kind == "f":
                flat = _source(x, x)
                result += kernels(x.dtype, total).inner(flat, flat if y is x else _source(y, x))
    return result


def squared_norms(arrays: Arrays) -> tuple[float, ...]:
    """Return ``squared_norm`` of each array by itself, 0 for those that are not floating point."""
    total = _total(arrays)
    with np.errstate(over="ignore", invalid="ignore"):
        flats = (_source(a, a) if a.dtype.kind == "f" else None for a in arrays)
        return tuple(0.0 if x is None else kernels(x.dtype, total).inner(x, x) for x in flats)


def squared_norm(arrays: Arrays) -> float:
    """Sum of squares over all floating-point entries, in float64, reading each once.

    Any NaN or infinity makes the result not finite, so this is the check for finite values, too.
    """
    return inner(arrays, arrays)


def kernels(dtype: np.dtype[Any], total: int) -> Kernels:
    """Return the loops for arrays of ``dtype`` in a model of ``total`` elements."""
    if total >= COMPILED_FROM and dtype.itemsize in (4, 8):
        from eafl_flower.aggregation.compiled import compiled_kernels  # imports numba

        return compiled_kernels(dtype.name)
    return BLOCKWISE


def _infinite_elements() -> AbstractContextManager[Any]:
    """Let nothing warn of invalid operations: the difference of two infinite elements is one, and counts as 0.

    Elements that become NaN otherwise are not warned of either: updates with such are refused before (``accept``).
    """
    return np.errstate(invalid="ignore")


def _total(arrays: Arrays) -> int:
    return sum(a.size for a in arrays)


def _pairs(left: Arrays, right: Arrays) -> list[tuple[Array, Array]]:
    if len(left) != len(right):
        msg = f"got {len(right)} arrays to go with {len(left)}"
        raise ValueError(msg)
    for i, (x, y) in enumerate(zip(left, right, strict=True)):
        if x.shape != y.shape:
            msg = f"array {i} has shape {y.shape}, expected {x.shape}"
            raise ValueError(msg)
    return list(zip(left, right, strict=True))


def _target(array: Array) -> Array:
    flags = array.flags
    if not (flags.c_contiguous and flags.writeable and flags.aligned):
        msg = "an array to merge into is read-only or not contiguous: make it with numpy.array(array, order='C')"
        raise ValueError(msg)
    return array.reshape(-1)


def _source(array: Array, like: Array) -> Array:
    if array.dtype != like.dtype or not (array.flags.c_contiguous and array.flags.aligned):
        array = np.require(array, dtype=like.dtype.newbyteorder("="), requirements=["C", "A"])
    return array.reshape(-1)
