import struct
import zlib

import numpy as np
import pytest

from eafl_flower.codecs import frame, layout_from_text, layout_hash, layout_to_text, unframe
from eafl_flower.core.rng import generator
from eafl_flower.errors import CodecError
from eafl_flower.types import ArraySpec

LAYOUT = (ArraySpec((10, 64), "float32"), ArraySpec((), "int64"), ArraySpec((0, 3), "bool"))
MADE = {"codec_id": 200, "codec_version": 3, "layout": LAYOUT}
BODY = bytes(range(100))
PAYLOAD = frame([BODY[:30], BODY[30:]], **MADE, counter=77)


def reframed(payload=PAYLOAD, **fields):
    """A payload with other header fields and a CRC that fits."""
    values = dict(
        zip(("magic", "id", "version", "hash", "counter"), struct.unpack_from("<HBBII", payload), strict=True)
    )
    head = struct.pack("<HBBII", *{**values, **fields}.values())
    return head + struct.pack("<I", zlib.crc32(head + payload[16:])) + payload[16:]


def test_a_frame_comes_apart_into_what_went_in():
    counter, body = unframe(PAYLOAD, **MADE, body_bytes=100)
    assert (counter, bytes(body)) == (77, BODY)
    assert len(PAYLOAD) == 16 + 100


def test_a_body_may_be_empty():
    assert bytes(unframe(frame([], **MADE, counter=0), **MADE)[1]) == b""


def test_array_buffers_are_joined_as_their_bytes():
    arrays = [np.arange(6, dtype="<f4").reshape(2, 3), np.zeros((0, 2), "<f8"), np.array(5, "<u2"), np.ones(3, bool)]
    payload = frame([a.data for a in arrays], **MADE, counter=1)
    assert bytes(unframe(payload, **MADE)[1]) == b"".join(a.tobytes() for a in arrays)


def test_the_header_is_as_documented():
    magic, codec_id, version, its_hash, counter, crc = struct.unpack_from("<HBBIII", PAYLOAD)
    assert (codec_id, version, its_hash, counter) == (200, 3, layout_hash(LAYOUT), 77)
    assert crc == zlib.crc32(PAYLOAD[:12] + BODY)
    assert reframed() == PAYLOAD and reframed(magic=magic) == PAYLOAD


@pytest.mark.parametrize("length", range(len(PAYLOAD)))
def test_every_truncation_is_a_codec_error(length):
    with pytest.raises(CodecError, match="truncated in transit"):
        unframe(PAYLOAD[:length], **MADE)


def test_every_altered_bit_is_a_codec_error():
    for place in range(len(PAYLOAD)):
        for bit in range(8):
            altered = bytearray(PAYLOAD)
            altered[place] ^= 1 << bit
            with pytest.raises(CodecError):
                unframe(bytes(altered), **MADE)


def test_an_extension_is_a_codec_error():
    with pytest.raises(CodecError, match="fails its CRC"):
        unframe(PAYLOAD + b"\0", **MADE)
    with pytest.raises(CodecError, match="payload is 117 bytes, its layout needs 116"):
        unframe(PAYLOAD + b"\0", **MADE, body_bytes=100)


def test_random_bytes_are_a_codec_error():
    rng = generator(1, "hostile")
    for _ in range(200):
        with pytest.raises(CodecError):
            unframe(rng.bytes(int(rng.integers(0, 64))), **MADE)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (reframed(magic=0xBEEF), "payload begins with 0xbeef, expected 0xeaf1"),
        (reframed(id=1), "made by codec 1 version 3, expected codec 200 version 3"),
        (reframed(version=4), "made by codec 200 version 4, expected codec 200 version 3"),
        (reframed(hash=0), "made for layout 00000000, expected .*: both sides must have the same model"),
    ],
)
def test_a_sound_payload_of_something_else_says_what_differs(payload, message):
    with pytest.raises(CodecError, match=message):
        unframe(payload, **MADE)


@pytest.mark.parametrize("counter", [-1, 2**32])
def test_a_counter_outside_32_bits_is_refused(counter):
    with pytest.raises(CodecError, match=f"payload counter {counter}"):
        frame([], **MADE, counter=counter)


def test_a_layout_is_written_compactly_and_read_back():
    assert layout_to_text(LAYOUT) == "f4:10x64;i8:;b1:0x3"
    assert layout_from_text("f4:10x64;i8:;b1:0x3") == LAYOUT
    assert layout_from_text(layout_to_text(())) == ()
    dtypes = ["bool", *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64))]
    dtypes += ["float16", "float32", "float64"]
    every = tuple(ArraySpec((i,), dtype) for i, dtype in enumerate(dtypes))
    assert layout_from_text(layout_to_text(every)) == every


def test_the_codes_of_dtypes_are_numpys():
    for code in layout_to_text(tuple(ArraySpec((), d) for d in ("uint16", "float64", "bool", "int8"))).split(";"):
        assert np.dtype(code[:-1]).name in ("uint16", "float64", "bool", "int8")


def test_layouts_that_differ_hash_differently():
    others = [
        LAYOUT[:2],
        (LAYOUT[1], LAYOUT[0], LAYOUT[2]),
        (ArraySpec((64, 10), "float32"), *LAYOUT[1:]),
        (ArraySpec((640,), "float32"), *LAYOUT[1:]),
        (ArraySpec((10, 64), "int32"), *LAYOUT[1:]),
        (),
    ]
    assert len({layout_hash(layout) for layout in (LAYOUT, *others)}) == 7


@pytest.mark.parametrize(
    "text",
    [
        ";",
        "f4",
        "f4:1;",
        "f4:-1",
        "f4:01",
        "f4:1x",
        "f4:x1",
        "f4:1 ",
        "f4:1.0",
        "f4:\u0661",
        "c8:1",
        "f9:1",
        "F4:1",
        "float32:1",
        "f4:" + "9" * 14,
        "f4:9999999999999",
        "f4:" + "x".join(["0"] * 2 + ["1099511627776"] * 2),
        "f4:" + "x".join(["1"] * 33),
        "f4:1;" * 400_000,
        "f4:" + "1x" * 600_000 + "1",
    ],
    ids=lambda text: text[:20],
)
def test_hostile_text_is_a_codec_error(text):
    with pytest.raises(CodecError):
        layout_from_text(text)


def test_mutated_text_is_read_canonically_or_refused():
    rng, text = generator(1, "text"), layout_to_text(LAYOUT)
    for _ in range(500):
        mutated = list(text)
        mutated[rng.integers(len(text))] = chr(rng.integers(32, 127))
        try:
            layout = layout_from_text("".join(mutated))
        except CodecError:
            continue
        assert layout_to_text(layout) == "".join(mutated)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (ArraySpec((2,), "complex64"), "array 0 is of dtype complex64: expected one of bool"),
        (ArraySpec((2,), "str96"), "array 0 is of dtype str96"),
        (ArraySpec((-1,), "float32"), r"array 0 of a layout has shape \(-1,\)"),
        (ArraySpec((2**30, 2**30), "float32"), "at most 1099511627776 elements"),
    ],
)
def test_a_layout_that_cannot_be_coded_is_refused(spec, message):
    with pytest.raises(CodecError, match=message):
        layout_to_text((spec,))
