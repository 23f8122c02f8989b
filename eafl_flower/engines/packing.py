"""Values with large byte strings, packed so that Ray copies each large string only once per side.

Pickle writes ``bytes`` into its stream and reads them out again, which copies 50 MB of weights four
times on a round trip. Here large strings stay outside the pickle, as uint8 arrays that Ray writes
straight into its object store and maps from there.
"""

import io
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGE_BYTES = 100_000  # Ray keeps smaller values out of its object store anyway

Buffer = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Packed:
    """A pickle that refers to ``buffers`` by position."""

    pickled: bytes
    buffers: tuple[Buffer, ...]

    @property
    def is_small(self) -> bool:
        """Whether it costs less to send along than to keep in the object store."""
        return len(self.pickled) + sum(b.nbytes for b in self.buffers) < LARGE_BYTES


def pack(value: Any) -> tuple[bytes, list[bytes]]:
    """Return the pickle of ``value`` without its large byte strings, and those strings."""
    stream = io.BytesIO()
    pickler = _Pickler(stream)
    pickler.dump(value)
    return stream.getvalue(), pickler.large


def packed(value: Any) -> Packed:
    """Pack ``value`` with its large byte strings as arrays over the same memory."""
    pickled, large = pack(value)
    return Packed(pickled, tuple(np.frombuffer(data, np.uint8) for data in large))


def unpack(pickled: bytes, buffers: Sequence[Buffer]) -> Any:
    """Return the value that was packed; the byte strings are copied out of ``buffers``.

    For values of our own processes only: unpickling runs code.
    """
    return _Unpickler(io.BytesIO(pickled), buffers).load()


class _Pickler(pickle.Pickler):
    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream, protocol=5)
        self.large: list[bytes] = []
        self._position: dict[int, int] = {}

    def persistent_id(self, obj: Any) -> int | None:
        if type(obj) is not bytes or len(obj) < LARGE_BYTES:
            return None
        # The same string may stand in several records; ``large`` keeps it alive, so its id stays unique.
        position = self._position.setdefault(id(obj), len(self.large))
        if position == len(self.large):
            self.large.append(obj)
        return position


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: io.BytesIO, buffers: Sequence[Buffer]) -> None:
        super().__init__(stream)
        self._buffers = buffers
        self._copies: dict[int, bytes] = {}

    def persistent_load(self, pid: Any) -> bytes:
        if pid not in self._copies:
            self._copies[pid] = self._buffers[pid].tobytes()
        return self._copies[pid]
