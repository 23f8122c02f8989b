"""Whether latents of several encoders are those of the same images, row by row: only then can they be aligned."""

from collections.abc import Sequence

import numpy as np

from eafl_flower.core.words import shown
from eafl_flower.data.latents.values import SPLITS, Latents
from eafl_flower.errors import DataError


def refuse_other_images(first: Latents, others: Sequence[Latents]) -> None:
    """Refuse latents whose rows are not of the images that the rows of ``first`` are of, in each split.

    Where one of two does not know its images, numbers of rows and labels are compared, which finds what is in another
    order or from another set in all but a few cases.

    Raises
    ------
    DataError
        Says what differs, and from which row.
    """
    for other in others:
        for split in SPLITS:
            if (split in first.splits) != (split in other.splits):
                there, lacks = (first, other) if split in first.splits else (other, first)
                msg = f"the latents of {_name(lacks)} have no split {split}, those of {_name(there)} have"
                raise DataError(f"{msg}: extract both from the same images")
            if split in first.splits:
                _refuse(first, other, split)


def _refuse(first: Latents, other: Latents, split: str) -> None:
    a, b = first.splits[split], other.splits[split]
    pair = f"split {split} of {_name(first)} and {_name(other)}"
    if len(a) != len(b):
        msg = f"{pair}: {len(a):,} and {len(b):,} rows; they must be of the same images, in the same order"
        raise DataError(f"{msg}: extract both with the same images, seed and shares")
    known = a.images is not None and b.images is not None
    left, right = (a.images, b.images) if known else (a.labels, b.labels)
    assert left is not None and right is not None
    if len(differ := np.flatnonzero(left != right)):
        what = "are of other images" if known else "have other labels"
        msg = f"{pair}: {len(differ):,} of {len(a):,} rows {what}, the first is row {differ[0]}"
        raise DataError(f"{msg}; they must be of the same images, in the same order: extract both with the same seed")


def _name(latents: Latents) -> str:
    return shown(latents.encoder)
