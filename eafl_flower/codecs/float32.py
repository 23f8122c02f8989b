"""The codec that changes nothing: every array as its own bytes."""

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate

import numpy as np

from eafl_flower.codecs.framing import FLOAT32_ID, frame, layout_hash, unframe
from eafl_flower.codecs.literal import check_fit, from_buffer, num_bytes, to_buffer
from eafl_flower.codecs.stream_state import StreamState
from eafl_flower.types import Arrays, Encoded, Layout

_VERSION = 1


@dataclass(frozen=True)
class Float32Codec:
    """Send float32 arrays as they are, and arrays of other dtypes in theirs: no loss, no compression."""

    def init(self, layout: Layout) -> StreamState:
        """Return the state of a stream of arrays with this layout.

        Raises
        ------
        CodecError
            If the layout cannot be coded.
        """
        layout_hash(layout)  # validates
        return StreamState(layout=layout)

    def encode(self, state: StreamState, arrays: Arrays, rng: np.random.Generator) -> tuple[Encoded, StreamState]:
        """Encode ``arrays``; draws nothing from ``rng``.

        Raises
        ------
        CodecError
            If they do not fit the layout or are not finite.
        """
        check_fit(arrays, state.layout)
        parts = [to_buffer(i, array) for i, array in enumerate(arrays)]
        payload = frame(parts, codec_id=FLOAT32_ID, codec_version=_VERSION, layout=state.layout, counter=state.counter)
        return Encoded(payload=payload, bits_paper=8 * _offsets(state.layout)[-1], error=0.0), state

    def decode(self, state: StreamState, payload: bytes) -> tuple[Arrays, StreamState]:
        """Decode ``payload``; the returned state has its counter.

        Raises
        ------
        CodecError
            If ``encode`` cannot have made it.
        """
        offsets = _offsets(state.layout)
        counter, body = unframe(
            payload, codec_id=FLOAT32_ID, codec_version=_VERSION, layout=state.layout, body_bytes=offsets[-1]
        )
        arrays = tuple(from_buffer(i, body, offsets[i], spec) for i, spec in enumerate(state.layout))
        return arrays, replace(state, counter=counter)


@lru_cache(maxsize=64)
def _offsets(layout: Layout) -> tuple[int, ...]:
    return tuple(accumulate((num_bytes(spec) for spec in layout), initial=0))
