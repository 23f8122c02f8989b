r"""Fractal blocks: full binary trees of small layers, with a hand-written backward pass over numpy or torch.

.. math::
    F_0(x) = \mathrm{LayerNorm}(\max(0, W x)), \qquad
    F_D(x) = \max(0, M\,[F^{left}_{D-1}(x);\ F^{right}_{D-1}(x)])

Every leaf reads the same raw :math:`x`; no layer but the classifier behind a head has a bias. Activations
have one column a row of data: ``(nodes, width, rows)``, so that the children of all nodes of a level lie side by
side in memory, concatenated already, and a level is one batched product. ``groups`` copies of a tree
train side by side in one batched product too (the folds of a validation).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from eafl_flower.models.fractal_layout import (
    BIAS,
    CLASSIFIER,
    CONSTANT,
    GAIN,
    MERGE,
    SHIFT,
    WEIGHT,
    Part,
    Slots,
    Trace,
    Views,
    parts_of,
)
from eafl_flower.types import Array, Arrays

LAYER_NORM_EPSILON = 1e-5
PASSING_NOISE = 0.3  # of a merge that begins by passing on its left child, relative to a merge at random


@dataclass(frozen=True)
class Fractal:
    """Structure of a fractal block, with a linear classifier behind it if there are classes.

    Parameters
    ----------
    num_inputs, width, depth
        Inputs of each leaf, units of each node, levels of inner nodes.
    num_classes
        Outputs of the classifier; 0: there is none.
    pruned
        Nodes whose subtree is replaced by a constant vector. The root is node 1, the children of
        node i are 2i and 2i + 1; at least one leaf must remain.
    """

    num_inputs: int
    width: int
    depth: int
    num_classes: int = 0
    pruned: tuple[int, ...] = ()

    @cached_property
    def entries(self) -> tuple[tuple[int, tuple[int, ...]], ...]:
        """Kind and shape of every array in order: depth first, children before their merge, then the classifier."""
        width = self.width
        leaf = ((WEIGHT, (width, self.num_inputs)), (GAIN, (width,)), (SHIFT, (width,)))

        def subtree(node: int, level: int) -> tuple[tuple[int, tuple[int, ...]], ...]:
            if node in self.pruned:
                return ((CONSTANT + level, (width,)),)
            if level == 0:
                return leaf
            children = subtree(2 * node, level - 1) + subtree(2 * node + 1, level - 1)
            return (*children, (MERGE + level, (width, 2 * width)))

        classifier = ((CLASSIFIER, (self.num_classes, width)), (BIAS, (self.num_classes,)))
        return subtree(1, self.depth) + (classifier if self.num_classes else ())

    @cached_property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of every array, in order."""
        return tuple(shape for _, shape in self.entries)

    @cached_property
    def num_parameters(self) -> int:
        """Number of values that are trained."""
        return sum(part.stop - part.start for part in self._parts if part.kind < CONSTANT)

    @cached_property
    def num_values(self) -> int:
        """Number of values of all arrays: the parameters and the constants of pruned subtrees."""
        return self._parts[-1].stop

    def init(self, rng: np.random.Generator) -> Arrays:
        """Return matrices (and the bias) uniform within ± 1/sqrt(inputs), layer norms that change nothing."""
        arrays: list[Array] = []
        for kind, shape in self.entries:
            if kind in (GAIN, SHIFT) or kind >= CONSTANT:
                arrays.append(np.full(shape, float(kind == GAIN), np.float32))
            else:
                bound = (shape[1] if len(shape) == 2 else self.width) ** -0.5
                arrays.append(rng.uniform(-bound, bound, shape).astype(np.float32))
        return tuple(arrays)

    def init_nested(self, rng: np.random.Generator, core: int) -> Arrays:
        r"""Return initial arrays of which every ``cut`` is nearly the same function, whatever its size.

        A merge passes on its left child, :math:`M = [I + U;\ U]` with :math:`U` uniform within
        ± 0.3/sqrt(inputs), and the classifier reads the first ``core`` units alone, uniform within
        ± 1/sqrt(core). Leaves are as in ``init``, and the bias is zero.
        """
        arrays = list(self.init(rng))
        for position, (kind, _) in enumerate(self.entries):
            array = arrays[position]
            if MERGE < kind < CLASSIFIER:
                array *= PASSING_NOISE
                array[:, : self.width] += np.eye(self.width, dtype=np.float32)
            elif kind == CLASSIFIER:
                array *= (self.width / core) ** 0.5
                array[:, core:] = 0
            elif kind == BIAS:
                array.fill(0)
        return tuple(arrays)

    def cut(self, arrays: Sequence[Array], smaller: "Fractal") -> Arrays:
        """Return the arrays of ``smaller`` inside ``arrays``, those of this block: leftmost subtree, first units.

        Both blocks have the same inputs and classes and are not pruned.
        """
        width = smaller.width
        tree = len(smaller.entries) - (2 if smaller.num_classes else 0)
        kept: list[Array] = []
        for position in [*range(tree), *range(len(arrays) - len(smaller.entries) + tree, len(arrays))]:
            kind, array = self.entries[position][0], arrays[position]
            if kind == BIAS:
                kept.append(array.copy())
            elif kind == CLASSIFIER:
                kept.append(array[:, :width].copy())
            elif kind > MERGE:
                pair = array[:width].reshape(width, 2, self.width)[:, :, :width]
                kept.append(pair.reshape(width, 2 * width))
            else:
                kept.append(array[:width].copy())
        return tuple(kept)

    def prune(self, arrays: Sequence[Array], constants: Mapping[int, Array]) -> tuple["Fractal", Arrays]:
        """Return this block with constant vectors in place of the subtrees at some nodes, and its arrays.

        Parameters
        ----------
        arrays
            The block's arrays.
        constants
            The vector ``(width,)`` for each node to be replaced; pruned nodes below it go with it.
        """
        given = iter(arrays)

        def subtree(node: int, level: int, kept: bool) -> list[Array]:
            if node in self.pruned:
                found = [next(given)]
            elif level == 0:
                found = [next(given), next(given), next(given)]
            else:
                inside = kept and node not in constants
                children = subtree(2 * node, level - 1, inside) + subtree(2 * node + 1, level - 1, inside)
                found = [*children, next(given)]
            if not kept:
                return []
            return [constants[node].astype(np.float32)] if node in constants else found

        tree = subtree(1, self.depth, True)
        gone = {*self.pruned, *constants}
        topmost = tuple(sorted(n for n in gone if not any(n >> k in gone for k in range(1, n.bit_length()))))
        return replace(self, pruned=topmost), (*tree, *given)

    def children_outputs(self, trace: Trace) -> Iterator[tuple[list[int], Any]]:
        """Yield, level by level, living nodes (not the root) and their outputs ``(nodes, width, rows)``."""
        for slots, (pairs, _) in zip(self._slots, trace.merged, strict=True):
            outputs = pairs.reshape(len(slots.nodes), self.width, -1)
            yield [slots.nodes[i] for i in slots.live], outputs[slots.live]

    def pack(self, arrays: Sequence[Array], groups: int = 1) -> Array:
        """Return ``arrays`` as one flat vector, ``groups`` copies side by side."""
        return np.concatenate(
            [arrays[i].ravel() for part in self._parts for _ in range(groups) for i in part.positions], dtype=np.float32
        )

    def unpack(self, flat: Array) -> Arrays:
        """Return the arrays in a flat vector of one group; they are views of it."""
        arrays: list[Array] = [flat] * len(self.entries)
        for part in self._parts:
            chunks = flat[part.start : part.stop].reshape(len(part.positions), *part.shape)
            for position, chunk in zip(part.positions, chunks, strict=True):
                arrays[position] = chunk
        return tuple(arrays)

    def views(self, flat: Any, groups: int = 1) -> Views:
        """Return the matrices in a flat vector made by ``pack`` (numpy or torch); writing to them writes to it."""
        found = {}
        for kind, positions, shape, start, stop in self._parts:
            count, chunk = groups * len(positions), flat[groups * start : groups * stop]
            if kind == WEIGHT:
                found[kind] = chunk.reshape(groups, -1, self.num_inputs)
            elif len(shape) == 2:
                found[kind] = chunk.reshape(count, *shape)
            else:
                found[kind] = chunk.reshape(count, *shape, 1)
        levels = range(1, self.depth + 1)
        return Views(
            found[WEIGHT],
            found[GAIN],
            found[SHIFT],
            [found[MERGE + level] for level in levels],
            found.get(CLASSIFIER),
            found.get(BIAS),
            [found.get(CONSTANT + level) for level in range(self.depth)],
        )

    def forward(self, xp: Any, parameters: Views, inputs: Any) -> Trace:
        """Return the outputs ``(groups, outputs, rows)`` for ``inputs`` ``(groups, inputs, rows)``, and the way there.

        ``xp`` is numpy or torch.
        """
        weight, gain, shift, merges, classifier, bias, constants = parameters
        width = self.width
        units = xp.matmul(weight, inputs)
        units = units.reshape(-1, width, units.shape[-1])
        positive = units > 0
        units *= positive
        # Means over units as products with a row of 1/width: a third of the time of a reduction of numpy's.
        average = (0 * gain[0] + 1 / width).reshape(1, width)
        units -= average @ units
        spread = (average @ (units * units) + LAYER_NORM_EPSILON) ** 0.5
        units /= spread
        values = units * gain
        values += shift
        merged = []
        for level, merge in enumerate(merges):
            if (constant := constants[level]) is not None:
                values = xp.concatenate([values, constant + 0 * values[:1]])[self._slots[level].source]
            pairs = values.reshape(len(merge), 2 * width, -1)
            values = xp.matmul(merge, pairs)
            passes = values > 0
            values *= passes
            merged.append((pairs, passes))
        outputs = values  # (groups, width, rows)
        if classifier is not None:
            outputs = xp.matmul(classifier, values)
            outputs += bias
        return Trace(inputs, positive, units, spread, merged, values, outputs)

    def backward(
        self, xp: Any, parameters: Views, trace: Trace, error: Any, gradients: Views | None, *, to_inputs: bool
    ) -> Any:
        """Write the gradients of all parameters; return that of the inputs if asked ``to_inputs``, else None.

        Parameters
        ----------
        xp
            numpy or torch.
        parameters, trace
            What ``forward`` was given and what it returned.
        error
            Gradient of the outputs; overwritten if there is no classifier.
        gradients
            Views of a flat vector to write to; None: only the gradient of the inputs is wanted.
        to_inputs
            Whether the gradient of the inputs is wanted.
        """
        weight, gain, _, merges, classifier, _, constants = parameters
        width, ones = self.width, None
        if gradients is not None:
            ones = (1 + 0 * error[0, 0]).reshape(-1, 1)  # sums over rows as products, too
        if classifier is not None:
            if gradients is not None:
                xp.matmul(error, trace.top.swapaxes(1, 2), out=gradients.classifier)
                xp.matmul(error, ones, out=gradients.bias)
            error = xp.matmul(classifier.swapaxes(1, 2), error)
        for level in range(self.depth - 1, -1, -1):
            pairs, passes = trace.merged[level]
            error *= passes
            if gradients is not None:
                xp.matmul(error, pairs.swapaxes(1, 2), out=gradients.merges[level])
            error = xp.matmul(merges[level].swapaxes(1, 2), error).reshape(-1, width, error.shape[-1])
            if constants[level] is not None:
                error = error[self._slots[level].live]
        scaled = error * trace.normed
        if gradients is not None:
            xp.matmul(scaled, ones, out=gradients.gain)
            xp.matmul(error, ones, out=gradients.shift)
        across = gain.swapaxes(1, 2) / width
        # layer norm: (g - mean(g) - normed * mean(g * normed)) / spread with g = gain * error
        mean, slope = across @ error, across @ scaled
        error *= gain
        error -= mean
        error -= trace.normed * slope
        error /= trace.spread
        error *= trace.positive
        error = error.reshape(weight.shape[0], -1, error.shape[-1])
        if gradients is not None:
            xp.matmul(error, trace.inputs.swapaxes(1, 2), out=gradients.weight)
        return xp.matmul(weight.swapaxes(1, 2), error) if to_inputs else None

    @cached_property
    def _parts(self) -> tuple[Part, ...]:
        return parts_of(self.entries)

    @cached_property
    def _slots(self) -> tuple[Slots, ...]:
        """For each level below the root: where the children of the nodes above it come from."""
        found, nodes = [], [1]
        for _ in range(self.depth):
            children = [child for node in nodes for child in (2 * node, 2 * node + 1)]
            live = [i for i, child in enumerate(children) if child not in self.pruned]
            pruned = [i for i, child in enumerate(children) if child in self.pruned]
            found.append(Slots(children, live, np.argsort(live + pruned).tolist()))
            nodes = [children[i] for i in live]
        return tuple(reversed(found))
