"""Who owns which rows, and which rows are held out.

Rows that tell of each other (frames of one trip, copies of one flow) stay on one side of a split.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from eafl_flower.errors import ConfigError
from eafl_flower.types import Array

UNSEEN_TRAIN_SHARE = 0.25
_ATTEMPTS = 200


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """Rows of one client before scaling: features ``(n, d)``, labels ``(n,)``."""

    x_train: Array
    y_train: NDArray[np.int64]
    x_test: Array
    y_test: NDArray[np.int64]


def check_counts(*, clients: int, unseen: int, available: int | None = None) -> None:
    """Raise ``ConfigError`` unless ``unseen`` of ``clients`` leave at least one client that trains."""
    problems = []
    if clients < 1:
        problems.append(f"data.clients = {clients}: expected at least 1")
    if not 0 <= unseen < max(clients, 1):
        problems.append(f"data.unseen = {unseen}: expected 0 to {max(clients, 1) - 1}, one client must train")
    if available is not None and clients > available:
        problems.append(f"data.clients = {clients}: the data set has {available}")
    if problems:
        raise ConfigError("; ".join(problems))


def seen_and_unseen(available: int, *, clients: int, unseen: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw ``clients`` of ``available`` groups: the ones that train in ascending order, then the unseen ones."""
    check_counts(clients=clients, unseen=unseen, available=available)
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


def dirichlet_partition(
    labels: NDArray[np.int64],
    *,
    clients: int,
    alpha: float,
    rng: np.random.Generator,
    groups: NDArray[np.int64] | None = None,
    min_rows: int = 1,
) -> tuple[NDArray[np.int64], ...]:
    r"""Share rows among clients with label skew.

    For each class the clients' shares are drawn from :math:`\mathrm{Dir}(\alpha, ..., \alpha)`; rows
    of one group go to one client. The draw is repeated until every client has ``min_rows`` rows.

    Parameters
    ----------
    labels
        Class of each row, ``(n,)``.
    clients, alpha
        Number of clients; concentration, small for strong skew.
    groups
        Group of each row, ``(n,)``; each row its own group if None. A group counts to the class
        of its first row.
    min_rows
        Fewest rows a client may have.

    Returns
    -------
    tuple
        Ascending row numbers of each client; together every row once.

    Raises
    ------
    ConfigError
        If ``alpha`` is not positive or no draw gives every client ``min_rows`` rows.

    References
    ----------
    Hsu, Qi and Brown, "Measuring the effects of non-identical data distribution for federated visual
    classification", 2019 (arXiv 1909.06335).
    """
    if not alpha > 0:
        msg = f"data.dirichlet-alpha = {alpha}: expected a positive number"
        raise ConfigError(msg)
    if groups is None:
        groups = np.arange(len(labels), dtype=np.int64)
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    size, group_label = np.bincount(group), labels[first]
    for _ in range(_ATTEMPTS):
        owner = np.empty(len(first), dtype=np.int64)
        for label in np.unique(group_label):
            members = rng.permutation(np.flatnonzero(group_label == label))
            middle = np.cumsum(size[members]) - size[members] / 2
            ends = np.cumsum(rng.dirichlet(np.full(clients, alpha))) * size[members].sum()
            owner[members] = np.minimum(np.searchsorted(ends, middle), clients - 1)
        row_owner = owner[group]
        if np.bincount(row_owner, minlength=clients).min() >= min_rows:
            return tuple(np.flatnonzero(row_owner == client) for client in range(clients))
    msg = (
        f"data.dirichlet-alpha = {alpha} with data.clients = {clients}: {_ATTEMPTS} draws left a client with fewer "
        f"than {min_rows} of {len(labels)} rows; raise alpha or use fewer clients"
    )
    raise ConfigError(msg)
