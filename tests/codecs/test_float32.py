from dataclasses import replace

import numpy as np
import pytest

from eafl_flower.codecs import Float32Codec, frame
from eafl_flower.codecs.framing import FLOAT32_ID
from eafl_flower.core.rng import generator
from eafl_flower.errors import CodecError
from eafl_flower.types import ArraySpec, digest, layout_of

CODEC, RNG = Float32Codec(), generator(1, "unused")
ARRAYS = (
    generator(1, "x").standard_normal((5, 7)).astype(np.float32),
    np.array([1e-45, -3.4e38, -0.0, 1e308]),
    np.arange(-3, 3, dtype=np.int16).reshape(2, 3),
    np.array([True, False]),
    np.array(2.5, np.float16),
    np.zeros((0, 3), np.float32),
)
LAYOUT = layout_of(ARRAYS)


def coded(body, layout):
    return frame([body], codec_id=FLOAT32_ID, codec_version=1, layout=layout, counter=0)


def test_every_dtype_comes_back_bit_for_bit():
    encoded, _ = CODEC.encode(CODEC.init(LAYOUT), ARRAYS, RNG)
    decoded, _ = CODEC.decode(CODEC.init(LAYOUT), encoded.payload)
    assert digest(decoded) == digest(ARRAYS)
    assert layout_of(decoded) == LAYOUT
    assert encoded.error == 0.0


def test_the_payload_is_the_header_and_the_bytes_of_the_arrays():
    encoded, _ = CODEC.encode(CODEC.init(LAYOUT), ARRAYS, RNG)
    assert encoded.payload[16:] == b"".join(a.astype(a.dtype.newbyteorder("<")).tobytes() for a in ARRAYS)
    assert encoded.bits_paper == 8 * (len(encoded.payload) - 16) == 8 * sum(a.nbytes for a in ARRAYS)


def test_byte_order_and_memory_order_do_not_matter():
    odd = tuple(np.array(a, a.dtype.newbyteorder(">"), order="F") for a in ARRAYS)
    state = CODEC.init(LAYOUT)
    assert CODEC.encode(state, odd, RNG)[0] == CODEC.encode(state, ARRAYS, RNG)[0]


def test_the_counter_travels():
    encoded, state = CODEC.encode(replace(CODEC.init(LAYOUT), counter=41, acknowledged=3), ARRAYS, RNG)
    assert (state.counter, state.acknowledged) == (41, 3)
    assert CODEC.decode(CODEC.init(LAYOUT), encoded.payload)[1].counter == 41


@pytest.mark.parametrize(
    ("body", "spec", "message"),
    [
        (np.array([1, np.nan], "<f4").tobytes(), ArraySpec((2,), "float32"), "array 0 of the payload holds NaN"),
        (np.array([-np.inf], "<f8").tobytes(), ArraySpec((1,), "float64"), "array 0 of the payload holds NaN"),
        (b"\1\2", ArraySpec((2,), "bool"), "a bool that is neither 0 nor 1"),
        (b"\1", ArraySpec((2,), "bool"), "payload is 17 bytes, its layout needs 18"),
    ],
)
def test_a_sound_frame_around_impossible_values_is_refused(body, spec, message):
    with pytest.raises(CodecError, match=message):
        CODEC.decode(CODEC.init((spec,)), coded(body, (spec,)))


def test_a_layout_that_promises_terabytes_allocates_nothing():
    layout = (ArraySpec((2**40,), "float64"),)
    with pytest.raises(CodecError, match="its layout needs 8796093022224"):
        CODEC.decode(CODEC.init(layout), coded(b"\0" * 64, layout))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (ARRAYS[:-1], "got 5 arrays to encode, the layout has 6"),
        ((ARRAYS[0].T, *ARRAYS[1:]), r"array 0 is float32\(7, 5\), the layout has float32\(5, 7\)"),
        ((ARRAYS[0].astype(float), *ARRAYS[1:]), r"array 0 is float64\(5, 7\), the layout has float32\(5, 7\)"),
        ((np.full((5, 7), np.nan, np.float32), *ARRAYS[1:]), "array 0 .* holds 35 values that are NaN or infinite"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(arrays, message):
    with pytest.raises(CodecError, match=message):
        CODEC.encode(CODEC.init(LAYOUT), arrays, RNG)


def test_a_dtype_that_cannot_be_coded_is_refused_at_once():
    with pytest.raises(CodecError, match="dtype complex128"):
        CODEC.init(layout_of((np.zeros(2, complex),)))
