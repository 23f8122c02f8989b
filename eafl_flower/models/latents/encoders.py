"""Encoders of others that stay as they are: of transformers, of timm, and trained ones in the data folder.

Each is a module that makes features ``(n, d)`` of images, and the view of images that it was trained with.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from eafl_flower.core.words import reason, shown
from eafl_flower.data.tables.files import DataFile, find
from eafl_flower.errors import ConfigError
from eafl_flower.models.extras import require
from eafl_flower.models.latents.frozen import FrozenEncoder
from eafl_flower.models.latents.resnet import LAYERS, load_resnet
from eafl_flower.models.latents.timm_models import open_timm
from eafl_flower.models.latents.view import HALF, IMAGENET, View
from eafl_flower.models.lora.pooling import CLASSIFIERS, Pooled, pooled

MOBILENET_SIDE = 96
USUAL_SIDE = 224
_TIMM = "timm:"
_RESNETS = {
    f"resnet{layers}": DataFile(
        title=f"a ResNet of {layers} layers trained on CIFAR-10",
        relative=f"encoders/cifar_resnet{layers}.safetensors",
        published="https://github.com/akamaster/pytorch_resnet_cifar10",
    )
    for layers in LAYERS
}
_MOBILENET = DataFile(
    title="MobileNet V1, width 0.25, trained on ImageNet, as transformers saves it",
    relative="encoders/mobilenet_v1_0.25_imagenet/config.json",
    published="https://github.com/tensorflow/tflite-support",
)
STORED = (*_RESNETS, "mobilenet")
_RESAMPLES: Mapping[int, str] = {0: "nearest", 2: "bilinear", 3: "bicubic"}  # numbers of Pillow


def open_encoder(
    encoder: str, *, data_dir: str | os.PathLike[str] = "", features: Pooled = "auto", side: int = 0
) -> FrozenEncoder:
    """Open an encoder by its name, frozen and in evaluation mode.

    Parameters
    ----------
    encoder
        ``"resnet20"``, ``"resnet32"``, ``"resnet44"``, ``"resnet56"`` (trained on CIFAR-10) or ``"mobilenet"`` (on
        ImageNet), both in the data folder; ``"timm:..."``, a model of timm (``open_timm``); or a folder or hub name of
        an image encoder of transformers.
    data_dir
        Folder of the data; ``EAFL_DATA_DIR`` if empty.
    features
        How an encoder of transformers makes one vector of its tokens; ``"auto"``: as the classification model of its
        kind does, else the mean.
    side
        Rows and columns of the images that it gets; 0: as its files say, or else 224.

    Raises
    ------
    ConfigError
        If there is no such encoder, or it is none of images.
    DataError
        If a file of the data folder is missing or damaged.
    ModuleNotFoundError
        If a package is missing; says how to install it.
    """
    if encoder in _RESNETS:
        found = _resnet(encoder, data_dir)
    elif encoder == "mobilenet":
        found = _transformer(str(find(_MOBILENET, data_dir).parent), features)
        view = View(side=MOBILENET_SIDE, mean=HALF[0], sd=HALF[1])
        found = replace(found, name=encoder, view=view, trained_on="ImageNet")
    elif encoder.startswith(_TIMM):
        found = open_timm(encoder.removeprefix(_TIMM), data_dir=data_dir)
    else:
        found = _transformer(encoder, features)
    return replace(found, view=_of_side(found.view, side))


def _resnet(encoder: str, data_dir: str | os.PathLike[str]) -> FrozenEncoder:
    network = load_resnet(find(_RESNETS[encoder], data_dir))
    return FrozenEncoder(
        name=encoder,
        features=network,
        view=View(side=32, mean=IMAGENET[0], sd=IMAGENET[1]),
        trained_on="CIFAR-10, the publisher's training images, of which pilots and validation images are some",
    )


def _transformer(encoder: str, features: Pooled) -> FrozenEncoder:
    require(f'the encoder "{encoder}"', "transformers", extra="lora")
    from transformers import AutoModel

    try:
        with _quiet_transformers():
            module, told = AutoModel.from_pretrained(encoder, output_loading_info=True)
    except (OSError, ValueError) as error:
        expected = (
            f"expected {', '.join(STORED)}, timm:NAME, or a folder of save_pretrained or a hub name of transformers"
        )
        raise ConfigError(f'encoder "{shown(encoder)}" cannot be loaded: {reason(error)}; {expected}') from error
    if getattr(module, "main_input_name", "") != "pixel_values":
        raise ConfigError(f'"{shown(encoder)}" is no encoder of images: expected one that takes pixel_values')
    how = CLASSIFIERS.get(str(module.config.model_type), "mean") if features == "auto" else features
    if random := sorted(name for name in told["missing_keys"] if how == "pooler" or not name.startswith("pooler.")):
        raise ConfigError(f'"{shown(encoder)}" has no weights {random[0]}, so its features would be random')
    module.eval()

    def make(images: torch.Tensor) -> torch.Tensor:
        return pooled(module(pixel_values=images), how, None)

    return FrozenEncoder(
        name=Path(encoder).name if Path(encoder).is_dir() else encoder,
        features=make,
        view=_view_of(encoder, module.config),
        trained_on="what its publisher says",
    )


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Keep transformers from drawing bars and tables: what is wrong with weights is told by us."""
    from transformers.utils import logging

    logger: Any = logging  # whose functions have no types
    before, bars = logger.get_verbosity(), logger.is_progress_bar_enabled()
    logger.set_verbosity_error()
    logger.disable_progress_bar()
    try:
        yield
    finally:
        logger.set_verbosity(before)
        if bars:
            logger.enable_progress_bar()


def _view_of(encoder: str, config: Any) -> View:
    """Return the view that the encoder's preprocessor is set to, or the usual one of its size."""
    from transformers import ImageProcessingMixin

    size = getattr(config, "image_size", None)
    side = size if isinstance(size, int) else USUAL_SIDE
    try:
        settings, _ = ImageProcessingMixin.get_image_processor_dict(encoder)
    except (OSError, ValueError):
        return View(side=side, mean=HALF[0], sd=HALF[1])
    resized = _edge(settings.get("size"), side)
    cut = _edge(settings.get("crop_size"), resized) if settings.get("do_center_crop") else resized
    mean, sd = (
        (settings.get("image_mean", HALF[0]), settings.get("image_std", HALF[1]))
        if settings.get("do_normalize", True)
        else ((0.0,) * 3, (1.0,) * 3)
    )
    interpolation: Any = _RESAMPLES.get(settings.get("resample", 2), "bicubic")
    return View(side=cut, resized=max(cut, resized), mean=tuple(mean), sd=tuple(sd), interpolation=interpolation)


def _edge(size: Any, otherwise: int) -> int:
    """Return the shorter edge that a size of transformers means: a number, or a dict of edges."""
    if isinstance(size, Mapping):
        size = size.get("shortest_edge") or size.get("height")
    return size if isinstance(size, int) and size > 0 else otherwise


def _of_side(view: View, side: int) -> View:
    """Return the view with another side, cut out of images that are larger by the same factor; 0: as it is."""
    return replace(view, side=side, resized=round(side * view.resized / view.side)) if side else view
