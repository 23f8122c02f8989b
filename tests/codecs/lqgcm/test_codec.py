import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from eafl_flower.codecs import LQGCMCodec, layout_to_text
from eafl_flower.codecs.lqgcm.frame import HEADER_BYTES
from eafl_flower.core.rng import generator
from eafl_flower.errors import CodecError, ConfigError
from eafl_flower.protocols import DifferenceCodec
from eafl_flower.types import ArraySpec, digest, layout_of

RNG = generator(1, "unused")
SHAPES = [(32, 7), (32,), (32,)] * 4 + [(32, 64)] * 3  # 7,296 values: the source's backbone for GeoLife


def update(*purpose, shapes=SHAPES, scale=1.0):
    rng = generator(1, "update", *purpose)
    return tuple((scale * rng.standard_normal(s) ** 3).astype(np.float32) for s in shapes)


def similar_updates(num, *, share=0.9, shapes=SHAPES):
    """Updates of which each has ``share`` of the energy in the direction of the first."""
    first, a, b = update("first", shapes=shapes), np.float32(share**0.5), np.float32((1 - share) ** 0.5)
    for n in range(num):
        noise = update("noise", n, shapes=shapes)
        yield tuple(a * f + b * e for f, e in zip(first, noise, strict=True))


def pooled(arrays):
    return np.concatenate([a.reshape(-1) for a in arrays if a.dtype.kind == "f"]).astype(float)


def encode(codec, state, arrays, *, counter, acknowledged):
    return codec.encode(replace(state, counter=counter, acknowledged=acknowledged), arrays, RNG)


class Stream:
    """Both ends of a client's uploads."""

    def __init__(self, codec, layout):
        self.codec, self.sender, self.receiver = codec, codec.init(layout), codec.init(layout)
        self.counter = self.acknowledged = 0

    def send(self, arrays, *, lost=False):
        self.counter += 1
        encoded, self.sender = encode(
            self.codec, self.sender, arrays, counter=self.counter, acknowledged=self.acknowledged
        )
        decoded = None
        if not lost:
            decoded, self.receiver = self.codec.decode(self.receiver, encoded.payload)
            self.acknowledged = self.counter
        return encoded, decoded

    def forget(self):
        """The receiver evicts the client."""
        self.receiver, self.acknowledged = self.codec.init(self.receiver.layout), 0


def test_it_is_a_difference_codec():
    assert isinstance(LQGCMCodec(), DifferenceCodec)


def test_the_source_s_model_for_geolife_takes_18_tuples_in_226_bytes():
    layout = layout_of(update())
    encoded, _ = encode(LQGCMCodec(), LQGCMCodec().init(layout), update(), counter=1, acknowledged=0)
    assert len(encoded.payload) == HEADER_BYTES + 18 * 11 == 226
    assert encoded.bits_paper == 88 * 18


@pytest.mark.parametrize(("size", "expected"), [(7296, 18), (90 * 256, 18), (91 * 256, 19), (44_416, 35), (0, 0)])
def test_the_budget_is_a_fifth_of_the_blocks_and_at_least_18(size, expected):
    assert LQGCMCodec().num_tuples((ArraySpec((size,), "float32"),)) == expected


def test_a_budget_never_exceeds_what_names_each_value_once_or_16_bits():
    assert LQGCMCodec(tuples=500).num_tuples((ArraySpec((256,), "float32"),)) == 52
    assert LQGCMCodec().num_tuples((ArraySpec((2**30,), "float32"),)) == 65535


def test_both_sides_remember_the_same_bit_for_bit():
    stream = Stream(LQGCMCodec(), layout_of(update()))
    for arrays in similar_updates(12):
        _, decoded = stream.send(arrays)
        assert np.array_equal(stream.sender.pending, stream.receiver.history)
        assert np.array_equal(stream.receiver.history, pooled(decoded).astype(np.float32))


def test_prediction_improves_similar_updates():
    with_memory, without = (Stream(LQGCMCodec(prediction=p), layout_of(update())) for p in (True, False))
    for arrays in similar_updates(15):
        errors = [stream.send(arrays)[0].error for stream in (with_memory, without)]
    assert errors[0] ** 2 < 0.7 * errors[1] ** 2


def test_the_predictor_gain_is_that_of_least_squares():
    stream = Stream(LQGCMCodec(tuples=1), layout_of(update()))
    first, _ = similar_updates(2)
    stream.send(first)
    h, x = stream.receiver.history.astype(float), 0.4 * pooled(first)
    payload = stream.send(tuple(np.float32(0.4) * a for a in first))[0].payload
    assert np.frombuffer(payload, "<f2", 1, 20)[0] == np.float16(x @ h / (h @ h))


@pytest.mark.parametrize(("factor", "gain"), [(-1.0, 0.0), (40.0, 1.5)])
def test_the_predictor_gain_is_clipped(factor, gain):
    stream = Stream(LQGCMCodec(), layout_of(update()))
    stream.send(update())
    payload = stream.send(tuple(np.float32(factor) * a for a in update()))[0].payload
    assert np.frombuffer(payload, "<f2", 1, 20)[0] == gain


def test_a_lost_payload_leaves_the_history_of_the_one_before():
    layout = layout_of(update())
    lossy, lossless = Stream(LQGCMCodec(), layout), Stream(LQGCMCodec(), layout)
    for n, arrays in enumerate(similar_updates(10)):
        lost = n in (3, 4, 7)
        lossy.send(arrays, lost=lost)
        if lost:
            lossless.counter += 1
        else:
            lossless.send(arrays)
            assert np.array_equal(lossy.receiver.history, lossless.receiver.history)


def test_a_receiver_that_forgot_gets_a_reset_and_nobody_drifts():
    stream = Stream(LQGCMCodec(), layout_of(update()))
    for n, arrays in enumerate(similar_updates(9)):
        if n in (4, 7):
            stream.forget()
        encoded, decoded = stream.send(arrays)
        reset = encoded.payload[2] & 1
        assert bool(reset) == (n in (0, 4, 7))
        x, difference = pooled(arrays), pooled(decoded) - pooled(arrays)
        assert encoded.error == pytest.approx(np.linalg.norm(difference) / np.linalg.norm(x), rel=1e-5)


def test_a_sender_that_lost_its_state_starts_afresh():
    stream = Stream(LQGCMCodec(), layout_of(update()))
    for arrays in similar_updates(3):
        stream.send(arrays)
    stream.sender = stream.codec.init(stream.sender.layout)
    encoded, _ = stream.send(update())
    assert encoded.payload[2] & 1


@pytest.mark.parametrize("damage", [{"history": np.zeros(5, np.float32)}, {"reference": 99}, {"history": np.nan}])
def test_a_damaged_history_is_dropped(damage):
    codec, layout = LQGCMCodec(), layout_of(update())
    stream = Stream(codec, layout)
    for arrays in similar_updates(3):
        stream.send(arrays)
    if damage.get("history") is np.nan:
        damage = {"history": np.full(7296, np.nan, np.float32)}
    broken = replace(stream.sender, pending_counter=0, **{"reference": 3, "history": stream.sender.pending, **damage})
    encoded, _ = encode(codec, broken, update(), counter=4, acknowledged=damage.get("reference", 3))
    fresh, _ = encode(codec, codec.init(layout), update(), counter=4, acknowledged=0)
    assert encoded.payload == fresh.payload


def test_a_receiver_of_another_reconstruction_refuses():
    stream = Stream(LQGCMCodec(), layout_of(update()))
    states = []
    for arrays in similar_updates(3):
        encoded, _ = stream.send(arrays)
        states.append(stream.receiver)
    for state, held in ((states[0], "that of payload 1"), (stream.codec.init(stream.sender.layout), "none")):
        with pytest.raises(CodecError, match=f"predicts from the reconstruction of payload 2, this side holds {held}"):
            stream.codec.decode(state, encoded.payload)


def test_a_receiver_of_another_reconstruction_under_the_same_number_refuses():
    """A client may come back with a state of another run, whose numbers are the same."""
    mine, theirs = (Stream(LQGCMCodec(), layout_of(update())) for _ in range(2))
    mine.send(update("mine"))
    theirs.send(update("theirs"))
    encoded, _ = mine.send(update())
    with pytest.raises(
        CodecError, match="payload 2 predicts from another history than the reconstruction of payload 1"
    ):
        theirs.codec.decode(theirs.receiver, encoded.payload)
    theirs.forget()
    encoded, decoded = theirs.send(update())
    assert encoded.payload[2] & 1
    assert digest(decoded) == digest(Stream(LQGCMCodec(), layout_of(update())).send(update())[1])


def test_a_payload_outside_of_any_stream_is_not_remembered():
    codec = LQGCMCodec()
    stream = Stream(codec, layout_of(update()))
    stream.send(update())
    encoded, _ = encode(codec, stream.sender, update("other"), counter=0, acknowledged=0)
    _, after = codec.decode(stream.receiver, encoded.payload)
    assert np.array_equal(after.history, stream.receiver.history)
    assert after.reference == stream.receiver.reference


def test_zero_updates_come_back_as_zeros_in_a_header():
    stream = Stream(LQGCMCodec(), layout_of(update()))
    zeros = tuple(np.zeros_like(a) for a in update())
    for arrays in (zeros, update(), zeros, zeros):
        encoded, decoded = stream.send(arrays)
        if arrays is zeros:
            assert digest(decoded) == digest(zeros)
            assert encoded.error == 0.0
            assert len(encoded.payload) == HEADER_BYTES


@pytest.mark.parametrize("scale", [1e-44, 1e-39, 1e-20, 1e-7, 1e7, 1e20, 3e36])
def test_the_error_does_not_depend_on_the_size_of_an_update(scale):
    shapes = [(64, 64)]
    reference = Stream(LQGCMCodec(), layout_of(update(shapes=shapes))).send(update(shapes=shapes))[0].error
    arrays = tuple(np.clip(a.astype(float) * scale, -3.4e38, 3.4e38).astype(np.float32) for a in update(shapes=shapes))
    stream = Stream(LQGCMCodec(), layout_of(arrays))
    encoded, decoded = stream.send(arrays)
    assert np.isfinite(pooled(decoded)).all()
    # subnormal updates lose bits of their own; 3e36 cuts the largest values
    assert encoded.error == pytest.approx(reference, rel=0.05 if 1e-38 < scale < 1e36 else 0.5)


def test_opposite_updates_of_the_largest_size_stay_finite():
    codec, largest = LQGCMCodec(tuples=52), np.finfo(np.float32).max
    arrays = (np.resize(np.array([largest, -largest, largest / 2], np.float32), 256),)
    stream = Stream(codec, layout_of(arrays))
    for sign in (1, 1, -1, 1):
        encoded, decoded = stream.send(tuple(np.float32(sign) * a for a in arrays))
        assert np.isfinite(decoded[0]).all()
        assert encoded.error < 1


def test_integer_arrays_are_exact_and_cost_their_bytes():
    floats = update(shapes=[(20, 20)])
    arrays = (np.array([2**40, -3], np.int64), *floats, np.array(True), np.arange(3, dtype=np.uint8))
    plain = Stream(LQGCMCodec(), layout_of(floats)).send(floats)[0]
    stream = Stream(LQGCMCodec(), layout_of(arrays))
    for _ in range(2):
        encoded, decoded = stream.send(arrays)
        for i in (0, 2, 3):
            assert np.array_equal(decoded[i], arrays[i])
            assert decoded[i].dtype == arrays[i].dtype
    assert len(encoded.payload) == len(plain.payload) + 16 + 1 + 3


def test_halves_and_doubles_keep_their_dtype():
    arrays = (update()[0].astype(np.float16), update()[1].astype(np.float64))
    _, decoded = Stream(LQGCMCodec(tuples=50), layout_of(arrays)).send(arrays)
    assert layout_of(decoded) == layout_of(arrays)
    with pytest.raises(CodecError, match="beyond the range of float32"):
        Stream(LQGCMCodec(), layout_of(arrays)).send((arrays[0], np.full_like(arrays[1], 1e39)))


def test_the_downlink_stands_for_itself_and_follows_the_server():
    downlink = LQGCMCodec().downlink
    server, held = update("server", shapes=[(50, 100)]), tuple(np.zeros((50, 100), np.float32) for _ in range(1))
    distances = []
    for counter in range(1, 8):
        delta = tuple(s - h for s, h in zip(server, held, strict=True))
        encoded, _ = encode(downlink, downlink.init(layout_of(delta)), delta, counter=counter, acknowledged=0)
        decoded, _ = downlink.decode(downlink.init(layout_of(delta)), encoded.payload)
        held = tuple(h + d for h, d in zip(held, decoded, strict=True))
        distances.append(float(np.linalg.norm(server[0] - held[0])))
        assert len(encoded.payload) <= HEADER_BYTES + 11 * 11 * 20
    assert all(after < 0.8 * before for before, after in pairwise(distances))


def test_both_ways_together_take_less_than_a_tenth_of_float32():
    codec, arrays = LQGCMCodec(), update()
    up = encode(codec, codec.init(layout_of(arrays)), arrays, counter=1, acknowledged=0)[0].payload
    down = encode(codec.downlink, codec.init(layout_of(arrays)), arrays, counter=1, acknowledged=0)[0].payload
    assert len(up) + len(down) < 0.07 * 2 * 4 * 7296  # the rest is for what goes around payloads


def test_processes_with_other_global_seeds_decode_alike():
    stream = Stream(LQGCMCodec(), layout_of(update()))
    payload = stream.send(update())[0].payload
    program = (
        "import random, sys, numpy as np\n"
        "random.seed(int(sys.argv[1])); np.random.seed(int(sys.argv[1]))\n"
        "from eafl_flower.codecs import LQGCMCodec, layout_from_text\n"
        "from eafl_flower.types import digest\n"
        "codec = LQGCMCodec()\n"
        "state = codec.init(layout_from_text(sys.argv[2]))\n"
        "print(digest(codec.decode(state, bytes.fromhex(sys.argv[3]))[0]))\n"
    )
    text = layout_to_text(stream.sender.layout)
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program, seed, text, payload.hex()], capture_output=True, text=True, check=True
        ).stdout.strip()
        for seed in ("1", "2")
    }
    arrays, _ = LQGCMCodec().decode(LQGCMCodec().init(stream.sender.layout), payload)
    assert outputs == {digest(arrays)}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tuples": -1}, "tuples = -1"),
        ({"downlink_tuples": 65536}, "downlink_tuples = 65536"),
        ({"tuples_per_block": 0.0}, "tuples_per_block = 0.0"),
        ({"mode": "fast"}, "mode = 'fast'"),
        ({"mode": "rvq"}, "mode = 'rvq': the codebook is none"),
    ],
)
def test_settings_out_of_range_are_named(settings, message):
    with pytest.raises(ConfigError, match=message):
        LQGCMCodec(**settings)
