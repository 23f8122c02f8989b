"""The energy that an EMAM merge minimises, for self-checks and tests. It has nothing to do with joules."""

import numpy as np

from eafl_flower.types import Arrays


def energy(point: Arrays, arrays: Arrays, push: Arrays, *, average: Arrays | None = None, beta: float = 0.0) -> float:
    r"""Energy of ``point`` as the next global arrays.

    .. math:: J(\vartheta) = \tfrac12\|\vartheta-\theta\|^2 - \langle q, \vartheta-\theta\rangle
              + \tfrac\beta2\|\vartheta-\bar\theta\|^2, \qquad q = \alpha w\delta - \eta g

    A spring to the current arrays, the work of the update, and a spring to the average. The minimiser is
    the EMAM merge :math:`\theta^+`, and :math:`J(\theta)-J(\theta^+) = \tfrac{1+\beta}2\|\theta^+-\theta\|^2`.

    Parameters
    ----------
    point
        The point :math:`\vartheta`.
    arrays
        The arrays before the merge :math:`\theta`.
    push
        The weighted update :math:`q`.
    average
        The average before the merge :math:`\bar\theta`; may be None if ``beta`` is 0.
    beta
        Stiffness :math:`\beta`.
    """
    moved = _difference(point, arrays)
    off = _difference(point, arrays if average is None else average)
    return float(0.5 * moved @ moved - _flat(push) @ moved + 0.5 * beta * (off @ off))


def energy_gradient(
    point: Arrays, arrays: Arrays, push: Arrays, *, average: Arrays | None = None, beta: float = 0.0
) -> Arrays:
    r"""Gradient :math:`(\vartheta-\theta) - q + \beta(\vartheta-\bar\theta)` of ``energy``, in float64."""
    means = arrays if average is None else average
    return tuple(
        np.subtract(p, a, dtype=np.float64) - q + beta * np.subtract(p, m, dtype=np.float64)
        for p, a, q, m in zip(point, arrays, push, means, strict=True)
    )


def _flat(arrays: Arrays) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.concatenate([np.asarray(a, dtype=np.float64).reshape(-1) for a in arrays])


def _difference(left: Arrays, right: Arrays) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return _flat(left) - _flat(right)
