"""What every codec must do, as one check to be called from a test."""

from dataclasses import replace
from typing import Any

import numpy as np

from eafl_flower.conformance.codec_cases import (
    LAYOUT,
    arrays_of_stream,
    encode,
    expect,
    expect_promise,
    read_only,
    relative_error,
    stored,
)
from eafl_flower.core.rng import generator
from eafl_flower.errors import CodecError
from eafl_flower.protocols import Codec
from eafl_flower.types import Array, Arrays, ArraySpec, Layout, digest

_MUTATIONS = 300
_PAYLOADS = 20
_STOPS = (1, 2, 7, 13)


def check_codec(codec: Codec[Any], layout: Layout | None = None, *, is_idempotent: bool = True) -> None:
    """Assert that ``codec`` keeps the contract of ``protocols.Codec``.

    Parameters
    ----------
    codec
        The codec.
    layout
        Arrays to encode; by default float32 arrays of several ranks, one of them empty, and some
        integers. Payloads are cut at every byte, so keep it to some thousand values.
    is_idempotent
        Whether encoding decoded arrays once more must give them back, to 0.1 %. Not so for codecs
        that round at random or choose greedily.

    Raises
    ------
    AssertionError
        With what is wrong and what to change.
    """
    layout = LAYOUT if layout is None else layout
    _check_special_values(codec, layout)
    _check_other_layouts(codec, layout)
    _check_refusals(codec, layout)
    if is_idempotent:
        _check_idempotence(codec, layout)
    _check_hostile_payloads(codec, layout)
    _check_stream(codec, layout)
    _check_lost_payload(codec, layout)
    _check_counter_zero(codec, layout)
    _check_resume(codec, layout)


def _check_special_values(codec: Codec[Any], layout: Layout) -> None:
    normal = arrays_of_stream(layout, 0)
    cases: dict[str, Arrays] = {
        "normal values": normal,
        "zeros": tuple(np.zeros_like(a) for a in normal),
        "ones": tuple(np.ones_like(a) for a in normal),
        "a single value among zeros": tuple(_unit(a) for a in normal),
        "values in another memory order": tuple(np.asarray(a.T.copy().T) for a in normal),
        "read-only values": tuple(read_only(a) for a in normal),
        "very small values": tuple(_scaled(a, 1e-40) for a in normal),
        "values near the largest": tuple(_extreme(a) for a in normal),
    }
    for what, arrays in cases.items():
        before = digest(arrays)
        decoded = _round_trip(codec, layout, arrays, what)
        expect(digest(arrays) == before, f"encode wrote to its input ({what}): treat it as read-only")
        for i, array in enumerate(decoded):
            expect(array.flags.writeable, f"decoded array {i} is read-only: decode must return arrays of its own")
            array.fill(1)
    zeros = cases["zeros"]
    expect(
        digest(_round_trip(codec, layout, zeros, "zeros")) == digest(zeros), "zeros did not come back as exact zeros"
    )


def _check_other_layouts(codec: Codec[Any], layout: Layout) -> None:
    no_layout: Layout = ()
    for other in (no_layout, (ArraySpec((0,), "float32"),), (ArraySpec((), "float32"),), layout[:1]):
        _round_trip(codec, other, arrays_of_stream(other, 0), f"the layout {other}")
    encoded, _ = encode(codec, codec.init(layout), arrays_of_stream(layout, 0), 0)
    taller = replace(layout[0], shape=(*layout[0].shape, 2))
    other_type = replace(layout[0], dtype="int32")
    for other in (no_layout, layout[:-1], (*layout, layout[0]), (taller, *layout[1:]), (other_type, *layout[1:])):
        _expect_refusal(
            codec, codec.init(other), encoded.payload, f"a payload for layout {layout}, decoded for layout {other}"
        )


def _check_refusals(codec: Codec[Any], layout: Layout) -> None:
    good = arrays_of_stream(layout, 0)
    first = good[0]
    spoiled = {
        "with an array missing": good[:-1],
        "with an array too many": (*good, first),
        "with a wrong shape": (np.zeros((*first.shape, 2), first.dtype), *good[1:]),
        "with a shape that broadcasts": (np.zeros((1, *first.shape), first.dtype), *good[1:]),
        "with another dtype": (first.astype(np.float16 if first.dtype != np.float16 else np.float32), *good[1:]),
    }
    for i, array in enumerate(good):
        for value in (np.nan, np.inf, -np.inf):
            if array.dtype.kind == "f" and array.size:
                bad = array.copy()
                bad.reshape(-1)[-1] = value
                spoiled[f"with {value} in array {i}"] = (*good[:i], bad, *good[i + 1 :])
    _, state = encode(codec, replace(codec.init(layout), counter=1), good, 1)
    state = replace(state, counter=2, acknowledged=1)
    expected, _ = encode(codec, stored(codec, layout, state), good, 2)
    for what, arrays in spoiled.items():
        try:
            encode(codec, state, arrays, 2)
        except CodecError:
            continue
        expect(False, f"arrays {what} were encoded: raise CodecError")
    again, _ = encode(codec, state, good, 2)
    expect(again == expected, "arrays that were refused changed the state: check everything before writing")


def _check_idempotence(codec: Codec[Any], layout: Layout) -> None:
    once = _round_trip(codec, layout, arrays_of_stream(layout, 0), "normal values")
    twice = _round_trip(codec, layout, once, "decoded values")
    difference = relative_error(twice, once)
    expect(
        difference <= 1e-3,
        f"decoded arrays, encoded and decoded again, moved by {difference:.2e}: values on the grid must stay "
        "(is_idempotent=False for codecs that round at random or choose greedily)",
    )


def _check_hostile_payloads(codec: Codec[Any], layout: Layout) -> None:
    encoded, _ = encode(codec, replace(codec.init(layout), counter=1), arrays_of_stream(layout, 0), 0)
    payload, state = encoded.payload, codec.init(layout)
    for length in range(len(payload)):
        _expect_refusal(codec, state, payload[:length], f"a payload cut to {length} of {len(payload)} bytes")
    for tail in (b"\0", b"\xff" * 7, payload):
        _expect_refusal(codec, state, payload + tail, f"a payload with {len(tail)} bytes more")
    rng = generator(0, "conformance", "codec", "mutations")
    for n in range(_MUTATIONS):
        mutated = bytearray(payload)
        # the first ones go through the header, one bit of each byte after the other
        places = [n] if n < min(32, len(payload)) else rng.integers(len(payload), size=1 + n % 3).tolist()
        for place in set(places):
            mutated[place] ^= int(rng.integers(1, 256))
        _expect_refusal(codec, state, bytes(mutated), f"a payload with altered bytes {sorted(set(places))}")


def _check_stream(codec: Codec[Any], layout: Layout) -> None:
    """Every third payload is lost; what arrives decodes to what the encoder promised."""
    sender, receiver = codec.init(layout), codec.init(layout)
    acknowledged = 0
    for counter in range(1, _PAYLOADS):
        sender = replace(sender, counter=counter, acknowledged=acknowledged)
        arrays = arrays_of_stream(layout, counter)
        encoded, sender = encode(codec, sender, arrays, counter)
        expect(
            (sender.counter, sender.acknowledged) == (counter, acknowledged),
            "encode changed counter or acknowledged of the state: they belong to the caller",
        )
        if counter % 3:
            decoded, receiver = codec.decode(receiver, encoded.payload)
            expect(
                receiver.counter == counter,
                f"decode of payload {counter} returned a state with counter {receiver.counter}: set the payload's",
            )
            expect_promise(encoded, decoded, arrays, f"payload {counter} of a stream with losses")
            acknowledged = counter


def _check_lost_payload(codec: Codec[Any], layout: Layout) -> None:
    """Whether payload 5 was encoded and lost, or never encoded, payload 6 is the same."""
    sender = _run_sender(codec, codec.init(layout), layout, 1, 5)[0]
    without = stored(codec, layout, sender)
    _, sender = encode(codec, replace(sender, counter=5, acknowledged=4), arrays_of_stream(layout, 5), 5)
    after_loss, _ = encode(codec, replace(sender, counter=6, acknowledged=4), arrays_of_stream(layout, 6), 6)
    expected, _ = encode(codec, replace(without, counter=6, acknowledged=4), arrays_of_stream(layout, 6), 6)
    expect(
        after_loss == expected,
        "a payload that was never acknowledged changed the next one: keep its state change as pending, and take it "
        "over only if state.acknowledged has reached its counter",
    )


def _check_counter_zero(codec: Codec[Any], layout: Layout) -> None:
    fresh, _ = encode(codec, codec.init(layout), arrays_of_stream(layout, 9), 9)
    sender = _run_sender(codec, codec.init(layout), layout, 1, 5)[0]
    expected = _run_sender(codec, stored(codec, layout, sender), layout, 5, 8)[1]
    outside, sender = encode(codec, replace(sender, counter=0), arrays_of_stream(layout, 9), 9)
    expect(
        outside == fresh and _run_sender(codec, sender, layout, 5, 8)[1] == expected,
        "a payload with counter 0 used or changed what the stream remembers: it stands outside of any stream",
    )


def _check_resume(codec: Codec[Any], layout: Layout) -> None:
    undisturbed = _run_sender(codec, codec.init(layout), layout, 1, _PAYLOADS)[1]
    for stop in _STOPS:
        sender, before = _run_sender(codec, codec.init(layout), layout, 1, stop)
        after = _run_sender(codec, stored(codec, layout, sender), layout, stop, _PAYLOADS)[1]
        expect(
            before + after == undisturbed,
            f"a sender restored after {stop - 1} payloads sent other ones than one never stopped: "
            "everything that matters must be in the state, and all randomness from rng",
        )


def _run_sender(codec: Codec[Any], state: Any, layout: Layout, start: int, stop: int) -> tuple[Any, list[bytes]]:
    """Encode payloads ``start`` to ``stop - 1``, each acknowledged unless its counter divides by three."""
    payloads = []
    for counter in range(start, stop):
        acknowledged = max((n for n in range(counter) if n % 3), default=0)
        state = replace(state, counter=counter, acknowledged=acknowledged)
        encoded, state = encode(codec, state, arrays_of_stream(layout, counter), counter)
        payloads.append(encoded.payload)
    return state, payloads


def _round_trip(codec: Codec[Any], layout: Layout, arrays: Arrays, what: str) -> Arrays:
    encoded, _ = encode(codec, codec.init(layout), arrays, 0)
    decoded, _ = codec.decode(codec.init(layout), encoded.payload)
    expect_promise(encoded, decoded, arrays, what)
    return decoded


def _expect_refusal(codec: Codec[Any], state: Any, payload: bytes, what: str) -> None:
    advice = "decode must raise CodecError, and nothing else, for what encode cannot have made"
    try:
        codec.decode(state, payload)
    except CodecError:
        return
    except Exception as error:
        msg = f"{what} raised {error!r}: {advice}"
        raise AssertionError(msg) from error
    expect(False, f"{what} was decoded: {advice}")


def _unit(array: Array) -> Array:
    unit = np.zeros_like(array)
    unit.reshape(-1)[:1] = 1
    return unit


def _scaled(array: Array, factor: float) -> Array:
    return np.asarray(array * factor).astype(array.dtype) if array.dtype.kind == "f" else array


def _extreme(array: Array) -> Array:
    """Values of either sign, among them the largest that float32 and the array's own dtype can hold."""
    if array.dtype.kind != "f":
        return array
    largest = min(float(np.finfo(array.dtype).max), float(np.finfo(np.float32).max))
    shares = np.resize(np.array([1.0, -1.0, 0.5, -0.25, 0.0]), array.shape)
    extreme: Array = (shares * largest).astype(array.dtype)
    return extreme
