"""UNSW-NB15: which of nine attacks, or none, is this network flow? Clients by Dirichlet label skew.

Many flows of the file repeat another: of 65,932 rows of the slice we measure on, 43,798 differ. Rows with
equal features form a group; a group has one owner and lies on one side of every split. Rows that differ by
less than 0.1 % or in ``proto`` alone count as equal (most protocols become ``other`` below).

What the model sees: ``id`` is dropped (the file is written class after class, so it gives the class away)
and so is ``label`` (normal or attack). The 39 numbers are heavy-tailed counts, bytes, rates and times: all but
the two time-to-live columns enter as log(1 + value), the times in microseconds, the file's resolution. ``service``
and ``state`` are one-hot over fixed lists, ``proto`` over its seven commonest values among the training rows.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from eafl_flower.core import rng as randomness
from eafl_flower.data.holders import Holders
from eafl_flower.data.partition import Partition, partition_rows
from eafl_flower.data.source import InMemorySource
from eafl_flower.data.splits import (
    UNSEEN_TRAIN_SHARE,
    Part,
    client_counts,
    content_groups,
    group_boundary,
    shuffled_groups,
)
from eafl_flower.data.tables.files import DataFile, find, read_columns, refuse_below_zero
from eafl_flower.data.tables.labels import class_index
from eafl_flower.types import Array

FILE = DataFile(
    title="UNSW-NB15, partition of 82,332 rows",
    relative="unsw_nb15/UNSW_NB15_training-set.csv.gz",
    published="https://research.unsw.edu.au/projects/unsw-nb15-dataset",
)
TEST_SHARE = 0.25
MIN_ROWS = 40

CLASS_NAMES = (
    "Analysis",
    "Backdoor",
    "DoS",
    "Exploits",
    "Fuzzers",
    "Generic",
    "Normal",
    "Reconnaissance",
    "Shellcode",
    "Worms",
)
SERVICES = ("-", "dhcp", "dns", "ftp", "ftp-data", "http", "irc", "pop3", "radius", "smtp", "snmp", "ssh", "ssl")
STATES = ("ACC", "CLO", "CON", "ECO", "FIN", "INT", "PAR", "REQ", "RST", "URN", "no")
NUM_PROTOCOLS = 7
OTHER = "other"

# Of the logarithms: values within 0.1 % count as equal. Coarser than float32, so that rows which are different
# groups here are different for the model too.
_DECIMALS = 3
_SECONDS = ("dur", "tcprtt", "synack", "ackdat")
_MILLISECONDS = ("sinpkt", "dinpkt", "sjit", "djit")
_AS_IS = ("sttl", "dttl")
_LOGARITHMIC = (
    *(
        "spkts",
        "dpkts",
        "sbytes",
        "dbytes",
        "rate",
        "sload",
        "dload",
        "sloss",
        "dloss",
        "swin",
        "stcpb",
        "dtcpb",
        "dwin",
    ),
    *("smean", "dmean", "trans_depth", "response_body_len", "ct_srv_src", "ct_state_ttl", "ct_dst_ltm"),
    *("ct_src_dport_ltm", "ct_dst_sport_ltm", "ct_dst_src_ltm", "is_ftp_login", "ct_ftp_cmd", "ct_flw_http_mthd"),
    *("ct_src_ltm", "ct_srv_dst", "is_sm_ips_ports"),
)
NUMERIC = (*_SECONDS, *_MILLISECONDS, *_AS_IS, *_LOGARITHMIC)
_ONE_HOT = ("service", "state", "proto")
TEXT = (*_ONE_HOT, "attack_cat")
# Copies of the file leave the category of normal traffic empty or write a dash.
CATEGORIES = {name: number for number, name in enumerate(CLASS_NAMES)} | dict.fromkeys(("-", ""), 6)


@dataclass(frozen=True, kw_only=True)
class UNSWNB15:
    """UNSW-NB15: ``load_unsw_nb15``."""

    def make(self, holders: Holders) -> InMemorySource:
        """Load it."""
        return load_unsw_nb15(**holders.sharing)


def load_unsw_nb15(
    *,
    data_dir: str | os.PathLike[str] = "",
    clients: int = 20,
    unseen: int = 4,
    partition: Partition = "dirichlet",
    dirichlet_alpha: float = 0.3,
    seed: int = 1,
) -> InMemorySource:
    """Load UNSW-NB15 with the ten attack categories as classes, a quarter of each client's rows held out.

    Parameters
    ----------
    data_dir
        Folder of the file, or the file; ``EAFL_DATA_DIR`` if empty.
    clients, unseen
        Number of clients, and how many of them never train.
    partition, dirichlet_alpha
        How rows are shared among clients; concentration of a Dirichlet partition.
    seed
        Decides who owns which rows and which are held out.

    Raises
    ------
    DataError
        If the file is missing, damaged, has other columns or an unknown category.
    ConfigError
        If the counts leave nobody to train, or no draw gives every client enough rows.
    """
    clients, unseen = client_counts(clients, unseen, if_zero=20)
    path = find(FILE, data_dir)
    table = read_columns(path, numeric=NUMERIC, text=TEXT, published=FILE.published)
    refuse_below_zero(path, table, NUMERIC)
    labels = class_index(table["attack_cat"].to_numpy(dtype=object), CATEGORIES, path=path, column="attack_cat")
    numbers = _transformed({name: table[name].to_numpy() for name in NUMERIC})
    texts = {name: table[name].to_numpy(dtype=object).astype(str) for name in _ONE_HOT}

    groups = content_groups([*numbers.T, texts["service"], texts["state"]])
    rng = randomness.generator(seed, "data", "unsw-nb15")
    owned = partition_rows(
        labels,
        partition=partition,
        clients=clients,
        alpha=dirichlet_alpha,
        rng=rng,
        groups=groups,
        min_rows=MIN_ROWS,
    )
    num_seen = clients - unseen
    splits = []
    for client, rows in enumerate(owned):
        rows = rows[shuffled_groups(groups[rows], rng)]
        train_share = 1 - TEST_SHARE if client < num_seen else UNSEEN_TRAIN_SHARE
        cut = group_boundary(groups[rows], round(len(rows) * train_share))
        splits.append((rows[:cut], rows[cut:]))

    training = np.concatenate([train for train, _ in splits[:num_seen]])
    protocols = _commonest(texts["proto"][training], NUM_PROTOCOLS)
    x = _joined(numbers, texts, protocols)
    parts = [
        Part(x_train=x[train], y_train=labels[train], x_test=x[test], y_test=labels[test]) for train, test in splits
    ]
    return InMemorySource.scaled(
        parts,
        name="unsw-nb15",
        class_names=CLASS_NAMES,
        feature_names=_feature_names(protocols),
        num_seen=num_seen,
    )


def features(table: pd.DataFrame, protocols: Sequence[str]) -> NDArray[np.float64]:
    """Return the features of flows before scaling, ``(n, d)``.

    Parameters
    ----------
    table
        The columns ``NUMERIC``, ``proto``, ``service`` and ``state`` as the file has them.
    protocols
        The commonest protocols among the training rows; see ``protocols_of``.
    """
    texts = {name: table[name].to_numpy(dtype=object).astype(str) for name in _ONE_HOT}
    return _joined(_transformed({name: table[name].to_numpy() for name in NUMERIC}), texts, protocols)


def protocols_of(feature_names: Sequence[str]) -> tuple[str, ...]:
    """Return the protocols that have a feature of their own."""
    found = [name.removeprefix("proto=") for name in feature_names if name.startswith("proto=")]
    return tuple(found[:-1])  # the last one stands for all others


def _known(protocols: Sequence[str]) -> dict[str, Sequence[str]]:
    return {"service": SERVICES, "state": STATES, "proto": protocols}


def _feature_names(protocols: Sequence[str]) -> tuple[str, ...]:
    one_hot = [f"{name}={value}" for name, values in _known(protocols).items() for value in (*values, OTHER)]
    return (*NUMERIC, *one_hot)


def _joined(numbers: Array, texts: Mapping[str, Array], protocols: Sequence[str]) -> NDArray[np.float64]:
    return np.concatenate([numbers, *(_one_hot(texts[n], values) for n, values in _known(protocols).items())], axis=1)


def _transformed(columns: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    unit = dict.fromkeys(_SECONDS, 1e6) | dict.fromkeys(_MILLISECONDS, 1e3)
    out = []
    for name, values in columns.items():
        out.append(values if name in _AS_IS else np.log1p(values * unit.get(name, 1.0)))
    return np.round(np.stack(out, axis=1), _DECIMALS)


def _commonest(values: Array, number: int) -> tuple[str, ...]:
    found, count = np.unique(values, return_counts=True)
    # Ties go by name, so that the columns do not depend on the order of rows.
    return tuple(str(found[i]) for i in np.lexsort((found, -count))[:number])


def _one_hot(values: Array, known: Sequence[str]) -> NDArray[np.float64]:
    columns = [values == name for name in known]
    columns.append(~np.any(columns, axis=0))
    return np.stack(columns, axis=1).astype(np.float64)
