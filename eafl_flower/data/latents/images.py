"""Images that encoders look at, and which of them are for what.

Each image has a number made of its pixels, by which latents of several encoders are known to be of the same images.
"""

import hashlib
import os
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from eafl_flower.core.rng import generator
from eafl_flower.core.words import shown
from eafl_flower.data.images import SHAPE, read_images
from eafl_flower.data.sets.images import CIFAR10_CLASSES, CIFAR10_FILES, MADE
from eafl_flower.data.tables.files import find
from eafl_flower.errors import ConfigError, DataError

IMAGE_SETS = ("digits", "cifar10")
DIGITS_TESTS = 360
VALIDATION_SHARE = 0.1


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageSet:
    """Images of one size.

    Parameters
    ----------
    name
        Of the set.
    pixels
        ``(n, rows, columns, channels)`` uint8; one channel is grey, three are red, green and blue.
    labels
        Classes ``(n,)`` int64.
    tests
        Whether an image is one to test on, ``(n,)``, by the set's publisher; none: the seed decides.
    largest
        Value of a pixel as bright as can be.
    class_names
        Names of the classes.
    """

    name: str
    pixels: NDArray[np.uint8] = field(repr=False)
    labels: NDArray[np.int64] = field(repr=False)
    tests: NDArray[np.bool_] | None = field(default=None, repr=False)
    largest: int = 255
    class_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageRows:
    """Row numbers of images by what they are for, in random order; those of ``encoders`` may be none.

    ``encoders`` train encoders of ours; on ``train`` (pilots) spaces are aligned and classifiers trained, ``val``
    chooses, ``test`` scores.
    """

    encoders: NDArray[np.int64]
    train: NDArray[np.int64]
    val: NDArray[np.int64]
    test: NDArray[np.int64]


def load_image_set(name: str, data_dir: str | os.PathLike[str] = "") -> ImageSet:
    """Load ``"digits"`` (of scikit-learn, 1,797 of 8 x 8 pixels) or ``"cifar10"`` (of the data folder, 32 x 32).

    Parameters
    ----------
    name
        Of the set.
    data_dir
        Folder of the data; ``EAFL_DATA_DIR`` if empty.

    Raises
    ------
    ConfigError
        If the name is unknown, or scikit-learn is needed and not installed.
    DataError
        If a file is missing or damaged.
    """
    if name == "digits":
        return _digits()
    if name == "cifar10":
        both = [read_images(find(file, data_dir), classes=CIFAR10_CLASSES, made=MADE) for file in CIFAR10_FILES]
        return ImageSet(
            name=name,
            pixels=np.concatenate([images.pixels for images in both]).reshape(-1, *SHAPE),
            labels=np.concatenate([images.labels for images in both]),
            tests=np.repeat([False, True], [len(images.labels) for images in both]),
            class_names=CIFAR10_CLASSES,
        )
    raise ConfigError(f'images "{shown(name)}": expected {" or ".join(IMAGE_SETS)}')


def split_images(images: ImageSet, *, seed: int, encoder_share: float) -> ImageRows:
    """Share images out: test images first, then those that train encoders, validation, and pilots with what is left.

    The publisher's test images are test images; without any, 360 are drawn. Of the others a share trains encoders, a
    tenth validates.

    Parameters
    ----------
    images
        All of them.
    seed
        Decides who is what. The same seed gives the same test images whatever the share.
    encoder_share
        Share of the images that are no test images, from 0 (all encoders come from elsewhere) to below 0.9.

    Raises
    ------
    ConfigError
        If the share is out of range.
    DataError
        If there are too few images to have one of each.
    """
    if not 0 <= encoder_share < 1 - VALIDATION_SHARE:
        raise ConfigError(f"encoder share {encoder_share:g}: expected at least 0 and below {1 - VALIDATION_SHARE:g}")
    order = generator(seed, "latents", "split").permutation(len(images))
    if images.tests is None:
        test, others = order[:DIGITS_TESTS], order[DIGITS_TESTS:]
    else:
        test, others = order[images.tests[order]], order[~images.tests[order]]
    of_encoders, of_validation = round(encoder_share * len(others)), round(VALIDATION_SHARE * len(others))
    parts = np.split(others, [of_encoders, of_encoders + of_validation])
    if min(len(test), len(parts[1]), len(parts[2])) == 0 or (encoder_share and not len(parts[0])):
        raise DataError(f"{images.name} has {len(images)} images: too few for pilots, validation and tests")
    return ImageRows(encoders=parts[0], val=parts[1], train=parts[2], test=test)


def image_numbers(pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return a number of each image's shape and pixels, ``(n,)``: the first 64 bits of their SHA-256."""
    shape = repr(pixels.shape[1:]).encode()
    found = [hashlib.sha256(shape + image.tobytes()).digest()[:8] for image in np.ascontiguousarray(pixels)]
    return np.frombuffer(b"".join(found), "<i8").astype(np.int64)


def _digits() -> ImageSet:
    try:
        from sklearn import datasets
    except ImportError as error:
        raise ConfigError("the images of digits need scikit-learn: pip install scikit-learn") from error
    pixels, labels = datasets.load_digits(return_X_y=True)
    return ImageSet(
        name="digits",
        pixels=pixels.astype(np.uint8).reshape(-1, 8, 8, 1),
        labels=labels.astype(np.int64),
        largest=16,
        class_names=tuple(map(str, range(10))),
    )
