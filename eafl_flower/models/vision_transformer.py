"""A small vision transformer: patches of an image attend to each other.

References
----------
Dosovitskiy et al., "An image is worth 16x16 words: transformers for image recognition at scale", ICLR 2021.
Xiong et al., "On layer normalization in the transformer architecture", ICML 2020 (norms before the layers).
"""

import torch
from torch import nn
from torch.nn import functional


class VisionTransformer(nn.Module):
    """Rows of pixels ``(n, rows * columns * channels)`` to features ``(n, width)``.

    Each patch of pixels becomes a vector, to which that of its place is added, which is learnt. After ``depth`` blocks
    the vectors are normalised and averaged.

    Parameters
    ----------
    rows, columns, channels
        Size of an image.
    patch
        Side of a patch; divides rows and columns.
    width, depth, heads
        Length of the vectors, number of blocks, heads of attention in each; ``heads`` divides ``width``.
    """

    def __init__(
        self, *, rows: int, columns: int, channels: int, patch: int, width: int, depth: int, heads: int
    ) -> None:
        super().__init__()
        self.grid = rows // patch, patch, columns // patch, patch, channels
        self.positions = nn.Parameter(torch.empty(rows // patch * (columns // patch), width))
        self.embedding = nn.Linear(patch * patch * channels, width)
        self.blocks = nn.Sequential(*(_Block(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the features of images."""
        patches = x.view(-1, *self.grid).permute(0, 1, 3, 2, 4, 5).reshape(len(x), len(self.positions), -1)
        tokens = self.norm(self.blocks(self.embedding(patches) + self.positions))
        return torch.mean(tokens, dim=1)


class _Block(nn.Module):
    """Attention and a layer of four times the width with GELU, each added to what it reads through a norm."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, tokens, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(n, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v)
        x = x + self.out(mixed.transpose(1, 2).reshape(n, tokens, width))
        out: torch.Tensor = x + self.down(functional.gelu(self.up(self.norm2(x))))
        return out
