"""Class probabilities from what a network's last layer gives."""

import numpy as np
from numpy.typing import NDArray

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
