"""How images come to an encoder: its size of image, and what its numbers mean."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch.nn import functional

from eafl_flower.errors import ConfigError
from eafl_flower.types import Array

Interpolation = Literal["bicubic", "bilinear", "nearest"]
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@dataclass(frozen=True, kw_only=True)
class View:
    r"""Square images as an encoder wants them.

    With :math:`p` a pixel over the largest one, resized, cut to the middle and limited to :math:`[0, 1]`, the encoder
    gets :math:`(p - \mu_c) / \sigma_c` in channel :math:`c`. Nothing is rounded in between, where other libraries round
    resized images to whole pixels of 255.

    Parameters
    ----------
    side
        Rows and columns that the encoder gets.
    mean, sd
        :math:`\mu` and :math:`\sigma` of each channel. Grey images are repeated for three of them.
    resized
        Rows and columns before the middle is cut out; 0: ``side``.
    interpolation
        Of pixels, where the size changes.

    Raises
    ------
    ConfigError
        If a number is out of range.
    """

    side: int
    mean: tuple[float, ...]
    sd: tuple[float, ...]
    resized: int = 0
    interpolation: Interpolation = "bicubic"

    def __post_init__(self) -> None:
        if self.side < 1 or (self.resized and self.resized < self.side):
            raise ConfigError(
                f"side {self.side} of images resized to {self.resized}: expected 1 and above, at most that"
            )
        if len(self.mean) != len(self.sd) or len(self.mean) not in (1, 3) or not all(s > 0 for s in self.sd):
            raise ConfigError(
                f"mean {self.mean}, sd {self.sd}: expected one number each for 1 or 3 channels, sd above 0"
            )
        if self.interpolation not in get_args(Interpolation):
            raise ConfigError(f'interpolation "{self.interpolation}": expected {", ".join(get_args(Interpolation))}')

    def __call__(self, pixels: Array, largest: int) -> torch.Tensor:
        """Return images ``(n, channels, side, side)`` float32 of pixels ``(n, rows, columns, channels)`` uint8.

        Raises
        ------
        ConfigError
            If the images are not square, or have colours and the encoder none.
        """
        n, rows, columns, channels = pixels.shape
        if rows != columns or channels not in (1, len(self.mean)):
            found = f"{rows} x {columns} pixels of {channels} channels"
            raise ConfigError(f"images of {found}: the encoder takes square ones of 1 or {len(self.mean)} channels")
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(torch.float32) / largest
        resized = self.resized or self.side
        if resized != rows:
            smooth = self.interpolation != "nearest"
            images = functional.interpolate(
                images,
                size=(resized, resized),
                mode=self.interpolation,
                **({"antialias": True, "align_corners": False} if smooth else {}),
            ).clamp_(0, 1)
        edge = (resized - self.side) // 2
        images = images[:, :, edge : edge + self.side, edge : edge + self.side].expand(n, len(self.mean), -1, -1)
        mean, sd = (torch.tensor(numbers).view(1, -1, 1, 1) for numbers in (self.mean, self.sd))
        return ((images - mean) / sd).contiguous()


def native(pixels: Array) -> View:
    """Return the view that shows images as they are, from -1 to 1."""
    channels = pixels.shape[3]
    return View(side=pixels.shape[1], mean=(0.5,) * channels, sd=(0.5,) * channels)
