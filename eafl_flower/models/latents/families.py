"""Small encoders of three families, which are trained here: their latents differ as those of strangers do.

References
----------
Dosovitskiy et al., "An image is worth 16x16 words: transformers for image recognition at scale", ICLR 2021 (``vit``).
Xiao et al., "Early convolutions help transformers see better", NeurIPS 2021 (its stem). The sizes are ours.
"""

from dataclasses import asdict, dataclass
from typing import Annotated, Literal

import torch
from torch import nn

from eafl_flower.core.settings import Count, CountFromOne, NotNegative, Positive, Range, Share, check_settings
from eafl_flower.errors import ConfigError
from eafl_flower.models.vision_transformer import VisionTransformer

Family = Literal["cnn", "mlp", "vit"]
_LAST_SIDE = 4  # of maps, behind which a convolutional network takes the mean
_FEWEST_FILTERS = 16
_MOST_TOKENS = 8  # of a vision transformer, in each direction
_HEADS = 4
_DEPTH = 2
_PLACES_SD = 1.0


@dataclass(frozen=True, kw_only=True)
class EncoderKind:
    """An encoder of ours by family, size and seed.

    Parameters
    ----------
    family
        ``"cnn"``: layers of 3 x 3 filters, batch norm and ReLU, two at each size, which halves until it is 4 or less,
        then the mean over places. ``"mlp"``: two layers of twice the width with GELU. ``"vit"``: a vision transformer
        of two blocks, on the maps of filters that halve the image until it is 8 or less.
    width
        Numbers in a latent; inner sizes grow with it.
    seed
        Of weights and training.

    Raises
    ------
    ConfigError
        If a number is out of range.
    """

    family: Family
    width: Annotated[int, Range(8, 4096)]
    seed: Annotated[int, Range(0)] = 1

    def __post_init__(self) -> None:
        uneven = {"width": f"not divisible by {_HEADS}"} if self.width % _HEADS else {}
        check_settings(self, **uneven)

    @property
    def name(self) -> str:
        """As ``kind_of`` reads it."""
        return f"{self.family}-{self.width}-{self.seed}"


@dataclass(frozen=True, kw_only=True)
class Training:
    """How encoders of ours are trained: AdamW on cross-entropy of a linear layer on the latents.

    Parameters
    ----------
    passes, batch_size
        Passes over the images; images of a step.
    learning_rate
        Largest one; it rises for a tenth of the steps and falls to 0 along half a cosine.
    weight_decay, smoothing
        Of AdamW; share of a label that is spread over all classes.
    shift
        Pixels that images are moved by at most, each way and each time anew.
    mirrored
        Whether images are mirrored at random, left to right.

    Raises
    ------
    ConfigError
        If a number is out of range.
    """

    passes: CountFromOne = 30
    batch_size: CountFromOne = 50
    learning_rate: Positive = 2e-3
    weight_decay: NotNegative = 0.05
    smoothing: Share = 0.1
    shift: Count = 0
    mirrored: bool = False

    def __post_init__(self) -> None:
        check_settings(self)

    def values(self) -> dict[str, int | float | bool]:
        """Return every setting by name."""
        return asdict(self)


TRAININGS = {
    "digits": Training(passes=30, shift=1),
    "cifar10": Training(passes=30, shift=4, mirrored=True),
}
"""How encoders are trained on each set of images."""


def kind_of(text: str, *, seed: int = 1) -> EncoderKind:
    """Return the kind that is written as FAMILY-WIDTH or FAMILY-WIDTH-SEED, as in ``"vit-64"`` or ``"cnn-96-2"``.

    Raises
    ------
    ConfigError
        If it is written otherwise.
    """
    family, *numbers = text.split("-")
    if family not in ("cnn", "mlp", "vit") or len(numbers) not in (1, 2) or not all(n.isdecimal() for n in numbers):
        raise ConfigError(
            f'encoder "{text}": expected FAMILY-WIDTH or FAMILY-WIDTH-SEED, as in vit-64, mlp-96 or cnn-64-2'
        )
    own_seed = int(numbers[1]) if len(numbers) == 2 else seed
    return EncoderKind(family=family, width=int(numbers[0]), seed=own_seed)  # type: ignore[arg-type]  # one of the three


def new_network(kind: EncoderKind, *, side: int, channels: int) -> nn.Module:
    """Return an untrained network from images ``(n, channels, side, side)`` to latents ``(n, width)``.

    Weights come from torch's random state.
    """
    if kind.family == "cnn":
        return _convolutional(side, channels, kind.width)
    if kind.family == "mlp":
        inner = 2 * kind.width
        return nn.Sequential(
            nn.Flatten(),
            *(nn.Linear(side * side * channels, inner), nn.GELU()),
            *(nn.Linear(inner, inner), nn.GELU()),
            nn.Linear(inner, kind.width),
        )
    return _Tokens(side, channels, kind.width)


def _convolutional(side: int, channels: int, width: int) -> nn.Module:
    halvings = 0
    while side >> halvings > _LAST_SIDE:
        halvings += 1
    layers: list[nn.Module] = []
    before = channels
    for left in range(halvings, -1, -1):
        inner = max(_FEWEST_FILTERS, 2 * width >> left)
        for _ in range(2):
            layers += [nn.Conv2d(before, inner, 3, padding=1, bias=False), nn.BatchNorm2d(inner), nn.ReLU()]
            before = inner
        if left:
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, width))


class _Tokens(nn.Module):
    def __init__(self, side: int, channels: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = channels
        while side > _MOST_TOKENS or not layers:
            layers += [nn.Conv2d(before, width, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            before, side = width, -(-side // 2)
        self.stem = nn.Sequential(*layers)
        self.blocks = VisionTransformer(
            rows=side, columns=side, channels=width, patch=1, width=width, depth=_DEPTH, heads=_HEADS
        )
        nn.init.normal_(self.blocks.positions, std=_PLACES_SD)
        # the norm before leaves one direction empty, which a linear layer would keep
        self.last = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps: torch.Tensor = self.stem(images)
        latents: torch.Tensor = self.last(self.blocks(maps.permute(0, 2, 3, 1).flatten(1)))
        return latents
