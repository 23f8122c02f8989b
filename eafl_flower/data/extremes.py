"""What the scaler takes away: values so far from the others that it cuts them, and features that do not vary."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eafl_flower.data.scaling import Scaler
from eafl_flower.data.tables.files import listed
from eafl_flower.data.tables.lines import lines_text
from eafl_flower.types import Array


def constant_note(names: Sequence[str], scaler: Scaler, *, numbers: Sequence[bool]) -> tuple[str, ...]:
    """Return one sentence about the ``numbers`` among features ``(d,)`` that do not vary, none if all do."""
    features = zip(names, scaler.scale, numbers, strict=True)
    constant = [name for name, scale, number in features if number and scale == 0]
    if not constant:
        return ()
    return (
        f"the same in all training rows, so that a model sees 0 always: {listed(constant, most=6)}; leave them out",
    )


def cut_note(
    path: Path,
    names: Sequence[str],
    x: Array,
    scaler: Scaler,
    *,
    rows: NDArray[np.int64],
    numbers: Sequence[bool],
) -> tuple[str, ...]:
    """Return one sentence about the values that are cut, none if there are none.

    Parameters
    ----------
    path, names
        The file, and what its features are called, ``(d,)``.
    x, scaler
        Its features before scaling, ``(n, d)``; what scales and cuts them.
    rows
        Numbers of the rows that are used, ascending.
    numbers
        Whether a feature is a number of the file, ``(d,)``; others are not told.
    """
    beyond = np.abs(scaler.scores(x[rows])) > scaler.limit
    parts = []
    for column in map(int, np.flatnonzero(beyond.any(axis=0) & np.asarray(numbers))):
        cut = rows[beyond[:, column]]
        values = x[cut, column]
        ends = f"{values.min():.6g}" if len(cut) == 1 else f"{values.min():.6g} to {values.max():.6g}"
        parts.append(f"{names[column]} {len(cut):,} ({ends}; {lines_text(path, cut)})")
    if not parts:
        return ()
    return (
        f"values further than {scaler.limit:g} standard deviations from the centre count as that far: "
        f"{listed(parts, most=6)}; mend them if they are wrong, take logarithms if they are right",
    )
