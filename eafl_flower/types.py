"""Values that pass between the parts: arrays, layouts, updates, payloads, prices, rows."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from eafl_flower.core.orders import NO_ORDER, Order

Array = NDArray[Any]
Arrays = tuple[Array, ...]


@dataclass(frozen=True, slots=True)
class ArraySpec:
    """Shape and dtype name of one array."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))


Layout = tuple[ArraySpec, ...]
Kind = Literal["difference", "message"]  # of an update


def layout_of(arrays: Sequence[Array]) -> Layout:
    """Shapes and dtypes of ``arrays``, in order."""
    return tuple(_spec(a.shape, a.dtype) for a in arrays)


@lru_cache(maxsize=4096)
def _spec(shape: tuple[int, ...], dtype: np.dtype[Any]) -> ArraySpec:
    return ArraySpec(shape, dtype.name)  # numpy puts the name together from its parts each time


def digest(arrays: Sequence[Array]) -> str:
    """SHA-256 over shapes, dtypes and little-endian bytes of ``arrays``."""
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(f"{array.shape}{array.dtype.name};".encode())
        sha.update(np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
    return sha.hexdigest()


@dataclass(frozen=True, kw_only=True, slots=True)
class Update:
    """What one client sent back, decoded.

    ``delta`` is the client's arrays minus ``base``, the arrays it started from (what it decoded, not
    what the server meant to send); ``base_version`` is the number of merges those arrays had.
    ``num_examples`` is its weight, a whole number unless the user weighs by something else.

    Of the ``kind`` "message" an update is whatever the client answers: ``delta`` are its arrays as they came, and there
    is no ``base``. ``order`` is what the client was to do, ``in_flight`` the number of jobs that may be under way.
    """

    client: int
    delta: Arrays
    base_version: int
    num_examples: float
    base: Arrays | None = None
    order: Order = NO_ORDER
    in_flight: int = 1
    kind: Kind = "difference"


@dataclass(frozen=True, kw_only=True, slots=True)
class Merged:
    """How an update was merged, for logs: all dimensionless.

    ``weight`` is the product of the staleness weight, the weight by examples and, of a round of several updates, its
    share in their mean; ``scale`` what the norm guard left of the update, ``step`` how many times it was lengthened
    because no client moves by more than ``reach`` of an array's length, ``norm`` the update's L2 norm as it came.
    ``objective_before`` and ``objective_after`` are the energy J that EMAM minimises, if its self-check is on. ``note``
    is a sentence for people, said the first time that there is one.
    """

    staleness: int = 0
    weight: float = 1.0
    scale: float = 1.0
    step: float = 1.0
    reach: float = math.inf
    norm: float = 0.0
    objective_before: float | None = None
    objective_after: float | None = None
    note: str = ""


Diagnostics = tuple[Merged, ...]  # one for each update, in their order; or none, where there is nothing to tell


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoded:
    """One coded set of arrays.

    ``8 * len(payload)`` is what the energy model charges; ``bits_paper`` is the count the codec's
    source would give (without header), and ``error`` the relative L2 error of the decoded arrays.
    """

    payload: bytes
    bits_paper: int
    error: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """Computation of one job: ``epochs`` passes of its rows, with adapters of this ``rank`` (0: it has none)."""

    num_examples: int
    epochs: int
    slowdown: float = 1.0
    rank: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """A part of a job at constant power: its time [s] and its energy [J]."""

    time_s: float
    energy_j: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Upload:
    """An upload that a radio is asked about: of the client ``client``, begun at ``start_s``, with so much to send."""

    client: int
    start_s: float
    num_bits: int
    bits_left: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Grant:
    """What a radio grants an upload: a rate [bit/s], 0 for nothing now, and the power it takes [W].

    ``certified`` is false if it was to be the best by some measure, and is not known to be.
    """

    rate_bit_s: float
    power_w: float
    certified: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Rows:
    """Rows of one client: features ``(n, d)`` float32, labels ``(n,)`` int64."""

    x_train: NDArray[np.float32]
    y_train: NDArray[np.int64]
    x_test: NDArray[np.float32]
    y_test: NDArray[np.int64]
