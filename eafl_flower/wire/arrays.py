"""Arrays as Flower's records hold them, byte for byte what Flower makes of them, and back; what comes is hostile."""

import io
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from flwr.app import Array as FlowerArray
from flwr.app import ArrayRecord
from numpy.lib import format as npy

from eafl_flower.core.excerpt import excerpt
from eafl_flower.engines.flower_internals import trusted_array, trusted_record
from eafl_flower.errors import ProtocolError
from eafl_flower.types import Array, Arrays
from eafl_flower.wire.npy import MAX_DIMENSIONS, read_npy

MAX_DTYPE_NAME = 64
MOST_NAMES = 8  # of arrays in a message for people
NUMPY = "numpy.ndarray"  # how Flower marks the serialisation of an array


@lru_cache(maxsize=256)
def _npy_header(shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[bytes, str]:
    """Return what ``np.save`` writes before the data of such an array, and the name of its dtype."""
    buffer = io.BytesIO()
    described = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(buffer, described)
    return buffer.getvalue(), dtype.name


def to_flower_array(array: Array) -> FlowerArray:
    """Return ``array`` as Flower's Array, byte for byte what Flower makes of it, some ten times faster."""
    if array.nbytes > 1 << 20 or not array.flags.c_contiguous:
        return FlowerArray(np.ascontiguousarray(array).reshape(array.shape))
    header, name = _npy_header(array.shape, array.dtype)
    return trusted_array(name, array.shape, NUMPY, header + array.tobytes())


def from_flower_array(array: FlowerArray, key: str) -> Array:
    """Return Flower's Array as a numpy array (read-only).

    Raises
    ------
    ProtocolError
        If its bytes are not an array, or one of another shape than it says.
    """
    data, shape = array.data, tuple(array.shape)
    try:
        if len(shape) <= MAX_DIMENSIONS and len(array.dtype) <= MAX_DTYPE_NAME:  # nothing larger is to be cached
            dtype = np.dtype(array.dtype)
            header, _ = _npy_header(shape, dtype)
            if not dtype.hasobject and data.startswith(header):  # as we write it ourselves
                return np.frombuffer(data, dtype, offset=len(header)).reshape(shape)
        if array.stype != NUMPY:
            msg = f"it is a {excerpt(array.stype)}"
            raise ValueError(msg)
        read = read_npy(data)
        if read.shape != shape:
            msg = f"its data have shape {read.shape}"
            raise ValueError(msg)
        return read
    except Exception as error:
        msg = (
            f'array "{excerpt(key)}" cannot be read ({excerpt(str(error), 300)}): '
            f"expected a numpy array of {excerpt(array.dtype)} {excerpt(shape)}"
        )
        raise ProtocolError(msg) from error


def array_record(keys: Sequence[str], arrays: Sequence[Array]) -> ArrayRecord:
    """Return named ``arrays`` as a record."""
    return trusted_record(ArrayRecord, {k: to_flower_array(a) for k, a in zip(keys, arrays, strict=True)})


def arrays_of(record: ArrayRecord) -> Arrays:
    """Return the arrays of ``record``, in order: to read only, for they may lie in the bytes of the record."""
    return tuple(from_flower_array(a, k) for k, a in record.items())


def own_arrays_of(record: ArrayRecord) -> Arrays:
    """Return the arrays of ``record``, in order, each with memory of its own, as Flower's ``Array.numpy()`` has."""
    return tuple(np.array(a) for a in arrays_of(record))


def arrays_by_name(record: ArrayRecord, keys: Sequence[str], whose: str, what: str = "model") -> Arrays:
    """Return the arrays of ``record`` in the order of ``keys``, whatever their order there; to read only.

    Raises
    ------
    ProtocolError
        If one of them is missing, or there are others.
    """
    check_names(record, keys, whose, what)
    return tuple(from_flower_array(record[key], key) for key in keys)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(f'"{name[:100]}"' for name in names[:MOST_NAMES]) + more


def check_names(found: Collection[str], keys: Sequence[str], whose: str, what: str) -> None:
    """Raise ``ProtocolError`` unless ``found`` are ``keys``, the arrays of ``what``, in any order."""
    expected = set(keys)
    missing = [key for key in keys if key not in found]
    unknown = [key for key in found if key not in expected]
    if missing or unknown:
        wrong = [f"{what} {_listed(names)}" for what, names in (("lacks", missing), ("has unknown", unknown)) if names]
        msg = f"{whose} {' and '.join(wrong)}: expected the {len(keys)} arrays of the {what} by their names"
        raise ProtocolError(msg)
