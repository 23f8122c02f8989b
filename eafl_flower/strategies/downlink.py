"""The arrays on their way down: coded once per version, kept while a job that started from them is open."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, RecordDict

from eafl_flower.protocols import Codec
from eafl_flower.rng import generator
from eafl_flower.strategies.records import ARRAYS, CODED, array_record, coded_record
from eafl_flower.strategies.wire_size import framed_bytes
from eafl_flower.types import Arrays, layout_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Base:
    """What the clients of one version start from.

    ``arrays`` are what a client holds after decoding; ``payload_bytes`` is what the energy model charges
    and ``framed_bytes`` the same with Flower's framing.
    """

    arrays: Arrays
    payload: bytes | None
    record: ArrayRecord | ConfigRecord
    payload_bytes: int
    framed_bytes: int

    @property
    def name(self) -> str:
        """Name of the record in a message; messages share the record, nobody changes it."""
        return ARRAYS if self.payload is None else CODED


class Downlink:
    """Makes the base of each version, once, and forgets it with its last open job."""

    def __init__(self, codec: Codec[Any] | None, keys: list[str], seed: int) -> None:
        self._codec, self._keys, self._seed = codec, keys, seed
        self._bases: dict[int, Base] = {}
        self._users: dict[int, int] = {}
        self._newest = -1

    def encode(self, version: int, arrays: Arrays) -> Base:
        """Return the base made of ``arrays``; it is not remembered."""
        if self._codec is None:
            copies = tuple(np.array(a) for a in arrays)
            return self._base(copies, None)
        rng = generator(self._seed, "downlink", version)
        encoded, _ = self._codec.encode(self._codec.init(layout_of(arrays)), arrays, rng)
        return self.decode(encoded.payload, arrays)

    def decode(self, payload: bytes, like: Arrays) -> Base:
        """Return the base that ``payload`` decodes to; ``like`` gives the layout."""
        assert self._codec is not None
        decoded, _ = self._codec.decode(self._codec.init(layout_of(like)), payload)
        return self._base(decoded, payload)

    def _base(self, arrays: Arrays, payload: bytes | None) -> Base:
        record: ArrayRecord | ConfigRecord
        if payload is None:
            record = array_record(self._keys, arrays)
            size = sum(a.nbytes for a in arrays)
        else:
            record = coded_record(payload, layout_of(arrays), self._keys)
            size = len(payload)
        framed = framed_bytes(RecordDict({ARRAYS: record}))
        return Base(arrays=arrays, payload=payload, record=record, payload_bytes=size, framed_bytes=framed)

    def take(self, version: int, arrays: Arrays) -> Base:
        """Return the base of ``version`` (made from ``arrays`` the first time) for one more job."""
        base = self._bases.get(version)
        if base is None:
            base = self._bases[version] = self.encode(version, arrays)
            self._users[version] = 0
            previous, self._newest = self._newest, version
            self._drop_if_idle(previous)
        self._users[version] += 1
        return base

    def release(self, version: int) -> None:
        """One job of ``version`` has ended. The newest base stays for the next dispatch."""
        self._users[version] -= 1
        if version != self._newest:
            self._drop_if_idle(version)

    def _drop_if_idle(self, version: int) -> None:
        if self._users.get(version) == 0:
            del self._bases[version], self._users[version]

    def __getitem__(self, version: int) -> Base:
        return self._bases[version]

    def snapshot(self) -> dict[int, tuple[np.ndarray[Any, Any], ...]]:
        """Return, per version in flight, the payload as bytes or the arrays: what a checkpoint needs."""
        return {
            version: base.arrays if base.payload is None else (np.frombuffer(base.payload, np.uint8),)
            for version, base in self._bases.items()
            if self._users[version]
        }

    def restore(self, stored: dict[int, Arrays], open_jobs: Sequence[int], like: Arrays) -> None:
        """Rebuild the bases from ``snapshot``; ``open_jobs`` are the versions that open jobs started from."""
        users = Counter(open_jobs)
        for version, arrays in stored.items():
            base = self._base(arrays, None) if self._codec is None else self.decode(arrays[0].tobytes(), like)
            self._bases[version], self._users[version] = base, users[version]
            self._newest = max(self._newest, version)
