"""Arrays as their own little-endian bytes: what a codec carries without loss."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from eafl_flower.errors import CodecError
from eafl_flower.types import Array, ArraySpec, Layout, layout_of


def check_fit(arrays: Sequence[Array], layout: Layout) -> None:
    """Raise ``CodecError`` unless ``arrays`` have the shapes and dtypes of ``layout``."""
    if len(arrays) != len(layout):
        msg = f"got {len(arrays)} arrays to encode, the layout has {len(layout)}"
        raise CodecError(msg)
    for i, (found, spec) in enumerate(zip(layout_of(arrays), layout, strict=True)):
        if found != spec:
            msg = f"array {i} is {found.dtype}{found.shape}, the layout has {spec.dtype}{spec.shape}"
            raise CodecError(msg)


def num_bytes(spec: ArraySpec) -> int:
    """Size of an array as bytes."""
    return spec.size * little_endian(spec.dtype).itemsize


def to_buffer(index: int, array: Array) -> memoryview:
    """Return the array as a contiguous little-endian buffer.

    Raises
    ------
    CodecError
        If it holds NaN or infinity; ``index`` is named in the message.
    """
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise not_finite(index, array)
    return np.ascontiguousarray(array, dtype=little_endian(array.dtype.name)).data


def from_buffer(index: int, body: memoryview, offset: int, spec: ArraySpec) -> Array:
    """Return a copy, of its own and writable, of the array at ``offset`` of ``body``.

    Raises
    ------
    CodecError
        If ``to_buffer`` cannot have made it; ``index`` is named in the message.
    """
    flat: Array = np.frombuffer(body, dtype=little_endian(spec.dtype), count=spec.size, offset=offset)
    if flat.dtype.kind == "f" and not np.isfinite(flat).all():
        msg = f"array {index} of the payload holds NaN or infinity"
        raise CodecError(msg)
    # a bool of another byte than 0 and 1 is neither true nor false to numpy
    if flat.dtype.kind == "b" and flat.size and flat.view(np.uint8).max() > 1:
        msg = f"array {index} of the payload holds a bool that is neither 0 nor 1"
        raise CodecError(msg)
    return flat.astype(spec.dtype).reshape(spec.shape)


def not_finite(index: int, array: Array) -> CodecError:
    """Return the error for an array that cannot be coded because of its values."""
    num_wrong = array.size - int(np.isfinite(array).sum())
    where = f"array {index} of shape {array.shape}"
    if num_wrong:
        return CodecError(f"{where} holds {num_wrong} values that are NaN or infinite: a diverged training step?")
    return CodecError(f"{where} holds values beyond the range of float32")


@lru_cache(maxsize=64)
def little_endian(dtype: str) -> np.dtype[np.generic]:
    """Return the little-endian dtype of a name."""
    return np.dtype(dtype).newbyteorder("<")
