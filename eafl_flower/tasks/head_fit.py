"""Held-out losses of a head size: five heads fitted side by side on frozen features."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from eafl_flower.core.rng import generator
from eafl_flower.heads.validation import fold_rows
from eafl_flower.models.cross_entropy import cross_entropy
from eafl_flower.models.fractal import Fractal
from eafl_flower.tasks.backend import Backend
from eafl_flower.tasks.optimizers import AdamW, Optimizer
from eafl_flower.types import Array, Arrays, Rows

PASSES = 10
RATE = 0.01  # of AdamW: at a small rate of the task's own a larger head wins by learning faster
MOST_ROWS = 250


def validation_rows(rows: Rows, key: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the training rows by which the size of a head is judged, at most ``MOST_ROWS``."""
    used = generator(key, "rows").permutation(len(rows.y_train))[:MOST_ROWS]
    return rows.x_train[used], rows.y_train[used]


def validation_losses(
    head: Fractal,
    initial: Arrays,
    features: Array,
    labels: NDArray[np.int64],
    key: int,
    *,
    backend: Backend,
    weight_decay: float,
    batch_size: int,
) -> NDArray[np.float64]:
    """Return ``held_out_losses`` as sizes are judged: the same folds and batches for all of one ``key``."""
    return held_out_losses(
        head,
        initial,
        features,
        labels,
        generator(key, "folds"),
        backend=backend,
        optimizer=AdamW(RATE, weight_decay),
        passes=PASSES,
        batch_size=batch_size,
    )


def held_out_losses(
    head: Fractal,
    initial: Arrays,
    features: Array,
    labels: NDArray[np.int64],
    rng: np.random.Generator,
    *,
    backend: Backend,
    optimizer: Optimizer,
    passes: int,
    batch_size: int,
) -> NDArray[np.float64]:
    """Return the cross-entropy of each row under the head that was fitted without it, fold by fold.

    Every fold starts from ``initial``. Equal generators give equal folds and batches, whatever the size of the head.

    Parameters
    ----------
    head, initial
        Structure and initial arrays.
    features, labels
        Outputs of the backbone ``(inputs, n)`` and classes ``(n,)``.
    rng
        Deals the rows to folds and shuffles them before each pass.
    backend, optimizer, passes, batch_size
        How the heads are trained.
    """
    xp = backend.functions
    train, held_out = fold_rows(len(labels), rng)
    folds = len(train)
    one_hot = np.eye(head.num_classes, dtype=np.float32)
    flat = backend.put(head.pack(initial, folds))
    gradient = 0 * flat
    parameters, gradients = head.views(flat, folds), head.views(gradient, folds)

    def rows(numbers: NDArray[np.int64]) -> tuple[Any, Any]:
        x = np.ascontiguousarray(np.moveaxis(features[:, numbers], 0, 1))  # (folds, inputs, rows)
        return backend.put(x), backend.put(np.ascontiguousarray(one_hot[labels[numbers]].swapaxes(1, 2)))

    for _ in range(passes):
        xs, ys = rows(rng.permuted(train, axis=1))
        for i in range(0, train.shape[1], batch_size):
            trace = head.forward(xp, parameters, xs[:, :, i : i + batch_size])
            _, error = cross_entropy(xp, trace.outputs, ys[:, :, i : i + batch_size])
            head.backward(xp, parameters, trace, error, gradients, to_inputs=False)
            optimizer.step(flat, gradient)
    x, y = rows(held_out)
    logits = backend.get(head.forward(xp, parameters, x).outputs).astype(np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    losses: NDArray[np.float64] = np.log(np.exp(logits).sum(axis=1)) - (logits * backend.get(y)).sum(axis=1)
    return losses.ravel()
