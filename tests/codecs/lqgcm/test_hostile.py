"""Bytes that no encoder wrote: CodecError, or finite arrays of the layout, and never more memory than those need."""

import struct
import tracemalloc
import zlib
from dataclasses import replace

import numpy as np
import pytest

from eafl_flower.codecs import LQGCMCodec, PublishedLQGCMCodec, fit_codebook
from eafl_flower.codecs.lqgcm.frame import HEADER_BYTES, Header, pack, unpack
from eafl_flower.core.rng import generator
from eafl_flower.errors import CodecError
from eafl_flower.types import ArraySpec, layout_of

RNG = generator(1, "unused")
CRC_AT = 24
LAYOUT = (
    ArraySpec((20, 20), "float32"),
    ArraySpec((2,), "int64"),
    ArraySpec((9, 9), "float16"),
    ArraySpec((3,), "bool"),
)


def update(n, layout=LAYOUT):
    rng = generator(1, "hostile", n)
    return tuple(
        np.asarray(rng.standard_normal(s.shape) ** 3 if s.dtype.startswith("float") else rng.integers(0, 2, s.shape))
        .astype(s.dtype) for s in layout
    )  # fmt: skip


def codecs():
    blocks = generator(1, "blocks").standard_normal((300, 256)).astype(np.float32)
    return {
        "sign": LQGCMCodec(),
        "rvq": LQGCMCodec(mode="rvq", codebook=fit_codebook("rvq", blocks, generator(1, "rvq"))),
        "literal": LQGCMCodec(mode="literal", codebook=fit_codebook("literal", blocks, generator(1, "literal"))),
        "dithered": LQGCMCodec(mode="dithered").keyed(bytes(range(32)), 3),
        "published": PublishedLQGCMCodec(),
    }


CODECS = codecs()


def ends(codec, layout=LAYOUT):
    """A receiver's state after one payload, and the second one, which predicts from it."""
    sender = receiver = codec.init(layout)
    for counter in (1, 2):
        sender = replace(sender, counter=counter, acknowledged=counter - 1)
        encoded, sender = codec.encode(sender, update(counter, layout), RNG)
        if counter == 1:
            _, receiver = codec.decode(receiver, encoded.payload)
    return receiver, encoded.payload


def forged(payload):
    """The payload with the CRC that its bytes would have."""
    crc = zlib.crc32(payload[HEADER_BYTES:], zlib.crc32(payload[:CRC_AT]))
    return payload[:CRC_AT] + struct.pack("<I", crc) + payload[HEADER_BYTES:]


def decode_hostile(codec, state, payload):
    """Decode; True if it was refused."""
    try:
        arrays, after = codec.decode(state, payload)
    except CodecError:
        return True
    assert layout_of(arrays) == state.layout
    assert all(np.isfinite(a).all() for a in arrays if a.dtype.kind == "f")
    assert all(np.isfinite(getattr(after, "history", np.zeros(0))))
    return False


def attack(name, num_mutations):
    codec = CODECS[name]
    has_crc = name != "published"
    state, payload = ends(codec)
    rng = generator(1, "mutations", name)
    accepted = 0
    for n in range(num_mutations):
        mutated = bytearray(payload)
        # half of them in the header; one to eight bytes at a time
        last = HEADER_BYTES if n % 2 else len(payload)
        for place in rng.integers(0, last, 1 + int(rng.integers(8))):
            mutated[place] = rng.integers(256)
        if bytes(mutated) == payload:
            continue
        forge = has_crc and n % 4 < 2
        refused = decode_hostile(codec, state, forged(bytes(mutated)) if forge else bytes(mutated))
        assert refused or forge or not has_crc, "a mutation passed the CRC"
        accepted += not refused
    return accepted


@pytest.mark.parametrize("name", CODECS)
def test_mutations_are_refused_or_decode_to_finite_arrays(name):
    assert attack(name, 400) > 0  # the forged ones reach the decoder of tuples


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("name", CODECS)
def test_a_hundred_thousand_mutations(name):
    attack(name, 100_000)


@pytest.mark.parametrize("name", CODECS)
def test_every_truncation_and_extension_is_refused(name):
    codec = CODECS[name]
    state, payload = ends(codec)
    for length in range(len(payload)):
        for cut in (payload[:length], forged(payload[:length]) if length >= HEADER_BYTES else b""):
            assert decode_hostile(codec, state, cut)
    for tail in (b"\0", b"\0" * 11, payload):
        assert decode_hostile(codec, state, payload + tail)
        assert decode_hostile(codec, state, forged(payload + tail))


@pytest.mark.parametrize("name", CODECS)
def test_random_bytes_are_refused(name):
    codec = CODECS[name]
    state, payload = ends(codec)
    rng = generator(1, "random", name)
    for size in [0, 1, HEADER_BYTES, len(payload), 10_000]:
        for _ in range(20):
            decode_hostile(codec, state, rng.bytes(size))


def field(payload, offset, layout, value):
    mutated = bytearray(payload)
    struct.pack_into("<" + layout, mutated, offset, value)
    return forged(bytes(mutated))


@pytest.mark.parametrize(
    ("offset", "layout", "value", "message"),
    [
        (0, "H", 0xEAF1, "begins with 0xeaf1"),
        (2, "B", 2, "flags 0x02"),
        (2, "B", 1, "flags 0x01"),
        (2, "B", 4, "mode rvq"),
        (2, "B", 0xF0, "mode 60"),
        (3, "B", 1, "version 1"),
        (4, "I", 7, "predicts from payload 7"),
        (8, "I", 1, "predicts from payload 1"),
        (12, "I", 0, "another history .* or is of another layout or codebook .00000000, expected"),
        (16, "f", 0.0, "scale 0.0"),
        (16, "f", -1.0, "scale -1.0"),
        (16, "f", 3.0, "scale 3.0"),
        (16, "f", np.nan, "scale nan"),
        (16, "f", np.inf, "scale inf"),
        (20, "e", 2.0, "predictor gain 2.0"),
        (20, "e", -0.5, "predictor gain -0.5"),
        (20, "e", np.nan, "predictor gain nan"),
        (22, "H", 17, "header announces"),
        (22, "H", 65535, "announces 65535 tuples, its layout can have"),
        (28, "I", 2, "names block 2 of 2"),
        (28, "I", 2**32 - 1, "names block 4294967295 of 2"),
        (33, "I", 0xFFFFFFFF, "names subset"),
        (37, "e", np.inf, "gain of a tuple"),
        (37, "e", np.nan, "gain of a tuple"),
        (37, "e", -1.0, "gain of a tuple"),
        (37, "e", 0.0, "gain of a tuple"),
    ],
)
def test_each_field_of_a_forged_payload_is_checked(offset, layout, value, message):
    state, payload = ends(CODECS["sign"])
    with pytest.raises(CodecError, match=message):
        CODECS["sign"].decode(state, field(payload, offset, layout, value))


def test_the_hash_of_a_payload_that_predicts_from_nothing_is_that_of_layout_and_codebook():
    codec = CODECS["sign"]
    state = replace(codec.init(LAYOUT), counter=1)
    payload = codec.encode(state, update(1), RNG)[0].payload
    with pytest.raises(CodecError, match="made for layout and codebook 00000000"):
        codec.decode(codec.init(LAYOUT), field(payload, 12, "I", 0))


def test_a_gain_beyond_float32_is_refused():
    state, payload = ends(CODECS["sign"])
    with pytest.raises(CodecError, match="beyond the range of float32"):
        CODECS["sign"].decode(state, field(field(payload, 16, "f", 2.0**127), 37, "e", 60000.0))


@pytest.mark.parametrize("name", ["sign", "rvq", "literal", "dithered"])
def test_the_most_tuples_that_a_layout_can_have_take_a_bounded_multiple_of_its_memory(name):
    codec, layout = CODECS[name], (ArraySpec((200, 256), "float32"),)
    state, payload = ends(codec, layout)
    header, tuples, _ = unpack(
        payload, mode=payload[2] >> 2, layout_hash=struct.unpack_from("<I", payload, 12)[0], max_tuples=65535,
        literal_bytes=0,
    )  # fmt: skip
    many = np.tile(tuples, 1000)[: 52 * 200]
    payload = pack(Header(**{f: getattr(header, f) for f in Header.__slots__}), many, [])
    codec.decode(state, payload)
    tracemalloc.start()
    codec.decode(state, payload)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # 52 tuples a block, some dozen numbers of eight bytes for each beside what shapes take
    assert peak < 30 * 4 * 256 * 200 + len(payload)
