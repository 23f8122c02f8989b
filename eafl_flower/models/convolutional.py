"""The convolutional network of the EMQ experiments: one layer of 3 x 3 filters, one dense layer."""

import torch
from torch import nn
from torch.nn import functional


class Convolutional(nn.Module):
    r"""Rows of pixels ``(n, rows * columns * channels)`` to features ``(n, hidden)``.

    .. math:: h = \max(0, W\,\mathrm{vec}(\mathrm{pool}_2(\max(0, F * x + c))) + b)

    Filters of 3 x 3 pixels without padding, the largest value of each 2 x 2 block, flattened in the order row, column,
    filter, as Keras does. A row of pixels has the order row, column, channel: as an image with its channels last it
    needs no copy. Pooling before the ReLU changes no value and no gradient, and leaves it a quarter of the work.

    Parameters
    ----------
    rows, columns, channels
        Size of an image; at least four rows and columns.
    filters
        Number of filters.
    hidden
        Width of the dense layer.
    """

    def __init__(self, *, rows: int, columns: int, channels: int, filters: int, hidden: int) -> None:
        super().__init__()
        self.size = rows, columns, channels
        self.convolution = nn.Conv2d(channels, filters, 3)
        self.dense = nn.Linear((rows - 2) // 2 * ((columns - 2) // 2) * filters, hidden)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the features of images."""
        maps = self.convolution(x.view(-1, *self.size).permute(0, 3, 1, 2))
        pooled = functional.relu(functional.max_pool2d(maps, 2))
        return functional.relu(self.dense(pooled.permute(0, 2, 3, 1).flatten(1)))
