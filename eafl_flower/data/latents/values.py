"""Latents of images: what an encoder makes of them, with their classes, in up to three splits."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from eafl_flower.core.words import shown
from eafl_flower.errors import DataError

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
MOST_CLASSES = 100_000
"""A classifier has weights and scores for each class up to the largest label: of more these fill the memory."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LatentRows:
    """Latents of n images.

    Parameters
    ----------
    absolute
        Latent vectors ``(n, d)`` float32, one image a row. They are called absolute, as in the latents of others, for
        they are not relative to anchors.
    labels
        Classes ``(n,)`` int64, from 0 and below 100,000.
    images
        Which images they are, ``(n,)`` int64: a number of each one's pixels (``image_numbers``). None if that is not
        known.

    Raises
    ------
    DataError
        If there is no row or no column, shapes or types do not fit, a value is not finite, or a label is out of range.
    """

    absolute: NDArray[np.float32] = field(repr=False)
    labels: NDArray[np.int64] = field(repr=False)
    images: NDArray[np.int64] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        latents, rows = self.absolute, len(self.labels) if self.labels.ndim else 0
        if latents.dtype != np.float32 or latents.ndim != 2 or not latents.size:
            msg = f"absolute is {latents.dtype} {latents.shape}, expected float32 (n, d), at least (1, 1)"
            raise DataError(msg)
        for name, column in (("labels", self.labels), ("images", self.images)):
            if column is not None and (column.dtype != np.int64 or column.shape != latents.shape[:1]):
                msg = f"{name} is {column.dtype} {column.shape}, expected int64 ({len(latents)},), one for each latent"
                raise DataError(msg)
        if not (finite := np.isfinite(latents).all(axis=1)).all():
            first = int(np.argmin(finite))
            msg = f"{rows - int(finite.sum())} of {rows} latents are not finite, the first is row {first}: extract anew"
            raise DataError(msg)
        if self.labels.min() < 0:
            msg = f"label {self.labels.min()} of row {int(np.argmin(self.labels))} is below 0; expected 0 and above"
            raise DataError(msg)
        if self.labels.max() >= MOST_CLASSES:
            row = int(np.argmax(self.labels))
            msg = f"label {self.labels[row]} of row {row} is none: expected classes, numbered from 0, fewer than "
            raise DataError(f"{msg}{MOST_CLASSES:,}")

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, kw_only=True, eq=False)
class Latents:
    """What one encoder makes of the images of a set.

    Parameters
    ----------
    encoder
        Name of the encoder.
    splits
        Rows by the name of their split. ``train`` are the images on which encoders are aligned (pilots), ``val`` those
        by which something is chosen, ``test`` those on which it is scored.
    data
        Name of the set of images.
    trained_on
        What the encoder has learnt from, in words.

    Raises
    ------
    DataError
        If there is no split, one has another name, or latents have different sizes.
    """

    encoder: str
    splits: Mapping[str, LatentRows]
    data: str = ""
    trained_on: str = ""

    def __post_init__(self) -> None:
        if not self.encoder:
            raise DataError("the encoder has no name; expected one, which tells it from others")
        if not self.splits or (other := [name for name in self.splits if name not in SPLITS]):
            found = ", ".join(map(shown, other)) if self.splits else "none"
            raise DataError(f"splits: expected some of {', '.join(SPLITS)}, found {found}")
        if len(sizes := {rows.absolute.shape[1] for rows in self.splits.values()}) > 1:
            raise DataError(f"latents have sizes {', '.join(map(str, sorted(sizes)))} by split; expected one size")

    @property
    def size(self) -> int:
        """Numbers in a latent."""
        return int(next(iter(self.splits.values())).absolute.shape[1])

    @property
    def classes(self) -> int:
        """Number of classes: one more than the largest label."""
        return 1 + max(int(rows.labels.max()) for rows in self.splits.values())

    def rows(self, split: Split) -> LatentRows:
        """Return the rows of a split; raises ``DataError`` if it is not there."""
        if split not in self.splits:
            there = ", ".join(self.splits)
            raise DataError(
                f"the latents of {shown(self.encoder)} have no split {split}, only {there}: extract it, too"
            )
        return self.splits[split]
