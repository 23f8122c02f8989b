"""Integers in a fixed number of bits, one after the other, lowest bit first."""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eafl_flower.types import Array


def num_packed(count: int, width: int) -> int:
    """Return how many bytes ``count`` integers of ``width`` bits take."""
    return -(-count * width // 8)


def pack(integers: NDArray[np.uint32], width: int) -> NDArray[np.uint8]:
    """Return integers below ``2**width``, of at most 32 bits, as bytes; the last byte is filled up with zeros."""
    packed = np.zeros(num_packed(integers.size, width), np.uint8)
    _loops()[0](integers, width, packed)
    return packed


def unpack(packed: NDArray[np.uint8], count: int, width: int) -> NDArray[np.uint32]:
    """Return ``count`` integers; ``packed`` has at least as many bytes as they take."""
    integers = np.empty(count, np.uint32)
    _loops()[1](packed, width, integers)
    return integers


@cache
def _loops() -> tuple[Any, Any]:
    """Return the loops, compiled once they are needed: importing numba takes a while."""
    import numba

    from eafl_flower.core.compiled import compile_loop

    integers, readonly = numba.types.Array(numba.uint32, 1, "C"), numba.types.Array(numba.uint8, 1, "C", readonly=True)
    writable = numba.types.Array(numba.uint8, 1, "C")
    return (
        compile_loop(_pack, (integers, numba.int64, writable)),
        compile_loop(_unpack, (readonly, numba.int64, integers)),
    )


def _pack(integers: Array, width: int, packed: Array) -> None:
    kept, filled, place = np.uint64(0), np.uint64(0), 0
    for i in range(integers.size):
        kept |= np.uint64(integers[i]) << filled
        filled += np.uint64(width)
        while filled >= np.uint64(8):
            packed[place] = np.uint8(kept & np.uint64(255))
            kept >>= np.uint64(8)
            filled -= np.uint64(8)
            place += 1
    if filled > np.uint64(0):
        packed[place] = np.uint8(kept & np.uint64(255))


def _unpack(packed: Array, width: int, integers: Array) -> None:
    mask = (np.uint64(1) << np.uint64(width)) - np.uint64(1)
    kept, filled, place = np.uint64(0), np.uint64(0), 0
    for i in range(integers.size):
        while filled < np.uint64(width):
            kept |= np.uint64(packed[place]) << filled
            filled += np.uint64(8)
            place += 1
        integers[i] = np.uint32(kept & mask)
        kept >>= np.uint64(width)
        filled -= np.uint64(width)
