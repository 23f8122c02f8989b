"""TON_IoT weather station: normal readings, or under which of seven attacks? Clients share one recording.

Three readings (temperature, pressure, humidity) and ``type``. ``date``, ``time`` and ``label`` are not read: each
attack was recorded at hours of its own, so the clock gives it away, and ``label`` is ``type`` again.

The file is a recording, type after type, and neighbouring rows resemble each other. So the last quarter of each run
of equal type is held out from everybody: a random quarter would ask for values between known ones. How much
of a type a client owns is drawn from a Dirichlet distribution, the same share before and after that cut. A client
that never trains fits its head on as many rows as are a quarter of its own, drawn from before the cut, and is scored on
its rows after it: the others lie between rows that the seen clients train on.

The publisher's other telemetry files (fridge, garage door, GPS tracker, Modbus, motion light, thermostat) hold
nothing that a model could learn without the leaks; ``eafl data check`` shows it.
"""

import os
from dataclasses import dataclass

import numpy as np

from eafl_flower.core import rng as randomness
from eafl_flower.data.holders import Holders
from eafl_flower.data.partition import Partition, paired_partition
from eafl_flower.data.source import InMemorySource
from eafl_flower.data.splits import Part, client_counts, last_share_of_runs
from eafl_flower.data.tables.files import DataFile, find, read_columns
from eafl_flower.data.tables.labels import class_index

FILE = DataFile(
    title="TON_IoT telemetry, weather station",
    relative="ton_iot/Train_Test_IoT_Weather.csv.gz",
    published="https://research.unsw.edu.au/projects/toniot-datasets",
)
TEST_SHARE = 0.25
MIN_TRAIN = 40
MIN_TEST = 10

CLASS_NAMES = ("backdoor", "ddos", "injection", "normal", "password", "ransomware", "scanning", "xss")
FEATURE_NAMES = ("temperature", "pressure", "humidity")


@dataclass(frozen=True, kw_only=True)
class TONWeather:
    """The weather station of TON_IoT: ``load_ton_weather``."""

    def make(self, holders: Holders) -> InMemorySource:
        """Load it."""
        return load_ton_weather(**holders.sharing)


def load_ton_weather(
    *,
    data_dir: str | os.PathLike[str] = "",
    clients: int = 20,
    unseen: int = 4,
    partition: Partition = "dirichlet",
    dirichlet_alpha: float = 0.3,
    seed: int = 1,
) -> InMemorySource:
    """Load the weather station with the eight types as classes.

    Parameters
    ----------
    data_dir
        Folder of the file, or the file; ``EAFL_DATA_DIR`` if empty.
    clients, unseen
        Number of clients, and how many of them never train.
    partition, dirichlet_alpha
        How rows are shared among clients; concentration of a Dirichlet partition.
    seed
        Decides who owns which rows.

    Raises
    ------
    DataError
        If the file is missing, damaged, has other columns or an unknown type.
    ConfigError
        If the counts leave nobody to train, or a client would have too few rows.
    """
    clients, unseen = client_counts(clients, unseen, if_zero=20)
    path = find(FILE, data_dir)
    table = read_columns(path, numeric=FEATURE_NAMES, text=("type",), published=FILE.published)
    y = class_index(table["type"].to_numpy(dtype=object), CLASS_NAMES, path=path, column="type")
    x = table[list(FEATURE_NAMES)].to_numpy(dtype=np.float64)
    held_out = last_share_of_runs(y, share=TEST_SHARE)
    before, after = np.flatnonzero(~held_out), np.flatnonzero(held_out)
    owned = paired_partition(
        y[before],
        y[after],
        partition=partition,
        clients=clients,
        unseen=unseen,
        alpha=dirichlet_alpha,
        rng=randomness.generator(seed, "data", "ton-weather"),
        min_train=MIN_TRAIN,
        min_test=MIN_TEST,
    )
    parts = []
    for train, test in owned:
        train, test = before[train], after[test]
        parts.append(Part(x_train=x[train], y_train=y[train], x_test=x[test], y_test=y[test]))
    num_seen = clients - unseen
    return InMemorySource.scaled(
        parts,
        name="ton-weather",
        class_names=CLASS_NAMES,
        feature_names=FEATURE_NAMES,
        num_seen=num_seen,
    )
