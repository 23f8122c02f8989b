"""One adapted layer as a matrix of low rank in SVD form, and the two factors that a client trains."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eafl_flower.errors import ConfigError, UpdateRefusedError
from eafl_flower.types import Array


class Pair(NamedTuple):
    """The factors of an adapter of rank r: ``a`` is ``(d_in, r)``, ``b`` is ``(r, d_out)``."""

    a: Array
    b: Array

    @property
    def rank(self) -> int:
        """Number of columns of ``a``."""
        return int(self.a.shape[1])

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the product, ``(d_in, d_out)``."""
        return int(self.a.shape[0]), int(self.b.shape[1])


@dataclass(frozen=True, kw_only=True)
class LowRank:
    r"""A matrix :math:`U \operatorname{diag}(S) V^T` whose dense form is never made.

    ``u`` is ``(d_in, R)`` and ``v`` ``(d_out, R)``, both with orthonormal columns; ``s`` is ``(R,)``, positive and
    falling. So the best matrix of a lower rank is a slice.
    """

    u: NDArray[np.float64]
    s: NDArray[np.float64]
    v: NDArray[np.float64]

    @property
    def rank(self) -> int:
        """Number of singular values R."""
        return len(self.s)

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the matrix, ``(d_in, d_out)``."""
        return len(self.u), len(self.v)

    @property
    def norm(self) -> float:
        """Frobenius norm."""
        return math.sqrt(self.energy)

    @property
    def energy(self) -> float:
        """Sum of the squared singular values."""
        return float(self.s @ self.s)

    def energy_above(self, rank: int) -> float:
        """Return the share of the energy that lies above the first ``rank`` singular values; 0 of a zero matrix."""
        return float(self.s[rank:] @ self.s[rank:]) / self.energy if self.rank else 0.0

    def truncated(self, rank: int) -> "LowRank":
        """Return the best matrix of at most this rank, as views."""
        return LowRank(u=self.u[:, :rank], s=self.s[:rank], v=self.v[:, :rank])


def zero_matrix(d_in: int, d_out: int) -> LowRank:
    """Return the matrix of zeros, of rank 0."""
    return LowRank(u=np.zeros((d_in, 0)), s=np.zeros(0), v=np.zeros((d_out, 0)))


def scale_of(rank: int, lora_alpha: float) -> float:
    r"""Return the factor :math:`s(r) = \alpha / r` by which the product of an adapter of rank r counts.

    Raises
    ------
    ConfigError
        If the rank is below 1.

    Examples
    --------
    >>> scale_of(8, 32.0)
    4.0
    """
    if rank < 1:
        raise ConfigError(f"an adapter has rank {rank}: expected at least 1")
    return lora_alpha / rank


def balanced_pair(matrix: LowRank, rank: int, scale: float, rng: np.random.Generator) -> Pair:
    r"""Return the factors from which a client of ``rank`` starts, in float64.

    .. math:: A = U_r \sqrt{S_r / s}, \qquad B = \sqrt{S_r / s}\, V_r^T, \qquad s A B = U_r S_r V_r^T

    Where ``matrix`` has fewer singular values the other columns begin as LoRA's do: A uniform in
    :math:`\pm 1/\sqrt{d_{in}}`, B zero. Those of a lower rank are the first of those of a higher one.

    Parameters
    ----------
    matrix
        The layer.
    rank
        The rank r.
    scale
        The factor s of the product, see ``scale_of``.
    rng
        For new columns; not used if there are none.

    Raises
    ------
    ConfigError
        If the rank is below 1 or above a side of the layer.

    References
    ----------
    Start of A and B: Hu et al., "LoRA: low-rank adaptation of large language models", ICLR 2022, and its code.
    """
    d_in, d_out = matrix.shape
    check_rank(rank, matrix.shape)
    known = min(rank, matrix.rank)
    root = np.sqrt(matrix.s[:known] / scale)
    a, b = np.empty((d_in, rank)), np.zeros((rank, d_out))
    np.multiply(matrix.u[:, :known], root, out=a[:, :known])
    np.multiply(matrix.v[:, :known].T, root[:, None], out=b[:known])
    if known < rank:
        a[:, known:] = rng.uniform(-1.0, 1.0, (rank - known, d_in)).T / math.sqrt(d_in)
    return Pair(a, b)


def check_rank(rank: int, shape: tuple[int, int]) -> None:
    """Raise ``ConfigError`` unless a layer of this shape can have an adapter of this rank."""
    if not 1 <= rank <= min(shape):
        msg = (
            f"an adapter of rank {rank} for a layer of {shape[0]} x {shape[1]}: expected a rank from 1 to {min(shape)}"
        )
        raise ConfigError(msg)


def check_pairs(pairs: list[Pair], whose: str) -> tuple[int, int]:
    """Return the common shape of the products of ``pairs``.

    Raises
    ------
    UpdateRefusedError
        If there are none, the factors of one do not fit together or the products each other, or a value is not finite.
    """
    if not pairs:
        raise UpdateRefusedError(f"{whose}: no factors were given, expected those of one client at least")
    for i, (a, b) in enumerate(pairs):
        if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0] or a.shape[1] < 1:
            msg = f"{whose}: factors {i} have shapes {a.shape} and {b.shape}, expected (d_in, r) and (r, d_out)"
            raise UpdateRefusedError(msg)
        if (shape := pairs[i].shape) != pairs[0].shape:
            msg = f"{whose}: factors {i} are those of a layer {shape}, expected {pairs[0].shape} as of the first"
            raise UpdateRefusedError(msg)
        if not (np.isfinite(a).all() and np.isfinite(b).all()):
            raise UpdateRefusedError(f"{whose}: factors {i} are not finite: NaN or infinite; did training diverge?")
    return pairs[0].shape


def product_norm(pair: Pair) -> float:
    r"""Return :math:`\lVert A B \rVert_F` without the product, from :math:`\langle A^T A, B B^T \rangle`.

    Examples
    --------
    >>> product_norm(Pair(np.array([[3.0], [4.0]]), np.array([[2.0, 0.0]])))
    10.0
    """
    a, b = pair.a.astype(np.float64), pair.b.astype(np.float64)
    return math.sqrt(max(0.0, float(np.vdot(a.T @ a, b @ b.T))))
