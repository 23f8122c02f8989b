"""A CSV file of one's own: which of its columns are features, label, client and time is told, not guessed.

Features are numbers, or texts of few different values, which become one column for each common value and one for
the others. Without a list of features, all columns of numbers are features except the label, client and time columns;
``eafl data check --csv`` shows which of them give the label away.

Rows held out (a quarter of each client's):

* with a time column the last ones, without any shuffling; rows of one time stay together;
* without one, a random quarter, where rows that are equal for the model (rare words are one word to it) stay together.

Without a client column rows are shared among clients. A Dirichlet partition of rows with times holds out the last
quarter of each class from everybody and gives a client the same share of it before and after, so that nobody trains on
rows between those that another is scored on.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from eafl_flower import rng as randomness
from eafl_flower.data.files import DATA_DIR_VARIABLE, read_table
from eafl_flower.data.lines import line_of
from eafl_flower.data.owners import Partition, paired_partition, partition_rows
from eafl_flower.data.partition import (
    UNSEEN_TRAIN_SHARE,
    Part,
    client_counts,
    content_groups,
    group_boundary,
    seen_and_unseen,
    shuffled_groups,
)
from eafl_flower.data.source import InMemorySource
from eafl_flower.data.stamps import noted
from eafl_flower.data.times import sortable_times
from eafl_flower.data.user_columns import Columns, TableColumn, candidates, encoded, feature_columns, table_columns
from eafl_flower.errors import DataError
from eafl_flower.types import Array

TEST_SHARE = 0.25
MIN_ROWS = 8
MAX_CLASSES = 100
DEFAULT_CLIENTS = 20
ROWS_PER_CLIENT = 50

Split = tuple[NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True, kw_only=True, eq=False)
class UserTable:
    """A file's rows: features by name (numbers or texts, ``(n,)`` each), class index, client and time of each row.

    ``left_out`` are columns of text that nobody has named.
    """

    features: dict[str, Array]
    class_names: tuple[str, ...]
    y: NDArray[np.int64]
    client: Array | None
    time: NDArray[np.float64] | None
    left_out: tuple[str, ...] = ()

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
        return content_groups([column.codes(self.features[column.name]) for column in columns])

    def entities(self) -> tuple[list[NDArray[np.int64]], int]:
        """Rows of each client that has rows enough to be split, and how many have not."""
        assert self.client is not None
        code, names = pd.factorize(self.client, sort=True)
        order = self.time if self.time is not None else self.content
        owned = [np.flatnonzero(code == number) for number in range(len(names))]
        enough = [rows for rows in owned if len(rows) >= MIN_ROWS and len(np.unique(order[rows])) > 1]
        return enough, len(owned) - len(enough)


def find_csv(csv: str | os.PathLike[str], data_dir: str | os.PathLike[str] = "") -> Path:
    """Return the path of a file: as it is, or under the data folder if it is relative and not here.

    Raises
    ------
    DataError
        If it is in neither place.
    """
    path = Path(csv).expanduser()
    folder = str(data_dir) or os.environ.get(DATA_DIR_VARIABLE, "")
    places = [path] if path.is_absolute() or not folder else [path, Path(folder).expanduser() / path]
    for place in places:
        if place.is_file():
            return noted(place)
    msg = f"data.csv: no file {' or '.join(map(str, places))}"
    raise DataError(msg)


def read_user_table(path: Path, columns: Columns) -> UserTable:
    """Read the columns of a file that a run would use.

    Raises
    ------
    DataError
        If a column is missing, a cell is empty or no number where one is expected, a number is a sign for
        "unknown", a text column has too many values, there is no feature, or the label is not one of classes.
    """
    names = candidates(path, columns)
    words = [name for name in (columns.label, columns.client, columns.time) if name]
    table = read_table(path, text=words, others=names)
    label = table[columns.label].to_numpy(dtype=object).astype(str)
    for name in (columns.label, columns.client):
        if name and len(empty := np.flatnonzero(table[name].to_numpy(dtype=object) == "")):
            line = line_of(path, int(empty[0]))
            msg = f"{path}, line {line}, column {name}: an empty cell; fill it or leave the row out"
            raise DataError(msg)
    classes, y = np.unique(label, return_inverse=True)
    if not 2 <= len(classes) <= MAX_CLASSES:
        shown = f"only {str(classes[0])!r}" if len(classes) == 1 else f"{len(classes):,} different values"
        msg = f"{path}, column {columns.label}: expected 2 to {MAX_CLASSES} classes, found {shown}"
        raise DataError(msg)
    time = table[columns.time].to_numpy(dtype=object) if columns.time else None
    features = feature_columns(path, table[list(names)], texts=bool(columns.features))
    return UserTable(
        features=features,
        class_names=tuple(str(name) for name in classes),
        y=y.astype(np.int64),
        client=table[columns.client].to_numpy(dtype=object).astype(str) if columns.client else None,
        time=None if time is None else sortable_times(time, path=path, column=columns.time),
        left_out=tuple(name for name in names if name not in features),
    )


def load_csv(
    csv: str | os.PathLike[str],
    *,
    label: str,
    client: str = "",
    time: str = "",
    features: Sequence[str] = (),
    data_dir: str | os.PathLike[str] = "",
    clients: int = 0,
    unseen: int = -1,
    partition: Partition = "dirichlet",
    dirichlet_alpha: float = 0.3,
    seed: int = 1,
) -> InMemorySource:
    """Load a CSV file, plain or gzip.

    Parameters
    ----------
    csv, data_dir
        The file; where it is looked for if it is not here.
    label, client, time, features
        Names of columns; ``client``, ``time`` and ``features`` may be left out.
    clients
        Number of clients. With a client column they are drawn at random from those with at least 8 rows and 0 takes
        all; without one rows are shared and 0 means 20, or fewer so that they have 50 rows on average.
    unseen
        How many of them never train; -1 takes a fifth.
    partition, dirichlet_alpha
        How rows are shared without a client column; concentration of a Dirichlet partition.
    seed
        Decides who owns which rows, which are held out and who is unseen.

    Raises
    ------
    DataError
        As ``read_user_table``; if no client has rows enough.
    ConfigError
        If there are fewer clients than asked for, or a client would have too few rows.
    """
    path = find_csv(csv, data_dir)
    table = read_user_table(path, Columns(label=label, client=client, time=time, features=tuple(features)))
    rng = randomness.generator(seed, "data", "csv")
    content = table.content if table.time is None else np.empty(0, dtype=np.int64)

    def split(rows: NDArray[np.int64], *, trains: bool) -> Split:
        if table.time is not None:
            rows = rows[np.argsort(table.time[rows], kind="stable")]
            groups = np.unique(table.time[rows], return_inverse=True)[1]
        else:
            rows = rows[shuffled_groups(content[rows], rng)]
            groups = content[rows]
        cut = group_boundary(groups, round(len(rows) * (1 - TEST_SHARE if trains else UNSEEN_TRAIN_SHARE)))
        return rows[:cut], rows[cut:]

    client_names: tuple[str, ...] = ()
    if table.client is not None:
        owned, few = table.entities()
        if not owned:
            different = f"different {time}" if time else "different features"
            msg = f"{path}: none of the {few} clients in column {client} has {MIN_ROWS} rows with {different}"
            raise DataError(msg)
        clients, unseen = client_counts(clients, unseen, if_zero=len(owned), available=len(owned))
        order = seen_and_unseen(len(owned), clients=clients, unseen=unseen, rng=rng)
        client_names = tuple(str(table.client[owned[number][0]]) for number in order)
        splits = [split(owned[number], trains=place < clients - unseen) for place, number in enumerate(order)]
    else:
        few_rows = len(table.y) // ROWS_PER_CLIENT
        clients, unseen = client_counts(clients, unseen, if_zero=max(min(DEFAULT_CLIENTS, few_rows), 1))
        distinct = len(np.unique(content if table.time is None else table.time))
        if len(table.y) < MIN_ROWS or distinct <= clients:
            what = f"of different {time}" if time else "with different features"
            msg = (
                f"{path}: {len(table.y):,} rows, {distinct} {what}, are too few for data.clients = {clients}: "
                f"rows that are equal have one owner, and a client needs {MIN_ROWS}"
            )
            raise DataError(msg)
        if table.time is not None and partition == "dirichlet":
            splits = _shared_by_time(table, clients=clients, unseen=unseen, alpha=dirichlet_alpha, rng=rng)
        else:
            splits = [
                split(rows, trains=place < clients - unseen)
                for place, rows in enumerate(
                    _shared(table, content, partition=partition, clients=clients, alpha=dirichlet_alpha, rng=rng)
                )
            ]
    if any(len(test) == 0 for _, test in splits):
        msg = f"{path}: a client's rows are all equal or of one time, and none can be held out; use fewer clients"
        raise DataError(msg)
    seen = table.columns(np.concatenate([train for train, _ in splits[: clients - unseen]]))
    x = encoded(seen, table.features)
    parts = [
        Part(x_train=x[train], y_train=table.y[train], x_test=x[test], y_test=table.y[test]) for train, test in splits
    ]
    return InMemorySource.scaled(
        parts,
        name="csv",
        class_names=table.class_names,
        feature_names=tuple(name for column in seen for name in column.feature_names),
        num_seen=clients - unseen,
        client_names=client_names,
        columns=seen,
        left_out=table.left_out,
    )


def _shared(
    table: UserTable,
    content: NDArray[np.int64],
    *,
    partition: Partition,
    clients: int,
    alpha: float,
    rng: np.random.Generator,
) -> list[NDArray[np.int64]]:
    order = np.arange(len(table.y)) if table.time is None else np.argsort(table.time, kind="stable")
    groups = content if table.time is None else np.unique(table.time[order], return_inverse=True)[1]
    owned = partition_rows(
        table.y[order], partition=partition, clients=clients, alpha=alpha, rng=rng, groups=groups, min_rows=MIN_ROWS
    )
    return [order[rows] for rows in owned]


def _shared_by_time(
    table: UserTable, *, clients: int, unseen: int, alpha: float, rng: np.random.Generator
) -> list[Split]:
    assert table.time is not None
    order = np.argsort(table.time, kind="stable")
    held_out = np.zeros(len(order), dtype=np.bool_)
    for number in range(len(table.class_names)):
        members = np.flatnonzero(table.y[order] == number)
        times = np.unique(table.time[order][members], return_inverse=True)[1]
        held_out[members[group_boundary(times, round(len(members) * (1 - TEST_SHARE))) :]] = True
    before, after = order[~held_out], order[held_out]
    owned = paired_partition(
        table.y[before],
        table.y[after],
        partition="dirichlet",
        clients=clients,
        unseen=unseen,
        alpha=alpha,
        rng=rng,
        min_train=MIN_ROWS - MIN_ROWS // 4,
        min_test=MIN_ROWS // 4,
    )
    return [(before[train], after[test]) for train, test in owned]
