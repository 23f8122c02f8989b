"""What figures of several experiments have in common."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np


def label_ends(axes: Any, ends: Sequence[tuple[float, float, str, Any]]) -> None:
    """Write names beside the ends (x, y, name, colour) of lines, moved apart where they would lie upon each other."""
    placed = axes.transData.transform([(x, y) for x, y, _, _ in ends])
    heights, gap = placed[:, 1].copy(), 11.0 * axes.figure.dpi / 72
    order = np.argsort(heights)
    for lower, upper in pairwise(order):
        heights[upper] = max(heights[upper], heights[lower] + gap)
    top = axes.bbox.y1 - gap / 2
    heights -= max(0.0, (heights - placed[:, 1]).mean(), heights.max() - top)
    for (x, y, name, color), (_, was), height in zip(ends, placed, heights, strict=True):
        offset = (5, (height - was) * 72 / axes.figure.dpi)
        axes.annotate(name, (x, y), offset, textcoords="offset points", color=color, fontsize=8, va="center")
