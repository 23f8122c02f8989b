"""A CSV file of one's own: which of its columns are features, label, client and time is told, not guessed.

Features are numbers, or texts of few different values, which become one column for each common value and one for
the others. Without a list of features, all columns of numbers are features except the label, client and time columns;
``eafl data check --csv`` shows which of them give the label away.

Rows held out (a quarter of each client's):

* with a time column the last ones, without any shuffling; rows of one time stay together;
* without one, a random quarter, where rows that are equal for the model (rare words are one word to it) stay together.

Without a client column rows are shared among clients. Unless they own stretches of time (a contiguous partition), the
last quarter of each class of rows with times is held out from everybody, and a client has the same share of it before
and after, so that nobody trains on rows between those that another is scored on.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from eafl_flower.core import rng as randomness
from eafl_flower.core.settings import check_settings
from eafl_flower.data.extremes import constant_note, cut_note
from eafl_flower.data.holders import Holders
from eafl_flower.data.partition import Partition, paired_partition, partition_rows
from eafl_flower.data.sets.own_table import MIN_ROWS, UserTable, find_csv, read_user_table
from eafl_flower.data.source import InMemorySource
from eafl_flower.data.splits import (
    UNSEEN_TRAIN_SHARE,
    Part,
    client_counts,
    group_boundary,
    seen_and_unseen,
    shuffled_groups,
)
from eafl_flower.data.tables.columns import Columns, encoded
from eafl_flower.data.tables.files import counted, listed
from eafl_flower.errors import DataError

TEST_SHARE = 0.25
DEFAULT_CLIENTS = 20
ROWS_PER_CLIENT = 50

Split = tuple[NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True, kw_only=True)
class OwnCSV:
    """A table of one's own: ``load_csv``.

    Parameters
    ----------
    file
        The CSV file, plain or gzip; here or in the data folder.
    label_column
        Column with the class.
    client_column
        Column that says whose a row is; empty: clients share the rows.
    time_column
        Column with the time, whose last quarter is held out; empty: a random quarter.
    features
        Columns of the features; empty: every column of numbers that is left.

    Raises
    ------
    ConfigError
        If the file or its label is not named, or a column is named for two uses.
    """

    file: str = ""
    label_column: str = ""
    client_column: str = ""
    time_column: str = ""
    features: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        columns = (self.label_column, self.client_column, self.time_column, *self.features)
        named = [name for name in columns if name]
        twice = ", ".join(name for name in dict.fromkeys(named) if named.count(name) > 1)
        check_settings(
            self,
            file="" if self.file else "which file? give its path",
            label_column="" if self.label_column else "which column has the class?",
            features=f"{twice} is named for two uses" if twice else "",
        )

    def make(self, holders: Holders) -> InMemorySource:
        """Load it."""
        return load_csv(
            self.file,
            label=self.label_column,
            client=self.client_column,
            time=self.time_column,
            features=self.features,
            **holders.sharing,
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
    notes = list(table.notes)
    few: list[NDArray[np.int64]] = []
    if table.client is not None:
        owned, few = table.entities()
        if not owned:
            different = f"different {time}" if time else "different features"
            msg = f"{path}: none of the {len(few)} clients in column {client} has {MIN_ROWS} rows with {different}"
            raise DataError(msg)
        notes += [_few_rows_note(table, few, client=client, time=time)] if few else []
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
        if table.time is not None and partition != "contiguous":
            splits = _shared_by_time(
                table, partition=partition, clients=clients, unseen=unseen, alpha=dirichlet_alpha, rng=rng
            )
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
    x = encoded(seen, table.features.values)
    parts = [
        Part(x_train=x[train], y_train=table.y[train], x_test=x[test], y_test=table.y[test]) for train, test in splits
    ]
    source = InMemorySource.scaled(
        parts,
        name="csv",
        class_names=table.class_names,
        feature_names=tuple(name for column in seen for name in column.feature_names),
        num_seen=clients - unseen,
        client_names=client_names,
        columns=seen,
        clients_left_out=len(few),
        rows_left_out=sum(map(len, few)),
    )
    assert source.scaler is not None
    used = np.sort(np.concatenate([rows for both in splits for rows in both]))
    numbers = [column.words is None for column in seen for _ in column.feature_names]
    notes += constant_note(source.feature_names, source.scaler, numbers=numbers)
    notes += cut_note(path, source.feature_names, x, source.scaler, rows=used, numbers=numbers)
    return replace(source, notes=tuple(notes))


def _few_rows_note(table: UserTable, few: Sequence[NDArray[np.int64]], *, client: str, time: str) -> str:
    assert table.client is not None
    names = listed([str(table.client[rows[0]]) for rows in few], most=6)
    return (
        f"left out {counted(len(few), 'client')} with {counted(sum(map(len, few)), 'row')}, fewer than {MIN_ROWS} each "
        f"or of one {time or 'content'}: {names}; give them more rows, or several of them one name in column {client}"
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
    table: UserTable, *, partition: Partition, clients: int, unseen: int, alpha: float, rng: np.random.Generator
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
        partition=partition,
        clients=clients,
        unseen=unseen,
        alpha=alpha,
        rng=rng,
        min_train=MIN_ROWS - MIN_ROWS // 4,
        min_test=MIN_ROWS // 4,
    )
    return [(before[train], after[test]) for train, test in owned]
