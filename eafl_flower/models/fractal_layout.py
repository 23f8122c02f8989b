"""How the arrays of a fractal block lie in a flat vector, and what a pass over them remembers."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

# Kinds of arrays in the order in which a flat vector holds them; a merge's level is added to MERGE.
WEIGHT, GAIN, SHIFT, MERGE, CLASSIFIER, BIAS, CONSTANT = 0, 1, 2, 2, 1000, 1001, 2000


class Part(NamedTuple):
    """Arrays of one kind: positions in the list of arrays, shape of each, and where a flat vector holds them."""

    kind: int
    positions: tuple[int, ...]
    shape: tuple[int, ...]
    start: int
    stop: int


class Views(NamedTuple):
    """A flat vector as the matrices that a pass works with."""

    weight: Any  # (groups, leaves * width, inputs)
    gain: Any  # (groups * leaves, width, 1)
    shift: Any
    merges: list[Any]  # of each level (groups * nodes, width, 2 * width)
    classifier: Any  # (groups, classes, width)
    bias: Any  # (groups, classes, 1)
    constants: list[Any]  # of each level (nodes, width, 1)


class Trace(NamedTuple):
    """What a forward pass remembers for the backward pass."""

    inputs: Any
    positive: Any  # where the leaves' ReLU passes
    normed: Any
    spread: Any  # of each leaf's units
    merged: list[tuple[Any, Any]]  # of each level: concatenated children, where the ReLU passes
    top: Any
    outputs: Any


class Slots(NamedTuple):
    """Children of all nodes of a level: which are computed, and where each stands among computed and constant ones."""

    nodes: list[int]
    live: list[int]
    source: list[int]


def parts_of(entries: Sequence[tuple[int, tuple[int, ...]]]) -> tuple[Part, ...]:
    """Return where a flat vector holds the arrays of these kinds and shapes: all of one kind side by side."""
    kinds = [kind for kind, _ in entries]
    parts, start = [], 0
    for kind in sorted(set(kinds)):
        positions = tuple(i for i, k in enumerate(kinds) if k == kind)
        shape = entries[positions[0]][1]
        stop = start + len(positions) * int(np.prod(shape))
        parts.append(Part(kind, positions, shape, start, stop))
        start = stop
    return tuple(parts)
