r"""A linear classifier of latents, in closed form: what a user reads that has no classifier of its own."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eafl_flower.errors import DataError

Real = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearReader:
    """Names the class with the largest score.

    Parameters
    ----------
    weights
        Of each class, ``(classes, dimensions)``.
    bias
        ``(classes, 1)``.
    """

    weights: Real
    bias: Real

    def __call__(self, latents: Real) -> NDArray[np.int64]:
        """Return the classes of latents ``(dimensions, n)``, ``(n,)``."""
        classes: NDArray[np.int64] = np.argmax(self.weights @ latents + self.bias, axis=0)
        return classes


def fit_reader(latents: Real, labels: NDArray[np.integer[Any]], num_classes: int, ridge: float = 1e-3) -> LinearReader:
    r"""Return the linear classifier with the least squared error to the unit vectors of the classes.

    .. math:: \min_{W, b} \frac{1}{n}\|W z + b - e_y\|_F^2 + \epsilon\, \frac{\mathrm{tr}(C)}{d}\, \|W\|_F^2

    with :math:`C` the covariance of the latents :math:`z`.

    Parameters
    ----------
    latents
        Clean latents, ``(dimensions, n)``.
    labels
        Their classes, ``(n,)``.
    num_classes
        Number of classes.
    ridge
        :math:`\epsilon`, above 0.

    Raises
    ------
    DataError
        If latents and labels are not the same in number, or a label is no class.
    """
    count = latents.shape[1]
    if len(labels) != count or not count:
        raise DataError(f"{count} latents and {len(labels)} labels: expected as many of both, one at least")
    if labels.min() < 0 or labels.max() >= num_classes:
        raise DataError(f"labels from {labels.min()} to {labels.max()}: expected classes from 0 to {num_classes - 1}")
    targets = np.eye(num_classes)[:, labels]
    mean, share = latents.mean(axis=1, keepdims=True), targets.mean(axis=1, keepdims=True)
    centred = latents - mean
    covariance = centred @ centred.T / count
    size = len(covariance)
    pull = max(ridge * float(np.trace(covariance)) / size, float(np.finfo(float).tiny))
    weights = np.linalg.solve(covariance + pull * np.eye(size), centred @ (targets - share).T / count).T
    return LinearReader(weights=weights, bias=share - weights @ mean)
