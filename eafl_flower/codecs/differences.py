"""Arrays on their way down where a ``DifferenceCodec`` is in use: whole, or as the difference to what a client holds.

Server and client decode with these functions, so that both hold the same arrays, bit for bit.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from eafl_flower.aggregation.difference import difference, moved
from eafl_flower.codecs.float32 import Float32Codec
from eafl_flower.errors import CodecError
from eafl_flower.protocols import Codec, DifferenceCodec
from eafl_flower.types import Arrays, layout_of


def whole_codec(codec: Codec[Any]) -> Codec[Any]:
    """Return what codes whole arrays on the way down: ``codec``, or float32 where that knows only differences."""
    return Float32Codec() if isinstance(codec, DifferenceCodec) else codec


def encode_onto(
    codec: DifferenceCodec[Any], held: Arrays, arrays: Arrays, *, counter: int, rng: np.random.Generator
) -> bytes:
    """Return the payload that makes about ``arrays`` of ``held``, for the job number ``counter``.

    Raises
    ------
    CodecError
        If they do not fit together or are not finite.
    """
    state = replace(codec.downlink.init(layout_of(held)), counter=counter)
    encoded, _ = codec.downlink.encode(state, difference(arrays, held), rng)
    return encoded.payload


def decode_onto(codec: DifferenceCodec[Any], held: Arrays, payload: bytes, *, counter: int) -> Arrays:
    """Return the arrays of the job number ``counter``: ``held`` and the difference in ``payload``.

    Raises
    ------
    CodecError
        If the payload is none of this codec, for these arrays and that job.
    """
    delta, state = codec.downlink.decode(codec.downlink.init(layout_of(held)), payload)
    if state.counter != counter:
        msg = f"job {counter} came with the payload of job {state.counter}"
        raise CodecError(msg)
    return moved(held, delta)
