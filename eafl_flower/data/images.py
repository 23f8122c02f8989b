"""Images as rows of features: files of numpy arrays (npz), and clients that share the images.

A file has ``images``, uint8 ``(n, 32, 32, 3)``, red, green and blue of each pixel, and ``labels``, integers ``(n,)``.
A row is an image in the order row, column, channel, each value divided by 255.
"""

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from eafl_flower.data.scaling import Scaler
from eafl_flower.data.source import InMemorySource
from eafl_flower.data.splits import with_dealt_tests
from eafl_flower.data.tables.files import counted, listed
from eafl_flower.errors import DataError
from eafl_flower.types import Array, Rows

SIDE = 32
CHANNELS = ("red", "green", "blue")
SHAPE = (SIDE, SIDE, len(CHANNELS))
LARGEST = 255
FEATURE_NAMES = tuple(f"pixel_{row}_{column}_{c}" for row in range(SIDE) for column in range(SIDE) for c in CHANNELS)
_SCALED = (np.arange(LARGEST + 1) / LARGEST).astype(np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class Images:
    """Images as rows ``(n, 3072)`` uint8, their classes ``(n,)``, and further numbers of each ``(n,)`` by name."""

    pixels: NDArray[np.uint8] = field(repr=False)
    labels: NDArray[np.int64]
    more: dict[str, NDArray[np.int64]] = field(default_factory=dict)


def read_images(path: Path, *, classes: Sequence[str], more: Sequence[str] = (), made: str = "") -> Images:
    """Read images, labels and further integers of each image.

    Parameters
    ----------
    path
        The file.
    classes
        Names of the classes. A file that has ``class_names``, too, must have these.
    more
        Names of further arrays ``(n,)`` of integers.
    made
        How such a file is made, for messages.

    Raises
    ------
    DataError
        If the file is damaged or no npz, or an array is missing or of another shape or type, or a label is no class.
    """
    named = f": {made}" if made else ""
    arrays = _arrays(path, ("images", "labels", *more), named)
    images, labels = arrays["images"], arrays["labels"]
    if images.dtype != np.uint8 or images.shape[1:] != SHAPE or not len(images):
        msg = f"{path}: images is {images.dtype} {images.shape}, expected uint8 (n, {SIDE}, {SIDE}, 3){named}"
        raise DataError(msg)
    for name in ("labels", *more):
        if arrays[name].dtype.kind not in "iu" or arrays[name].shape != (len(images),):
            found = f"{arrays[name].dtype} {arrays[name].shape}"
            msg = f"{path}: {name} is {found}, expected integers ({len(images)},), one for each image{named}"
            raise DataError(msg)
    if len(wrong := np.flatnonzero((labels < 0) | (labels >= len(classes)))):
        first = int(wrong[0])
        msg = (
            f"{path}: {counted(len(wrong), 'label')} out of range, the first is {labels[first]} of image {first}; "
            f"expected 0 to {len(classes) - 1}"
        )
        raise DataError(msg)
    if "class_names" in arrays and (names := [str(name) for name in arrays["class_names"].ravel()]) != list(classes):
        msg = f"{path}: class_names are {listed(names)}; expected {', '.join(classes)}, in this order"
        raise DataError(msg)
    return Images(
        pixels=images.reshape(len(images), -1),
        labels=labels.astype(np.int64),
        more={name: arrays[name].astype(np.int64) for name in more},
    )


def shared_images(
    train: Images,
    test: Images,
    owned: Sequence[NDArray[np.int64]],
    *,
    name: str,
    class_names: tuple[str, ...],
    num_seen: int,
    rng: np.random.Generator,
    groups: NDArray[np.int64] | None = None,
) -> InMemorySource:
    """Return the source of clients that own training images, with the test images dealt out to those that train.

    Parameters
    ----------
    train, test
        Training and test images.
    owned
        Training images of each client.
    name, class_names, num_seen
        As in ``InMemorySource``.
    rng
        Shuffles the images of each client, and the test images before they are dealt out.
    groups
        Group of each training image; an unseen client's groups stay on one side of its split.

    Raises
    ------
    ConfigError
        As ``splits.with_dealt_tests``.
    """
    pixels = np.concatenate([train.pixels, test.pixels])
    labels = np.concatenate([train.labels, test.labels])
    tests = len(train.labels) + rng.permutation(len(test.labels))
    splits = with_dealt_tests(owned, tests, num_seen=num_seen, rng=rng, groups=groups)
    return InMemorySource(
        name=name,
        class_names=class_names,
        feature_names=FEATURE_NAMES,
        num_seen=num_seen,
        parts=tuple(
            Rows(x_train=_SCALED[pixels[a]], y_train=labels[a], x_test=_SCALED[pixels[b]], y_test=labels[b])
            for a, b in splits
        ),
        scaler=Scaler(mean=np.zeros(len(FEATURE_NAMES)), scale=np.full(len(FEATURE_NAMES), float(LARGEST))),
    )


def _arrays(path: Path, names: Sequence[str], named: str) -> dict[str, Array]:
    try:
        with path.open("rb") as stream:
            found = np.load(stream, allow_pickle=False)
            if not isinstance(found, NpzFile):
                msg = f"{path} is one array, expected a file of the arrays {', '.join(names)} (npz){named}"
                raise DataError(msg)
            if missing := [name for name in names if name not in found.files]:
                msg = f"{path} has no array {listed(missing)}: found {listed(found.files)}{named}"
                raise DataError(msg)
            return {name: found[name] for name in found.files if name in (*names, "class_names")}
    except DataError:
        raise
    except (ValueError, zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        reason = str(error).strip() or type(error).__name__
        msg = f"{path} cannot be read as arrays of numpy (npz), it is damaged or something else ({reason}){named}"
        raise DataError(msg) from error
