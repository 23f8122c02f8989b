"""Checks that rows and arrays fit a model, before a matrix product says it in its own words."""

from collections.abc import Sequence

from eafl_flower.errors import DataError, ProtocolError
from eafl_flower.types import Array, Arrays, Layout, layout_of


def check_rows(x: Array, y: Array, *, num_features: int, num_classes: int) -> None:
    """Raise ``DataError`` unless ``x`` is ``(n, num_features)`` and ``y`` is ``(n,)`` in 0 .. num_classes - 1."""
    if x.ndim != 2 or x.shape[1] != num_features or y.shape != (len(x),):
        msg = f"rows of shapes {x.shape} and {y.shape}: expected (n, {num_features}) features and (n,) labels"
        raise DataError(msg)
    if len(y) and not 0 <= int(y.min()) <= int(y.max()) < num_classes:
        msg = f"labels from {y.min()} to {y.max()}: expected 0 to {num_classes - 1}"
        raise DataError(msg)


def check_layout(arrays: Sequence[Array], expected: Layout, keys: Sequence[str] | None = None) -> Arrays:
    """Return ``arrays`` if they have the shapes and dtypes of ``expected``.

    Raises
    ------
    ProtocolError
        With every array that differs: its name, what was expected and what came.
    """
    got = layout_of(arrays)
    if got == expected:
        return tuple(arrays)
    if len(got) != len(expected):
        shapes = ", ".join(f"{s.dtype} {s.shape}" for s in expected)
        msg = (
            f"the server sent {len(got)} arrays: expected {len(expected)} ({shapes}); do both sides use the same task?"
        )
        raise ProtocolError(msg)
    wrong = [
        f'"{keys[i] if keys else i}" is {g.dtype} {g.shape}, expected {e.dtype} {e.shape}'
        for i, (g, e) in enumerate(zip(got, expected, strict=True))
        if g != e
    ]
    msg = f"the server sent arrays that do not fit the model: {'; '.join(wrong)}; do both sides use the same task?"
    raise ProtocolError(msg)
