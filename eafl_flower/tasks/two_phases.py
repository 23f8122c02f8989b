"""Backbone and head of one job: one flat vector on a backend, trained together or one under the other."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from eafl_flower.models.cross_entropy import cross_entropy
from eafl_flower.models.fractal import Fractal
from eafl_flower.models.fractal_layout import Trace, Views
from eafl_flower.tasks.backend import Backend
from eafl_flower.tasks.optimizers import Optimizer
from eafl_flower.types import Array, Arrays


def columns(backend: Backend, rows: Array) -> Any:
    """Return rows ``(n, d)`` as a block takes them: one column a row, ``(1, d, n)``."""
    return backend.put(np.ascontiguousarray(rows.T)[None])


class TwoPhases:
    """A backbone with a head on it.

    Parameters
    ----------
    backbone, head
        Their structures.
    arrays
        Their arrays; copied.
    backend
        Where to compute.
    """

    def __init__(self, backbone: Fractal, head: Fractal, arrays: Arrays, backend: Backend) -> None:
        self.backbone, self.head, self.backend = backbone, head, backend
        count, self._split = len(backbone.shapes), backbone.num_parameters
        flat = np.concatenate([backbone.pack(arrays[:count]), head.pack(arrays[count:])])
        self._flat = backend.put(flat)
        self._gradient = 0 * self._flat
        self._parameters, self._gradients = self._views(self._flat), self._views(self._gradient)

    def _views(self, flat: Any) -> tuple[Views, Views]:
        return self.backbone.views(flat[: self._split]), self.head.views(flat[self._split :])

    def features(self, inputs: Any) -> Any:
        """Return the backbone's outputs ``(1, width, n)`` for ``inputs`` ``(1, d, n)``."""
        return self.backbone.forward(self.backend.functions, self._parameters[0], inputs).outputs

    def head_trace(self, features: Any) -> Trace:
        """Return what the head computes from the backbone's outputs."""
        return self.head.forward(self.backend.functions, self._parameters[1], features)

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
            One of them is given: what it names is trained by it, and the rest is frozen.
        """
        xp, end = self.backend.functions, self._split + self.head.num_parameters
        trained = slice(self._split if head else 0, self._split if backbone else end)
        optimizer = backbone or head or together
        assert optimizer is not None
        parameters, gradient = self._flat[trained], self._gradient[trained]
        (below, above), (below_gradients, above_gradients) = self._parameters, self._gradients
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
                self.backbone.backward(xp, below, lower, error, below_gradients, to_inputs=False)
            optimizer.step(parameters, gradient)
        return float(loss) / len(order)

    def arrays(self) -> Arrays:
        """Return the arrays of the complete model."""
        flat = self.backend.get(self._flat)
        return self.backbone.unpack(flat[: self._split]) + self.head.unpack(flat[self._split :])
