"""Local maxima of functions of log power that have several."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """The best of several local maxima.

    Parameters
    ----------
    log_power
        Where it is, ``(num_users,)``.
    residual
        The largest component of the gradient there, as far as the bounds let it be followed.
    iterations
        Steps over all starts.
    """

    log_power: Array
    residual: float
    iterations: int


def best_maximum(
    function: Callable[[Array], tuple[float, Array]], starts: Iterable[Array], least_power: float
) -> Found:
    """Maximise ``function`` of log power, which returns value and gradient, by L-BFGS-B from each of ``starts``."""
    low = float(np.log(least_power))
    best, where, iterations = -np.inf, np.zeros(0), 0

    def negative(log_power: Array) -> tuple[float, Array]:
        value, gradient = function(log_power)
        return -value, -gradient

    for power in starts:
        start = np.log(np.clip(power, least_power, 1.0))
        options = {"maxiter": 2000, "maxfun": 4000, "ftol": 1e-15, "gtol": 1e-9}
        bounds = [(low, 0.0)] * len(start)
        found = minimize(negative, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
        iterations += int(found.nit)
        if -found.fun > best:
            best, where = -float(found.fun), found.x
    _, gradient = function(where)
    residual = np.abs(np.clip(where + gradient, low, 0.0) - where).max()
    return Found(log_power=where, residual=float(residual), iterations=iterations)
