"""Differences of arrays that can be undone: what a client sends, and what the server adds back.

Floating arrays are subtracted and added. So are integers, modulo their range, without loss; booleans have
no difference, and flip instead (exclusive or). Elements that are not finite (a mask of minus infinity, a buffer of NaN)
and the same on both sides have the difference 0: added back, that changes nothing.

Where a codec wants what was trained rather than what has changed, floating arrays travel as they are; counters and
masks remain differences.
"""

import numpy as np

from eafl_flower.types import Array, Arrays


def difference(new: Arrays, base: Arrays) -> Arrays:
    """Return ``new - base``, array by array, in the dtypes of ``base``.

    Examples
    --------
    >>> difference((np.array([1.5, 2.0]), np.array([True, False])), (np.array([1.0, 2.0]), np.array([True, True])))
    (array([0.5, 0. ]), array([False,  True]))
    """
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused as such
        return tuple(_minus(np.asarray(n), b) for n, b in zip(new, base, strict=True))


def fits(new: Array, base: Array) -> bool:
    """Return whether ``new`` can take the place of ``base``: of its shape, and of its dtype or one that turns into it.

    Examples
    --------
    >>> fits(np.zeros(2), np.zeros(2, np.float32)), fits(np.zeros(2), np.zeros(2, np.int32))
    (True, False)
    """
    return new.shape == base.shape and (new.dtype == base.dtype or np.can_cast(new.dtype, base.dtype, "same_kind"))


def trained(new: Arrays, base: Arrays) -> Arrays:
    """Return the floating arrays of ``new`` in the dtypes of ``base``, and of all others the difference to it.

    Where ``base`` is not finite, floating arrays have the difference too: 0 for what has stayed.

    Examples
    --------
    >>> trained((np.array([1.5, -np.inf]), np.array(7)), (np.array([1.0, -np.inf]), np.array(4)))
    (array([1.5, 0. ]), array(3))
    """
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused as such
        return tuple(_trained(np.asarray(n), b) for n, b in zip(new, base, strict=True))


def since(base: Arrays, values: Arrays) -> Arrays:
    """Return the difference to ``base`` of what ``trained`` gave, as ``difference`` would have given it.

    Examples
    --------
    >>> since((np.array([1.0, -np.inf]), np.array(4)), (np.array([1.5, 0.0]), np.array(3)))
    (array([0.5, 0. ]), array(3))
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return tuple(_since(b, v) for b, v in zip(base, values, strict=True))


def _minus(new: Array, base: Array) -> Array:
    if base.dtype.kind == "b":
        return np.asarray(np.logical_xor(new, base))
    result: Array = np.asarray(np.subtract(new, base, dtype=base.dtype))
    if base.dtype.kind in "fc" and not (finite := np.isfinite(result)).all():
        unchanged = ~finite & ((new == base) | (np.isnan(new) & np.isnan(base)))
        result = np.where(unchanged, base.dtype.type(0), result)
    return result


def _trained(new: Array, base: Array) -> Array:
    if base.dtype.kind != "f":
        return _minus(new, base)
    values, finite = new.astype(base.dtype, copy=False), np.isfinite(base)
    return values if finite.all() else np.where(finite, values, _minus(new, base))


def _since(base: Array, values: Array) -> Array:
    if base.dtype.kind != "f":
        return values
    changed, finite = np.asarray(values - base), np.isfinite(base)
    return changed if finite.all() else np.where(finite, changed, values)


def moved(base: Arrays, delta: Arrays) -> Arrays:
    """Return ``base + delta``, array by array, in the dtypes of ``base``: undoes ``difference``."""
    with np.errstate(over="ignore", invalid="ignore"):
        return tuple(
            np.asarray(np.logical_xor(b, d) if b.dtype.kind == "b" else np.add(b, d, dtype=b.dtype))
            for b, d in zip(base, delta, strict=True)
        )
