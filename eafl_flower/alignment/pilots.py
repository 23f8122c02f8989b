r"""Which data are pilots: any, or those that stand for all.

Kernel herding (Chen, Welling and Smola, UAI 2010) takes one datum after the other,

.. math:: i_{t+1} = \arg\max_i \; \frac{1}{n} \sum_j k(x_i, x_j) - \frac{1}{t+1} \sum_{s \le t} k(x_i, x_{i_s})

so that the mean of the chosen ones in the feature space of the kernel comes near the mean of all.
"""

import numpy as np
from numpy.typing import NDArray

from eafl_flower.alignment.packing import finite_matrix
from eafl_flower.errors import ConfigError, DataError

Real = NDArray[np.float64]
Integers = NDArray[np.int64]
_ROWS = 256  # of the kernel at a time


def random_pilots(num_data: int, count: int, rng: np.random.Generator) -> Integers:
    """Return which data are pilots: ``count`` different ones, any as likely as any other.

    Raises
    ------
    ConfigError
        If there are not as many.
    """
    _check_count(num_data, count)
    return rng.permutation(num_data)[:count]


def herded_pilots(latents: Real, count: int, width: float = 1.0) -> Integers:
    r"""Return which data are pilots, chosen by herding, the first choice first.

    Parameters
    ----------
    latents
        ``(dimensions, n)``; those of the access point, which has to know nothing of the users.
    count
        How many, all different.
    width
        Of the kernel :math:`k(x, y) = e^{-\|x - y\|^2 / (2 w^2 v)}`, :math:`v` being the mean of
        :math:`\|x - y\|^2` over pairs.

    Raises
    ------
    ConfigError
        If there are not as many data, or the width is not positive.
    DataError
        If latents are not finite, or all the same.
    """
    latents = finite_matrix(latents, "latents to choose pilots of")
    num_data = latents.shape[1]
    _check_count(num_data, count)
    if not 0 < width < np.inf:
        raise ConfigError(f"width = {width}: expected a positive number")
    spread = 2 * float(latents.var(axis=1).sum())
    if spread == 0:
        raise DataError("latents to choose pilots of are all the same")
    points = (latents - latents.mean(axis=1, keepdims=True)).T / np.sqrt(2 * spread) / width
    squares = np.einsum("ij,ij->i", points, points)

    def kernel(rows: Real, own: Real) -> Real:
        return np.asarray(np.exp(np.minimum(2 * rows @ points.T - own[:, None] - squares, 0.0)), np.float64)

    wanted = np.concatenate(
        [kernel(points[i : i + _ROWS], squares[i : i + _ROWS]).mean(axis=1) for i in range(0, num_data, _ROWS)]
    )
    chosen, so_far = np.zeros(count, np.int64), np.zeros(num_data)
    free = np.ones(num_data, bool)
    for t in range(count):
        best = int(np.argmax(np.where(free, wanted - so_far / (t + 1), -np.inf)))
        chosen[t], free[best] = best, False
        so_far += kernel(points[best : best + 1], squares[best : best + 1])[0]
    return chosen


def _check_count(num_data: int, count: int) -> None:
    if not 1 <= count <= num_data:
        raise ConfigError(f"{count} pilots of {num_data} data: expected from 1 to {num_data}")
