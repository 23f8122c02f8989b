"""What the values of a table tell about the class once everything is taken away that tells how the file was made.

A table over one column knows each value's commonest class; a table over all columns, each cut into eight bins, knows
each combination's. If neither beats the majority class on rows whose neighbours are held out with them,
there is nothing to learn from the values; if the second scores more on rows held out at random, then because
neighbouring rows are alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eafl_flower.data.leaks.spelling import plain_words
from eafl_flower.data.lookup import Lookup
from eafl_flower.data.splits import content_groups
from eafl_flower.types import Array

NUM_BINS = 8
# Above the majority class by this much counts as something to learn.
NOTICEABLE = 0.02


@dataclass(frozen=True, kw_only=True)
class Told:
    """Shares of held out rows whose class is named rightly; ``by_row`` with rows that are drawn at random."""

    held_out: str
    left_out: tuple[str, ...]
    majority: float
    best_column: str
    best: float
    together: float
    together_by_row: float

    @property
    def anything(self) -> bool:
        """Whether the values tell anything beside the majority class."""
        return max(self.best, self.together) > self.majority + NOTICEABLE

    def lines(self) -> tuple[str, ...]:
        """Return the findings as lines of text."""
        verdict = (
            f"the values tell something: {max(self.best, self.together):.3f} against the majority's {self.majority:.3f}"
            if self.anything
            else f"nothing to learn: with {self.held_out} held out, the values tell no more than the majority class "
            f"({self.majority:.3f}); a higher score would come from {', '.join(self.left_out)}, from spelling or from "
            "neighbouring rows"
        )
        return (
            f"without {', '.join(self.left_out)} and differences of spelling:",
            f"  the best column, {self.best_column}: {self.best:.3f}",
            f"  all columns together: {self.together:.3f} (rows held out at random: {self.together_by_row:.3f})",
            verdict,
        )


def what_values_tell(
    columns: Mapping[str, Array],
    y: NDArray[np.int64],
    *,
    test: NDArray[np.bool_],
    by_row: NDArray[np.bool_],
    held_out: str,
    left_out: Sequence[str],
) -> Told:
    """Score tables over the values of columns.

    Parameters
    ----------
    columns
        Columns as written, numbers or texts ``(n,)``.
    y
        Class of each row, ``(n,)``.
    test, by_row
        Rows held out: so that none of their neighbours is in training, and at random.
    held_out
        What ``test`` holds out, in words.
    left_out
        Names of the columns that are not among ``columns``.
    """
    values = {name: column if column.dtype.kind == "f" else plain_words(column) for name, column in columns.items()}
    scores = {name: _score(column, y, test) for name, column in values.items()}
    best = max(scores, key=lambda name: scores[name])
    return Told(
        held_out=held_out,
        left_out=tuple(left_out),
        majority=float((y[test] == np.bincount(y[~test]).argmax()).mean()),
        best_column=best,
        best=scores[best],
        together=_score(_cells(list(values.values()), ~test), y, test),
        together_by_row=_score(_cells(list(values.values()), ~by_row), y, by_row),
    )


def _score(values: Array, y: NDArray[np.int64], test: NDArray[np.bool_]) -> float:
    return Lookup.fit(values[~test], y[~test]).accuracy(values[test], y[test])


def _cells(columns: Sequence[Array], training: NDArray[np.bool_]) -> Array:
    binned = []
    for column in columns:
        code = column
        if column.dtype.kind == "f" and len(np.unique(column)) > NUM_BINS:
            edges = np.unique(np.quantile(column[training], np.arange(1, NUM_BINS) / NUM_BINS))
            code = np.searchsorted(edges, column, side="right")
        binned.append(code)
    return content_groups(binned).astype(str)
