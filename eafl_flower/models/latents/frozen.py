"""An encoder that nobody trains any more: what makes features of images, and how images come to it."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from eafl_flower.models.latents.view import View


@dataclass(frozen=True, kw_only=True, eq=False)
class FrozenEncoder:
    """An encoder that nobody trains any more.

    Parameters
    ----------
    name
        Of the encoder.
    features
        From images ``(n, channels, side, side)``, as ``view`` gives them, to features ``(n, d)``.
    view
        How images come to it.
    trained_on
        What it has learnt from, in words.
    """

    name: str
    features: Callable[[torch.Tensor], torch.Tensor] = field(repr=False)
    view: View
    trained_on: str = ""
