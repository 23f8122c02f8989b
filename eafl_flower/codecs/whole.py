"""Whole arrays on their way down, buffers that are not finite included.

Codecs code finite numbers. A model may hold others on purpose: a mask of minus infinity, statistics that are NaN until
they are used. Such arrays travel as they are, in front of the payload of the others, in which zeros stand for them.
"""

import struct
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from eafl_flower.codecs.framing import WHOLE_ID, codec_id_of, frame, unframe
from eafl_flower.codecs.literal import check_fit, little_endian, num_bytes
from eafl_flower.errors import CodecError
from eafl_flower.protocols import Codec
from eafl_flower.types import Array, Arrays, Encoded, Layout

_VERSION: Final = 1
_NUMBER: Final = struct.Struct("<I")


@dataclass(frozen=True)
class WholeCodec:
    """Codes whole arrays by ``codec``, those that hold NaN or infinity as their own bytes.

    Without such arrays payloads are those of ``codec``. Otherwise the body is the number of such arrays (u32), the
    place of each (u32), their bytes, and the payload of ``codec`` for the same arrays with zeros in their place.
    """

    codec: Codec[Any]

    def init(self, layout: Layout) -> Any:
        """Return the state of ``codec``; raises ``CodecError`` if the layout cannot be coded."""
        return self.codec.init(layout)

    def encode(self, state: Any, arrays: Arrays, rng: np.random.Generator) -> tuple[Encoded, Any]:
        """Encode ``arrays``; raises ``CodecError`` if they do not fit the layout, or ``codec`` does not take them."""
        places = [i for i, array in enumerate(arrays) if _is_special(array)]
        if not places:
            return self.codec.encode(state, arrays, rng)
        check_fit(arrays, state.layout)
        coded, after = self.codec.encode(
            state, tuple(np.zeros_like(a) if i in places else a for i, a in enumerate(arrays)), rng
        )
        own = [np.ascontiguousarray(arrays[i], little_endian(arrays[i].dtype.name)).data.cast("B") for i in places]
        head = b"".join(_NUMBER.pack(number) for number in (len(places), *places))
        payload = frame(
            [head, *own, coded.payload],
            codec_id=WHOLE_ID,
            codec_version=_VERSION,
            layout=state.layout,
            counter=state.counter,
        )
        bits = coded.bits_paper + 8 * sum(len(part) for part in own)
        return Encoded(payload=payload, bits_paper=bits, error=coded.error), after

    def decode(self, state: Any, payload: bytes) -> tuple[Arrays, Any]:
        """Decode ``payload``; raises ``CodecError`` for anything that ``encode`` cannot have made."""
        if codec_id_of(payload) != WHOLE_ID:
            return self.codec.decode(state, payload)
        _, body = unframe(payload, codec_id=WHOLE_ID, codec_version=_VERSION, layout=state.layout)
        places, offset = _places(body, state.layout)
        own: dict[int, Array] = {}
        for place in places:
            spec = state.layout[place]
            end = offset + num_bytes(spec)
            if end > len(body):
                msg = f"the payload ends within array {place}, which it is to hold as it is"
                raise CodecError(msg)
            values = np.frombuffer(body[offset:end], little_endian(spec.dtype)).astype(spec.dtype).reshape(spec.shape)
            if not _is_special(values):
                msg = f"array {place} of the payload is finite: expected one that holds NaN or infinity"
                raise CodecError(msg)
            own[place], offset = values, end
        decoded, after = self.codec.decode(state, bytes(body[offset:]))
        return tuple(own.get(i, array) for i, array in enumerate(decoded)), after


def _places(body: memoryview, layout: Layout) -> tuple[list[int], int]:
    """Return which arrays a body holds as they are, and where their bytes begin."""
    size = _NUMBER.size
    count = _NUMBER.unpack_from(body)[0] if len(body) >= size else 0
    if not 0 < count <= len(layout) or len(body) < (count + 1) * size:
        msg = f"the payload holds {count} of {len(layout)} arrays as they are, in {len(body)} bytes"
        raise CodecError(msg)
    places = [_NUMBER.unpack_from(body, (i + 1) * size)[0] for i in range(count)]
    if places != sorted(set(places)) or places[-1] >= len(layout) or any(layout[i].dtype[0] != "f" for i in places):
        msg = f"the payload holds arrays {places[:8]} as they are: expected floating ones of {len(layout)}, in order"
        raise CodecError(msg)
    return places, (count + 1) * size


def _is_special(array: Array) -> bool:
    return array.dtype.kind == "f" and not bool(np.isfinite(array).all())
