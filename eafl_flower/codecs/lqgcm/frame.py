"""The header of an LQGCM payload.

28 bytes, little-endian, ``<H B B I I I f e H I>``: magic, flags (bit 0 reset, bit 1 privacy noise, bits 2
and 3 mode, others zero), codec version, reference, counter, layout hash, scale, predictor gain, number of
tuples, CRC-32 over the 24 bytes before it and the body. The body is the tuples, 11 bytes each, and the
arrays that are not floating, as they are.

``reference`` is the counter of the payload whose reconstruction the prediction starts from, 0 (and the
reset flag) for none: a receiver that remembers another payload refuses instead of drifting away.
``layout hash`` also covers the codebook, if there is one, and that reconstruction: numbers alone do not tell
the same from another, for a client may come back with a state of another run.
"""

import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from eafl_flower.codecs.framing import MAX_COUNTER, Part
from eafl_flower.codecs.lqgcm.tuples import TUPLE, Tuples
from eafl_flower.errors import CodecError

HEADER_BYTES: Final = 28
MAX_TUPLES: Final = 2**16 - 1
MAX_GAIN: Final = 1.5  # of the predictor

MODES: Final = ("sign", "rvq", "literal", "dithered")

_MAGIC: Final = 0x88EA
_VERSION: Final = 2
_RESET, _MODE_SHIFT = 1, 2
_HEAD: Final = struct.Struct("<HBBIIIfeH")
_CRC: Final = struct.Struct("<I")


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """What a payload says about itself; gains of tuples are in units of ``scale``, a power of two."""

    mode: int
    reference: int
    counter: int
    layout_hash: int
    scale: float
    predictor_gain: float


def pack(header: Header, tuples: Tuples, literals: Sequence[Part]) -> bytes:
    """Return the payload.

    Raises
    ------
    CodecError
        If a counter does not fit into 32 bits.
    """
    for what, number in (("counter", header.counter), ("reference", header.reference)):
        if not 0 <= number <= MAX_COUNTER:
            msg = f"payload {what} {number}: expected a number from 0 to {MAX_COUNTER}"
            raise CodecError(msg)
    head = _HEAD.pack(
        _MAGIC,
        (0 if header.reference else _RESET) | header.mode << _MODE_SHIFT,
        _VERSION,
        header.reference,
        header.counter,
        header.layout_hash,
        header.scale,
        header.predictor_gain,
        tuples.size,
    )
    parts = [tuples.tobytes(), *literals]
    return b"".join((head, _CRC.pack(_checksum(head, *parts)), *parts))


def unpack(
    payload: bytes, *, mode: int, layout_hash: int, max_tuples: int, literal_bytes: int
) -> tuple[Header, Tuples, memoryview]:
    """Check a payload and take it apart.

    Parameters
    ----------
    payload
        Anything that claims to be a payload.
    mode, layout_hash
        What it must have been made with. The hash of a payload that predicts also covers from what, and is left
        to the caller.
    max_tuples
        The most tuples that its layout can have.
    literal_bytes
        Size of the arrays that are not floating [byte].

    Returns
    -------
    tuple
        ``(header, tuples, literals)``; tuples and literals are views into ``payload``.

    Raises
    ------
    CodecError
        If ``pack`` cannot have made it for this layout. Tuples are not looked into.
    """
    if len(payload) < HEADER_BYTES:
        msg = f"payload is {len(payload)} bytes, its header alone takes {HEADER_BYTES}: truncated in transit?"
        raise CodecError(msg)
    view = memoryview(payload)
    magic, flags, version, reference, counter, its_hash, scale, gain, count = _HEAD.unpack_from(view)
    if magic != _MAGIC:
        msg = f"payload begins with {magic:#06x}, expected {_MAGIC:#06x}: not a payload of LQGCM, or altered"
        raise CodecError(msg)
    its_mode = flags >> _MODE_SHIFT
    if version != _VERSION or its_mode != mode:
        name = MODES[its_mode] if its_mode < len(MODES) else its_mode
        msg = (
            f"payload was made by LQGCM version {version}, mode {name}, expected version {_VERSION}, mode "
            f"{MODES[mode]}: both sides must use the same codec"
        )
        raise CodecError(msg)
    if not reference and its_hash != layout_hash:
        msg = (
            f"payload was made for layout and codebook {its_hash:08x}, expected {layout_hash:08x}: both sides must "
            "have the same model and codebook"
        )
        raise CodecError(msg)
    if count > max_tuples:
        msg = f"payload announces {count} tuples, its layout can have {max_tuples}"
        raise CodecError(msg)
    size = HEADER_BYTES + count * TUPLE.itemsize + literal_bytes
    if len(payload) != size:
        msg = f"payload is {len(payload)} bytes, its header announces {size}: truncated in transit?"
        raise CodecError(msg)
    body = view[HEADER_BYTES:]
    if _CRC.unpack_from(view, _HEAD.size)[0] != _checksum(view[: _HEAD.size], body):
        msg = f"payload of {len(payload)} bytes, counter {counter}, fails its CRC: altered or truncated in transit"
        raise CodecError(msg)
    if flags & ((1 << _MODE_SHIFT) - 1) != (0 if reference else _RESET) or (reference and reference >= counter):
        msg = f"payload {counter} with flags {flags:#04x} predicts from payload {reference}: no encoder writes that"
        raise CodecError(msg)
    if not (scale > 0 and math.frexp(scale)[0] == 0.5 and 0 <= gain <= (MAX_GAIN if reference else 0)):
        msg = f"payload {counter} has scale {scale} and predictor gain {gain}: no encoder writes that"
        raise CodecError(msg)
    tuples = np.frombuffer(body, TUPLE, count=count)
    header = Header(
        mode=mode, reference=reference, counter=counter, layout_hash=its_hash, scale=scale, predictor_gain=gain
    )
    return header, tuples, body[tuples.nbytes :]


def _checksum(head: Part, *body: Part) -> int:
    crc = zlib.crc32(head)
    for part in body:
        crc = zlib.crc32(part, crc)
    return crc
