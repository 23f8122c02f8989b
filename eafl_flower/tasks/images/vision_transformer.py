"""A small vision transformer: what becomes of an update where weights are those of attention."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from eafl_flower.core.settings import CountFromOne, check_settings
from eafl_flower.tasks.images.size import ImageSize, image_size, size_problem
from eafl_flower.tasks.optimizers import WithOptimizer
from eafl_flower.tasks.torch_task import TorchTask, require_torch
from eafl_flower.tasks.training import Training

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class VisionTransformer(WithOptimizer):
    """``VisionTransformerTask`` by its settings.

    Parameters
    ----------
    image_size
        Rows x columns x channels, as in "32x32x3"; empty: square images of three channels or one, by the number of
        features.
    patch
        Side of a patch in pixels.
    width, depth, heads
        Length of a patch's vector, blocks, and heads of attention in each.
    optimizer, adadelta_constants, optimizer_state
        See ``WithOptimizer``.

    Raises
    ------
    ConfigError
        If a setting is out of range, or the heads do not divide the width.
    """

    image_size: str = ""
    patch: CountFromOne = 8
    width: CountFromOne = 64
    depth: CountFromOne = 2
    heads: CountFromOne = 4

    def __post_init__(self) -> None:
        check_settings(
            self,
            image_size=size_problem(self.image_size),
            heads=_heads_problem(self.width, self.heads),
            adadelta_constants=self.constants_problem,
        )

    def make(self, training: Training) -> "VisionTransformerTask":
        """Return the task for features and classes.

        Raises
        ------
        ConfigError
            If the features are no images of the size, or patches do not fill these.
        ModuleNotFoundError
            If torch is not installed.
        """
        require_torch('task.name = "vision-transformer"')
        settings: dict[str, Any] = vars(self) | training.steps_on_device
        settings["image_size"] = image_size(self.image_size, training.num_features)
        return VisionTransformerTask(**settings)


@dataclass(frozen=True, kw_only=True)
class VisionTransformerTask(TorchTask):
    """A transformer on patches, norms before its layers, whose mean vector a linear layer reads, under cross-entropy.

    The arrays are the positions ``(patches, width)``, weights and biases of the embedding, those of each block (two
    norms, queries, keys and values together, output, two layers of four times the width with GELU), of the last norm,
    and of the linear layer, which is the head.

    Parameters
    ----------
    image_size
        Rows, columns and channels of the images.
    patch, width, depth, heads
        Side of a patch, length of its vector, blocks, and heads of attention in each.

    Raises
    ------
    ConfigError
        If a setting is out of range, patches do not fill the images, or heads do not divide the width.
    """

    image_size: ImageSize = field(kw_only=True)
    patch: CountFromOne = 8
    width: CountFromOne = 64
    depth: CountFromOne = 2
    heads: CountFromOne = 4

    def __post_init__(self) -> None:
        rows, columns, _ = self.image_size
        fills = isinstance(self.patch, int) and self.patch > 0 and rows % self.patch == columns % self.patch == 0
        text = "" if fills else f"expected a divisor of the images' rows and columns, {rows} and {columns}"
        heads = _heads_problem(self.width, self.heads)
        check_settings(self, patch=text, heads=heads, adadelta_constants=self.constants_problem)

    def _backbone(self) -> tuple["nn.Module", int]:
        from eafl_flower.models import vision_transformer

        sizes = {name: getattr(self, name) for name in ("patch", "width", "depth", "heads")}
        return vision_transformer.VisionTransformer(**self.image_size._asdict(), **sizes), self.width


def _heads_problem(width: int, heads: int) -> str:
    divides = not isinstance(heads, int) or not isinstance(width, int) or heads < 1 or width % heads == 0
    return "" if divides else f"expected a divisor of the width, {width}"
