from dataclasses import replace

import numpy as np
import pytest

from eafl_flower.codecs import Int8Codec, frame
from eafl_flower.codecs.framing import INT8_ID
from eafl_flower.core.rng import generator
from eafl_flower.errors import CodecError, ConfigError
from eafl_flower.types import ArraySpec, digest, layout_of

RNG = generator(1, "unused")
LARGEST = float(np.finfo(np.float32).max)
TINY = float(np.finfo(np.float32).smallest_normal)


def model(*purpose, scale=1.0):
    rng = generator(1, "model", *purpose)
    shapes = [(10, 32), (32,), (32, 32), (0, 5), (), (32, 3), (3,)]
    return tuple(np.asarray(scale * rng.standard_normal(s)).astype(np.float32) for s in shapes)


def coded(codec, arrays):
    layout = layout_of(arrays)
    encoded, _ = codec.encode(codec.init(layout), arrays, RNG)
    return encoded, codec.decode(codec.init(layout), encoded.payload)[0]


def pooled(arrays):
    return np.concatenate([a.reshape(-1) for a in arrays if a.dtype.kind == "f"]).astype(float)


def payload_of(codec, arrays, *, block_size=None, scale_bits=None, codes=None):
    """A sound frame around scales and codes that differ from the encoder's."""
    body = bytearray(coded(codec, arrays)[0].payload[16:])
    num_blocks = -(-pooled(arrays).size // codec.block_size)
    if block_size is not None:
        body[:2] = block_size.to_bytes(2, "little")
    if scale_bits is not None:
        body[2:4] = scale_bits.to_bytes(2, "little")
    if codes is not None:
        body[2 + 2 * num_blocks] = codes & 0xFF
    return frame([bytes(body)], codec_id=INT8_ID, codec_version=1, layout=layout_of(arrays), counter=0)


@pytest.mark.parametrize("scale", [1e-37, 1e-6, 1.0, 1e6, 1e37])
@pytest.mark.parametrize("block_size", [1, 7, 256, 5000])
def test_no_value_is_off_by_more_than_half_a_step(scale, block_size):
    arrays = model("step", scale=scale)
    x, decoded = pooled(arrays), pooled(coded(Int8Codec(block_size=block_size), arrays)[1])
    for start in range(0, x.size, block_size):
        block = slice(start, start + block_size)
        # the scale is max / 127 rounded to 8 significant bits, at least the smallest normal number;
        # float32 arithmetic adds a few 2**-24 of the quotient, which is at most 127.5
        step = max(np.abs(x[block]).max() / 127 * (1 + 2**-8), TINY)
        assert np.abs(decoded[block] - x[block]).max() <= step * (0.5 + 127.5 * 2**-22)


def test_the_error_of_uniform_values_is_that_of_uniform_rounding():
    # rounding errors are uniform over a step of 1/127: relative to uniform values on [-1, 1] that is
    # (1/127) / sqrt(12) / sqrt(1/3); the sample's relative deviation is of order 1/sqrt(n), the scale's 2**-9
    x = (generator(1, "uniform").uniform(-1, 1, 100_000).astype(np.float32),)
    encoded, _ = coded(Int8Codec(), x)
    assert encoded.error == pytest.approx(1 / 127 / 2, rel=5 / np.sqrt(100_000) + 2 / 256 + 2**-9)


def test_values_on_the_grid_come_back_exactly():
    scale = np.float32(1.5 * 2.0**-11)  # has 8 significant bits
    codes = generator(1, "grid").integers(-127, 128, size=(6, 256))
    codes[:, 0] = 127
    x = ((codes * scale).astype(np.float32),)
    encoded, decoded = coded(Int8Codec(), x)
    assert digest(decoded) == digest(x)
    assert encoded.error == 0.0


@pytest.mark.parametrize("scale", [1e-38, 1e-20, 1.0, 2.5e37])
def test_decoded_values_encode_to_the_same_payload(scale):
    codec, arrays = Int8Codec(block_size=64), model("again", scale=scale)
    encoded, decoded = coded(codec, arrays)
    again, decoded_again = coded(codec, decoded)
    assert again.payload == encoded.payload
    assert again.error == 0.0
    assert digest(decoded_again) == digest(decoded)


@pytest.mark.parametrize("value", [0.0, 1.0, -3.7, 1e-3, LARGEST, -LARGEST])
def test_a_constant_array_is_off_by_the_rounding_of_its_scale_at_most(value):
    _, decoded = coded(Int8Codec(), (np.full(1000, value, np.float32),))
    np.testing.assert_allclose(decoded[0].astype(float), np.full(1000, value, np.float32).astype(float), rtol=2**-8)


def test_the_largest_numbers_stay_finite():
    x = (np.resize(np.array([LARGEST, -LARGEST, LARGEST / 3, 0, 1], np.float32), 700),)
    encoded, decoded = coded(Int8Codec(), x)
    assert np.isfinite(decoded[0]).all()
    assert 0 < encoded.error < 2**-7


def test_numbers_below_half_the_smallest_scale_become_zero_and_the_error_says_so():
    encoded, decoded = coded(Int8Codec(), (np.full(10, 1e-39, np.float32),))
    assert not decoded[0].any()
    assert encoded.error == pytest.approx(1.0)


def test_a_model_without_values_is_coded():
    for arrays in ((), (np.zeros((0, 4), np.float32),), (np.arange(3),)):
        encoded, decoded = coded(Int8Codec(), arrays)
        assert digest(decoded) == digest(arrays)
        assert encoded.error == 0.0


def test_the_payload_has_one_byte_a_value_and_two_a_block():
    arrays = (*model("size"), np.arange(5, dtype=np.int64))
    num_values = pooled(arrays).size
    encoded, _ = coded(Int8Codec(block_size=100), arrays)
    assert len(encoded.payload) == 16 + 2 + 2 * -(-num_values // 100) + num_values + 40
    assert encoded.bits_paper == 8 * (len(encoded.payload) - 16)


def test_arrays_that_are_not_floats_are_exact_and_floats_keep_their_dtype():
    rng = generator(1, "mixed")
    arrays = (
        np.arange(-5, 5, dtype=np.int64).reshape(2, 5) * 10**15,
        rng.standard_normal((9, 9)),
        np.array([True, False, True]),
        np.array([65504, -65504, 1.0], np.float16),
        rng.standard_normal(300).astype(np.float32),
        np.array(250, np.uint8),
    )
    _, decoded = coded(Int8Codec(), arrays)
    assert layout_of(decoded) == layout_of(arrays)
    for i in (0, 2, 5):
        assert np.array_equal(decoded[i], arrays[i])
    assert np.isfinite(decoded[3]).all()


def test_the_stated_error_is_that_of_the_decoded_arrays_without_the_residual():
    codec = Int8Codec()
    arrays = model("error")
    state = codec.init(layout_of(arrays))
    for counter in (1, 2, 3):
        arrays = model("error", counter, scale=0.1**counter)  # the residual grows beside what is sent
        encoded, state = codec.encode(replace(state, counter=counter, acknowledged=counter - 1), arrays, RNG)
        decoded, _ = codec.decode(codec.init(layout_of(arrays)), encoded.payload)
        x, difference = pooled(arrays), pooled(decoded) - pooled(arrays)
        assert encoded.error == pytest.approx(np.linalg.norm(difference) / np.linalg.norm(x), rel=1e-5)


def run_stream(codec, num_payloads, *, lost=(), scale=1.0):
    """Sum of what was to be sent and of what arrived, over the payloads that were not lost."""
    arrays = model("stream")
    state, acknowledged = codec.init(layout_of(arrays)), 0
    wanted, arrived = np.zeros(pooled(arrays).size), np.zeros(pooled(arrays).size)
    for counter in range(1, num_payloads + 1):
        arrays = model("stream", counter, scale=scale)
        encoded, state = codec.encode(replace(state, counter=counter, acknowledged=acknowledged), arrays, RNG)
        if counter not in lost:
            wanted += pooled(arrays)
            arrived += pooled(codec.decode(codec.init(layout_of(arrays)), encoded.payload)[0])
            acknowledged = counter
    return wanted, arrived, state


@pytest.mark.parametrize("lost", [(), (3, 7, 8, 9, 20)])
def test_with_error_feedback_what_arrives_adds_up_to_what_was_sent_but_for_one_residual(lost):
    wanted, arrived, state = run_stream(Int8Codec(), 30, lost=lost)
    residual = state.pending[: wanted.size].astype(float)
    # arrived = wanted - residual but for the rounding of float32 sums: 30 payloads of values below 6
    np.testing.assert_allclose(arrived + residual, wanted, atol=30 * 6 * 2.0**-24)
    assert np.abs(arrived - wanted).max() < 6 / 127


def test_without_error_feedback_errors_add_up():
    with_feedback, without = (
        np.linalg.norm(np.subtract(*run_stream(Int8Codec(error_feedback=f), 60)[:2])) for f in (True, False)
    )
    # independent errors grow like the square root of the number of payloads: about 7.7 times one
    assert without > 4 * with_feedback


def test_a_lost_upload_takes_its_residual_with_it():
    codec, arrays = Int8Codec(), model("lost")
    _, _, state = run_stream(codec, 4)
    before = state.pending.copy()
    _, state = codec.encode(replace(state, counter=5, acknowledged=4), model("lost", 5), RNG)
    assert np.array_equal(state.residual, before)
    lost = state.pending.copy()
    after_loss, after = codec.encode(replace(state, counter=6, acknowledged=4), arrays, RNG)
    after_arrival, _ = codec.encode(replace(state, counter=6, acknowledged=5), arrays, RNG)
    assert np.array_equal(after.residual, before)
    assert not np.array_equal(lost, before)
    assert after_loss.payload != after_arrival.payload


def test_encoding_leaves_the_old_state_and_the_arrays_as_they_were():
    codec, arrays = Int8Codec(), model("pure")
    _, _, state = run_stream(codec, 3)
    state = replace(state, counter=4, acknowledged=3)
    held = digest((state.residual, state.pending, *arrays))
    first, _ = codec.encode(state, arrays, RNG)
    assert codec.encode(state, arrays, RNG)[0] == first
    assert digest((state.residual, state.pending, *arrays)) == held


def test_without_a_counter_or_without_feedback_nothing_is_remembered():
    arrays = model("stateless")
    for codec, counter in ((Int8Codec(), 0), (Int8Codec(error_feedback=False), 5)):
        _, state = codec.encode(replace(codec.init(layout_of(arrays)), counter=counter), arrays, RNG)
        assert state.residual.size == state.pending.size == state.pending_counter == 0


def test_a_residual_beside_the_largest_numbers_does_not_overflow():
    codec = Int8Codec(block_size=4)
    x = (np.array([LARGEST, LARGEST * 0.9967, -LARGEST * 0.9967, 0], np.float32),)
    state = codec.init(layout_of(x))
    for counter in range(1, 6):
        encoded, state = codec.encode(replace(state, counter=counter, acknowledged=counter - 1), x, RNG)
        assert np.isfinite(codec.decode(codec.init(layout_of(x)), encoded.payload)[0][0]).all()
        assert np.isfinite(state.pending).all()
        assert encoded.error < 1e-2


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, -1])
def test_values_that_are_not_finite_are_refused_with_the_array_named(value, place):
    codec, arrays = Int8Codec(), model("wrong")
    arrays[2].reshape(-1)[place] = value
    with pytest.raises(CodecError, match=r"array 2 of shape \(32, 32\) holds 1 values that are NaN or infinite"):
        codec.encode(codec.init(layout_of(arrays)), arrays, RNG)


def test_values_beyond_float32_are_refused():
    arrays = (np.zeros(3, np.float32), np.array([1e39]))
    with pytest.raises(CodecError, match=r"array 1 .* beyond the range of float32"):
        Int8Codec().encode(Int8Codec().init(layout_of(arrays)), arrays, RNG)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"block_size": 128}, "coded in blocks of 128 values, this codec has block_size = 256"),
        ({"scale_bits": 0x7F80}, "a scale of the payload"),  # infinity
        ({"scale_bits": 0x7FC0}, "a scale of the payload"),  # NaN
        ({"scale_bits": 0xBF80}, "a scale of the payload"),  # -1
        ({"scale_bits": 0x007F}, "a scale of the payload"),  # denormal
        ({"scale_bits": 0x7C02}, "a scale of the payload"),  # 127 times it is no float32
        ({"codes": -128}, "a code of the payload is -128"),
    ],
)
def test_a_sound_frame_around_what_cannot_have_been_encoded_is_refused(change, message):
    codec, arrays = Int8Codec(), model("forged")
    assert payload_of(codec, arrays) == coded(codec, arrays)[0].payload
    with pytest.raises(CodecError, match=message):
        codec.decode(codec.init(layout_of(arrays)), payload_of(codec, arrays, **change))


def test_the_largest_scale_times_the_largest_code_is_finite():
    codec, arrays = Int8Codec(), model("forged")
    forged = payload_of(codec, arrays, scale_bits=0x7C01, codes=127)
    assert np.isfinite(pooled(codec.decode(codec.init(layout_of(arrays)), forged)[0])).all()


def test_a_layout_that_promises_terabytes_allocates_nothing():
    codec, layout = Int8Codec(), (ArraySpec((2**40,), "float32"),)
    state = codec.init(layout)
    payload = frame([b"\0" * 64], codec_id=INT8_ID, codec_version=1, layout=layout, counter=0)
    with pytest.raises(CodecError, match="its layout needs"):
        codec.decode(state, payload)


def test_a_residual_of_another_layout_is_refused():
    codec, arrays = Int8Codec(), model("other")
    state = replace(codec.init(layout_of(arrays)), counter=1, residual=np.zeros(7, np.float32))
    with pytest.raises(CodecError, match="the residual in the state has 7 values"):
        codec.encode(state, arrays, RNG)


@pytest.mark.parametrize("block_size", [0, -1, 65536])
def test_a_block_size_out_of_range_is_refused(block_size):
    with pytest.raises(ConfigError, match=f"block_size = {block_size}: expected an integer from 1 to 65535"):
        Int8Codec(block_size=block_size)
