"""Texts that an encoder may learn from before it is fine-tuned: none that it is fine-tuned or tested on later.

A text is taken out of the corpus if it is the same as one of a set that is kept apart, or has seven words in a row in
common with one: publishers put sentences together to texts. (Runs of seven are hardly ever shared by chance, runs of
five often are.)
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eafl_flower.data.tables.files import counted
from eafl_flower.data.texts.rows import TextRows
from eafl_flower.data.texts.words import letters_of, words_of
from eafl_flower.errors import ConfigError

RUN = 7


@dataclass(frozen=True, kw_only=True, eq=False)
class Corpus:
    """Sets to learn from, and by name how many texts of each were taken out: ``same`` as kept ones, ``like`` them."""

    sets: tuple[TextRows, ...]
    same: dict[str, int]
    like: dict[str, int]

    @property
    def texts(self) -> tuple[str, ...]:
        """All texts, set by set."""
        return tuple(text for rows in self.sets for text in rows.texts)

    @property
    def sha256(self) -> str:
        """Digest of the texts and their classes."""
        content = [[rows.name, rows.class_names, rows.texts, rows.labels.tolist()] for rows in self.sets]
        return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def notes(self) -> tuple[str, ...]:
        """A line for each set."""
        return tuple(
            f"{rows.note}; taken out: {counted(self.same[rows.name], 'text')} of the sets kept apart, "
            f"{self.like[rows.name]:,} with {RUN} words in a row of one"
            for rows in self.sets
        )


def corpus_of(sets: Sequence[TextRows], *, apart: Sequence[TextRows]) -> Corpus:
    """Take out of ``sets`` what is also in the sets ``apart``.

    Raises
    ------
    ConfigError
        If a set is in both, or nothing of one is left.
    """
    if both := sorted({rows.name for rows in sets} & {rows.name for rows in apart}):
        raise ConfigError(f"{', '.join(both)}: in the corpus and kept apart from it")
    letters = {letters_of(text) for rows in apart for text in rows.texts}
    runs = {run for rows in apart for text in rows.texts for run in _runs(text)}
    kept, same, like = [], {}, {}
    for rows in sets:
        is_same = np.array([letters_of(text) in letters for text in rows.texts], dtype=bool)
        is_like = np.array([not runs.isdisjoint(_runs(text)) for text in rows.texts], dtype=bool) & ~is_same
        same[rows.name], like[rows.name] = int(is_same.sum()), int(is_like.sum())
        kept.append(rows.take(np.flatnonzero(~is_same & ~is_like)))
        if not len(kept[-1]):
            raise ConfigError(f"{rows.name}: every text is also in a set kept apart: leave it out of the corpus")
    return Corpus(sets=tuple(kept), same=same, like=like)


def _runs(text: str) -> set[tuple[str, ...]]:
    words = words_of(text)
    return {words[start : start + RUN] for start in range(len(words) - RUN + 1)}
