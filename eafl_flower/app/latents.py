"""Latents of images by several encoders, those of others or small ones of ours, and how they compare."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from eafl_flower.core.threads import one_thread
from eafl_flower.data.latents.images import ImageRows, ImageSet
from eafl_flower.data.latents.pairs import refuse_other_images
from eafl_flower.data.latents.similarity import linear_cka
from eafl_flower.data.latents.values import Latents
from eafl_flower.errors import ConfigError
from eafl_flower.models.extras import require

if TYPE_CHECKING:
    from eafl_flower.models.latents.frozen import FrozenEncoder

ENCODERS = {
    "digits": "vit-64,vit-48,vit-32,mlp-64,mlp-96,mlp-128,cnn-32,cnn-48,cnn-64,cnn-96",
    "cifar10": "cnn-64,cnn-64-2,cnn-48,cnn-32,vit-64,vit-48,mlp-64,mlp-96",
}
"""Encoders that are made for each set of images; the first one is the access point's."""


@dataclass(frozen=True, kw_only=True)
class EncoderScores:
    """How an encoder's latents compare.

    ``accuracy`` is the share of test images that its own classifier names rightly, ``likeness`` the linear CKA of its
    pilots' latents and those of the first encoder.
    """

    encoder: str
    size: int
    accuracy: float
    likeness: float


def use_threads(threads: int) -> None:
    """Compute with so many threads of torch, and one of numpy; raises ``ConfigError`` below 1."""
    if threads < 1:
        raise ConfigError(f"threads {threads}: expected 1 and above")
    require("latents of images", "torch", extra="torch")
    import torch

    one_thread()
    torch.set_num_threads(threads)


def made_encoders(
    names: Sequence[str],
    images: ImageSet,
    rows: ImageRows,
    *,
    seed: int,
    on_training: Callable[[str], None] = lambda name: None,
) -> "Iterator[FrozenEncoder]":
    """Yield encoders of ours, each trained unless it is in the cache.

    Parameters
    ----------
    names
        As ``vit-64`` or ``cnn-64-2``; without a number of its own, an encoder's seed is ``seed``.
    images, rows
        The images, and which of them train encoders.
    seed
        Of encoders.
    on_training
        Is told the name of each that must be trained.

    Raises
    ------
    ConfigError
        If a name is written otherwise, or there twice.
    DataError
        If what is in the cache is damaged.
    """
    from eafl_flower.models.latents.families import TRAININGS, kind_of
    from eafl_flower.models.latents.training import made_encoder

    kinds = [kind_of(name, seed=seed) for name in names]
    _refuse_twice([kind.name for kind in kinds])
    for kind in kinds:
        yield made_encoder(
            kind,
            images,
            rows.encoders,
            TRAININGS[images.name],
            on_training=lambda name=kind.name: on_training(name),  # type: ignore[misc]
        )


def compared(several: Sequence[Latents], *, seed: int) -> Iterator[EncoderScores]:
    """Yield how the latents of each encoder compare with those of the first one, whose images are the same.

    Parameters
    ----------
    several
        Latents of each encoder, with the splits ``train``, ``val`` and ``test``.
    seed
        Of classifiers.

    Raises
    ------
    DataError
        If they are of other images, or a split is missing.
    """
    from eafl_flower.models.latents.classifier import fit_classifier

    first = several[0]
    refuse_other_images(first, several[1:])
    for latents in several:
        pilots, tests = latents.rows("train"), latents.rows("test")
        yield EncoderScores(
            encoder=latents.encoder,
            size=latents.size,
            accuracy=fit_classifier(latents, seed=seed).accuracy(tests),
            likeness=linear_cka(first.rows("train").absolute, pilots.absolute),
        )


def file_of(folder: str | os.PathLike[str], encoder: str) -> Path:
    """Return the file of an encoder's latents in a folder; a hub name's slash becomes two hyphens."""
    return Path(folder) / f"{encoder.replace(os.sep, '--')}.safetensors"


def refuse_same_files(folder: str | os.PathLike[str], encoders: Sequence[str]) -> None:
    """Refuse encoders whose latents would go to one file; raises ``ConfigError``."""
    _refuse_twice([file_of(folder, encoder).stem for encoder in encoders])


def _refuse_twice(names: Sequence[str]) -> None:
    if twice := [name for name in dict.fromkeys(names) if list(names).count(name) > 1]:
        raise ConfigError(f"{', '.join(twice)}: given twice; encoders are told from each other by name")
