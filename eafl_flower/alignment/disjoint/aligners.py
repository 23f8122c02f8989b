r"""Digital alignment: maps from the access point's latents to a user's, which know of no channel.

Each is fitted to pilots that both sides have encoded. Most need only what the pilots sum up to (`maps.LatentSums`,
which add up over whoever holds a part of them): such an aligner is ``federated``, as no latent has to be shown to
anybody. Over a channel a map is combined with a selection of what is sent, and a link (`chain`).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from eafl_flower.alignment.disjoint.maps import LatentSums, LinearMap, Map, latent_sums
from eafl_flower.core.settings import Count, NotNegative, Range, check_settings

Real = NDArray[np.float64]
_RANK = 1e-12


class Aligner(Protocol):
    """A way to fit a map."""

    federated: ClassVar[bool]
    """Whether sums over pilots are all it needs."""

    def fit(self, theirs: Real, own: Real) -> Map:
        """Return the map from the access point's latents ``(d_0, n)`` to the user's ``(d, n)`` of the same pilots."""
        ...


class _FromSums(ABC):
    """An aligner that needs sums only."""

    federated: ClassVar[bool] = True

    def fit(self, theirs: Real, own: Real) -> LinearMap:
        """Return the map from the access point's latents ``(d_0, n)`` to the user's ``(d, n)`` of the same pilots."""
        return self.from_sums(latent_sums(theirs, own))

    def from_sums(self, sums: LatentSums) -> LinearMap:
        """Return the map of what the pilots sum up to."""
        centred = sums.centred()
        return _with_offset(self._matrix(centred), sums)

    @abstractmethod
    def _matrix(self, centred: LatentSums) -> Real:
        """Return the matrix of the map, of sums about their means."""


@dataclass(frozen=True, kw_only=True)
class Ridge(_FromSums):
    r"""Least squares, :math:`\min_A \sum \|y - A x\|^2 + \lambda \bar v \|A\|_F^2` (Hoerl and Kennard, 1970).

    Parameters
    ----------
    strength
        :math:`\lambda`, in units of :math:`\bar v`, the mean of :math:`\sum x_i^2` over dimensions. 0: the solution of
        least norm.
    bias
        Whether there is an offset; the released baselines have none.
    """

    strength: NotNegative = 0.0
    bias: bool = True

    def __post_init__(self) -> None:
        check_settings(self)

    def from_sums(self, sums: LatentSums) -> LinearMap:
        """Return the map of what the pilots sum up to."""
        if self.bias:
            return super().from_sums(sums)
        return LinearMap(matrix=self._matrix(sums), offset=np.zeros((len(sums.own), 1)))

    def _matrix(self, centred: LatentSums) -> Real:
        gram = centred.theirs_squared
        load = self.strength * np.trace(gram) / len(gram)
        inverse = np.linalg.pinv(gram + load * np.eye(len(gram)), rcond=_RANK, hermitian=True)
        return np.asarray(centred.cross @ inverse, np.float64)


@dataclass(frozen=True, kw_only=True)
class Procrustes(_FromSums):
    r"""A rotation and a scale, :math:`\min_{s, Q} \sum \|y - s Q x\|^2` with orthonormal :math:`Q` (Schönemann, 1966).

    It is the minimum where the user has as many dimensions as the access point, or more: :math:`Q^T Q = I`. With fewer,
    :math:`Q Q^T = I`, it has the largest correlation :math:`\mathrm{tr}(Q^T \sum y x^T)`, and the best scale for it.
    """

    def _matrix(self, centred: LatentSums) -> Real:
        left, values, right = np.linalg.svd(centred.cross, full_matrices=False)
        rotation: Real = left @ right
        energy = float(np.trace(rotation @ centred.theirs_squared @ rotation.T))
        return rotation * (float(values.sum()) / energy if energy > 0 else 0.0)


@dataclass(frozen=True, kw_only=True)
class CanonicalCorrelation(_FromSums):
    r"""The canonical pairs of largest correlation, and nothing of the others (Hotelling, 1936).

    .. math:: C_{yy}^{-1/2} C_{yx} C_{xx}^{-1/2} = U P V^T, \qquad A = C_{yy}^{1/2} U_r P_r V_r^T C_{xx}^{-1/2}

    With all pairs it is least squares.

    Parameters
    ----------
    pairs
        How many, :math:`r`; 0: all.
    load
        What is added to the variances, relative to their mean.
    """

    pairs: Count = 0
    load: Annotated[float, Range(0, 1)] = 1e-6

    def __post_init__(self) -> None:
        check_settings(self)

    def _matrix(self, centred: LatentSums) -> Real:
        _, over_theirs = self._roots(centred.theirs_squared)
        root, over_own = self._roots(centred.own_squared)
        left, values, right = np.linalg.svd(over_own @ centred.cross @ over_theirs, full_matrices=False)
        kept = self.pairs or len(values)
        return np.asarray(root @ (left[:, :kept] * values[:kept]) @ right[:kept] @ over_theirs, np.float64)

    def _roots(self, gram: Real) -> tuple[Real, Real]:
        """Return the root of a matrix of sums, and its inverse."""
        values, vectors = np.linalg.eigh(gram + self.load * np.trace(gram) / len(gram) * np.eye(len(gram)))
        roots = np.sqrt(np.where(values > _RANK * values.max(initial=0.0), values, 0.0))
        inverse = np.divide(1.0, roots, out=np.zeros_like(roots), where=roots > 0)
        return (vectors * roots) @ vectors.T, (vectors * inverse) @ vectors.T


def _with_offset(matrix: Real, sums: LatentSums) -> LinearMap:
    offset = (sums.own - matrix @ sums.theirs) / sums.count
    return LinearMap(matrix=matrix, offset=offset[:, None])
