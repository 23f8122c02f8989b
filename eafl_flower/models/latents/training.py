"""Train small encoders of ours on images, and find those that were trained on this machine.

Each is kept in the user's cache: a folder with ``weights.safetensors`` and a ``training.json``, which says what it was
made from. Its name ends in a hash of the images, family, width, seed and training.
"""

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from eafl_flower.core.caches import user_cache
from eafl_flower.core.rng import generator
from eafl_flower.core.words import shown
from eafl_flower.data.latents.images import ImageSet, image_numbers
from eafl_flower.errors import DataError
from eafl_flower.models.encoder.store import RECORD, keep
from eafl_flower.models.latents.families import EncoderKind, Training, new_network
from eafl_flower.models.latents.frozen import FrozenEncoder
from eafl_flower.models.latents.view import native
from eafl_flower.types import digest

_RECIPE = 1  # of what is below: encoders of another one are made anew
_WARM_UP = 0.1
_WEIGHTS = "weights.safetensors"
_VERSIONS = ("eafl-flower", "torch", "numpy")


def made_encoder(
    kind: EncoderKind,
    images: ImageSet,
    rows: NDArray[np.int64],
    training: Training,
    *,
    on_training: Callable[[], None] = lambda: None,
) -> FrozenEncoder:
    """Return an encoder of ours; it is trained unless it is in the cache.

    The same arguments give the same weights on one machine with the same threads of torch.

    Parameters
    ----------
    kind, training
        Family, width and seed; how it is trained.
    images, rows
        The images, and the numbers of those that it learns from.
    on_training
        Is told if it must be trained.

    Raises
    ------
    DataError
        If there are no rows, or what is in the cache is damaged.
    """
    if not len(rows):
        raise DataError(f"no image of {images.name} is set aside to train encoders: expected a share above 0")
    what = digest([image_numbers(images.pixels[rows]), images.labels[rows]])
    key = json.dumps([_RECIPE, what, asdict(kind), training.values()], sort_keys=True)
    path = user_cache("latents") / f"{images.name}-{kind.name}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    channels, side = images.pixels.shape[3], images.pixels.shape[1]
    if not (path / RECORD).is_file():
        on_training()
        network = trained(kind, images, rows, training)
        record: dict[str, Any] = {
            "kind": asdict(kind),
            "training": training.values(),
            "images": {"set": images.name, "number": len(rows), "sha256": what},
            "weights": sum(weights.numel() for weights in network.parameters()),
            "versions": {name: version(name) for name in _VERSIONS},
        }
        keep(path, lambda folder: save_file(network.state_dict(), folder / _WEIGHTS), record)
    with torch.random.fork_rng(devices=[]):
        network = new_network(kind, side=side, channels=channels)
    try:
        network.load_state_dict(load_file(path / _WEIGHTS))
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = shown(str(error).partition("\n")[0])
        raise DataError(f"{path} is damaged ({reason}): remove it, and the encoder is made anew") from error
    return FrozenEncoder(
        name=kind.name,
        features=network.eval(),
        view=native(images.pixels),
        trained_on=f"{images.name}, {len(rows):,} images that are in no split",
    )


def trained(kind: EncoderKind, images: ImageSet, rows: NDArray[np.int64], training: Training) -> nn.Module:
    """Return a trained network; the process's random state stays as it was."""
    rng = generator(kind.seed, "latents", "training", kind.family, kind.width)
    seen = native(images.pixels)(images.pixels[rows], images.largest)
    labels, classes = torch.from_numpy(images.labels[rows]), 1 + int(images.labels.max())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**63)))
        network = new_network(kind, side=seen.shape[2], channels=seen.shape[1])
        head = nn.Linear(kind.width, classes)
        weights = [*network.parameters(), *head.parameters()]
        optimizer = torch.optim.AdamW(weights, lr=training.learning_rate, weight_decay=training.weight_decay)
        steps = training.passes * -(-len(rows) // training.batch_size)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))
        network.train()
        for _ in range(training.passes):
            order = rng.permutation(len(rows))
            for batch in np.array_split(order, -(-len(rows) // training.batch_size)):
                latents = network(_moved(seen[batch], training, rng))
                loss = functional.cross_entropy(head(latents), labels[batch], label_smoothing=training.smoothing)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
    return network.eval()


def _rate(step: int, steps: int) -> float:
    rising = max(1.0, _WARM_UP * steps)
    if step < rising:
        return (step + 1) / rising
    return (1 + math.cos(math.pi * (step - rising) / max(1.0, steps - rising))) / 2


def _moved(images: torch.Tensor, training: Training, rng: np.random.Generator) -> torch.Tensor:
    """Return images each shifted, with what is outside of them black, and perhaps mirrored."""
    n, _, side, _ = images.shape
    shift = training.shift
    if shift:
        padded = functional.pad(images, (shift,) * 4, value=-1)  # black, as ``native`` shows it
        down, right = torch.from_numpy(rng.integers(0, 2 * shift + 1, (2, n)))
        steps = torch.arange(side)
        rows, columns = (down[:, None] + steps)[:, None, :, None], (right[:, None] + steps)[:, None, None, :]
        images = padded[
            torch.arange(n)[:, None, None, None], torch.arange(images.shape[1])[:, None, None], rows, columns
        ]
    if training.mirrored:
        turned = torch.from_numpy(rng.integers(0, 2, n).astype(np.bool_))
        images = torch.where(turned[:, None, None, None], images.flip(3), images)
    return images
