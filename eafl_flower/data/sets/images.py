"""Photographs of 32 x 32 pixels that clients share: CIFAR-10's ten kinds of things, and GTSRB's 43 traffic signs.

Both have test images of the publisher's, which belong to nobody: they are dealt out evenly to the clients that train,
so the mean of the clients' accuracies, weighted by their test rows, is the accuracy on all of them.

GTSRB's training images are frames of tracks: a car drives towards one sign. Frames of one track look alike, so a track
has one owner in every partition, and where a client never trains its tracks are either fitted or scored. The official
test images are of other tracks.

References
----------
Krizhevsky, "Learning multiple layers of features from tiny images", technical report, 2009.
Stallkamp, Schlipsing, Salmen and Igel, "Man vs. computer: benchmarking machine learning algorithms for traffic sign
recognition", Neural Networks 32, 2012.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from eafl_flower.core import rng as randomness
from eafl_flower.data.holders import Holders
from eafl_flower.data.images import Images, read_images, shared_images
from eafl_flower.data.partition import Partition, partition_rows
from eafl_flower.data.source import InMemorySource
from eafl_flower.data.splits import client_counts, content_groups
from eafl_flower.data.tables.files import DataFile, find
from eafl_flower.errors import DataError

DEFAULT_CLIENTS = 20
MIN_ROWS = 2
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
GTSRB_CLASSES = (
    *(f"speed limit {limit} km/h" for limit in (20, 30, 50, 60, 70, 80)),
    *("end of speed limit 80 km/h", "speed limit 100 km/h", "speed limit 120 km/h", "no overtaking"),
    *("no overtaking by trucks", "right of way at the next crossing", "priority road", "give way", "stop"),
    *("no vehicles", "no trucks", "no entry", "danger", "bend to the left", "bend to the right", "double bend"),
    *("uneven road", "slippery road", "road narrows on the right", "road works", "traffic lights", "pedestrians"),
    *("children", "bicycles", "snow or ice", "wild animals", "end of all limits", "turn right ahead"),
    *("turn left ahead", "straight ahead only", "straight ahead or right", "straight ahead or left"),
    *("keep right", "keep left", "roundabout", "end of no overtaking", "end of no overtaking by trucks"),
)
_CIFAR10, _GTSRB = "https://www.cs.toronto.edu/~kriz/cifar.html", "https://benchmark.ini.rub.de"
CIFAR10_FILES = (
    DataFile(title="CIFAR-10, training images", relative="cifar10/cifar10_train.npz", published=_CIFAR10),
    DataFile(title="CIFAR-10, test images", relative="cifar10/cifar10_test.npz", published=_CIFAR10),
)
GTSRB_FILES = (
    DataFile(title="GTSRB, training images", relative="gtsrb/gtsrb_32x32_train.npz", published=_GTSRB),
    DataFile(title="GTSRB, test images", relative="gtsrb/gtsrb_32x32_test.npz", published=_GTSRB),
)
MADE = "docs/data.md says how such a file is made"


@dataclass(frozen=True, kw_only=True)
class CIFAR10:
    """CIFAR-10: ``load_cifar10``."""

    def make(self, holders: Holders) -> InMemorySource:
        """Load it."""
        return load_cifar10(**holders.sharing)


@dataclass(frozen=True, kw_only=True)
class GTSRB:
    """German traffic signs: ``load_gtsrb``."""

    def make(self, holders: Holders) -> InMemorySource:
        """Load it."""
        return load_gtsrb(**holders.sharing)


def load_cifar10(
    *,
    data_dir: str | os.PathLike[str] = "",
    clients: int = DEFAULT_CLIENTS,
    unseen: int = 0,
    partition: Partition = "dirichlet",
    dirichlet_alpha: float = 0.3,
    seed: int = 1,
) -> InMemorySource:
    """Load CIFAR-10, or a part of it.

    Parameters
    ----------
    data_dir
        Folder of the files; ``EAFL_DATA_DIR`` if empty.
    clients, unseen
        Number of clients, and how many of them never train.
    partition, dirichlet_alpha
        How training images are shared among clients; concentration of a Dirichlet partition.
    seed
        Decides who owns which images, and who is scored on which.

    Raises
    ------
    DataError
        If a file is missing, damaged or has other arrays, or a label is out of range.
    ConfigError
        If the counts leave nobody to train, or a client would have too few images.
    """
    clients, unseen = client_counts(clients, unseen, if_zero=DEFAULT_CLIENTS)
    train, test = _both(CIFAR10_FILES, data_dir, CIFAR10_CLASSES)
    rng = randomness.generator(seed, "data", "cifar10")
    owned = partition_rows(
        train.labels, partition=partition, clients=clients, alpha=dirichlet_alpha, rng=rng, min_rows=MIN_ROWS
    )
    return shared_images(
        train, test, owned, name="cifar10", class_names=CIFAR10_CLASSES, num_seen=clients - unseen, rng=rng
    )


def load_gtsrb(
    *,
    data_dir: str | os.PathLike[str] = "",
    clients: int = DEFAULT_CLIENTS,
    unseen: int = 0,
    partition: Partition = "dirichlet",
    dirichlet_alpha: float = 0.3,
    seed: int = 1,
) -> InMemorySource:
    """Load German traffic signs: all frames of a track belong to one client.

    The parameters and errors are those of ``load_cifar10``. A Dirichlet partition shares the tracks of each class; with
    equal sizes clients have equally many tracks.
    """
    clients, unseen = client_counts(clients, unseen, if_zero=DEFAULT_CLIENTS)
    train, test = _both(GTSRB_FILES, data_dir, GTSRB_CLASSES, of_training=("tracks",))
    rng = randomness.generator(seed, "data", "gtsrb")
    tracks = content_groups([train.labels, train.more["tracks"]])  # tracks are numbered in each class
    owned = partition_rows(
        train.labels,
        partition=partition,
        clients=clients,
        alpha=dirichlet_alpha,
        rng=rng,
        groups=tracks,
        min_rows=MIN_ROWS,
    )
    num_seen = clients - unseen
    return shared_images(
        train, test, owned, name="gtsrb", class_names=GTSRB_CLASSES, num_seen=num_seen, rng=rng, groups=tracks
    )


def _both(
    files: tuple[DataFile, DataFile],
    data_dir: str | os.PathLike[str],
    classes: tuple[str, ...],
    of_training: tuple[str, ...] = (),
) -> tuple[Images, Images]:
    """Read training and test images."""
    if data_dir and Path(data_dir).is_file():
        msg = f"data.dir = {data_dir} is a file; expected the folder with {files[0].relative} and {files[1].relative}"
        raise DataError(msg)
    train, test = (find(file, data_dir) for file in files)
    return read_images(train, classes=classes, more=of_training, made=MADE), read_images(
        test, classes=classes, made=MADE
    )
