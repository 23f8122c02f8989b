"""Backbone and heads of one job: one flat vector on a backend, trained together or one under the other."""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eafl_flower.models.cross_entropy import LACKING, cross_entropy
from eafl_flower.models.fractal import Fractal
from eafl_flower.models.fractal_layout import Trace, Views
from eafl_flower.tasks.backend import Backend
from eafl_flower.tasks.optimizers import Optimizer
from eafl_flower.types import Array, Arrays


def columns(backend: Backend, rows: Array) -> Any:
    """Return rows ``(n, d)`` as a block takes them: one column a row, ``(1, d, n)``."""
    return backend.put(np.ascontiguousarray(rows.T)[None])


class TwoPhases:
    """A backbone with a head on it, and perhaps a generic head beside that, which is trained whenever the backbone is.

    Parameters
    ----------
    backbone, head
        Their structures.
    arrays
        Their arrays, those of the generic head between them; copied.
    backend
        Where to compute.
    generic
        Structure of the generic head, if there is one.
    has_class
        Which classes `(classes,)` are in the loss of the generic head; all by default.
    """

    def __init__(
        self,
        backbone: Fractal,
        head: Fractal,
        arrays: Arrays,
        backend: Backend,
        *,
        generic: Fractal | None = None,
        has_class: NDArray[np.bool_] | None = None,
    ) -> None:
        self.backbone, self.head, self.backend, self.generic = backbone, head, backend, generic
        present = np.ones(head.num_classes, bool) if has_class is None else has_class
        self.lacking = backend.put(np.where(present, 0, LACKING).astype(np.float32)[:, None])
        packed, given = [], iter(arrays)
        for block in self._blocks:
            packed.append(block.pack([next(given) for _ in block.shapes]))
        sizes = [len(flat) for flat in packed]
        self._stops = np.cumsum(sizes).tolist()
        self._flat = backend.put(np.concatenate(packed))
        self._gradient = 0 * self._flat
        self._parameters, self._gradients = self._views(self._flat), self._views(self._gradient)

    @property
    def _blocks(self) -> list[Fractal]:
        return [self.backbone, *([] if self.generic is None else [self.generic]), self.head]

    def _parts(self, flat: Any) -> list[Any]:
        return [flat[start:stop] for start, stop in pairwise([0, *self._stops])]

    def _views(self, flat: Any) -> list[Views]:
        return [block.views(part) for block, part in zip(self._blocks, self._parts(flat), strict=True)]

    @property
    def sizes(self) -> dict[str, int]:
        """Number of parameters of backbone (with a generic head), head, and the whole model."""
        shared, head = self._stops[-2], self.head.num_parameters
        return {"backbone": shared, "head": head, "model": shared + head}

    def features(self, inputs: Any) -> Any:
        """Return the backbone's outputs ``(1, width, n)`` for ``inputs`` ``(1, d, n)``."""
        return self.backbone.forward(self.backend.functions, self._parameters[0], inputs).outputs

    def head_trace(self, features: Any) -> Trace:
        """Return what the head computes from the backbone's outputs."""
        return self.head.forward(self.backend.functions, self._parameters[-1], features)

    def logits(self, rows: Array) -> Array:
        """Return the model's outputs ``(n, classes)`` for rows ``(n, d)``."""
        outputs = self.head_trace(self.features(columns(self.backend, rows))).outputs
        return self.backend.get(outputs[0].T)

    def train_pass(
        self,
        inputs: Any,
        targets: Any,
        order: NDArray[np.int64],
        batch_size: int,
        *,
        backbone: Optimizer | None = None,
        head: Optimizer | None = None,
        together: Optimizer | None = None,
    ) -> float:
        """Train on rows in this order, batch by batch; return the mean loss.

        Parameters
        ----------
        inputs
            Rows ``(1, d, n)``; the backbone's outputs if only the head trains.
        targets
            One-hot labels ``(1, classes, n)``.
        order
            Row numbers.
        batch_size
            Rows a step; the last batch may be smaller.
        backbone, head, together
            One of them is given: what it names is trained by it, and the rest is frozen. A generic head is trained with
            the backbone, which then follows the gradients of both heads.
        """
        xp = self.backend.functions
        shared, end = self._stops[-2], self._stops[-2] + self.head.num_parameters
        trained = slice(shared if head else 0, shared if backbone else end)
        optimizer = backbone or head or together
        assert optimizer is not None
        parameters, gradient = self._flat[trained], self._gradient[trained]
        below, above = self._parameters[0], self._parameters[-1]
        below_gradients, above_gradients = self._gradients[0], self._gradients[-1]
        shuffled = self.backend.put(order)
        xs, ys = inputs[:, :, shuffled], targets[:, :, shuffled]
        loss: Any = 0.0
        for i in range(0, len(order), batch_size):
            x = xs[:, :, i : i + batch_size]
            lower = None if head else self.backbone.forward(xp, below, x)
            upper = self.head.forward(xp, above, x if lower is None else lower.outputs)
            summed, error = cross_entropy(xp, upper.outputs, ys[:, :, i : i + batch_size])
            loss = loss + summed
            error = self.head.backward(
                xp, above, upper, error, None if backbone else above_gradients, to_inputs=lower is not None
            )
            if lower is not None:
                if self.generic is not None:
                    beside = self.generic.forward(xp, self._parameters[1], lower.outputs)
                    _, wrong = cross_entropy(xp, beside.outputs + self.lacking, ys[:, :, i : i + batch_size])
                    error += self.generic.backward(
                        xp, self._parameters[1], beside, wrong, self._gradients[1], to_inputs=True
                    )
                self.backbone.backward(xp, below, lower, error, below_gradients, to_inputs=False)
            optimizer.step(parameters, gradient)
        return float(loss) / len(order)

    def arrays(self) -> Arrays:
        """Return the arrays of the complete model."""
        parts = self._parts(self.backend.get(self._flat))
        return tuple(a for block, part in zip(self._blocks, parts, strict=True) for a in block.unpack(part))
