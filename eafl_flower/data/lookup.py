"""Baselines that need no network: the majority class, and a table over one feature.

A score that does not beat the table shows that the model learnt one column, or that the column leaks.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from eafl_flower.protocols import DataSource
from eafl_flower.types import Array

NUM_BINS = 30
Scores = dict[str, float | None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Lookup:
    """Majority class per value of a column, or per 30-quantile bin of a number with more than 30 values."""

    keys: Array
    binned: bool
    answers: NDArray[np.int64]
    majority: int

    @classmethod
    def fit(cls, values: Array, labels: NDArray[np.int64]) -> Self:
        """Fit on a column ``(n,)`` of numbers or strings and its labels ``(n,)``."""
        distinct, code = np.unique(values, return_inverse=True)
        binned = len(distinct) > NUM_BINS and values.dtype.kind in "fiu"
        keys = distinct
        if binned:
            keys = np.unique(np.quantile(values, np.arange(1, NUM_BINS) / NUM_BINS))
            code = np.searchsorted(keys, values, side="right")
        classes = int(labels.max(initial=0)) + 1
        total = np.bincount(labels, minlength=classes)
        cells = len(keys) + binned
        counts = np.bincount(code * classes + labels, minlength=cells * classes).reshape(cells, classes)
        majority = int(total.argmax())
        answers = np.where(counts.any(axis=1), counts.argmax(axis=1), majority)
        return cls(keys=keys, binned=binned, answers=answers, majority=majority)

    def predict(self, values: Array) -> NDArray[np.int64]:
        """Return a class for each value; a value never seen gets the majority class."""
        if self.binned:
            return self.answers[np.searchsorted(self.keys, values, side="right")]
        place = np.minimum(np.searchsorted(self.keys, values), len(self.keys) - 1)
        return np.where(self.keys[place] == values, self.answers[place], self.majority)

    def accuracy(self, values: Array, labels: NDArray[np.int64]) -> float:
        """Share of labels the table names rightly."""
        return float((self.predict(values) == labels).mean())


def majority_scores(source: DataSource) -> Scores:
    """Accuracy on test rows of the commonest class among the training clients' training rows.

    Returns
    -------
    dict
        ``seen`` and ``unseen``, over all test rows of these clients; None where there are no rows.
    """
    answer = int(np.bincount(_training(source)[1]).argmax())
    return {kind: _mean(y == answer) for kind, (_, y) in _tests(source).items()}


def lookup_scores(source: DataSource) -> tuple[str, Scores]:
    """Accuracy on test rows of the best single-feature table.

    The feature is the one whose table is best on the rows it was fitted on, the training rows of the
    training clients.

    Returns
    -------
    tuple
        The feature's name, and ``seen`` and ``unseen`` as in ``majority_scores``.
    """
    x, y = _training(source)
    tables = [Lookup.fit(column, y) for column in x.T]
    best = int(np.argmax([table.accuracy(column, y) for table, column in zip(tables, x.T, strict=True)]))
    scores = {kind: _mean(tables[best].predict(rows[:, best]) == y) for kind, (rows, y) in _tests(source).items()}
    return source.feature_names[best], scores


def _training(source: DataSource) -> tuple[Array, NDArray[np.int64]]:
    parts = [source.partition(i) for i in range(source.num_seen)]
    return np.concatenate([p.x_train for p in parts]), np.concatenate([p.y_train for p in parts])


def _tests(source: DataSource) -> dict[str, tuple[Array, NDArray[np.int64]]]:
    kinds = {"seen": range(source.num_seen), "unseen": range(source.num_seen, source.num_clients)}
    empty = (np.empty((0, len(source.feature_names))), np.empty(0, dtype=np.int64))
    rows = {}
    for kind, clients in kinds.items():
        parts = [source.partition(i) for i in clients]
        rows[kind] = (
            (np.concatenate([p.x_test for p in parts]), np.concatenate([p.y_test for p in parts])) if parts else empty
        )
    return rows


def _mean(right: NDArray[np.bool_]) -> float | None:
    return float(right.mean()) if len(right) else None
