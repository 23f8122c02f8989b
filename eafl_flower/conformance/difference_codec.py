"""What every codec for differences must do beside what every codec must, as one check to be called from a test."""

from dataclasses import replace
from typing import Any

import numpy as np

from eafl_flower.codecs.differences import decode_onto, encode_onto
from eafl_flower.conformance.codec_cases import (
    LAYOUT,
    arrays_of_stream,
    encode,
    expect,
    expect_promise,
    relative_error,
    stored,
)
from eafl_flower.core.rng import generator
from eafl_flower.errors import CodecError
from eafl_flower.protocols import DifferenceCodec
from eafl_flower.types import Arrays, Layout, digest

_JOBS = 80
_DOWNLOADS = 12


def check_difference_codec(codec: DifferenceCodec[Any], layout: Layout | None = None) -> None:
    """Assert that ``codec`` keeps the contract of ``protocols.DifferenceCodec``.

    ``check_codec`` says what it must do as any codec; call it too, for ``codec`` and for ``codec.downlink``.

    Parameters
    ----------
    codec
        The codec.
    layout
        Arrays to encode; by default float32 arrays of several ranks, one of them empty, and some integers.

    Raises
    ------
    AssertionError
        With what is wrong and what to change.
    """
    expect(
        isinstance(codec, DifferenceCodec), f"{codec} has no downlink: a codec for differences says how they go down"
    )
    layout = LAYOUT if layout is None else layout
    _check_downloads(codec, layout)
    _check_uploads(codec, layout)


def _check_downloads(codec: DifferenceCodec[Any], layout: Layout) -> None:
    """Check that what a client holds comes closer to the same arrays with each difference to them."""
    start, wanted = arrays_of_stream(layout, 0), arrays_of_stream(layout, 1)
    held, first = start, relative_error(start, wanted)
    error = first
    for counter in range(1, _DOWNLOADS):
        payload = encode_onto(codec, held, wanted, counter=counter, rng=_rng(counter))
        again = encode_onto(codec, held, wanted, counter=counter, rng=_rng(counter))
        expect(again == payload, "the same difference was coded twice in two ways: the downlink remembers nothing")
        new = decode_onto(codec, held, payload, counter=counter)
        twice = decode_onto(codec, held, payload, counter=counter)
        expect(digest(new) == digest(twice), "the same download was decoded in two ways: both sides must hold the same")
        before, error = error, relative_error(new, wanted)
        expect(
            error <= before * (1 + 1e-6),
            f"a difference took a client from {before:.3e} to {error:.3e} of the arrays that it leads to: code less "
            "rather than more than there is",
        )
        held = new
    expect(error < first or first == 0, f"{_DOWNLOADS - 1} differences brought a client no closer to the arrays")


def _check_uploads(codec: DifferenceCodec[Any], layout: Layout) -> None:
    """Check what arrives after merged, lost and refused uploads, and with forgetful senders and receivers."""
    rng = generator(0, "conformance", "codec", "differences")
    fresh = codec.init(layout)
    senders, receiver, load, acknowledged = {0: fresh}, fresh, 0, 0
    receivers = [fresh]
    for counter in range(1, _JOBS):
        forgets = rng.random(2) < 0.1
        if forgets[0]:
            receiver, acknowledged = fresh, 0
        if forgets[1]:
            load = 0
        arrays = arrays_of_stream(layout, counter // 4)  # alike, so that there is something to build on
        state = replace(stored(codec, layout, senders[load]), counter=counter, acknowledged=acknowledged)
        encoded, senders[counter] = encode(codec, state, arrays, counter)
        try:
            decoded, new = codec.decode(stored(codec, layout, receiver), encoded.payload)
        except CodecError as error:
            msg = (
                f"upload {counter} was refused ({error}), though the receiver holds what it acknowledged "
                f"({acknowledged}): build on the acknowledged payload, or on nothing if it is not known"
            )
            raise AssertionError(msg) from error
        expect_promise(encoded, decoded, arrays, f"upload {counter} of a stream with all that can happen")
        expect(new.counter == counter, f"decode of upload {counter} returned a state with counter {new.counter}")
        _expect_the_same_or_nothing(codec, receivers, encoded.payload, decoded, counter)
        outcome = rng.choice(("merged", "lost", "refused"), p=(0.6, 0.2, 0.2))
        if outcome == "merged":
            receiver, acknowledged = new, counter
            receivers = [fresh, *receivers[-3:], new]
        if outcome != "refused":
            load = counter


def _expect_the_same_or_nothing(
    codec: DifferenceCodec[Any], receivers: list[Any], payload: bytes, expected: Arrays, counter: int
) -> None:
    """Check that a receiver with another memory decodes to the same, or not at all."""
    for receiver in receivers:
        try:
            decoded, _ = codec.decode(receiver, payload)
        except CodecError:
            continue
        expect(
            digest(decoded) == digest(expected),
            f"upload {counter} was decoded to something else by a receiver that holds other uploads than were "
            "acknowledged: name in the payload what it builds on, and raise CodecError if that is not there",
        )


def _rng(counter: int) -> np.random.Generator:
    return generator(0, "conformance", "codec", "download", counter)
