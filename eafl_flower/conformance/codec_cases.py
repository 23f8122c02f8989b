"""What the suites for codecs have in common: arrays to encode, and what every payload must keep."""

import json
from typing import Any

import numpy as np

from eafl_flower.core.rng import generator
from eafl_flower.core.state import flatten, restore
from eafl_flower.protocols import Codec
from eafl_flower.types import Array, Arrays, ArraySpec, Encoded, Layout, layout_of

LAYOUT: Layout = (
    ArraySpec((10, 32), "float32"),
    ArraySpec((32,), "float32"),
    ArraySpec((0, 4), "float32"),
    ArraySpec((), "float32"),
    ArraySpec((3,), "int64"),
    ArraySpec((7, 3), "float32"),
)


def encode(codec: Codec[Any], state: Any, arrays: Arrays, stream: int) -> tuple[Encoded, Any]:
    """Encode, and look at what came out."""
    encoded, state = codec.encode(state, arrays, generator(0, "conformance", "codec", stream))
    expect(type(encoded.payload) is bytes, f"the payload is a {type(encoded.payload).__name__}: expected bytes")
    expect(
        type(encoded.bits_paper) is int and encoded.bits_paper >= 0,
        f"bits_paper is {encoded.bits_paper!r}: expected an int of at least 0, counted from what is in the payload",
    )
    expect(
        isinstance(encoded.error, float) and 0 <= encoded.error < np.inf,
        f"error is {encoded.error!r}: expected the relative L2 error of the decoded arrays, a float",
    )
    return encoded, state


def expect_promise(encoded: Encoded, decoded: Arrays, arrays: Arrays, what: str) -> None:
    """Hold decoded arrays against the error that their encoder has told."""
    expect(layout_of(decoded) == layout_of(arrays), f"{what}: decoded to {layout_of(decoded)}, was {layout_of(arrays)}")
    for i, (array, original) in enumerate(zip(decoded, arrays, strict=True)):
        if array.dtype.kind == "f":
            expect(bool(np.isfinite(array).all()), f"{what}: array {i} decoded to NaN or infinity")
        else:
            expect(
                np.array_equal(array, original), f"{what}: array {i} of {array.dtype.name} changed: carry it exactly"
            )
    error = relative_error(decoded, arrays)
    # float16 arrays may be rounded once more when they are decoded
    slack = 1e-3 if any(a.dtype == np.float16 for a in arrays) else 1e-6
    expect(
        abs(error - encoded.error) <= slack + 1e-3 * encoded.error,
        f"{what}: the decoded arrays are off by {error:.3e}, the encoder said {encoded.error:.3e}: "
        "state the error of what the receiver gets",
    )


def relative_error(arrays: Arrays, originals: Arrays) -> float:
    """Return the L2 norm of the difference relative to that of ``originals``, over the floating arrays."""
    pairs = [
        (a.astype(np.longdouble), b.astype(np.longdouble))
        for a, b in zip(arrays, originals, strict=True)
        if a.dtype.kind == "f"
    ]
    norm = sum(float(np.sum(b**2)) for _, b in pairs)
    return float(np.sqrt(sum(float(np.sum((a - b) ** 2)) for a, b in pairs) / norm)) if norm else 0.0


def stored(codec: Codec[Any], layout: Layout, state: Any) -> Any:
    """Return ``state`` as it comes from a file."""
    stored, tree = flatten(state)
    arrays = {name: read_only(array) for name, array in stored.items()}
    return restore(codec.init(layout), arrays, json.loads(json.dumps(tree)))


def arrays_of_stream(layout: Layout, n: int) -> Arrays:
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


def read_only(array: Array) -> Array:
    """Return a copy that cannot be written to."""
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def expect(holds: bool, message: str) -> None:
    """Raise ``AssertionError`` with ``message`` unless ``holds``."""
    if not holds:
        raise AssertionError(message)
