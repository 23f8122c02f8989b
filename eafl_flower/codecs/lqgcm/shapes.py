r"""Tuples of LQGCM that name shapes of a codebook: residual quantisation and the literal reading.

A tuple stands for a gain times a shape :math:`c` of a whole block. The five bytes of its word are

* *residual* (``rvq``): one shape of each of five stages, :math:`c = \sum_s C_s[k_s]`;
* *literal*: a shape of one codebook and a sign for each group of eight values,
  :math:`c = C[k] + \Delta \cdot \mathrm{sign}_{\lceil i/8 \rceil}`.

The encoder takes the block with the most energy left, looks for the shape nearest to it at norm 1, stage by
stage, and sends the least-squares gain :math:`\langle r, c\rangle / \lVert c\rVert^2`.

References
----------
Juang and Gray, "Multiple stage vector quantization for speech coding", ICASSP 1982.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eafl_flower.codecs.lqgcm.codebook import GROUP, Codebook
from eafl_flower.codecs.lqgcm.kmeans import nearest
from eafl_flower.codecs.lqgcm.pursuit import half, scale_for
from eafl_flower.codecs.lqgcm.tuples import (
    BLOCK,
    PICKED,
    Tuples,
    Vector,
    Words,
    join_bytes,
    make_tuples,
    split_bytes,
    words_of,
)

_ROOT_OF_BLOCK = 16  # the norm of a block is at most this times its largest magnitude
_SIGN_BITS = 1 << np.arange(BLOCK // GROUP)
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Shapes:
    """Shapes of ``codebook``; see ``Atoms`` for the methods."""

    codebook: Codebook

    def scale_for(self, peak: float) -> float:
        """Return the unit; a gain is about the norm of a block."""
        return scale_for(_ROOT_OF_BLOCK * peak)

    def pursue(self, residual: Vector, *, num_values: int, num_tuples: int, scale: float) -> Tuples:
        """Choose shapes for the blocks with the most energy, one after the other."""
        rows = residual.reshape(-1, BLOCK).astype(np.float64)
        energies = np.einsum("ij,ij->i", rows, rows)
        blocks: list[int] = []
        words: list[int] = []
        gains: list[float] = []
        while num_values and len(blocks) < num_tuples and energies[b := int(np.argmax(energies))] > 0:
            word = self._word(rows[b] / np.sqrt(energies[b]))
            shape = self.expand(np.array([word]))[0]
            gain = half(max(float(rows[b] @ shape / (shape @ shape)), 0.0) / scale)
            if gain == 0:  # no shape is anything like this block
                energies[b] = 0
                continue
            rows[b] -= gain * scale * shape
            energies[b] = rows[b] @ rows[b]
            blocks.append(b)
            words.append(word)
            gains.append(gain)
        return make_tuples(np.array(blocks, np.uint32), np.array(words, np.int64), np.array(gains, np.float64))

    def add(self, vector: Vector, tuples: Tuples, amounts: NDArray[np.float64]) -> None:
        """Add shapes in the order of the tuples, as many at a time as the vector has blocks."""
        add_rows(vector, tuples, lambda part: amounts[part, None] * self.expand(words_of(tuples[part])))

    def expand(self, words: Words) -> NDArray[np.float64]:
        """Return the shapes `(n, 256)` that words stand for."""
        shapes = self.codebook.shapes
        if self.codebook.mode == "rvq":
            stages = split_bytes(words)
            stacked = shapes[np.arange(PICKED), stages]  # (n, 5, 256)
            summed: NDArray[np.float64] = np.sum(stacked, axis=1, dtype=np.float64)
            return summed
        signs = np.where((words[:, None] >> 8) & _SIGN_BITS, self.codebook.step, -self.codebook.step)
        raised: NDArray[np.float64] = shapes[words & 0xFF] + np.repeat(signs, GROUP, axis=1)
        return raised

    def _word(self, shape: NDArray[np.float64]) -> int:
        rest = shape.astype(np.float32)[None]
        shapes, offsets = self.codebook.shapes, self.codebook.half_energies
        if self.codebook.mode == "rvq":
            stages = np.empty(PICKED, np.int64)
            for s in range(PICKED):
                stages[s] = nearest(rest, shapes[s], offsets[s])[0]
                rest = rest - shapes[s, stages[s]]
            return int(join_bytes(stages))
        centre = int(nearest(rest, shapes, offsets)[0])
        raised = (rest[0] - shapes[centre]).reshape(-1, GROUP).sum(axis=1) > 0
        return centre | int(raised @ _SIGN_BITS) << 8


def add_rows(vector: Vector, tuples: Tuples, rows_of: Callable[[slice], NDArray[np.float64]]) -> None:
    """Add the rows `(n, 256)` of ``rows_of(slice)`` to their blocks; sizes never exceed the vector's."""
    blocks = vector.reshape(-1, BLOCK)
    for first in range(0, tuples.size, max(1, len(blocks))):
        part = slice(first, first + len(blocks))
        rows = np.clip(rows_of(part), -_LARGEST, _LARGEST).astype(np.float32)
        np.add.at(blocks, tuples["block"][part], rows)
