r"""Latents made white, and back.

.. math:: C = \frac{1}{n-1}\sum_i (c_i - \mu)(c_i - \mu)^H = L L^H, \qquad \tilde c = L^{-1}(c - \mu)

so that the whitened samples :math:`X` have :math:`X X^H = (n-1) I`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from eafl_flower.errors import ConfigError, DataError

Complex = NDArray[np.complex128]


@dataclass(frozen=True, kw_only=True, eq=False)
class Whitening:
    r"""Mean and factor of a covariance.

    Parameters
    ----------
    mean
        :math:`\mu`, ``(q, 1)``.
    factor
        Lower triangular :math:`L`, ``(q, q)``.
    """

    mean: Complex
    factor: Complex

    def apply(self, samples: Complex) -> Complex:
        r"""Return :math:`L^{-1}(c - \mu)`, ``(q, n)``.

        Raises
        ------
        DataError
            If the samples have other dimensions than those that it was fitted to.
        """
        self._check(samples)
        white: Complex = solve_triangular(self.factor, samples - self.mean, lower=True)
        return white

    def undo(self, white: Complex) -> Complex:
        r"""Return :math:`L \tilde c + \mu`, ``(q, n)``; raises as `apply`."""
        self._check(white)
        return self.factor @ white + self.mean

    def _check(self, samples: Complex) -> None:
        if samples.ndim != 2 or len(samples) != len(self.mean):
            raise DataError(f"samples are {samples.shape}: the whitening was fitted to ({len(self.mean)}, n)")


def fit_whitening(samples: Complex, eps: float = 1e-6) -> Whitening:
    r"""Return the whitening of samples.

    Where the rows before it determine a row to within :math:`\epsilon\,\mathrm{tr}(C)/q`, as of units that are
    constant, :math:`C` is singular for all we know; then :math:`C + \epsilon\,\mathrm{tr}(C)/q\,I` is factored instead.
    What comes out is smaller than white in these directions.

    Parameters
    ----------
    samples
        :math:`c`, ``(q, n)``.
    eps
        :math:`\epsilon`, relative to the mean variance. 0: a singular covariance is an error.

    Raises
    ------
    ConfigError
        If ``eps`` is negative or not a number.
    DataError
        If there are fewer than two samples, values that are not finite, no variance at all, or with ``eps`` 0 a
        covariance that is singular.
    """
    if not 0 <= eps < np.inf:
        raise ConfigError(f"eps = {eps}: expected a number of at least 0")
    if samples.ndim != 2 or samples.shape[1] < 2 or not samples.shape[0]:
        raise DataError(f"samples to whiten are {samples.shape}: expected (dimensions, samples), two samples or more")
    if not np.isfinite(samples).all():
        raise DataError("samples to whiten are not finite: leave out those that are not")
    mean = samples.mean(axis=1, keepdims=True)
    centred = samples - mean
    with np.errstate(over="ignore", invalid="ignore"):  # what is too large becomes infinite, and is refused as such
        covariance = centred @ centred.conj().T / (samples.shape[1] - 1)
    size = len(covariance)
    variance = float(np.trace(covariance).real) / size
    if not np.isfinite(covariance).all():
        raise DataError("samples to whiten are so large that their squares are not finite: scale them down")
    if variance == 0:
        raise DataError("samples to whiten are all the same: their covariance is 0")
    factor = _factor(covariance, max(eps, size * np.finfo(float).eps) * variance)
    if factor is None and eps:
        factor = _factor(covariance + eps * variance * np.eye(size), 0.0)
    if factor is None:
        msg = (
            f"the covariance of {samples.shape[1]} samples of {size} dimensions is singular: take more samples, leave "
            "out constant dimensions, or let eps be 1e-6 to regularise it"
        )
        raise DataError(msg)
    return Whitening(mean=mean, factor=factor)


def no_whitening(size: int) -> Whitening:
    r"""Return the whitening that changes nothing, :math:`L = I`, :math:`\mu = 0`."""
    return Whitening(mean=np.zeros((size, 1), np.complex128), factor=np.eye(size, dtype=np.complex128))


def _factor(matrix: Complex, least_pivot: float) -> Complex | None:
    """Return the Cholesky factor; None if there is none, or a pivot is not above the least."""
    try:
        factor = np.asarray(np.linalg.cholesky(matrix), np.complex128)
    except np.linalg.LinAlgError:
        return None
    return factor if (np.diagonal(factor).real ** 2 > least_pivot).all() else None
