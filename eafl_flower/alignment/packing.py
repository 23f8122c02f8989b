"""Real latents as complex vectors of half the size, and complex arrays as floats for the wire.

Columns are samples everywhere in this package.
"""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from eafl_flower.errors import CodecError, DataError

Real = NDArray[np.float64]
Complex = NDArray[np.complex128]


def pack(latents: NDArray[Any]) -> Complex:
    """Return real latents as complex ones: the upper half of the rows is the real part, the lower the imaginary.

    Parameters
    ----------
    latents
        Real, ``(d, n)``; with an odd ``d`` a row of zeros is appended.

    Returns
    -------
    Complex
        ``(ceil(d / 2), n)``.

    Raises
    ------
    DataError
        If they are not a real matrix, or not finite.

    Examples
    --------
    >>> pack(np.array([[1.0], [2.0], [3.0]]))
    array([[1.+3.j],
           [2.+0.j]])
    """
    real = finite_matrix(latents, "latents")
    half = (real.shape[0] + 1) // 2
    packed = np.zeros((half, real.shape[1]), np.complex128)
    packed.real = real[:half]
    packed.imag[: real.shape[0] - half] = real[half:]
    return packed


def unpack(packed: Complex, size: int) -> Real:
    """Return the real latents of ``size`` rows that were packed, ``(size, n)``.

    Raises
    ------
    DataError
        If vectors of ``size`` are packed into another number of rows.
    """
    if packed.ndim != 2 or packed.shape[0] != (size + 1) // 2:
        raise DataError(
            f"packed latents are {packed.shape}: expected ({(size + 1) // 2}, n) for {size} real dimensions"
        )
    return np.concatenate([packed.real, packed.imag])[:size]


def finite_matrix(values: NDArray[Any], what: str) -> Real:
    """Return a real matrix in float64.

    Raises
    ------
    DataError
        If it is none, is empty, or has values that are not finite.
    """
    array = np.asarray(values)
    if array.ndim != 2 or not array.size or not (np.isrealobj(array) and np.issubdtype(array.dtype, np.number)):
        raise DataError(f"{what} are {array.shape} of {array.dtype}: expected a real matrix (dimensions, samples)")
    real = array.astype(np.float64)
    if not np.isfinite(real).all():
        columns = np.flatnonzero(~np.isfinite(real).all(axis=0))
        raise DataError(f"{what} of sample {columns[0]} are not finite ({len(columns)} samples): leave these out")
    return real


def as_floats(array: Complex, dtype: DTypeLike = np.float64) -> NDArray[Any]:
    """Return a complex array as floats ``(2, ...)``: real parts, then imaginary parts."""
    return np.stack([array.real, array.imag]).astype(dtype)


def from_floats(floats: NDArray[Any]) -> Complex:
    """Return the complex array that `as_floats` was given.

    Raises
    ------
    CodecError
        If the array has another form, or values that are not finite.
    """
    if floats.ndim < 1 or floats.shape[0] != 2 or not np.issubdtype(floats.dtype, np.floating):
        raise CodecError(f"complex array arrived as {floats.shape} of {floats.dtype}: expected floats (2, ...)")
    if not np.isfinite(floats).all():
        raise CodecError("complex array arrived with values that are not finite")
    joined: Complex = floats[0].astype(np.float64) + 1j * floats[1].astype(np.float64)
    return joined
