r"""Weighted sums of products of factors, in SVD form, without a dense matrix.

.. math:: \Theta = \sum_i w_i L_i R_i^T = [w_1 L_1 \cdots w_n L_n]\,[R_1 \cdots R_n]^T = L R^T

With :math:`L = Q_L T_L` and :math:`R = Q_R T_R` the SVD of the small core :math:`T_L T_R^T` is that of :math:`\Theta`
up to :math:`Q_L` and :math:`Q_R`. Householder QR is exact column by column, so factors may differ in size by any power.
For k columns the cost is :math:`O((d_{in} + d_{out}) k^2)`, all in float64; Q stays as reflectors and is
applied to the columns that are kept only.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import svd
from scipy.linalg.lapack import dgeqrf, dormqr

from eafl_flower.aggregation.lora.factors import LowRank, Pair, check_pairs, zero_matrix
from eafl_flower.errors import ConfigError, UpdateRefusedError
from eafl_flower.types import Array

_PANEL = 64  # columns that LAPACK works on at a time


class Term(NamedTuple):
    """One summand, ``weight * left @ right.T``: ``left`` is ``(d_in, k)``, ``right`` is ``(d_out, k)``.

    ``weight`` is one number, or one for each of the k columns.
    """

    weight: float | NDArray[np.float64]
    left: Array
    right: Array


class Summed(NamedTuple):
    """A sum in SVD form, and ``discarded``: the share of its energy that truncation took off."""

    matrix: LowRank
    discarded: float


def pair_term(pair: Pair, weight: float | NDArray[np.float64] = 1.0) -> Term:
    """Return ``weight * a @ b`` as a summand."""
    return Term(weight, pair.a, pair.b.T)


def matrix_term(matrix: LowRank, weight: float = 1.0) -> Term:
    """Return ``weight`` times a matrix in SVD form as a summand."""
    return Term(weight * matrix.s, matrix.u, matrix.v)


def sum_of_products(terms: Sequence[Term], *, most: int = 0, tolerance: float = 0.0) -> Summed:
    r"""Return the sum of ``terms`` in SVD form, exact or the best of rank ``most``.

    Parameters
    ----------
    terms
        At least one; all finite and of one shape.
    most
        Largest rank R; 0: as many singular values as there are.
    tolerance
        Singular values of at most this times the largest are noise and left out. They always are below what float64
        resolves, the longer side times 2.2e-16.

    Returns
    -------
    Summed
        The matrix, and :math:`\sum_{i > R} S_i^2 / \sum_i S_i^2`.

    Raises
    ------
    ConfigError
        If ``most`` or ``tolerance`` is negative.
    UpdateRefusedError
        If there is no term, or shapes do not fit.

    Examples
    --------
    >>> a, b = np.eye(3)[:, :2], np.diag([5.0, 1.0, 0.0])[:2]
    >>> matrix, discarded = sum_of_products([pair_term(Pair(a, b))], most=1)
    >>> matrix.s.tolist(), round(discarded, 4)
    ([5.0], 0.0385)
    """
    if most < 0 or tolerance < 0:
        raise ConfigError(f"most = {most}, tolerance = {tolerance}: expected 0 or more")
    d_in, d_out = _shape(terms)
    left = _side([t.left for t in terms], d_in, [t.weight for t in terms])
    right = _side([t.right for t in terms], d_out)
    if not left.shape[1]:
        return Summed(zero_matrix(d_in, d_out), 0.0)
    left, left_scales, left_core = _factorised(left)
    right, right_scales, right_core = _factorised(right)
    u, s, vt = svd(left_core @ right_core.T, full_matrices=False, check_finite=False)
    energies = s * s
    noise = max(tolerance, max(d_in, d_out) * np.finfo(np.float64).eps) * s[0]
    rank = min(most or len(s), int(np.count_nonzero(s > noise)))
    if not rank:
        return Summed(zero_matrix(d_in, d_out), 0.0)
    matrix = LowRank(
        u=_applied(left, left_scales, u[:, :rank]), s=s[:rank].copy(), v=_applied(right, right_scales, vt[:rank].T)
    )
    return Summed(matrix, float(energies[rank:].sum() / energies.sum()))


def mean_of_products(
    pairs: Sequence[Pair], weights: Sequence[float], *, scales: Sequence[float] | None = None, most: int = 0
) -> Summed:
    r"""Return :math:`\sum_v w_v s_v A_v B_v / \sum_v w_v` in SVD form, at most of rank ``most`` (0: exact).

    Parameters
    ----------
    pairs
        Factors of one layer, of any ranks.
    weights
        One weight a client, its number of examples say.
    scales
        The factors :math:`s_v`; by default all are 1.

    Raises
    ------
    UpdateRefusedError
        If factors do not fit or are not finite, or there are not as many weights and scales, or no weight is positive.
    """
    check_pairs(list(pairs), "mean of products")
    shares = shares_of_weights(weights, len(pairs))
    scales = [1.0] * len(pairs) if scales is None else scales
    if len(scales) != len(pairs):
        raise UpdateRefusedError(f"{len(scales)} scales for the factors of {len(pairs)} clients: expected one each")
    terms = [pair_term(pair, share * scale) for pair, share, scale in zip(pairs, shares, scales, strict=True)]
    return sum_of_products(terms, most=most)


def mean_of_matrices(matrices: Sequence[LowRank], weights: Sequence[float], *, most: int = 0) -> Summed:
    r"""Return :math:`\sum_s N_s \Theta_s / \sum_s N_s` in SVD form: what the cloud makes of what roadside units send.

    Each unit sends the mean over its vehicles and the sum :math:`N_s` of their weights. If no unit has truncated, this
    is the mean over all vehicles.

    Raises
    ------
    UpdateRefusedError
        If there is no matrix, shapes differ, or there are not as many weights, or no weight is positive.
    """
    shares = shares_of_weights(weights, len(matrices))
    terms = [matrix_term(matrix, share) for matrix, share in zip(matrices, shares, strict=True)]
    return sum_of_products(terms, most=most)


def shares_of_weights(weights: Sequence[float], clients: int) -> list[float]:
    """Return ``weights`` divided by their sum.

    Raises
    ------
    UpdateRefusedError
        If there are not as many as ``clients``, one is negative or not finite, or all are 0.
    """
    if len(weights) != clients:
        raise UpdateRefusedError(f"{len(weights)} weights for {clients} clients: expected one each")
    total = float(sum(weights))
    if not np.isfinite(total) or min(weights, default=0.0) < 0 or total <= 0:
        raise UpdateRefusedError(f"weights {list(weights)}: expected numbers of at least 0, one of them above")
    return [float(weight) / total for weight in weights]


def _shape(terms: Sequence[Term]) -> tuple[int, int]:
    if not terms:
        raise UpdateRefusedError("a sum of products without a product: expected one at least")
    shapes = [(len(t.left), len(t.right)) for t in terms]
    if len(set(shapes)) > 1 or any(t.left.shape[1] != t.right.shape[1] for t in terms):
        told = ", ".join(f"{t.left.shape} and {t.right.shape}" for t in terms[:8])
        raise UpdateRefusedError(f"summands {told}: expected (d_in, k) and (d_out, k) with one d_in and one d_out")
    return shapes[0]


def _side(
    blocks: Sequence[Array], rows: int, weights: Sequence[float | NDArray[np.float64]] | None = None
) -> NDArray[np.float64]:
    """Return ``blocks`` beside each other, in the order that LAPACK works on in place."""
    joined = np.empty((rows, sum(block.shape[1] for block in blocks)), order="F")
    start = 0
    for i, block in enumerate(blocks):
        stop = start + block.shape[1]
        if weights is None:
            joined[:, start:stop] = block
        else:
            np.multiply(block, weights[i], out=joined[:, start:stop], dtype=np.float64)
        start = stop
    return joined


def _factorised(side: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return reflectors and their scales, which stand for Q, and the triangle; overwrites ``side``."""
    reflectors, scales, _, failed = dgeqrf(side, lwork=_PANEL * side.shape[1], overwrite_a=1)
    assert not failed
    small = min(side.shape)
    return reflectors[:, :small], scales, np.triu(reflectors[:small])


def _applied(
    reflectors: NDArray[np.float64], scales: NDArray[np.float64], small: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return Q times ``small``."""
    padded = np.zeros((len(reflectors), small.shape[1]), order="F")
    padded[: len(small)] = small
    workspace = _PANEL * (padded.shape[1] + _PANEL + 1)  # with less it works column by column
    product, _, failed = dormqr("L", "N", reflectors, scales, padded, lwork=workspace, overwrite_c=1)
    assert not failed
    applied: NDArray[np.float64] = product
    return applied
