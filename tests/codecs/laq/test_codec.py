from dataclasses import replace

import numpy as np
import pytest

from eafl_flower.codecs import AQUILACodec, LAQCodec, frame
from eafl_flower.codecs.bit_packing import num_packed, pack, unpack
from eafl_flower.codecs.framing import HEADER_BYTES, LAQ_ID
from eafl_flower.core.rng import generator
from eafl_flower.errors import CodecError
from eafl_flower.types import layout_of

RNG = generator(1, "unused")
X = (generator(1, "laq", "x").standard_normal(700).astype(np.float32), np.arange(2))


@pytest.mark.parametrize("width", [1, 2, 7, 8, 10, 16, 17])
def test_integers_are_packed_and_come_back(width):
    integers = generator(1, "bits", width).integers(2**width, size=1001).astype(np.uint32)
    packed = pack(integers, width)
    assert packed.size == num_packed(1001, width) == -(-1001 * width // 8)
    assert np.array_equal(unpack(packed, 1001, width), integers)
    bits = np.unpackbits(packed, bitorder="little")[: 1001 * width].reshape(1001, width)
    assert np.array_equal(bits @ (1 << np.arange(width)), integers)


@pytest.mark.parametrize("codec", [LAQCodec(bits=2), LAQCodec(bits=3), AQUILACodec(rounding="authors")])
def test_what_both_sides_hold_comes_closer_to_an_update_that_stays(codec):
    sender = receiver = codec.init(layout_of(X))
    errors = []
    for counter in range(1, 8):
        sender = replace(sender, counter=counter, acknowledged=counter - 1)
        encoded, sender = codec.encode(sender, X, RNG)
        decoded, receiver = codec.decode(receiver, encoded.payload)
        assert np.array_equal(decoded[1], X[1])
        errors.append(encoded.error)
    assert errors[-1] < 0.05 * errors[0]


def test_one_bit_moves_by_the_range_and_never_comes_closer_than_it():
    codec = LAQCodec(bits=1)
    sender = replace(codec.init(layout_of(X)), counter=1)
    encoded, sender = codec.encode(sender, X, RNG)
    decoded, _ = codec.decode(codec.init(layout_of(X)), encoded.payload)
    assert np.array_equal(np.unique(np.abs(decoded[0])), [np.abs(X[0]).max()])


def test_the_paper_counts_ten_bits_a_value_and_the_range():
    encoded, _ = LAQCodec().encode(LAQCodec().init(layout_of(X)), X, RNG)
    assert encoded.bits_paper == 7032
    assert len(encoded.payload) == HEADER_BYTES + 13 + 875 + 16


def test_a_payload_of_weights_is_no_update_and_the_other_way_round():
    for mine, other in (("weights", "update"), ("update", "weights")):
        sender, receiver = LAQCodec(target=mine), LAQCodec(target=other)
        payload = sender.encode(sender.init(layout_of(X)), X, RNG)[0].payload
        with pytest.raises(CodecError, match=f"this side has target = '{other}'"):
            receiver.decode(receiver.init(layout_of(X)), payload)


def test_altered_bodies_in_sound_frames_decode_to_something_or_are_refused():
    codec = LAQCodec(bits=3, rounding="authors")
    state = codec.init(layout_of(X))
    body = codec.encode(state, X, RNG)[0].payload[HEADER_BYTES:]
    rng = generator(1, "laq", "hostile")

    def is_decoded(altered):
        payload = frame([bytes(altered)], codec_id=LAQ_ID, codec_version=1, layout=state.layout, counter=0)
        try:
            decoded, _ = codec.decode(state, payload)
        except CodecError:
            return False
        assert layout_of(decoded) == state.layout
        return bool(np.isfinite(decoded[0]).all())

    assert is_decoded(body)
    assert not any(is_decoded(body[:n]) for n in range(len(body)))
    for n in range(2000):
        altered = bytearray(body)
        altered[int(rng.integers(20 if n % 2 else len(body)))] ^= int(rng.integers(1, 256))
        is_decoded(altered)
