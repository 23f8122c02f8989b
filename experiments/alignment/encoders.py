"""How encoders compare: their own classifiers, a linear one on raw pixels, and how alike the spaces are."""

from collections.abc import Mapping
from typing import Any

from eafl_flower.data.latents import linear_cka
from eafl_flower.data.latents.pixels import pixel_accuracy
from experiments.alignment.settings import WORLDS
from experiments.alignment.spaces import classifier_of, data_digest, images_of, latents_of, there

__all__ = ["data_digest", "recorded"]


def recorded(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return, of ``world`` and ``seed``, what each encoder's classifier gets right of the test images, and the rest.

    ``likeness`` is the linear CKA of the pilots' latents with the access point's.
    """
    world, seed = str(settings["world"]), int(settings["seed"])
    first = latents_of(world, WORLDS[world].access_point).rows("train").absolute
    found = [latents_of(world, name) for name in there(world)]
    return {
        "encoders": [latents.encoder for latents in found],
        "size": [latents.size for latents in found],
        "trained_on": [latents.trained_on for latents in found],
        "accuracy": [classifier_of(world, one.encoder, seed).accuracy(one.rows("test")) for one in found],
        "likeness": [linear_cka(first, latents.rows("train").absolute) for latents in found],
        "pixels": pixel_accuracy(*images_of(WORLDS[world].images)),
        "rows": {split: len(found[0].rows(split)) for split in ("train", "val", "test")},
    }
