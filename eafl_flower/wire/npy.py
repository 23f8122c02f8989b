"""Arrays in numpy's file format, as Flower sends them, read without trusting who wrote them.

``numpy.load`` takes what the bytes say they are: a zip archive, a pickle, any dtype. Here they are one
array of plain elements, or an error.
"""

import ast
from typing import Any, Final

import numpy as np

from eafl_flower.core.excerpt import excerpt
from eafl_flower.types import Array

MAGIC: Final = b"\x93NUMPY"
MOST_HEADER: Final = 4096  # bytes; 64 dimensions of 20 digits take 1,500
MAX_DIMENSIONS: Final = 64  # of a numpy array
_LENGTH_BYTES: Final = {1: 2, 2: 4, 3: 4}  # of the header's length, by major version
_FIELDS: Final = {"descr", "fortran_order", "shape"}


def read_npy(data: bytes) -> Array:
    """Return the array in ``data``, read-only and without a copy.

    Raises
    ------
    ValueError
        If it is not one of plain elements (no objects, no fields), or not exactly as long as its header says.
    """
    described, start = _header(data)
    shape, descr = described["shape"], described["descr"]
    if not (
        isinstance(shape, tuple)
        and len(shape) <= MAX_DIMENSIONS
        and all(type(n) is int and 0 <= n < 2**63 for n in shape)
        and isinstance(descr, str)
    ):
        msg = f"its header announces dtype {excerpt(descr)} of shape {excerpt(shape)}: expected plain elements"
        raise ValueError(msg)
    dtype = np.dtype(descr)
    if dtype.hasobject:
        msg = "it is an array of objects: expected plain elements"
        raise ValueError(msg)
    array: Array = np.frombuffer(data, dtype, offset=start)
    return array.reshape(shape, order="F" if described["fortran_order"] else "C")


def _header(data: bytes) -> tuple[dict[str, Any], int]:
    """Return the fields of the header, and where the data begin."""
    major = data[len(MAGIC)] if data.startswith(MAGIC) and len(data) > len(MAGIC) else 0
    if major not in _LENGTH_BYTES:
        msg = f"{len(data)} bytes that do not begin as a .npy file does"
        raise ValueError(msg)
    begin = len(MAGIC) + 2 + _LENGTH_BYTES[major]
    length = int.from_bytes(data[len(MAGIC) + 2 : begin], "little")
    if length > MOST_HEADER or begin + length > len(data):
        msg = f"a header of {length} bytes in {len(data)}: expected at most {MOST_HEADER}"
        raise ValueError(msg)
    described = ast.literal_eval(data[begin : begin + length].decode("utf-8" if major == 3 else "latin-1"))
    if not isinstance(described, dict) or described.keys() != _FIELDS:
        msg = f"a header that does not name {', '.join(sorted(_FIELDS))}"
        raise ValueError(msg)
    return described, begin + length
