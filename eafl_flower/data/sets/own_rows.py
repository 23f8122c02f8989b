"""Rows that lie on the nodes: each reads a CSV file of its own, and the server has none.

Features are columns of numbers, the class is a column; every file has the same ones. A quarter of the rows is held
out: the last ones by time or, without a time column, a random quarter in which equal rows stay together.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn, Self

import numpy as np

from eafl_flower.core import rng as randomness
from eafl_flower.core.provenance import Content
from eafl_flower.core.settings import check_settings
from eafl_flower.data.content import sha256_of
from eafl_flower.data.holders import Holders
from eafl_flower.data.row_summary import RowSummary
from eafl_flower.data.scaling import Scaler
from eafl_flower.data.sets.own_csv import TEST_SHARE
from eafl_flower.data.sets.own_table import MIN_ROWS, read_user_table
from eafl_flower.data.shape import RowsReport, Shape
from eafl_flower.data.splits import UNSEEN_TRAIN_SHARE, Part, group_boundary, shuffled_groups
from eafl_flower.data.tables.columns import Columns, TableColumn
from eafl_flower.data.tables.names import plain_name
from eafl_flower.errors import ConfigError, DataError
from eafl_flower.types import Array, Rows

NAME = "own-rows"


@dataclass(frozen=True, kw_only=True)
class OwnRows:
    """Files on the nodes; ``rows-file`` of a node's configuration says where.

    Parameters
    ----------
    label_column
        Column with the class.
    time_column
        Column with the time, whose last quarter is held out; empty: a random quarter.
    features
        Columns of the features; empty: every column of numbers that is left.

    Raises
    ------
    ConfigError
        If the label is not named.
    """

    label_column: str = ""
    time_column: str = ""
    features: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_settings(self, label_column="" if self.label_column else "which column has the class?")

    def make(self, holders: Holders) -> NoReturn:
        """Raise ``ConfigError``: without nodes there is nothing to load."""
        raise ConfigError(
            f'data.name = "{NAME}": rows lie on the nodes of a deployment, and only `flwr run` reaches those; in a '
            'simulation, or for sweeps and baselines, use data.name = "csv" with a client column'
        )

    def read(self, path: Path, *, client: int, trains: bool, seed: int) -> "OwnTable":
        """Read the file of one node and hold out rows.

        Raises
        ------
        DataError
            If the file is missing, lacks a column, has a column of texts, or too few rows.
        """
        if not path.is_file():
            raise DataError(f"rows-file = {path}: no such file; the node's configuration says where its rows are")
        columns = Columns(label=self.label_column, time=self.time_column, features=self.features)
        table = read_user_table(path, columns, least_classes=1)
        features = table.features.values
        if texts := [name for name, cells in features.items() if cells.dtype.kind not in "iufb"]:
            raise DataError(f"{path}: column {texts[0]} has texts; name features that are numbers")
        if units := table.features.units:
            name, unit = next(iter(units.items()))
            msg = f"{path}: column {name} has numbers in {unit}; other nodes may write others: write plain numbers"
            raise DataError(msg)
        x = np.stack([np.asarray(cells, np.float64) for cells in features.values()], axis=1)
        rng = randomness.generator(seed, "data", NAME, client)
        if table.time is not None:
            order = np.argsort(table.time, kind="stable")
            groups = np.unique(table.time[order], return_inverse=True)[1]
        else:
            order = shuffled_groups(table.content, rng)
            groups = table.content[order]
        cut = group_boundary(groups, round(len(order) * (1 - TEST_SHARE if trains else UNSEEN_TRAIN_SHARE)))
        if len(order) < MIN_ROWS or not 0 < cut < len(order):
            what = f"of different {self.time_column}" if self.time_column else "with different features"
            raise DataError(
                f"{path}: {len(order)} rows, expected at least {MIN_ROWS} {what}, so that some are held out"
            )
        labels = np.array(table.class_names)[table.y]
        train, test = order[:cut], order[cut:]
        return OwnTable(
            columns=tuple(features),
            classes=table.class_names,
            part=Part(x_train=x[train], y_train=labels[train], x_test=x[test], y_test=labels[test]),
            notes=table.notes,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class OwnTable:
    """The rows of one node before they are scaled, labels as texts."""

    columns: tuple[str, ...]
    classes: tuple[str, ...]
    part: Part = field(repr=False)
    notes: tuple[str, ...] = ()

    def report(self) -> RowsReport:
        """Return what the node tells the server."""
        return RowsReport.of(self.columns, self.classes, RowSummary.of(self.part.x_train))

    def rows(self, shape: Shape) -> tuple[Rows, int]:
        """Return the rows as the model sees them, and how many are left out: those of classes that nobody knew."""
        import pandas as pd

        number = {plain_name(name): place for place, name in enumerate(shape.class_names)}
        made, left_out = [], 0
        for x, labels in ((self.part.x_train, self.part.y_train), (self.part.x_test, self.part.y_test)):
            y = pd.Series(labels).map(lambda name: number.get(plain_name(str(name)), -1)).to_numpy(np.int64)
            left_out += int((y < 0).sum())
            made.append((shape.scaler.apply(x[y >= 0]), y[y >= 0]))
        (x_train, y_train), (x_test, y_test) = made
        return Rows(x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test), left_out


@dataclass(frozen=True, kw_only=True, eq=False)
class ShapedSource:
    """A data source by its shape: of the one client ``client`` it has ``rows``, of all others none."""

    shape: Shape
    client: int = -1
    rows: Rows | None = field(default=None, repr=False)
    name: str = NAME
    client_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    clients_left_out: int = 0
    rows_left_out: int = 0

    @classmethod
    def of(cls, shape: Shape, table: OwnTable, client: int) -> Self:
        """Return the source that has the rows of one client."""
        rows, left_out = table.rows(shape)
        return cls(shape=shape, client=client, rows=rows, rows_left_out=left_out)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class names; labels index into it."""
        return self.shape.class_names

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Feature names, in column order."""
        return self.shape.feature_names

    @property
    def num_clients(self) -> int:
        """Number of clients, the unseen ones included."""
        return self.shape.num_clients

    @property
    def num_seen(self) -> int:
        """Number of clients that train."""
        return self.shape.num_seen

    @property
    def scaler(self) -> Scaler:
        """What scales the features."""
        return self.shape.scaler

    @property
    def columns(self) -> tuple[TableColumn, ...]:
        """Columns of the files behind the features."""
        return tuple(TableColumn(name=name) for name in self.feature_names)

    def partition(self, index: int) -> Rows:
        """Rows of one client, if they are here."""
        if self.rows is None or index != self.client:
            raise DataError(f"the rows of client {index} are on its own node, not here")
        return self.rows

    def content(self) -> Content:
        """Return what is known of the data without rows."""
        scaler = self.scaler
        return Content(
            counts={
                "clients": self.num_clients,
                "clients that train": self.num_seen,
                "features": len(self.feature_names),
                "classes": len(self.class_names),
            },
            digests={
                "features": sha256_of(self.feature_names),
                "classes": sha256_of(self.class_names),
                "scaling": sha256_of([_floats(scaler.mean), _floats(scaler.scale), scaler.limit]),
            },
        )


def _floats(array: Array) -> list[float]:
    numbers: list[float] = array.tolist()
    return numbers
