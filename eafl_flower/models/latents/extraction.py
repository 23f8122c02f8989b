"""Latents of images by an encoder, batch by batch."""

import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from eafl_flower.core.words import shown
from eafl_flower.data.latents.images import ImageRows, ImageSet, image_numbers
from eafl_flower.data.latents.values import SPLITS, LatentRows, Latents
from eafl_flower.errors import ConfigError, DataError
from eafl_flower.models.latents.frozen import FrozenEncoder

BATCH_SIZE = 100


def extract(
    encoder: FrozenEncoder,
    images: ImageSet,
    rows: ImageRows,
    *,
    batch_size: int = BATCH_SIZE,
    on_estimate: Callable[[float], None] = lambda seconds: None,
) -> Latents:
    """Return the latents of pilots, validation and test images by an encoder.

    The same encoder, images, batch size and threads of torch give the same bits on one machine.

    Parameters
    ----------
    encoder
        Makes the latents.
    images, rows
        The images, and which of them are in which split.
    batch_size
        Images that the encoder sees at a time.
    on_estimate
        Is told once, after the first batch, about how long all take [s].

    Raises
    ------
    ConfigError
        If the batch size is below 1, or the encoder does not take these images.
    DataError
        If it gives latents that are not finite.
    """
    if batch_size < 1:
        raise ConfigError(f"batch size {batch_size}: expected 1 and above")
    wanted = {split: getattr(rows, split) for split in SPLITS}
    total, began = sum(map(len, wanted.values())), time.perf_counter()
    numbers = image_numbers(images.pixels)
    splits: dict[str, LatentRows] = {}
    for split, members in wanted.items():
        parts = []
        for batch in (members[start : start + batch_size] for start in range(0, len(members), batch_size)):
            parts.append(features_of(encoder, images.pixels[batch], images.largest))
            if not splits and len(parts) == 1:
                on_estimate((time.perf_counter() - began) * total / len(batch))
        try:
            splits[split] = LatentRows(
                absolute=np.concatenate(parts), labels=images.labels[members], images=numbers[members]
            )
        except DataError as error:
            raise DataError(f"{shown(encoder.name)} on {images.name}, {split}: {error}") from error
    return Latents(encoder=encoder.name, splits=splits, data=images.name, trained_on=encoder.trained_on)


def features_of(encoder: FrozenEncoder, pixels: NDArray[np.uint8], largest: int) -> NDArray[np.float32]:
    """Return the features ``(n, d)`` of images ``(n, rows, columns, channels)``.

    Raises
    ------
    ConfigError
        If the encoder does not take these images, or gives something else than features.
    """
    view, seen = encoder.view, encoder.view(pixels, largest)
    with torch.inference_mode():
        try:
            features = encoder.features(seen)
        except (RuntimeError, ValueError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            size = f"images of {view.side} x {view.side} pixels and {len(view.mean)} channels"
            raise ConfigError(f"{shown(encoder.name)} does not take {size} ({reason}): try another side") from error
    if features.ndim != 2 or len(features) != len(pixels):
        shape = tuple(features.shape)
        raise ConfigError(f"{shown(encoder.name)} gives {shape} of {len(pixels)} images, expected ({len(pixels)}, d)")
    return features.to(torch.float32).numpy(force=True)
