"""Differences of arrays that can be undone: what a client sends, and what the server adds back.

Floating arrays are subtracted and added. So are integers, modulo their range, without loss; booleans have
no difference, and flip instead (exclusive or).
"""

import numpy as np

from eafl_flower.types import Arrays


def difference(new: Arrays, base: Arrays) -> Arrays:
    """Return ``new - base``, array by array, in the dtypes of ``base``.

    Examples
    --------
    >>> difference((np.array([1.5, 2.0]), np.array([True, False])), (np.array([1.0, 2.0]), np.array([True, True])))
    (array([0.5, 0. ]), array([False,  True]))
    """
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused as such
        return tuple(
            np.asarray(np.logical_xor(n, b) if b.dtype.kind == "b" else np.subtract(n, b, dtype=b.dtype))
            for n, b in zip(new, base, strict=True)
        )


def moved(base: Arrays, delta: Arrays) -> Arrays:
    """Return ``base + delta``, array by array, in the dtypes of ``base``: undoes ``difference``."""
    with np.errstate(over="ignore", invalid="ignore"):
        return tuple(
            np.asarray(np.logical_xor(b, d) if b.dtype.kind == "b" else np.add(b, d, dtype=b.dtype))
            for b, d in zip(base, delta, strict=True)
        )
