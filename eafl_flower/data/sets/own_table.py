"""A CSV file of one's own as a table: features, class, client and time of each row, and what was made of its cells."""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eafl_flower.data.splits import content_groups
from eafl_flower.data.tables.columns import (
    Columns,
    FeatureColumns,
    TableColumn,
    candidates,
    feature_columns,
    table_columns,
)
from eafl_flower.data.tables.files import find_own, read_table
from eafl_flower.data.tables.names import one_spelling
from eafl_flower.data.tables.times import sortable_times
from eafl_flower.errors import DataError
from eafl_flower.types import Array

MIN_ROWS = 8
MAX_CLASSES = 100


@dataclass(frozen=True, kw_only=True, eq=False)
class UserTable:
    """A file's rows: features, and class index, client and time of each row, ``(n,)``.

    ``notes`` tell what was left out or understood.
    """

    features: FeatureColumns
    class_names: tuple[str, ...]
    y: NDArray[np.int64]
    client: Array | None
    time: NDArray[np.float64] | None
    notes: tuple[str, ...] = ()

    def columns(self, training: NDArray[np.int64]) -> tuple[TableColumn, ...]:
        """Return what the features are for a model.

        Without times words are counted in all rows: which rows are equal, all rare words being one, has to be known
        before it is decided who trains on which.
        """
        return table_columns(self.features, training if self.time is not None else np.arange(len(self.y)))

    @cached_property
    def content(self) -> NDArray[np.int64]:
        """Equal numbers for rows without times that are equal for the model, ``(n,)``."""
        columns = self.columns(np.empty(0, dtype=np.int64))
        return content_groups([column.codes(self.features.values[column.name]) for column in columns])

    def entities(self) -> tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]]:
        """Rows of each client that has rows enough to be split, and of each that has not."""
        import pandas as pd

        assert self.client is not None
        code, names = pd.factorize(self.client, sort=True)
        order = self.time if self.time is not None else self.content
        owned = [np.flatnonzero(code == number) for number in range(len(names))]
        enough: list[NDArray[np.int64]] = []
        few: list[NDArray[np.int64]] = []
        for rows in owned:
            (enough if len(rows) >= MIN_ROWS and len(np.unique(order[rows])) > 1 else few).append(rows)
        return enough, few


def find_csv(csv: str | os.PathLike[str], data_dir: str | os.PathLike[str] = "") -> Path:
    """Return the path of a file: as it is, or under the data folder if it is relative and not here.

    Raises
    ------
    DataError
        If it is in neither place.
    """
    return find_own(csv, data_dir, setting="data.csv.file")


def read_user_table(path: Path, columns: Columns, *, least_classes: int = 2) -> UserTable:
    """Read the columns of a file that a run would use, with at least so many classes.

    Raises
    ------
    DataError
        If a column is missing, a label or a client has no name, a cell is empty or no number where one is expected, a
        number is a sign for "unknown", a text column has too many values, there is no feature, or the label is not one
        of classes.
    """
    names = candidates(path, columns)
    words = [name for name in (columns.label, columns.client, columns.time) if name]
    table = read_table(path, text=words, others=names)
    label, notes = one_spelling(path, columns.label, table[columns.label].to_numpy(dtype=object), of="class")
    client = None
    if columns.client:
        client, more = one_spelling(path, columns.client, table[columns.client].to_numpy(dtype=object), of="client")
        notes += more
    classes, y = np.unique(label, return_inverse=True)
    if not least_classes <= len(classes) <= MAX_CLASSES:
        shown = f"only {str(classes[0])!r}" if len(classes) == 1 else f"{len(classes):,} different values"
        msg = f"{path}, column {columns.label}: expected 2 to {MAX_CLASSES} classes, found {shown}"
        raise DataError(msg)
    time = table[columns.time].to_numpy(dtype=object) if columns.time else None
    features = feature_columns(path, table[list(names)], texts=bool(columns.features))
    return UserTable(
        features=features,
        class_names=tuple(str(name) for name in classes),
        y=y.astype(np.int64),
        client=client,
        time=None if time is None else sortable_times(time, path=path, column=columns.time),
        notes=(*notes, *features.notes),
    )
