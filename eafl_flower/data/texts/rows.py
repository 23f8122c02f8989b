"""Texts with their classes, and what was left out of a file before they became rows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from eafl_flower.data.tables.files import counted
from eafl_flower.data.texts.words import letters_of, same_text


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """Texts of a file that are no rows.

    Parameters
    ----------
    empty
        Without a letter or a digit.
    repeated
        The same as an earlier one, of the same class.
    contradictory
        The same as another one of another class; none of them stays.
    """

    empty: int = 0
    repeated: int = 0
    contradictory: int = 0

    def __str__(self) -> str:
        told = {
            f"{counted(self.empty, 'text')} without a word": self.empty,
            f"{counted(self.repeated, 'text')} that repeat others": self.repeated,
            f"{counted(self.contradictory, 'text')} that stand with several classes": self.contradictory,
        }
        return ", ".join(words for words, number in told.items() if number) or "nothing"


@dataclass(frozen=True, kw_only=True, eq=False)
class TextRows:
    """Texts of a set or of a part of one.

    Parameters
    ----------
    name
        Name of the set.
    texts, labels
        The texts, and the class of each, ``(n,)``.
    class_names
        Names of the classes; labels index into it.
    left_out
        What the file has beside them.
    """

    name: str
    texts: tuple[str, ...]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    left_out: LeftOut = LeftOut()

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: Sequence[int] | NDArray[np.integer]) -> "TextRows":
        """Return the rows of these numbers, in that order."""
        return replace(self, texts=tuple(self.texts[row] for row in rows), labels=self.labels[np.asarray(rows, int)])

    @property
    def counts(self) -> dict[str, int]:
        """Number of texts of each class, by its name."""
        numbers = np.bincount(self.labels, minlength=len(self.class_names))
        return dict(zip(self.class_names, numbers.tolist(), strict=True))

    @property
    def note(self) -> str:
        """One line about the set: how many texts and classes, and what was left out."""
        return (
            f"{self.name}: {counted(len(self), 'text')} of {len(self.class_names)} classes; left out: {self.left_out}"
        )


def without_copies(rows: TextRows) -> TextRows:
    """Return ``rows`` with each text once: of the same texts the first stays, of those with several classes none."""
    written = np.array([letters_of(text) != "" for text in rows.texts], dtype=bool)
    group = same_text(rows.texts)
    first = np.unique(group, return_index=True)[1]
    agrees = np.ones(len(first), dtype=bool)
    np.logical_and.at(agrees, group, rows.labels == rows.labels[first][group])
    is_first = np.zeros(len(rows), dtype=bool)
    is_first[first] = True
    clear = agrees[group]
    left_out = LeftOut(
        empty=rows.left_out.empty + int((~written).sum()),
        repeated=rows.left_out.repeated + int((written & clear & ~is_first).sum()),
        contradictory=rows.left_out.contradictory + int((written & ~clear).sum()),
    )
    return replace(rows.take(np.flatnonzero(written & clear & is_first)), left_out=left_out)
