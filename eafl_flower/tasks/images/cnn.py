"""A small convolutional network for images: the one that the EMQ experiments train.

On images of 32 x 32 pixels in three colours, with ten classes, it has 462,410 parameters.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from eafl_flower.core.settings import CountFromOne, check_settings
from eafl_flower.tasks.images.size import ImageSize, image_size, size_problem
from eafl_flower.tasks.optimizers import WithOptimizer
from eafl_flower.tasks.torch_task import TorchTask, require_torch
from eafl_flower.tasks.training import Training

if TYPE_CHECKING:
    from torch import nn

LEAST_SIDE = 4


@dataclass(frozen=True, kw_only=True)
class CNN(WithOptimizer):
    """``CNNTask`` by its settings.

    Parameters
    ----------
    image_size
        Rows x columns x channels, as in "32x32x3"; empty: square images of three channels or one, by the number of
        features.
    channels, hidden
        Filters of the convolution, and width of the dense layer.
    optimizer, adadelta_constants, optimizer_state
        See ``WithOptimizer``.

    Raises
    ------
    ConfigError
        If a setting is out of range.
    """

    image_size: str = ""
    channels: CountFromOne = 32
    hidden: CountFromOne = 64

    def __post_init__(self) -> None:
        check_settings(self, image_size=size_problem(self.image_size), adadelta_constants=self.constants_problem)

    def make(self, training: Training) -> "CNNTask":
        """Return the task for features and classes.

        Raises
        ------
        ConfigError
            If the features are no images of the size, or these are too small.
        ModuleNotFoundError
            If torch is not installed.
        """
        require_torch('task.name = "cnn"')
        settings: dict[str, Any] = vars(self) | training.steps_on_device
        settings["image_size"] = image_size(self.image_size, training.num_features)
        return CNNTask(**settings)


@dataclass(frozen=True, kw_only=True)
class CNNTask(TorchTask):
    """Convolution of 3 x 3, ReLU, 2 x 2 pooling, a dense layer with ReLU, and a linear layer, under cross-entropy.

    The arrays are filters ``(channels, image channels, 3, 3)`` and their biases, then weights ``(outputs, inputs)`` and
    biases of both layers. The last layer is the head.

    Parameters
    ----------
    image_size
        Rows, columns and channels of the images.
    channels, hidden
        Filters of the convolution, and width of the dense layer.

    Raises
    ------
    ConfigError
        If a setting is out of range, or the images have fewer than four rows or columns.
    """

    image_size: ImageSize = field(kw_only=True)
    channels: CountFromOne = 32
    hidden: CountFromOne = 64

    def __post_init__(self) -> None:
        rows, columns, _ = self.image_size
        small = f"expected at least {LEAST_SIDE} rows and columns" if min(rows, columns) < LEAST_SIDE else ""
        check_settings(self, image_size=small, adadelta_constants=self.constants_problem)

    def _backbone(self) -> tuple["nn.Module", int]:
        from eafl_flower.models.convolutional import Convolutional

        return Convolutional(**self.image_size._asdict(), filters=self.channels, hidden=self.hidden), self.hidden
