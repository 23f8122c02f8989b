"""Who owns which rows of a data set that has no clients of its own.

Four ways: *IID*, where clients own equally many rows at random; *Dirichlet*, where they differ in their mixture of
classes and in size; *equal Dirichlet*, where they differ in their mixture alone; and *contiguous*, where each owns a
stretch of the file (a time, or in a sorted file a few classes).
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from eafl_flower.data.splits import UNSEEN_TRAIN_SHARE
from eafl_flower.errors import ConfigError

Partition = Literal["dirichlet", "dirichlet-equal", "iid", "contiguous"]
Owned = tuple[NDArray[np.int64], ...]
_ATTEMPTS = 200
_AS_GOOD_AS_EQUAL = 1e12  # concentration beyond which proportions differ by rounding alone


def partition_rows(
    labels: NDArray[np.int64],
    *,
    partition: Partition,
    clients: int,
    alpha: float,
    rng: np.random.Generator,
    groups: NDArray[np.int64] | None = None,
    min_rows: int = 1,
) -> Owned:
    """Share rows among clients in the way ``partition`` names; see the functions of those names."""
    if partition == "contiguous":
        return contiguous_partition(len(labels), clients=clients, groups=groups, min_rows=min_rows)
    if partition == "iid":
        return iid_partition(len(labels), clients=clients, rng=rng, groups=groups, min_rows=min_rows)
    by_class = equal_dirichlet_partition if partition == "dirichlet-equal" else dirichlet_partition
    return by_class(labels, clients=clients, alpha=alpha, rng=rng, groups=groups, min_rows=min_rows)


def contiguous_partition(
    num_rows: int, *, clients: int, groups: NDArray[np.int64] | None = None, min_rows: int = 1
) -> Owned:
    """Cut rows into as many stretches of equal length as there are clients; a group goes where its first row is.

    Raises
    ------
    ConfigError
        If a client gets fewer than ``min_rows`` rows.
    """
    first, group = _grouped(num_rows, groups)
    owner = first * clients // max(num_rows, 1)
    return _with_rows(_rows_of(owner[group], clients), "contiguous", num_rows, min_rows)


def iid_partition(
    num_rows: int,
    *,
    clients: int,
    rng: np.random.Generator,
    groups: NDArray[np.int64] | None = None,
    min_rows: int = 1,
) -> Owned:
    """Share rows at random, as many to each client as to any other; rows of one group go to one client.

    Without groups, or with groups of one size, the clients' numbers of rows (of groups) differ by at most one.

    Raises
    ------
    ConfigError
        If a client gets fewer than ``min_rows`` rows.
    """
    _, group = _grouped(num_rows, groups)
    size = np.bincount(group)
    order = rng.permutation(len(size))
    owner = np.empty(len(size), dtype=np.int64)
    owner[order] = _dealt(size[order], np.full(clients, 1 / clients))
    return _with_rows(_rows_of(owner[group], clients), "iid", num_rows, min_rows)


def dirichlet_partition(
    labels: NDArray[np.int64],
    *,
    clients: int,
    alpha: float,
    rng: np.random.Generator,
    groups: NDArray[np.int64] | None = None,
    min_rows: int = 1,
) -> Owned:
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
    _check_alpha(alpha)
    first, group = _grouped(len(labels), groups)
    size, group_label = np.bincount(group), labels[first]
    for _ in range(_ATTEMPTS):
        owner = np.empty(len(first), dtype=np.int64)
        for label in np.unique(group_label):
            members = rng.permutation(np.flatnonzero(group_label == label))
            owner[members] = _dealt(size[members], rng.dirichlet(np.full(clients, alpha)))
        owned = _rows_of(owner[group], clients)
        if min(len(rows) for rows in owned) >= min_rows:
            return owned
    raise _no_draw(alpha, clients, f"{min_rows} of {len(labels)} rows")


def equal_dirichlet_partition(
    labels: NDArray[np.int64],
    *,
    clients: int,
    alpha: float,
    rng: np.random.Generator,
    groups: NDArray[np.int64] | None = None,
    min_rows: int = 1,
) -> Owned:
    r"""Give each client as many rows as any other, in a mixture of classes drawn for it alone.

    A client's proportions are :math:`p \sim \mathrm{Dir}(\alpha, ..., \alpha)` over the classes. It takes
    :math:`\lfloor p_c m \rfloor` rows of each class c, m being what it still lacks (if that is none, one of the
    class of largest :math:`p_c`), until it has its number. A class that is used up has :math:`p_c = 0` from then on,
    and the others share what it had; where no class is left that the client has a proportion of, it draws again.
    Clients take in random order: the later ones have less to choose from. Where rows form groups, a client takes groups
    and owns equally many of them.

    Parameters
    ----------
    labels, clients, alpha, groups, min_rows
        As in ``dirichlet_partition``.

    Returns
    -------
    tuple
        Ascending row numbers of each client; together every row once, and sizes (in groups) differ by at most one.

    Raises
    ------
    ConfigError
        If ``alpha`` is not positive or a client gets fewer than ``min_rows`` rows.
    """
    _check_alpha(alpha)
    first, group = _grouped(len(labels), groups)
    classes, label = np.unique(labels[first], return_inverse=True)
    members = [rng.permutation(np.flatnonzero(label == c)) for c in range(len(classes))]
    taken, left = np.zeros(len(classes), dtype=np.int64), np.bincount(label, minlength=len(classes))
    concentration = np.full(len(classes), min(alpha, _AS_GOOD_AS_EQUAL))
    lacking = np.diff(np.arange(clients + 1) * len(first) // clients)
    owner = np.empty(len(first), dtype=np.int64)
    for client in rng.permutation(clients):
        proportions = rng.dirichlet(concentration)
        while lacking[client]:
            p = np.where(left > 0, proportions, 0.0)
            if not p.any():
                proportions = rng.dirichlet(concentration)
                continue
            share = np.minimum((p / p.sum() * lacking[client]).astype(np.int64), left)
            if not share.any():
                share[p.argmax()] = 1
            for c in np.flatnonzero(share):
                owner[members[c][taken[c] : taken[c] + share[c]]] = client
            taken, left = taken + share, left - share
            lacking[client] -= share.sum()
    return _with_rows(_rows_of(owner[group], clients), "dirichlet-equal", len(labels), min_rows)


def paired_partition(
    train_labels: NDArray[np.int64],
    test_labels: NDArray[np.int64],
    *,
    partition: Partition,
    clients: int,
    unseen: int,
    alpha: float,
    rng: np.random.Generator,
    min_train: int,
    min_test: int,
) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]:
    """Share training rows and held out rows, so that a client owns the same part of each class on both sides.

    A client's held out rows of a class are drawn at random, in the proportions of the training rows; with a contiguous
    partition they are the same stretch of the class on both sides. The last ``unseen`` clients train on as many rows as
    are a quarter of their own.

    Parameters
    ----------
    train_labels, test_labels
        Class of each row, ``(n,)`` and ``(m,)``, in the order of the file.
    partition, clients, alpha
        As in ``partition_rows``.
    unseen
        How many of the clients never train with the others.
    min_train, min_test
        Fewest rows a client may have on each side.

    Returns
    -------
    tuple
        Training rows and held out rows of each client, ascending; an unseen client's training rows in random order.

    Raises
    ------
    ConfigError
        As ``dirichlet_partition`` and ``contiguous_partition``.
    """
    _check_alpha(alpha)
    classes = int(max(train_labels.max(initial=0), test_labels.max(initial=0))) + 1
    by_chance = partition in ("dirichlet", "dirichlet-equal")
    for _ in range(_ATTEMPTS if by_chance else 1):
        if partition == "dirichlet":
            shares = np.stack([rng.dirichlet(np.full(clients, alpha)) for _ in range(classes)])  # (classes, clients)
            train = _dealt_by_class(train_labels, shares, rng)
        else:
            train = partition_rows(train_labels, partition=partition, clients=clients, alpha=alpha, rng=rng)
            shares = np.stack([np.bincount(train_labels[rows], minlength=classes) for rows in train], axis=1)
        test = _dealt_by_class(test_labels, shares, None if partition == "contiguous" else rng)
        if min(map(len, train)) >= min_train and min(map(len, test)) >= min_test:
            fewer = [
                rows if client < clients - unseen else _quarter(rows, len(rows) + len(test[client]), rng)
                for client, rows in enumerate(train)
            ]
            return tuple(zip(fewer, test, strict=True))
    wanted = f"{min_train} of {len(train_labels)} training rows or {min_test} of {len(test_labels)} held out rows"
    if by_chance:
        raise _no_draw(alpha, clients, wanted)
    raise _too_few(partition, clients, f"fewer than {wanted}")


def _grouped(num_rows: int, groups: NDArray[np.int64] | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first row of each group and the number of each row's group; None: each row is its own group."""
    if groups is None:
        rows = np.arange(num_rows)
        return rows, rows
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    return first, group


def _dealt_by_class(labels: NDArray[np.int64], shares: NDArray[np.number], rng: np.random.Generator | None) -> Owned:
    owner = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if rng is not None:
            members = rng.permutation(members)
        share = shares[label]
        # A class that nobody trains on is shared evenly.
        share = np.ones(len(share)) if share.sum() == 0 else share
        owner[members] = _dealt(np.ones(len(members), dtype=np.int64), share / share.sum())
    return _rows_of(owner, shares.shape[1])


def _quarter(rows: NDArray[np.int64], of: int, rng: np.random.Generator) -> NDArray[np.int64]:
    return rng.permutation(rows)[: max(round(of * UNSEEN_TRAIN_SHARE), 1)]


def _dealt(size: NDArray[np.int64], shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Give consecutive groups of so many rows to clients until each has its share."""
    middle = np.cumsum(size) - size / 2
    ends = np.cumsum(shares) * size.sum()
    return np.minimum(np.searchsorted(ends, middle), len(shares) - 1)


def _rows_of(owner: NDArray[np.int64], clients: int) -> Owned:
    return tuple(np.flatnonzero(owner == client) for client in range(clients))


def _with_rows(owned: Owned, partition: Partition, num_rows: int, min_rows: int) -> Owned:
    """Return ``owned`` if everybody has rows enough."""
    if (fewest := min(len(rows) for rows in owned)) < min_rows:
        raise _too_few(partition, len(owned), f"{fewest} of {num_rows} rows, fewer than {min_rows}")
    return owned


def _too_few(partition: Partition, clients: int, has: str) -> ConfigError:
    return ConfigError(
        f"data.clients = {clients} with data.partition = '{partition}': a client would have {has}; use fewer clients"
    )


def _check_alpha(alpha: float) -> None:
    if not alpha > 0:
        msg = f"data.dirichlet-alpha = {alpha}: expected a positive number"
        raise ConfigError(msg)


def _no_draw(alpha: float, clients: int, wanted: str) -> ConfigError:
    return ConfigError(
        f"data.dirichlet-alpha = {alpha} with data.clients = {clients}: {_ATTEMPTS} draws left a client with fewer "
        f"than {wanted}; raise alpha or use fewer clients"
    )
