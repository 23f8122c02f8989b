"""Checks that rows and arrays fit a model, before a matrix product says it in its own words."""

from collections.abc import Sequence

from eafl_flower.errors import DataError, ProtocolError
from eafl_flower.types import Array, Arrays


def check_rows(x: Array, y: Array, *, num_features: int, num_classes: int) -> None:
    """Raise ``DataError`` unless ``x`` is ``(n, num_features)`` and ``y`` is ``(n,)`` in 0 .. num_classes - 1."""
    if x.ndim != 2 or x.shape[1] != num_features or y.shape != (len(x),):
        msg = f"rows of shapes {x.shape} and {y.shape}: expected (n, {num_features}) features and (n,) labels"
        raise DataError(msg)
    if len(y) and not 0 <= int(y.min()) <= int(y.max()) < num_classes:
        msg = f"labels from {y.min()} to {y.max()}: expected 0 to {num_classes - 1}"
        raise DataError(msg)


def check_features(x: Array, *, num_features: int) -> None:
    """Raise ``DataError`` unless ``x`` is ``(n, num_features)``."""
    if x.ndim != 2 or x.shape[1] != num_features:
        msg = f"rows of shape {x.shape}: expected (n, {num_features}) features"
        raise DataError(msg)


def check_layout(arrays: Sequence[Array], like: Sequence[Array], source: str) -> Arrays:
    """Return ``arrays`` if they have the number, shapes and dtypes of ``like``.

    ``source`` begins the message of the error, for example ``"the server sent"``.

    Raises
    ------
    ProtocolError
        With every array that differs: its position, what was expected and what came.
    """
    pairs = list(zip(arrays, like, strict=False))
    if len(arrays) == len(like) and all(a.shape == b.shape and a.dtype == b.dtype for a, b in pairs):
        return tuple(arrays)
    if len(arrays) != len(like):
        wrong = f"{len(arrays)} arrays: expected {len(like)} ({', '.join(f'{b.dtype} {b.shape}' for b in like)})"
    else:
        wrong = "arrays that do not fit the model: " + "; ".join(
            f'"{i}" is {a.dtype} {a.shape}, expected {b.dtype} {b.shape}'
            for i, (a, b) in enumerate(pairs)
            if a.shape != b.shape or a.dtype != b.dtype
        )
    msg = f"{source} {wrong}; is it of the same task?"
    raise ProtocolError(msg)
