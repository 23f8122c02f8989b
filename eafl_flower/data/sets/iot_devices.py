"""IoT devices: which kind of device made this network session? The publisher's own training and test files.

Ten kinds, and about 300 numbers about each session. The test file has nine of them: ``water_sensor`` is trained on but
not scored, and rows of it in a test file are left out.

No column tells the device or the time, so clients own shares of the rows: a Dirichlet distribution
decides how much of each kind in the training file a client has, and it has the same share of that kind in the test
file. A client that never trains fits its head on as many rows of the training file as are a quarter of its own,
and is scored on its rows of the test file.

All features enter as log(1 + value): counts, bytes and times over many orders of magnitude. 2147483647 stands for "no
such thing" (no HTTP, a host without a rank) and so becomes the largest value. Nearly half of the columns are constant
in the training file, and most of those are not in the test file: the scaler makes them 0.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from eafl_flower.core import rng as randomness
from eafl_flower.data.holders import Holders
from eafl_flower.data.partition import Partition, paired_partition
from eafl_flower.data.source import InMemorySource
from eafl_flower.data.splits import Part, client_counts
from eafl_flower.data.tables.files import DataFile, counted, find, read_columns, read_header, refuse_below_zero
from eafl_flower.data.tables.labels import class_index
from eafl_flower.errors import DataError

PUBLISHED = "https://www.kaggle.com, 'IoT device identification'"
TRAIN_FILE = DataFile(
    title="IoT device identification, training sessions",
    relative="iot_device_id/iot_device_train.csv.gz",
    published=PUBLISHED,
)
TEST_FILE = DataFile(
    title="IoT device identification, test sessions",
    relative="iot_device_id/iot_device_test.csv.gz",
    published=PUBLISHED,
)
MIN_TRAIN = 8
MIN_TEST = 8

LABEL = "device_category"
CLASS_NAMES = (
    "TV",
    "baby_monitor",
    "lights",
    "motion_sensor",
    "security_camera",
    "smoke_detector",
    "socket",
    "thermostat",
    "watch",
    "water_sensor",
)
NOT_SCORED = "water_sensor"


@dataclass(frozen=True, kw_only=True)
class IoTDevices:
    """Traffic of ten kinds of devices: ``load_iot_devices``."""

    def make(self, holders: Holders) -> InMemorySource:
        """Load it."""
        return load_iot_devices(**holders.sharing)


def load_iot_devices(
    *,
    data_dir: str | os.PathLike[str] = "",
    clients: int = 20,
    unseen: int = 4,
    partition: Partition = "dirichlet",
    dirichlet_alpha: float = 0.3,
    seed: int = 1,
) -> InMemorySource:
    """Load both files with the ten kinds of device as classes.

    Parameters
    ----------
    data_dir
        Folder of the files; ``EAFL_DATA_DIR`` if empty.
    clients, unseen
        Number of clients, and how many of them never train.
    partition, dirichlet_alpha
        How rows are shared among clients; concentration of a Dirichlet partition.
    seed
        Decides who owns which rows.

    Raises
    ------
    DataError
        If a file is missing, damaged, has other columns or an unknown kind.
    ConfigError
        If the counts leave nobody to train, or a client would have too few rows.
    """
    clients, unseen = client_counts(clients, unseen, if_zero=20)
    if data_dir and Path(data_dir).is_file():
        msg = (
            f"data.dir = {data_dir} is a file; expected the folder with {TRAIN_FILE.relative} and {TEST_FILE.relative}"
        )
        raise DataError(msg)
    path = find(TRAIN_FILE, data_dir)
    names = tuple(name for name in read_header(path) if name != LABEL)
    x, y = _read(path, names)
    x_test, y_test = _read(find(TEST_FILE, data_dir), names)
    scored = y_test != CLASS_NAMES.index(NOT_SCORED)
    x_test, y_test = x_test[scored], y_test[scored]
    not_scored = int((~scored).sum())

    owned = paired_partition(
        y,
        y_test,
        partition=partition,
        clients=clients,
        unseen=unseen,
        alpha=dirichlet_alpha,
        rng=randomness.generator(seed, "data", "iot-devices"),
        min_train=MIN_TRAIN,
        min_test=MIN_TEST,
    )
    parts = [
        Part(x_train=x[train], y_train=y[train], x_test=x_test[test], y_test=y_test[test]) for train, test in owned
    ]
    return InMemorySource.scaled(
        parts,
        name="iot-devices",
        class_names=CLASS_NAMES,
        feature_names=names,
        num_seen=clients - unseen,
        notes=(f"left out {counted(not_scored, 'row')} of {NOT_SCORED}, which is not scored",) if not_scored else (),
        rows_left_out=not_scored,
    )


def features(table: pd.DataFrame, names: Sequence[str]) -> NDArray[np.float64]:
    """Return the features of sessions before scaling, ``(n, d)``, from the columns of the same names."""
    values: NDArray[np.float64] = table[list(names)].to_numpy(dtype=np.float64)
    return np.log1p(values)


def _read(path: Path, names: tuple[str, ...]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    table = read_columns(path, numeric=names, text=(LABEL,), published=PUBLISHED)
    refuse_below_zero(path, table, names)
    y = class_index(table[LABEL].to_numpy(dtype=object), CLASS_NAMES, path=path, column=LABEL)
    return features(table, names), y
