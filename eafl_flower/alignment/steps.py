r"""The closed-form steps of the method, of one user or, in leading dimensions, of several at once.

With :math:`M = G\,(I_K \otimes H)`, white pilots :math:`X`, :math:`R = S X^H / (n-1)` and :math:`W = X X^H / (n-1)` the
problem is

.. math:: \min_{F, \{G_k\}} \sum_k \frac{1}{n}\|S_k - M_k F X\|_F^2 + \sigma^2 \|G_k\|_F^2
          \quad \text{s.t.} \quad \mathrm{tr}(F F^H) \le P

and these are the steps of its scaled ADMM, :math:`\rho (\|F - Z + U\|_F^2 - \|U\|_F^2)` being the penalty.
"""

import numpy as np
from numpy.typing import NDArray

from eafl_flower.alignment.settings import Regularizer

Complex = NDArray[np.complex128]
Real = NDArray[np.float64]
_RANK = 1e-12  # relative to the largest: smaller eigenvalues of a Gram matrix are 0 but for rounding
_WHITE = 1e-10


def solve_for_equalizer(
    gram: Complex, right: Complex, noise_std: float | Real, regularizer: Regularizer = "identity"
) -> Complex:
    r"""Return :math:`(A A^H / n + \Sigma)^{-H} B`, of which the equalizer is made.

    .. math:: G^H = (A A^H / n + \Sigma)^{-H}\,A S^H / n, \qquad \Sigma = \sigma^2 I \text{ if "identity"}

    Without a regularizer, or without noise, it is the pseudo-inverse: the equalizer of least norm.

    Parameters
    ----------
    gram
        :math:`A A^H / n`, Hermitian, ``(..., q, q)``.
    right
        :math:`B`, ``(..., q, columns)``.
    noise_std
        :math:`\sigma`, a number or ``(...)``.
    regularizer
        :math:`\Sigma`; see `settings.Alignment`.
    """
    sigma = np.asarray(noise_std, np.float64)[..., None, None]
    identity = np.eye(gram.shape[-1])
    if regularizer in ("code_broadcast", "code_diag"):
        shape = np.ones_like(identity) if regularizer == "code_broadcast" else identity
        adjoint = np.swapaxes(gram + sigma * (1 + 1j) * shape, -1, -2).conj()
        return np.asarray(np.linalg.pinv(adjoint, rcond=_RANK), np.complex128) @ right
    noise = sigma**2 if regularizer == "identity" else np.zeros_like(sigma)
    matrix = gram + noise * identity
    scale = np.trace(gram, axis1=-2, axis2=-1).real[..., None, None]
    if np.all(noise > _RANK * scale):
        return solve_positive(matrix, right)
    return np.asarray(np.linalg.pinv(matrix, rcond=_RANK, hermitian=True), np.complex128) @ right


def solve_for_precoder(
    gram: Complex, cross: Complex, target: Complex, penalty: float, covariance: Complex | None = None
) -> Complex:
    r"""Return the local minimiser :math:`F_k` over all precoders, ``(..., K N_T, m)``.

    .. math:: M^H M F W + \rho' F = M^H R + \rho'(Z - U), \qquad \rho' = \rho\,n / (n-1)

    which is a linear system if :math:`W = I`. Else it is a Sylvester equation, solved in the eigenvectors of its two
    Hermitian sides, in which it is a division.

    Parameters
    ----------
    gram, cross
        :math:`M^H M`, ``(..., K N_T, K N_T)``, and :math:`M^H R`, ``(..., K N_T, m)``.
    target
        :math:`Z - U`, ``(..., K N_T, m)``.
    penalty
        :math:`\rho'`.
    covariance
        :math:`W`, ``(m, m)``; None: it is the identity.
    """
    right = cross + penalty * target
    if covariance is None:
        return solve_positive(gram + penalty * np.eye(gram.shape[-1]), right)
    over_rows, rows = np.linalg.eigh(gram)
    over_columns, columns = np.linalg.eigh(covariance)
    turned = np.swapaxes(rows, -1, -2).conj() @ right @ columns
    turned /= over_rows[..., :, None] * over_columns + penalty
    return np.asarray(rows @ turned @ columns.conj().T, np.complex128)


def onto_budget(matrix: Complex, power: float) -> Complex:
    r"""Return the nearest matrix with :math:`\|Z\|_F^2 \le P`, ``(..., K N_T, m)``: itself, or scaled down."""
    norm = np.linalg.norm(matrix, axis=(-2, -1), keepdims=True)
    limit = np.sqrt(power)
    scaled: Complex = matrix * (limit / np.maximum(norm, limit))
    return scaled


def pilot_covariance(white: Complex) -> Complex | None:
    r"""Return :math:`W = X X^H / (n-1)`, ``(m, m)``; None if it is the identity, as of pilots that are white."""
    covariance: Complex = white @ white.conj().T / (white.shape[1] - 1)
    return None if np.abs(covariance - np.eye(len(covariance))).max() <= _WHITE else covariance


def solve_positive(matrix: Complex, right: Complex) -> Complex:
    """Return the solution of systems with Hermitian positive definite matrices, ``(..., q, columns)``."""
    return np.asarray(np.linalg.solve(matrix, right), np.complex128)
