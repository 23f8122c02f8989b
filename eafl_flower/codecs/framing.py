"""The frame around every payload, and layouts as text.

A payload is a header of 16 bytes and a body. The header is little-endian: magic u16, codec id u8,
codec version u8, layout hash u32, counter u32, CRC-32 u32 over the twelve bytes before it and the
body. TCP does not protect against a wrong re-assembly in an application; with the CRC every
truncation, extension and mutation is a clean ``CodecError``, up to a CRC collision.

A layout travels once, as text (``layout_to_text``); payloads only carry its hash.
"""

import re
import struct
import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from eafl_flower.errors import CodecError
from eafl_flower.types import ArraySpec, Layout

Part = bytes | memoryview

# codec ids: below 128 for this package, from 128 to 255 for codecs of other projects
FLOAT32_ID: Final = 1
INT8_ID: Final = 2
WHOLE_ID: Final = 3
EMQ_ID: Final = 4
LAQ_ID: Final = 5
AQUILA_ID: Final = 6

HEADER_BYTES: Final = 16
MAX_COUNTER: Final = 2**32 - 1

_MAGIC: Final = 0xEAF1
_HEAD: Final = struct.Struct("<HBBII")
_CRC: Final = struct.Struct("<I")

_MAX_TEXT: Final = 2**20  # characters
_MOST_CACHED: Final = 2**14  # characters
_MAX_ELEMENTS: Final = 2**40  # of one array; a zero counts as one, so that no shape overflows numpy
_MAX_DIMENSIONS: Final = 32
_CODES: Final = {
    "bool": "b1",
    **{f"{kind}{8 * size}": f"{kind[0]}{size}" for kind in ("int", "uint") for size in (1, 2, 4, 8)},
    **{f"float{8 * size}": f"f{size}" for size in (2, 4, 8)},
}
_NAMES: Final = {code: name for name, code in _CODES.items()}
_SPEC: Final = re.compile(r"([a-z][0-9]):((?:(?:0|[1-9][0-9]{0,12})(?:x(?:0|[1-9][0-9]{0,12}))*)?)")


def frame(parts: Sequence[Part], *, codec_id: int, codec_version: int, layout: Layout, counter: int) -> bytes:
    """Put a header before a body.

    Parameters
    ----------
    parts
        The body in pieces: contiguous buffers, joined without another copy.
    codec_id, codec_version
        What can decode it.
    layout
        Shapes and dtypes of the arrays in it; only its hash is written.
    counter
        Number of the payload in its stream, from 0 to ``MAX_COUNTER``.

    Returns
    -------
    bytes
        The payload.

    Raises
    ------
    CodecError
        If the counter does not fit into 32 bits, or the layout cannot be coded.
    """
    if not 0 <= counter <= MAX_COUNTER:
        msg = f"payload counter {counter}: expected a number from 0 to {MAX_COUNTER}"
        raise CodecError(msg)
    head = _HEAD.pack(_MAGIC, codec_id, codec_version, layout_hash(layout), counter)
    return b"".join((head, _CRC.pack(_checksum(head, *parts)), *parts))


def unframe(
    payload: bytes, *, codec_id: int, codec_version: int, layout: Layout, body_bytes: int | None = None
) -> tuple[int, memoryview]:
    """Check a payload and take it apart; nothing is copied.

    Parameters
    ----------
    payload
        Anything that claims to be a payload.
    codec_id, codec_version, layout
        What it must have been made with.
    body_bytes
        Size of its body, if the codec and the layout decide it [byte].

    Returns
    -------
    tuple
        ``(counter, body)``; the body is a view into ``payload``.

    Raises
    ------
    CodecError
        If it is too short or too long, altered, or made by another codec or for another layout.
    """
    if len(payload) < HEADER_BYTES:
        msg = f"payload is {len(payload)} bytes, its header alone takes {HEADER_BYTES}: truncated in transit?"
        raise CodecError(msg)
    view = memoryview(payload)
    magic, its_id, its_version, its_hash, counter = _HEAD.unpack_from(view)
    if magic != _MAGIC:
        msg = f"payload begins with {magic:#06x}, expected {_MAGIC:#06x}: not a payload of this package, or altered"
        raise CodecError(msg)
    if (its_id, its_version) != (codec_id, codec_version):
        msg = (
            f"payload was made by codec {its_id} version {its_version}, expected codec {codec_id} version "
            f"{codec_version}: both sides must use the same codec"
        )
        raise CodecError(msg)
    if its_hash != layout_hash(layout):
        msg = (
            f"payload was made for layout {its_hash:08x}, expected {layout_hash(layout):08x}: both sides must "
            "have the same model"
        )
        raise CodecError(msg)
    if body_bytes is not None and len(payload) != HEADER_BYTES + body_bytes:
        msg = f"payload is {len(payload)} bytes, its layout needs {HEADER_BYTES + body_bytes}: truncated in transit?"
        raise CodecError(msg)
    body = view[HEADER_BYTES:]
    if _CRC.unpack_from(view, _HEAD.size)[0] != _checksum(view[: _HEAD.size], body):
        msg = f"payload of {len(payload)} bytes, counter {counter}, fails its CRC: altered or truncated in transit"
        raise CodecError(msg)
    return counter, body


def codec_id_of(payload: bytes) -> int:
    """Return the codec id that a payload claims, -1 if it is none of this package; nothing else is checked."""
    if len(payload) < HEADER_BYTES or _HEAD.unpack_from(payload)[0] != _MAGIC:
        return -1
    return int(_HEAD.unpack_from(payload)[1])


@lru_cache(maxsize=256)
def layout_hash(layout: Layout) -> int:
    """CRC-32 of the layout's text."""
    return zlib.crc32(layout_to_text(layout).encode())


def layout_to_text(layout: Layout) -> str:
    """Write a layout as text, such as ``f4:10x64;f4:64;i8:`` (the last one is a scalar).

    Raises
    ------
    CodecError
        If a dtype cannot be coded, or the layout is larger than ``layout_from_text`` accepts.
    """
    text = ";".join(_spec_to_text(i, spec) for i, spec in enumerate(layout))
    if len(text) > _MAX_TEXT:
        msg = f"layout of {len(layout)} arrays takes {len(text)} characters, at most {_MAX_TEXT} are allowed"
        raise CodecError(msg)
    return text


def layout_from_text(text: str) -> Layout:
    """Read what ``layout_to_text`` wrote.

    Raises
    ------
    CodecError
        If ``layout_to_text`` cannot have written it.
    """
    if len(text) > _MAX_TEXT:
        msg = f"layout of {len(text)} characters, at most {_MAX_TEXT} are allowed"
        raise CodecError(msg)
    return _short_layout(text) if len(text) <= _MOST_CACHED else _parsed(text)


def _parsed(text: str) -> Layout:
    return tuple(_spec_from_text(i, part) for i, part in enumerate(text.split(";"))) if text else ()


_short_layout = lru_cache(maxsize=64)(_parsed)


def _spec_to_text(index: int, spec: ArraySpec) -> str:
    if spec.dtype not in _CODES:
        msg = f"array {index} is of dtype {spec.dtype}: expected one of {', '.join(_CODES)}"
        raise CodecError(msg)
    _check_shape(index, spec.shape)
    return f"{_CODES[spec.dtype]}:{'x'.join(map(str, spec.shape))}"


def _spec_from_text(index: int, text: str) -> ArraySpec:
    match = _SPEC.fullmatch(text)
    if match is None or match[1] not in _NAMES:
        msg = f"array {index} of a layout is written {text[:40]!r}: expected for example f4:10x64"
        raise CodecError(msg)
    shape = tuple(int(n) for n in match[2].split("x")) if match[2] else ()
    _check_shape(index, shape)
    return ArraySpec(shape, _NAMES[match[1]])


def _check_shape(index: int, shape: tuple[int, ...]) -> None:
    elements = 1
    for n in shape[: _MAX_DIMENSIONS + 1]:
        elements *= max(n, 1)
    if len(shape) > _MAX_DIMENSIONS or elements > _MAX_ELEMENTS or min(shape, default=0) < 0:
        msg = (
            f"array {index} of a layout has shape {str(shape)[:80]}: expected at most {_MAX_DIMENSIONS} dimensions "
            f"of at least 0, and at most {_MAX_ELEMENTS} elements"
        )
        raise CodecError(msg)


def _checksum(*parts: Part) -> int:
    checksum = 0
    for part in parts:
        checksum = zlib.crc32(part, checksum)
    return checksum
