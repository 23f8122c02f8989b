"""Baselines that need no network: the majority class, and a table over one feature.

A score that does not beat the table shows that the model learnt one column, or that the column leaks.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from eafl_flower.heads.blocks import best, blocks_of, why_not
from eafl_flower.protocols import DataSource
from eafl_flower.types import Array, Rows

NUM_BINS = 30
OWN_WEIGHTS = (1, 10, 100, 1000)  # of the fleet's rows that one of a client's own may count for
Scores = dict[str, float | None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Lookup:
    """Majority class per value of a column, or per 30-quantile bin of a number with more than 30 values.

    ``counts`` ``(cells, classes)`` are the rows of each cell; where there are none, or the value is not known (the last
    cell, if it is not a number in a bin), those of all cells.
    """

    keys: Array
    binned: bool
    counts: NDArray[np.float64]

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
        cells = len(keys) + 1
        counts = np.bincount(code * classes + labels, minlength=cells * classes).reshape(cells, classes)
        counts = np.where(counts.any(axis=1, keepdims=True), counts, counts.sum(axis=0))
        return cls(keys=keys, binned=binned, counts=counts.astype(np.float64))

    @cached_property
    def answers(self) -> NDArray[np.int64]:
        """The commonest class of each cell."""
        found: NDArray[np.int64] = self.counts.argmax(axis=1)
        return found

    def predict(self, values: Array) -> NDArray[np.int64]:
        """Return a class for each value; a value never seen gets the majority class."""
        return self.answers[self._cells(values)]

    def adapted(self, values: Array, labels: NDArray[np.int64]) -> Self:
        r"""Return the table with a client's own rows in it, as far as these bear it out.

        A row of the client's own counts for 1, 10, 100 or 1,000 of the table's, or for none, as ``heads/blocks.py``
        says of the loss :math:`-\log (n_{cy} + 1/C) / (n_c + 1)` of a row of class y in cell c, C classes.
        """
        if why_not(labels):
            return self
        losses = [
            [
                self._with(values[b.before], labels[b.before], w)._loss(values[b.now], labels[b.now])
                for w in (0, *OWN_WEIGHTS)
            ]
            for b in blocks_of(len(labels))
        ]
        changes = np.array(losses).T
        number = best(changes[1:] - changes[0])
        return self if number is None else self._with(values, labels, OWN_WEIGHTS[number])

    def _cells(self, values: Array) -> NDArray[np.int64]:
        if self.binned:
            return np.searchsorted(self.keys, values, side="right")
        place = np.minimum(np.searchsorted(self.keys, values), len(self.keys) - 1)
        return np.where(self.keys[place] == values, place, len(self.keys))

    def _with(self, values: Array, labels: NDArray[np.int64], weight: float) -> Self:
        counts = np.zeros((len(self.counts), max(self.counts.shape[1], int(labels.max(initial=0)) + 1)))
        np.add.at(counts, (self._cells(values), labels), weight)
        counts[:, : self.counts.shape[1]] += self.counts
        return replace(self, counts=counts)

    def _loss(self, values: Array, labels: NDArray[np.int64]) -> float:
        counts = self.counts[self._cells(values)]
        own = np.where(labels < counts.shape[1], counts[np.arange(len(labels)), labels % counts.shape[1]], 0.0)
        return float(-np.log((own + 1 / counts.shape[1]) / (counts.sum(axis=1) + 1)).mean())

    def accuracy(self, values: Array, labels: NDArray[np.int64]) -> float:
        """Share of labels the table names rightly."""
        return float((self.predict(values) == labels).mean())


def majority_scores(source: DataSource) -> Scores:
    """Accuracy on test rows of the commonest class among the training clients' training rows.

    Returns
    -------
    dict
        ``seen``, ``unlabelled`` and ``unseen``, over all test rows of these clients; None where there are no rows.
        The last two are of unseen clients, and the same here.
    """
    answer = int(np.bincount(_training(source)[1]).argmax())
    right = {kind: _mean([rows.y_test == answer for rows in parts]) for kind, parts in _parts(source)}
    return {"seen": right["seen"], "unlabelled": right["unseen"], "unseen": right["unseen"]}


def lookup_scores(source: DataSource) -> tuple[str, Scores]:
    """Accuracy on test rows of the best single-feature table.

    The feature is the one whose table is best on the rows it was fitted on, the training rows of the
    training clients.

    Returns
    -------
    tuple
        The feature's name, and the scores as in ``majority_scores``; ``unseen`` is with the table adapted to each
        client's training rows.
    """
    x, y = _training(source)
    tables = [Lookup.fit(column, y) for column in x.T]
    chosen = int(np.argmax([table.accuracy(column, y) for table, column in zip(tables, x.T, strict=True)]))
    table, parts = tables[chosen], dict(_parts(source))

    def right(kind: str, *, adapt: bool = False) -> float | None:
        found = []
        for rows in parts[kind]:
            own = table.adapted(rows.x_train[:, chosen], rows.y_train) if adapt else table
            found.append(own.predict(rows.x_test[:, chosen]) == rows.y_test)
        return _mean(found)

    scores = {"seen": right("seen"), "unlabelled": right("unseen"), "unseen": right("unseen", adapt=True)}
    return source.feature_names[chosen], scores


def _training(source: DataSource) -> tuple[Array, NDArray[np.int64]]:
    parts = [source.partition(i) for i in range(source.num_seen)]
    return np.concatenate([p.x_train for p in parts]), np.concatenate([p.y_train for p in parts])


def _parts(source: DataSource) -> list[tuple[str, list[Rows]]]:
    kinds = {"seen": range(source.num_seen), "unseen": range(source.num_seen, source.num_clients)}
    return [(kind, [source.partition(i) for i in clients]) for kind, clients in kinds.items()]


def _mean(right: list[NDArray[np.bool_]]) -> float | None:
    rows = sum(map(len, right))
    return float(sum(r.sum() for r in right) / rows) if rows else None
