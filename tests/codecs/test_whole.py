"""Whole arrays on their way down, with buffers that are not finite."""

import struct

import numpy as np
import pytest

from eafl_flower.codecs import Float32Codec, Int8Codec
from eafl_flower.codecs.framing import WHOLE_ID, frame
from eafl_flower.codecs.whole import WholeCodec
from eafl_flower.core.rng import generator
from eafl_flower.errors import CodecError
from eafl_flower.types import layout_of

ARRAYS = (
    np.linspace(-1, 1, 300, dtype=np.float32).reshape(30, 10),
    np.array([[0, -np.inf], [0, 0]], np.float32),
    np.array([3, 4], np.int64),
    np.asarray(np.nan, np.float64),
    np.array([True, False]),
)
LAYOUT = layout_of(ARRAYS)
BOTH = pytest.mark.parametrize("codec", [Float32Codec(), Int8Codec()], ids=["float32", "int8"])


def coded(codec, arrays=ARRAYS):
    return codec.encode(codec.init(layout_of(arrays)), arrays, generator(0, "whole"))[0].payload


@BOTH
def test_buffers_that_are_not_finite_arrive_as_they_are_and_the_others_as_the_codec_has_them(codec):
    whole = WholeCodec(codec)
    decoded, _ = whole.decode(whole.init(LAYOUT), coded(whole))
    finite = tuple(a if np.isfinite(a).all() else np.zeros_like(a) for a in ARRAYS)
    others, _ = codec.decode(codec.init(LAYOUT), coded(codec, finite))
    for i, (new, old) in enumerate(zip(decoded, ARRAYS, strict=True)):
        assert (new.dtype, new.shape) == (old.dtype, old.shape)
        np.testing.assert_array_equal(new, ARRAYS[i] if i in (1, 3) else others[i])


@BOTH
def test_finite_arrays_have_the_payload_of_the_codec(codec):
    finite = (ARRAYS[0], ARRAYS[2], ARRAYS[4])
    whole = WholeCodec(codec)
    payload = coded(whole, finite)
    assert payload == coded(codec, finite)
    assert len(whole.decode(whole.init(layout_of(finite)), payload)[0]) == 3


@BOTH
def test_every_truncation_and_flipped_bit_is_refused(codec):
    whole, payload = WholeCodec(codec), coded(WholeCodec(codec))
    rng = generator(1, "whole")
    damaged = [payload[:n] for n in range(0, len(payload), 7)]
    for _ in range(300):
        bad = bytearray(payload)
        bad[rng.integers(len(bad))] ^= 1 << int(rng.integers(8))
        damaged.append(bytes(bad))
    for bad in damaged:
        with pytest.raises(CodecError):
            whole.decode(whole.init(LAYOUT), bad)


def numbers(*values):
    return b"".join(struct.pack("<I", value) for value in values)


NAN = np.asarray(np.nan, "<f8").tobytes()
MASK = ARRAYS[1].tobytes()
INNER = coded(Float32Codec(), tuple(a if np.isfinite(a).all() else np.zeros_like(a) for a in ARRAYS))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        numbers(0) + INNER,
        numbers(9, *range(9)) + INNER,
        numbers(2**32 - 1),
        numbers(2, 3, 1) + NAN + MASK + INNER,
        numbers(2, 1, 1) + MASK + MASK + INNER,
        numbers(1, 2) + INNER,
        numbers(1, 7) + INNER,
        numbers(1, 1) + np.zeros(4, "<f4").tobytes() + INNER,
        numbers(1, 0) + MASK,
        numbers(2, 1, 3) + MASK + NAN + INNER[:-1],
    ],
)
def test_a_body_that_encode_cannot_have_made_is_refused(body):
    whole = WholeCodec(Float32Codec())
    payload = frame([body], codec_id=WHOLE_ID, codec_version=1, layout=LAYOUT, counter=0)
    with pytest.raises(CodecError):
        whole.decode(whole.init(LAYOUT), payload)
