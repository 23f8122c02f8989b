"""Latents of a world, and a classifier for each encoder and seed, each made once and kept in the user's cache."""

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from eafl_flower.core.caches import user_cache
from eafl_flower.core.durable import make_folder, write_atomically
from eafl_flower.data.latents import Latents, read_latents, refuse_other_images, write_latents
from eafl_flower.data.latents.images import ImageRows, ImageSet, image_numbers, load_image_set, split_images
from eafl_flower.errors import DataError
from eafl_flower.types import digest
from experiments.alignment.settings import ENCODER_SEED, ENCODER_SHARE, WORLDS, World

_RECIPE: Final = 1  # of what is below: latents of another one are made anew
_PARTS: Final = 8  # arrays of a classifier


@cache
def images_of(images: str) -> tuple[ImageSet, ImageRows]:
    """Return images, and which of them are for what."""
    found = load_image_set(images)
    return found, split_images(found, seed=ENCODER_SEED, encoder_share=ENCODER_SHARE)


@cache
def images_digest(images: str) -> str:
    """Return the digest of images, their classes and how they are shared out."""
    found, rows = images_of(images)
    return digest([image_numbers(found.pixels), found.labels, rows.encoders, rows.train, rows.val, rows.test])


def data_digest(settings: Mapping[str, Any]) -> str:
    """Return the digest of what cells of a world are made from: images, and latents of the encoders that are there.

    Encoders that are trained on another machine differ in their last bits, and are other encoders.
    """
    return _digest(str(settings["world"]))


@cache
def _digest(world: str) -> str:
    sha = hashlib.sha256(images_digest(WORLDS[world].images).encode())
    for encoder in there(world):
        sha.update(digest([rows.absolute for rows in latents_of(world, encoder).splits.values()]).encode())
    return sha.hexdigest()


@cache
def there(world: str) -> tuple[str, ...]:
    """Return the encoders of a world that are there: those of the data folder may not be."""
    return (*WORLDS[world].made, *(name for name in WORLDS[world].stored if _is_there(world, name)))


def users_of(world: str, group: str) -> tuple[str, ...]:
    """Return the users of a group that are there."""
    return tuple(name for name in WORLDS[world].groups[group] if name in there(world))


@cache
def groups_of(world: str) -> tuple[str, ...]:
    """Return the groups of a world that are whole, and that of everybody who is there."""
    groups = WORLDS[world].groups
    return tuple(name for name, users in groups.items() if name == "all" or set(users) <= set(there(world)))


@cache
def latents_of(world: str, encoder: str) -> Latents:
    """Return the latents of an encoder; they are made unless they are kept."""
    from eafl_flower.app.latents import file_of, use_threads

    path = file_of(_folder(WORLDS[world]), encoder)
    if path.is_file():
        return read_latents(path)
    use_threads(1)
    from eafl_flower.app.latents import made_encoders
    from eafl_flower.models.latents.encoders import open_encoder
    from eafl_flower.models.latents.extraction import extract

    images, rows = images_of(WORLDS[world].images)
    if encoder in WORLDS[world].made:
        (opened,) = made_encoders([encoder], images, rows, seed=ENCODER_SEED)
    else:
        opened = open_encoder(encoder)
    found = extract(opened, images, rows)
    if encoder != WORLDS[world].access_point:
        refuse_other_images(latents_of(world, WORLDS[world].access_point), [found])
    write_latents(path, found)
    return found


@cache
def classifier_of(world: str, encoder: str, seed: int) -> Any:
    """Return the classifier of an encoder's latents; it is trained unless it is kept."""
    from eafl_flower.app.latents import use_threads
    from eafl_flower.models.latents.classifier import USUAL, LatentClassifier, fit_classifier

    latents = latents_of(world, encoder)
    settings = json.dumps([asdict(USUAL), digest([rows.absolute for rows in latents.splits.values()])], sort_keys=True)
    key = hashlib.sha256(settings.encode()).hexdigest()[:12]
    path = _folder(WORLDS[world]) / f"{encoder}-classifier-{seed}-{key}.npz"
    if not path.is_file():
        use_threads(1)
        fitted = fit_classifier(latents, seed=seed)
        content = io.BytesIO()
        np.savez(content, *fitted.first, *fitted.second)
        write_atomically(path, content.getvalue())
        return fitted
    with np.load(path, allow_pickle=False) as stored:
        parts = [stored[f"arr_{number}"] for number in range(_PARTS)]
    return LatentClassifier(first=tuple(parts[:4]), second=tuple(parts[4:]))


def _is_there(world: str, encoder: str) -> bool:
    from eafl_flower.app.latents import file_of

    if file_of(_folder(WORLDS[world]), encoder).is_file():
        return True
    from eafl_flower.models.latents.encoders import open_encoder

    try:
        open_encoder(encoder)
    except (DataError, ModuleNotFoundError):
        return False
    return True


def _folder(world: World) -> Path:
    key = json.dumps([_RECIPE, ENCODER_SEED, ENCODER_SHARE, images_digest(world.images)])
    folder = user_cache("alignment") / f"{world.images}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    make_folder(folder)
    return folder
