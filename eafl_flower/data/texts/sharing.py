"""Parts of a text set for training, choosing and testing, and which vehicle owns which texts.

The same text lies in one part only, and with one vehicle only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from eafl_flower.core.rng import generator
from eafl_flower.data.partition import paired_partition
from eafl_flower.data.texts.rows import TextRows
from eafl_flower.data.texts.words import same_text
from eafl_flower.errors import ConfigError

TextPartition = Literal["iid", "dirichlet", "dirichlet-equal", "quantity"]


@dataclass(frozen=True, kw_only=True, eq=False)
class TextSplit:
    """Three parts of a set, no text in two of them."""

    train: TextRows
    validation: TextRows
    test: TextRows


@dataclass(frozen=True, kw_only=True, eq=False)
class ClientTexts:
    """Texts of one vehicle."""

    train: TextRows
    test: TextRows


def split_texts(rows: TextRows, *, seed: int, validation_share: float = 0.1, test_share: float = 0.2) -> TextSplit:
    """Split a set at random, class by class, so that each part has its share of every class.

    Parameters
    ----------
    rows
        The set; of texts that are the same (which a loaded set has none of) all go to one part.
    seed
        Decides which text goes where.
    validation_share, test_share
        Shares of the parts that are not trained on; the numbers of a class are rounded.

    Raises
    ------
    ConfigError
        If the shares leave nothing to train on, or a part whose share is not 0 without a text.
    """
    if not (validation_share >= 0 and test_share >= 0 and validation_share + test_share < 1):
        raise ConfigError(
            f"validation share {validation_share} and test share {test_share}: expected shares from 0, together below 1"
        )
    group = same_text(rows.texts)
    first = np.unique(group, return_index=True)[1]
    label = rows.labels[first]
    rng = generator(seed, "texts", "split", rows.name)
    part = np.zeros(len(first), dtype=np.int64)
    for c in np.unique(label):
        members = rng.permutation(np.flatnonzero(label == c))
        validation, test = round(len(members) * validation_share), round(len(members) * test_share)
        part[members[:validation]] = 1
        part[members[validation : validation + test]] = 2
    parts = [rows.take(np.flatnonzero(part[group] == number)) for number in range(3)]
    for name, share, texts in zip(
        ("training", "validation", "test"), (1, validation_share, test_share), parts, strict=True
    ):
        if share and not len(texts):
            raise ConfigError(f"{rows.name}: no text of {len(rows)} for {name}; use other shares or more texts")
    return TextSplit(train=parts[0], validation=parts[1], test=parts[2])


def share_texts(
    split: TextSplit,
    *,
    clients: int,
    seed: int,
    partition: TextPartition = "iid",
    alpha: float = 0.3,
    most_to_least: float = 3.0,
    min_train: int = 1,
    min_test: int = 1,
) -> tuple[ClientTexts, ...]:
    """Share the training texts and the test texts of a set among vehicles.

    A vehicle owns the same share of both; of which class, depends on the partition.

    Parameters
    ----------
    split
        The set.
    clients
        Number of vehicles.
    seed
        Decides who owns what.
    partition
        ``"iid"``: equally many at random. ``"dirichlet"``, ``"dirichlet-equal"``: as ``data.partition`` has them, with
        label skew. ``"quantity"``: at random, but the numbers rise evenly from the vehicle with fewest to that with
        most; who has how many is drawn.
    alpha
        Concentration of a Dirichlet partition.
    most_to_least
        With ``"quantity"``: how many times as much the vehicle with most has as the one with fewest.
    min_train, min_test
        Fewest texts a vehicle may have on each side.

    Raises
    ------
    ConfigError
        If a number is out of range or a vehicle would have fewer texts.
    """
    if clients < 1:
        raise ConfigError(f"{clients} vehicles: expected at least 1")
    rng = generator(seed, "texts", "share", split.train.name)
    if partition == "quantity":
        owned = _by_quantity(split, clients, most_to_least, rng, min_train, min_test)
    elif partition in ("iid", "dirichlet", "dirichlet-equal"):
        owned = paired_partition(
            split.train.labels,
            split.test.labels,
            partition=partition,
            clients=clients,
            unseen=0,
            alpha=alpha,
            rng=rng,
            min_train=min_train,
            min_test=min_test,
        )
    else:
        raise ConfigError(f'partition of texts "{partition}": expected iid, dirichlet, dirichlet-equal or quantity')
    return tuple(ClientTexts(train=split.train.take(train), test=split.test.take(test)) for train, test in owned)


def texts_of_vehicles(
    tasks: Mapping[str, TextSplit], *, vehicles: int, seed: int, partition: TextPartition = "iid", alpha: float = 0.3
) -> tuple[dict[str, ClientTexts], ...]:
    """Return the texts of each vehicle by task: every vehicle has some of every task; see ``share_texts``."""
    shared = {
        name: share_texts(split, clients=vehicles, seed=seed, partition=partition, alpha=alpha)
        for name, split in tasks.items()
    }
    return tuple({name: owned[vehicle] for name, owned in shared.items()} for vehicle in range(vehicles))


def _by_quantity(
    split: TextSplit, clients: int, most_to_least: float, rng: np.random.Generator, min_train: int, min_test: int
) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]:
    if not 1 <= most_to_least < np.inf:
        raise ConfigError(f"most_to_least = {most_to_least}: expected a number of at least 1")
    share = rng.permutation(np.linspace(1, most_to_least, clients))
    ends = np.cumsum(share)[:-1] / share.sum()
    train, test = (
        [np.sort(rows) for rows in np.split(rng.permutation(len(part)), np.rint(ends * len(part)).astype(np.int64))]
        for part in (split.train, split.test)
    )
    for rows, fewest, what in ((train, min_train, "training"), (test, min_test, "test")):
        if (least := min(map(len, rows))) < fewest:
            raise ConfigError(
                f"{split.train.name}: of {clients} vehicles one would have {least} {what} texts, fewer than {fewest}; "
                "use fewer vehicles"
            )
    return tuple(zip(train, test, strict=True))
