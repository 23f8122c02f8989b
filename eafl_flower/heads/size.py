r"""Sizes of private heads: depth and width of a fractal block, and what they cost in parameters.

A fractal block :math:`F(d_{in}, d, D)` is a full binary tree with :math:`2^D` leaves; each leaf has a
matrix :math:`d \times d_{in}` and two vectors of a layer norm, each inner node a matrix
:math:`d \times 2d`:

.. math:: P(d_{in}, d, D) = 2^D (d\,d_{in} + 2d) + (2^D - 1)\, 2d^2
"""

from collections.abc import Sequence
from dataclasses import dataclass

from eafl_flower.types import Array

BACKBONE_WIDTH = 32  # inputs of every head
BACKBONE_DEPTH = 2
NARROWEST = 16
WIDTH_STEP = 8


def block_parameters(num_inputs: int, width: int, depth: int) -> int:
    """Return the number of parameters of a fractal block.

    Examples
    --------
    >>> block_parameters(7, 32, 2)
    7296
    """
    leaves = 1 << depth
    return leaves * (width * num_inputs + 2 * width) + (leaves - 1) * 2 * width**2


@dataclass(frozen=True, order=True, slots=True)
class HeadSize:
    """Depth and width of a private head; written ``"3x24"`` for depth 3 and width 24. Depth 0 is one leaf."""

    depth: int
    width: int

    def __str__(self) -> str:
        return f"{self.depth}x{self.width}"

    def parameters(self, num_classes: int) -> int:
        """Return the number of parameters of the head: the fractal block and the linear classifier.

        Examples
        --------
        >>> HeadSize(1, 16).parameters(11)
        1787
        """
        return block_parameters(BACKBONE_WIDTH, self.width, self.depth) + num_classes * (self.width + 1)

    def next_smaller(self) -> "HeadSize | None":
        """Return the next size down the ladder: less deep as long as there is depth, then narrower; None at its end."""
        if self.depth > 0:
            return HeadSize(self.depth - 1, self.width)
        narrower = (self.width - 1) // WIDTH_STEP * WIDTH_STEP
        return HeadSize(0, narrower) if narrower >= NARROWEST else None


def size_of(head: Sequence[Array]) -> tuple[int, int, int]:
    """Return depth, width and number of values of a head's arrays, as a client keeps them.

    The values are the parameters and, where subtrees were pruned, their constants. The arrays are the tree, weight
    and bias of the classifier, and the record of pruning if there is one, the only array of integers.
    """
    *arrays, last = head
    if last.dtype.kind == "i":
        depth = last.size.bit_length() - 2
    else:
        arrays, depth = list(head), (len(head) // 4).bit_length() - 1  # a complete tree and its classifier: 4 * 2^D + 1
    return depth, arrays[-2].shape[1], sum(array.size for array in arrays)


LARGEST = HeadSize(4, 32)
SMALLEST = HeadSize(0, NARROWEST)


def parse_sizes(text: str) -> tuple[HeadSize, ...]:
    """Return the sizes in ``"1x16, 3x24"``; none for an empty text.

    Raises
    ------
    ValueError
        If a part is not ``DxW`` with D from 0 to 4 and W from 1 to 32; the text completes "key = value: ...".
    """
    return tuple(_parse(part.strip()) for part in text.split(",")) if text.strip() else ()


def _parse(part: str) -> HeadSize:
    depth, cross, width = part.partition("x")
    if cross and depth.isdecimal() and width.isdecimal() and len(part) < 8:
        size = HeadSize(int(depth), int(width))
        if size.depth <= LARGEST.depth and 1 <= size.width <= LARGEST.width:
            return size
    msg = (
        f'"{part}" is not a depth from 0 to {LARGEST.depth} and a width from 1 to {LARGEST.width}, as in "3x24"; '
        "several are separated by commas"
    )
    raise ValueError(msg)
