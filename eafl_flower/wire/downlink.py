"""The arrays on their way down: what each job starts from, coded.

Whole arrays are coded once per version and shared by the jobs that start from them. With a ``DifferenceCodec``
they are sent as they are, and only to clients that hold none; all others get a payload of their own, the
difference to what they hold.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, RecordDict

from eafl_flower.codecs.differences import decode_onto, encode_onto, whole_codec
from eafl_flower.codecs.framing import layout_from_text, layout_to_text
from eafl_flower.codecs.keys import keyed_for
from eafl_flower.core.rng import generator
from eafl_flower.engines.flower_internals import copy_record, trusted_record
from eafl_flower.protocols import Codec, DifferenceCodec
from eafl_flower.types import Array, Arrays, Layout, layout_of
from eafl_flower.wire.arrays import array_record
from eafl_flower.wire.records import ARRAYS, CODED, TERMS, JobTerms, coded_record, difference_record, terms_record
from eafl_flower.wire.size import record_bytes

# Names whole arrays: the number of merges before, with a rank if that was ordered, or of a round and a place in it.
Version = int | str | tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Base:
    """What the client of a job starts from.

    ``arrays`` are what it holds after decoding; ``payload_bytes`` is what the energy model charges
    and ``framed_bytes`` the same with Flower's framing. ``name`` is that of the record in a message; messages share
    the record, nobody changes it.
    """

    name: str
    arrays: Arrays
    payload: bytes | None
    record: ArrayRecord | ConfigRecord
    payload_bytes: int
    framed_bytes: int

    def message(self, terms: JobTerms, config: ConfigRecord, server_round: int, config_key: str) -> RecordDict:
        """Return the content of a message: these arrays, the user's configuration (copied) and the terms of the job."""
        own = trusted_record(ConfigRecord, {**copy_record(config), "server-round": int(server_round)})
        return trusted_record(RecordDict, {self.name: self.record, config_key: own, TERMS: terms_record(terms)})

    def framed_with(self, content: RecordDict) -> int:
        """Return the framed size of a message that carries this base, whose own size is known [byte].

        The state that the newest checkpoint names is counted as if it were the one the job starts from: its number may
        be a byte shorter, but when checkpoints are made must change nothing that a run tells.
        """
        terms = content[TERMS]
        counted = {**dict(terms.items()), "durable": terms["load"]}
        others = (record for name, record in content.items() if name not in (self.name, TERMS))
        return self.framed_bytes + record_bytes(trusted_record(ConfigRecord, counted)) + sum(map(record_bytes, others))


class Downlink:
    """Makes what jobs start from, and forgets whole arrays with the last open job that started from them."""

    def __init__(
        self, codec: Codec[Any] | None, keys: list[str], layout: Layout, seed: int, record: str = ARRAYS
    ) -> None:
        self._keys, self._layout, self._seed, self._record = keys, layout, seed, record
        self._codec = codec
        self._differences = codec if isinstance(codec, DifferenceCodec) else None
        self._whole = None if codec is None else whole_codec(codec)
        self._bases: dict[Version, Base] = {}
        self._users: dict[Version, int] = {}
        self._newest: Version = -1

    # Differences: each belongs to one job.

    def encode_onto(self, held: Arrays, arrays: Arrays, *, client: int, counter: int, load: int) -> Base:
        """Return the base of one job, made from ``arrays`` for a client whose state ``load`` holds ``held``."""
        assert self._differences is not None
        rng = generator(self._seed, "downlink", client, counter)
        payload = encode_onto(self._differences, held, arrays, counter=counter, rng=rng)
        return self.decode_onto(held, payload, counter=counter, load=load)

    def decode_onto(self, held: Arrays, payload: bytes, *, counter: int, load: int) -> Base:
        """Return the base of one job from its payload."""
        assert self._differences is not None
        arrays = decode_onto(self._differences, held, payload, counter=counter)
        return _coded_base(arrays, payload, difference_record(payload, load, self._record))

    # Whole arrays: they belong to a version.

    def encode(self, version: Version, arrays: Arrays) -> Base:
        """Return the base made of the whole ``arrays``; it is not remembered."""
        if self._whole is None:
            return self._plain_base(tuple(np.array(a) for a in arrays))
        rng = generator(self._seed, "downlink", *(version if isinstance(version, tuple) else (version,)))
        layout = layout_of(arrays)
        encoded, _ = self._whole.encode(self._whole.init(layout), arrays, rng)
        return self._decode(encoded.payload, layout)

    def uncoded(self, base: Base) -> Base:
        """Return the same base for a plain client, which knows no codec."""
        return base if base.payload is None else self._plain_base(base.arrays)

    def take(self, version: Version, arrays: Arrays) -> Base:
        """Return the base of ``version`` (made from ``arrays`` the first time) for one more job."""
        base = self._bases.get(version)
        if base is None:
            base = self._bases[version] = self.encode(version, arrays)
            self._users[version] = 0
            previous, self._newest = self._newest, version
            self._drop_if_idle(previous)
        self._users[version] += 1
        return base

    def release(self, version: Version) -> None:
        """One job that took ``version`` has ended. The newest base stays for the next dispatch."""
        self._users[version] -= 1
        if version != self._newest:
            self._drop_if_idle(version)

    def _drop_if_idle(self, version: Version) -> None:
        if self._users.get(version) == 0:
            del self._bases[version], self._users[version]

    def __getitem__(self, version: Version) -> Base:
        return self._bases[version]

    def decode_whole(self, layout: Layout, payload: bytes) -> tuple[Arrays, Any]:
        """Return whole arrays with this layout from their payload, and the state that it leaves."""
        assert self._whole is not None
        return self._whole.decode(self._whole.init(layout), payload)

    def _decode(self, payload: bytes, layout: Layout) -> Base:
        decoded, _ = self.decode_whole(layout, payload)
        return _coded_base(decoded, payload, coded_record(payload, layout, self._keys, self._record))

    def _plain_base(self, arrays: Arrays) -> Base:
        record, size = array_record(self._keys, arrays), sum(a.nbytes for a in arrays)
        framed = record_bytes(record)
        return Base(
            name=self._record, arrays=arrays, payload=None, record=record, payload_bytes=size, framed_bytes=framed
        )

    # Sizes and checkpoints.

    def typical_bytes(self) -> tuple[int, int]:
        """Return the payload sizes of a job that is not its client's first, down and up.

        They are those of noise: a model may begin with zeros, which take next to no bytes.
        """
        codec, noise = self._codec, generator(0, "sizes", "values")
        arrays = tuple(np.asarray(noise.standard_normal(s.shape)).astype(s.dtype) for s in self._layout)
        if codec is None:
            return (sum(a.nbytes for a in arrays),) * 2
        up_codec = keyed_for(codec, seed=self._seed, client=0)
        ways = (self._differences.downlink if self._differences else codec), up_codec
        rng = generator(self._seed, "sizes")
        down, up = (len(way.encode(way.init(self._layout), arrays, rng)[0].payload) for way in ways)
        return down, up

    def snapshot(self) -> dict[int | str, Arrays]:
        """Return, per version in flight, the arrays, or payload and layout as bytes: what a checkpoint needs."""
        return {
            version: base.arrays if base.payload is None else (_bytes(base.payload), _bytes(_layout_text(base.arrays)))
            for version, base in self._bases.items()
            if not isinstance(version, tuple) and self._users[version]
        }

    def restore(self, stored: dict[int | str, Arrays], open_jobs: Sequence[int | str]) -> None:
        """Rebuild the bases from ``snapshot``; ``open_jobs`` are the versions that open jobs took."""
        users = Counter(open_jobs)
        for version, arrays in stored.items():
            if self._whole is None:
                base = self._plain_base(arrays)
            else:
                payload, text = (array.tobytes() for array in arrays)
                base = self._decode(payload, layout_from_text(text.decode()))
            self._bases[version], self._users[version] = base, users[version]
            self._newest = version


def _bytes(data: bytes) -> Array:
    return np.frombuffer(data, np.uint8)


def _layout_text(arrays: Arrays) -> bytes:
    return layout_to_text(layout_of(arrays)).encode()


def _coded_base(arrays: Arrays, payload: bytes, record: ConfigRecord) -> Base:
    framed = record_bytes(record)
    return Base(
        name=CODED, arrays=arrays, payload=payload, record=record, payload_bytes=len(payload), framed_bytes=framed
    )
