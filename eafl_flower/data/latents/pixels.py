"""What a linear classifier makes of the pixels themselves: how much an encoder is worth stands beside it."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp

from eafl_flower.data.latents.images import ImageRows, ImageSet
from eafl_flower.types import Array

PENALTIES = (10.0, 1.0, 1e-1, 1e-2)
_STEPS = 200
_FALL = 1e-6  # of the loss in a step, relative: less of it ends a fit


def pixel_accuracy(images: ImageSet, rows: ImageRows) -> float:
    r"""Return the share of test images that multinomial logistic regression on raw pixels classifies rightly.

    It minimises :math:`-\frac{1}{n} \sum_i \log p(y_i \mid x_i) + \frac{\lambda}{2} \|W\|_F^2` over the pilots, with
    pixels that have mean 0 and variance 1 over them; :math:`\lambda` is the one of four with the best validation
    accuracy.

    Parameters
    ----------
    images, rows
        The images, and which of them are in which split.
    """
    flat = images.pixels.reshape(len(images), -1)
    train = flat[rows.train].astype(np.float64)
    mean, sd = train.mean(axis=0), train.std(axis=0)
    sd[sd == 0] = 1
    x, x_val, x_test = ((flat[part] - mean) / sd for part in (rows.train, rows.val, rows.test))
    classes = 1 + int(images.labels.max())
    best = test = -1.0
    weights = np.zeros((x.shape[1] + 1, classes))
    for penalty in PENALTIES:
        weights = _fitted(x, images.labels[rows.train], weights, penalty)
        right = _accuracy(weights, x_val, images.labels[rows.val])
        if right > best:
            best, test = right, _accuracy(weights, x_test, images.labels[rows.test])
    return test


def _fitted(x: Array, labels: Array, start: Array, penalty: float) -> NDArray[np.float64]:
    """Return weights ``(d + 1, classes)``, the last row of them biases, which are not penalised."""
    n, wanted = len(x), np.eye(start.shape[1])[labels]

    def loss(flat: Array) -> tuple[float, Array]:
        weights = flat.reshape(start.shape)
        logits = x @ weights[:-1] + weights[-1]
        logs = logits - logsumexp(logits, axis=1, keepdims=True)
        off = (np.exp(logs) - wanted) / n
        slope = np.vstack([x.T @ off + penalty * weights[:-1], off.sum(axis=0)])
        value = -np.sum(logs * wanted) / n + penalty / 2 * np.sum(weights[:-1] ** 2)
        return float(value), slope.ravel()

    options = {"maxiter": _STEPS, "ftol": _FALL}
    found = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options=options)
    weights: NDArray[np.float64] = found.x.reshape(start.shape)
    return weights


def _accuracy(weights: Array, x: Array, labels: Array) -> float:
    return float(np.mean(np.argmax(x @ weights[:-1] + weights[-1], axis=1) == labels))
