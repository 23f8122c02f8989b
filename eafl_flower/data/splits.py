"""Which rows are held out, and of clients that a data set has itself, which take part.

Rows that tell of each other (frames of one trip, copies of one flow) stay on one side of a split.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eafl_flower.errors import ConfigError
from eafl_flower.types import Array

UNSEEN_SHARE = 0.2
UNSEEN_TRAIN_SHARE = 0.25


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """Rows of one client before scaling: features ``(n, d)``, labels ``(n,)``."""

    x_train: Array
    y_train: NDArray[np.int64]
    x_test: Array
    y_test: NDArray[np.int64]


def client_counts(clients: int, unseen: int, *, if_zero: int, available: int | None = None) -> tuple[int, int]:
    """Return how many clients there are, and how many of them never train.

    Parameters
    ----------
    clients
        Number asked for, the unseen ones included; 0 means ``if_zero``.
    unseen
        Number of clients that never train; -1 means a fifth.
    if_zero, available
        The data set's own number; the most clients it can have, if that is limited.

    Raises
    ------
    ConfigError
        Unless at least one client trains and there are as many as asked for.
    """
    clients = clients or if_zero
    unseen = int(clients * UNSEEN_SHARE) if unseen == -1 else unseen
    problems = []
    if clients < 1:
        problems.append(f"data.clients = {clients}: expected at least 1")
    if not 0 <= unseen < max(clients, 1):
        problems.append(f"data.unseen = {unseen}: expected 0 to {max(clients, 1) - 1}, one client must train")
    if available is not None and clients > available:
        problems.append(f"data.clients = {clients}: the data set has {available}")
    if problems:
        raise ConfigError("; ".join(problems))
    return clients, unseen


def seen_and_unseen(available: int, *, clients: int, unseen: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw ``clients`` of ``available`` groups: the ones that train in ascending order, then the unseen ones.

    The numbers are those that ``client_counts`` returned.
    """
    drawn = rng.permutation(available)[:clients]
    seen = clients - unseen
    return np.concatenate([np.sort(drawn[:seen]), np.sort(drawn[seen:])])


def time_split(num_rows: int, *, test_share: float, gap: int) -> tuple[slice, slice]:
    """Split rows in time order: the last ``test_share`` held out, ``gap`` rows before them used by nobody.

    Returns
    -------
    tuple
        ``(train, test)`` slices.

    Examples
    --------
    >>> time_split(64, test_share=0.3, gap=6)
    (slice(0, 39, None), slice(45, 64, None))
    """
    first_test = num_rows - int(num_rows * test_share)
    return slice(0, max(first_test - gap, 0)), slice(first_test, num_rows)


def seen_part(x: Array, y: NDArray[np.int64], *, test_share: float, gap: int) -> Part:
    """Rows of a client that trains, in time order, split by ``time_split``."""
    train, test = time_split(len(y), test_share=test_share, gap=gap)
    return Part(x_train=x[train], y_train=y[train], x_test=x[test], y_test=y[test])


def unseen_part(x: Array, y: NDArray[np.int64], *, gap: int = 0) -> Part:
    """Rows of a client that never trains: the first quarter fits its head, the rest (after ``gap`` rows) scores it."""
    train = max(int(len(y) * UNSEEN_TRAIN_SHARE), 1)
    return Part(x_train=x[:train], y_train=y[:train], x_test=x[train + gap :], y_test=y[train + gap :])


def with_dealt_tests(
    owned: Sequence[NDArray[np.int64]],
    tests: NDArray[np.int64],
    *,
    num_seen: int,
    rng: np.random.Generator,
    groups: NDArray[np.int64] | None = None,
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return training and test rows of clients, where test rows belong to nobody: those that train get them in turn.

    Parameters
    ----------
    owned
        Rows of each client.
    tests
        The test rows, in the order in which they are dealt out.
    num_seen
        Number of clients that train; of the others' own rows the first quarter fits a head, the rest scores it.
    rng
        Shuffles each client's rows.
    groups
        Group of each row; those of one group stay on one side.

    Raises
    ------
    ConfigError
        If all rows of a client that never trains are of one group.
    """
    splits = []
    for client, members in enumerate(owned):
        rows = rng.permutation(members) if groups is None else members[shuffled_groups(groups[members], rng)]
        if client < num_seen:
            splits.append((rows, tests[client::num_seen]))
            continue
        cut = max(int(len(rows) * UNSEEN_TRAIN_SHARE), 1)
        cut = cut if groups is None else group_boundary(groups[rows], cut)
        if cut == len(rows):
            msg = (
                f"data.clients = {len(owned)}: rows of client {client}, which never trains, all belong together, so "
                "that none can be held out; use fewer clients"
            )
            raise ConfigError(msg)
        splits.append((rows[:cut], rows[cut:]))
    return splits


def content_groups(columns: Sequence[Array]) -> NDArray[np.int64]:
    """Return a number for each row of a table: equal rows get equal numbers, counted by first appearance.

    Parameters
    ----------
    columns
        Columns of equal length ``n``, of any dtype.

    Returns
    -------
    NDArray
        ``(n,)``, from 0 to the number of distinct rows minus 1; empty cells equal each other.
    """
    import pandas as pd

    table = pd.DataFrame(dict(enumerate(columns)))
    return table.groupby(list(table.columns), sort=False, dropna=False).ngroup().to_numpy().astype(np.int64)


def shuffled_groups(groups: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Row numbers in an order that shuffles the groups and keeps each group together."""
    rank = rng.permutation(int(groups.max(initial=-1)) + 1)
    return np.argsort(rank[groups], kind="stable")


def group_boundary(groups: NDArray[np.int64], target: int) -> int:
    """Return the cut nearest to ``target`` rows that does not divide a group of consecutive equal numbers.

    Neither side is empty if there are two groups.
    """
    cuts = np.flatnonzero(np.diff(groups)) + 1
    if len(cuts) == 0:
        return len(groups)
    return int(cuts[np.argmin(np.abs(cuts - target))])


def last_share_of_runs(labels: NDArray[np.int64], *, share: float) -> NDArray[np.bool_]:
    """Whether a row is in the last ``share`` of its run of equal labels, ``(n,)``: a split in time, class by class.

    Examples
    --------
    >>> last_share_of_runs(np.array([0, 0, 0, 0, 1, 1, 0, 0]), share=0.5).astype(int)
    array([0, 0, 1, 1, 0, 1, 0, 1])
    """
    starts = np.concatenate([[0], np.flatnonzero(np.diff(labels)) + 1])
    length = np.diff(np.append(starts, len(labels)))
    place = np.arange(len(labels)) - np.repeat(starts, length)
    held_out: NDArray[np.bool_] = place >= np.repeat(length - (length * share).astype(np.int64), length)
    return held_out
