"""What a network's last layer says of classes: probabilities, and how well they fit the rows."""

import numpy as np
from numpy.typing import NDArray

from eafl_flower.core.scores import ACCURACY
from eafl_flower.types import Array


def probabilities(logits: Array) -> NDArray[np.float64]:
    r"""Return :math:`p_c = e^{z_c} / \sum_k e^{z_k}` for logits ``(n, classes)``.

    In double precision, where two different float32 logits never give the same probability: the largest
    probability belongs to the largest logit.

    Examples
    --------
    >>> probabilities(np.array([[0.0, 0.0], [1000.0, 0.0]])).tolist()
    [[0.5, 0.5], [1.0, 0.0]]
    """
    z = np.asarray(logits, np.float64)
    powers: NDArray[np.float64] = np.exp(z - z.max(axis=1, keepdims=True))
    powers /= powers.sum(axis=1, keepdims=True)
    return powers


def loss_and_accuracy(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> tuple[float, dict[str, float]]:
    """Return the mean cross-entropy and the share of rows whose class has the largest logit; overwrites ``logits``."""
    logits -= logits.max(axis=1, keepdims=True)
    losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(labels)), labels]
    right = float((logits.argmax(axis=1) == labels).mean())
    return float(losses.mean()), {ACCURACY.name: right}
