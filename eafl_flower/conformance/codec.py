"""What every codec must do, as one check to be called from a test."""

import json
from dataclasses import replace
from typing import Any

import numpy as np

from eafl_flower.errors import CodecError
from eafl_flower.protocols import Codec
from eafl_flower.rng import generator
from eafl_flower.state import flatten, restore
from eafl_flower.types import Array, Arrays, ArraySpec, Encoded, Layout, digest, layout_of

_LAYOUT: Layout = (
    ArraySpec((10, 32), "float32"),
    ArraySpec((32,), "float32"),
    ArraySpec((0, 4), "float32"),
    ArraySpec((), "float32"),
    ArraySpec((3,), "int64"),
    ArraySpec((7, 3), "float32"),
)
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
    layout = _LAYOUT if layout is None else layout
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
    normal = _arrays(layout, 0)
    cases: dict[str, Arrays] = {
        "normal values": normal,
        "zeros": tuple(np.zeros_like(a) for a in normal),
        "ones": tuple(np.ones_like(a) for a in normal),
        "a single value among zeros": tuple(_unit(a) for a in normal),
        "values in another memory order": tuple(np.asarray(a.T.copy().T) for a in normal),
        "read-only values": tuple(_read_only(a) for a in normal),
        "very small values": tuple(_scaled(a, 1e-40) for a in normal),
        "values near the largest": tuple(_extreme(a) for a in normal),
    }
    for what, arrays in cases.items():
        before = digest(arrays)
        decoded = _round_trip(codec, layout, arrays, what)
        _expect(digest(arrays) == before, f"encode wrote to its input ({what}): treat it as read-only")
        for i, array in enumerate(decoded):
            _expect(array.flags.writeable, f"decoded array {i} is read-only: decode must return arrays of its own")
            array.fill(1)
    zeros = cases["zeros"]
    _expect(
        digest(_round_trip(codec, layout, zeros, "zeros")) == digest(zeros), "zeros did not come back as exact zeros"
    )


def _check_other_layouts(codec: Codec[Any], layout: Layout) -> None:
    no_layout: Layout = ()
    for other in (no_layout, (ArraySpec((0,), "float32"),), (ArraySpec((), "float32"),), layout[:1]):
        _round_trip(codec, other, _arrays(other, 0), f"the layout {other}")
    encoded, _ = _encode(codec, codec.init(layout), _arrays(layout, 0), 0)
    taller = replace(layout[0], shape=(*layout[0].shape, 2))
    other_type = replace(layout[0], dtype="int32")
    for other in (no_layout, layout[:-1], (*layout, layout[0]), (taller, *layout[1:]), (other_type, *layout[1:])):
        _expect_refusal(
            codec, codec.init(other), encoded.payload, f"a payload for layout {layout}, decoded for layout {other}"
        )


def _check_refusals(codec: Codec[Any], layout: Layout) -> None:
    good = _arrays(layout, 0)
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
    _, state = _encode(codec, replace(codec.init(layout), counter=1), good, 1)
    state = replace(state, counter=2, acknowledged=1)
    expected, _ = _encode(codec, _copy(codec, layout, state), good, 2)
    for what, arrays in spoiled.items():
        try:
            _encode(codec, state, arrays, 2)
        except CodecError:
            continue
        _expect(False, f"arrays {what} were encoded: raise CodecError")
    again, _ = _encode(codec, state, good, 2)
    _expect(again == expected, "arrays that were refused changed the state: check everything before writing")


def _check_idempotence(codec: Codec[Any], layout: Layout) -> None:
    once = _round_trip(codec, layout, _arrays(layout, 0), "normal values")
    twice = _round_trip(codec, layout, once, "decoded values")
    difference = _relative_error(twice, once)
    _expect(
        difference <= 1e-3,
        f"decoded arrays, encoded and decoded again, moved by {difference:.2e}: values on the grid must stay "
        "(is_idempotent=False for codecs that round at random or choose greedily)",
    )


def _check_hostile_payloads(codec: Codec[Any], layout: Layout) -> None:
    encoded, _ = _encode(codec, replace(codec.init(layout), counter=1), _arrays(layout, 0), 0)
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
        arrays = _arrays(layout, counter)
        encoded, sender = _encode(codec, sender, arrays, counter)
        _expect(
            (sender.counter, sender.acknowledged) == (counter, acknowledged),
            "encode changed counter or acknowledged of the state: they belong to the caller",
        )
        if counter % 3:
            decoded, receiver = codec.decode(receiver, encoded.payload)
            _expect(
                receiver.counter == counter,
                f"decode of payload {counter} returned a state with counter {receiver.counter}: set the payload's",
            )
            _expect_promise(encoded, decoded, arrays, f"payload {counter} of a stream with losses")
            acknowledged = counter


def _check_lost_payload(codec: Codec[Any], layout: Layout) -> None:
    """Whether payload 5 was encoded and lost, or never encoded, payload 6 is the same."""
    sender = _run_sender(codec, codec.init(layout), layout, 1, 5)[0]
    without = _copy(codec, layout, sender)
    _, sender = _encode(codec, replace(sender, counter=5, acknowledged=4), _arrays(layout, 5), 5)
    after_loss, _ = _encode(codec, replace(sender, counter=6, acknowledged=4), _arrays(layout, 6), 6)
    expected, _ = _encode(codec, replace(without, counter=6, acknowledged=4), _arrays(layout, 6), 6)
    _expect(
        after_loss == expected,
        "a payload that was never acknowledged changed the next one: keep its state change as pending, and take it "
        "over only if state.acknowledged has reached its counter",
    )


def _check_counter_zero(codec: Codec[Any], layout: Layout) -> None:
    fresh, _ = _encode(codec, codec.init(layout), _arrays(layout, 9), 9)
    sender = _run_sender(codec, codec.init(layout), layout, 1, 5)[0]
    expected = _run_sender(codec, _copy(codec, layout, sender), layout, 5, 8)[1]
    outside, sender = _encode(codec, replace(sender, counter=0), _arrays(layout, 9), 9)
    _expect(
        outside == fresh and _run_sender(codec, sender, layout, 5, 8)[1] == expected,
        "a payload with counter 0 used or changed what the stream remembers: it stands outside of any stream",
    )


def _check_resume(codec: Codec[Any], layout: Layout) -> None:
    undisturbed = _run_sender(codec, codec.init(layout), layout, 1, _PAYLOADS)[1]
    for stop in _STOPS:
        sender, before = _run_sender(codec, codec.init(layout), layout, 1, stop)
        after = _run_sender(codec, _copy(codec, layout, sender), layout, stop, _PAYLOADS)[1]
        _expect(
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
        encoded, state = _encode(codec, state, _arrays(layout, counter), counter)
        payloads.append(encoded.payload)
    return state, payloads


def _encode(codec: Codec[Any], state: Any, arrays: Arrays, stream: int) -> tuple[Encoded, Any]:
    encoded, state = codec.encode(state, arrays, generator(0, "conformance", "codec", stream))
    _expect(type(encoded.payload) is bytes, f"the payload is a {type(encoded.payload).__name__}: expected bytes")
    _expect(
        type(encoded.bits_paper) is int and encoded.bits_paper >= 0,
        f"bits_paper is {encoded.bits_paper!r}: expected an int of at least 0, counted from what is in the payload",
    )
    _expect(
        isinstance(encoded.error, float) and 0 <= encoded.error < np.inf,
        f"error is {encoded.error!r}: expected the relative L2 error of the decoded arrays, a float",
    )
    return encoded, state


def _round_trip(codec: Codec[Any], layout: Layout, arrays: Arrays, what: str) -> Arrays:
    encoded, _ = _encode(codec, codec.init(layout), arrays, 0)
    decoded, _ = codec.decode(codec.init(layout), encoded.payload)
    _expect_promise(encoded, decoded, arrays, what)
    return decoded


def _expect_promise(encoded: Encoded, decoded: Arrays, arrays: Arrays, what: str) -> None:
    _expect(
        layout_of(decoded) == layout_of(arrays), f"{what}: decoded to {layout_of(decoded)}, was {layout_of(arrays)}"
    )
    for i, (array, original) in enumerate(zip(decoded, arrays, strict=True)):
        if array.dtype.kind == "f":
            _expect(bool(np.isfinite(array).all()), f"{what}: array {i} decoded to NaN or infinity")
        else:
            _expect(
                np.array_equal(array, original), f"{what}: array {i} of {array.dtype.name} changed: carry it exactly"
            )
    error = _relative_error(decoded, arrays)
    # float16 arrays may be rounded once more when they are decoded
    slack = 1e-3 if any(a.dtype == np.float16 for a in arrays) else 1e-6
    _expect(
        abs(error - encoded.error) <= slack + 1e-3 * encoded.error,
        f"{what}: the decoded arrays are off by {error:.3e}, the encoder said {encoded.error:.3e}: "
        "state the error of what the receiver gets",
    )


def _relative_error(arrays: Arrays, originals: Arrays) -> float:
    pairs = [
        (a.astype(np.longdouble), b.astype(np.longdouble))
        for a, b in zip(arrays, originals, strict=True)
        if a.dtype.kind == "f"
    ]
    norm = sum(float(np.sum(b**2)) for _, b in pairs)
    return float(np.sqrt(sum(float(np.sum((a - b) ** 2)) for a, b in pairs) / norm)) if norm else 0.0


def _expect_refusal(codec: Codec[Any], state: Any, payload: bytes, what: str) -> None:
    advice = "decode must raise CodecError, and nothing else, for what encode cannot have made"
    try:
        codec.decode(state, payload)
    except CodecError:
        return
    except Exception as error:
        msg = f"{what} raised {error!r}: {advice}"
        raise AssertionError(msg) from error
    _expect(False, f"{what} was decoded: {advice}")


def _copy(codec: Codec[Any], layout: Layout, state: Any) -> Any:
    """Return ``state`` as from a file."""
    stored, tree = flatten(state)
    arrays = {name: _read_only(array) for name, array in stored.items()}
    return restore(codec.init(layout), arrays, json.loads(json.dumps(tree)))


def _arrays(layout: Layout, n: int) -> Arrays:
    """Set ``n`` of a fixed stream of arrays, of slowly changing size."""
    rng = generator(1, "conformance", "codec", n)
    return tuple(
        np.asarray(
            0.9**n * rng.normal(size=spec.shape)
            if spec.dtype.startswith("float")
            else rng.integers(0, 2, size=spec.shape)
        ).astype(spec.dtype)
        for spec in layout
    )


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


def _read_only(array: Array) -> Array:
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def _expect(holds: bool, message: str) -> None:
    if not holds:
        raise AssertionError(message)
