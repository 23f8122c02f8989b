"""Arrays on their way down where a ``DifferenceCodec`` is in use: whole, or as the difference to what a client holds.

Server and client decode with these functions, so that both hold the same arrays, bit for bit. In the place of its
counter the payload of a difference has a tag: the CRC-32 of the bytes that it is to be added to, begun with the
number of the job. Whoever holds other arrays, or has another job, thus knows.
"""

import zlib
from dataclasses import replace
from typing import Any

import numpy as np

from eafl_flower.codecs.float32 import Float32Codec
from eafl_flower.codecs.literal import little_endian
from eafl_flower.codecs.whole import WholeCodec
from eafl_flower.core.arrays import difference, moved
from eafl_flower.errors import CodecError
from eafl_flower.protocols import Codec, DifferenceCodec, MessageCodec
from eafl_flower.types import Arrays, layout_of


class OtherArraysError(CodecError):
    """A payload is the difference to other arrays than those at hand, or belongs to another job."""


def whole_codec(codec: Codec[Any]) -> Codec[Any]:
    """Return what codes whole arrays on the way down: ``codec``, or float32 where that knows only differences.

    Arrays that hold NaN or infinity travel as they are, beside it.
    """
    return WholeCodec(Float32Codec() if isinstance(codec, DifferenceCodec) else codec)


def message_codec(codec: Codec[Any]) -> Codec[Any]:
    """Return what codes messages, arrays that are taken as they come.

    ``codec``, or float32 where that needs to remember what went before; arrays that hold NaN or infinity travel as
    they are, to be refused for it.
    """
    return WholeCodec(codec) if isinstance(codec, MessageCodec) and codec.codes_messages else whole_codec(codec)


def encode_onto(
    codec: DifferenceCodec[Any], held: Arrays, arrays: Arrays, *, counter: int, rng: np.random.Generator
) -> bytes:
    """Return the payload that makes about ``arrays`` of ``held``, for the job number ``counter``.

    Raises
    ------
    CodecError
        If they do not fit together or are not finite.
    """
    state = replace(codec.downlink.init(layout_of(held)), counter=_tag(held, counter))
    encoded, _ = codec.downlink.encode(state, difference(arrays, held), rng)
    return encoded.payload


def decode_onto(codec: DifferenceCodec[Any], held: Arrays, payload: bytes, *, counter: int) -> Arrays:
    """Return the arrays of the job number ``counter``: ``held`` and the difference in ``payload``.

    Raises
    ------
    OtherArraysError
        If the payload is the difference to other arrays than ``held``, or belongs to another job.
    CodecError
        If it is none of this codec for arrays like these.
    """
    delta, state = codec.downlink.decode(codec.downlink.init(layout_of(held)), payload)
    if state.counter != (tag := _tag(held, counter)):
        msg = (
            f"the payload is tagged {state.counter:08x}, the arrays held and job {counter} give {tag:08x}: it is the "
            "difference to other arrays, or belongs to another job"
        )
        raise OtherArraysError(msg)
    return moved(held, delta)


def _tag(held: Arrays, counter: int) -> int:
    """Return 32 bits that tell ``held`` from other arrays and, for the same arrays, every job from every other."""
    for array in held:
        counter = zlib.crc32(np.ascontiguousarray(array, little_endian(array.dtype.name)).data, counter)
    return counter
