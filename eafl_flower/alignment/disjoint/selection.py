"""What of a latent is sent, where alignment and channel are dealt with apart: First-K, Top-K and Eigen-K."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from eafl_flower.errors import ConfigError

Real = NDArray[np.float64]
Places = NDArray[np.int64]
_RANK = 1e-12


class Selection(Protocol):
    """Picks features of latents, and makes latents of features."""

    uses_counted: ClassVar[int]
    """How often each channel use counts: twice, where users must be told which features are sent."""

    def features(self, latents: Real) -> tuple[Real, Places]:
        """Return features ``(count, n)``, and what a user has to be told beside, ``(rows, n)``."""
        ...

    def latents(self, features: Real, places: Places) -> Real:
        """Return latents ``(size, n)``; of an odd count features may come with the row of zeros that packing adds."""
        ...


@dataclass(frozen=True, kw_only=True)
class _Picked:
    """Some of the features of a latent, as they are.

    Parameters
    ----------
    count
        How many.
    size
        Real dimensions of a latent.

    Raises
    ------
    ConfigError
        If there are not as many.
    """

    count: int
    size: int

    def __post_init__(self) -> None:
        _check_count(self.count, self.size)


@dataclass(frozen=True, kw_only=True)
class FirstK(_Picked):
    """The first features."""

    uses_counted: ClassVar[int] = 1

    def features(self, latents: Real) -> tuple[Real, Places]:
        """Return the first rows; there is nothing to tell."""
        return latents[: self.count], np.zeros((0, latents.shape[1]), np.int64)

    def latents(self, features: Real, places: Places) -> Real:
        """Return latents with zeros behind the features."""
        return np.concatenate([features[: self.count], np.zeros((self.size - self.count, features.shape[1]))])


@dataclass(frozen=True, kw_only=True)
class TopK(_Picked):
    """The features of largest magnitude of each latent, largest first; their places are told without error."""

    uses_counted: ClassVar[int] = 2

    def features(self, latents: Real) -> tuple[Real, Places]:
        """Return the largest features, and their rows."""
        places = np.argsort(-np.abs(latents), axis=0, kind="stable")[: self.count]
        return np.take_along_axis(latents, places, axis=0), places

    def latents(self, features: Real, places: Places) -> Real:
        """Return latents that are 0 where nothing was sent."""
        found = np.zeros((self.size, features.shape[1]))
        np.put_along_axis(found, places, features[: len(places)], axis=0)
        return found


@dataclass(frozen=True, kw_only=True, eq=False)
class EigenK:
    r"""The components of a latent that matter most to a map; see `eigen_k`.

    Parameters
    ----------
    analysis
        Gives the features of a latent, ``(count, size)``.
    synthesis
        Gives a latent of features, ``(size, count)``.
    """

    analysis: Real
    synthesis: Real
    uses_counted: ClassVar[int] = 1

    def features(self, latents: Real) -> tuple[Real, Places]:
        """Return the components; there is nothing to tell."""
        return self.analysis @ latents, np.zeros((0, latents.shape[1]), np.int64)

    def latents(self, features: Real, places: Places) -> Real:
        """Return latents in the span of the components."""
        return self.synthesis @ features[: self.synthesis.shape[1]]


def eigen_k(matrix: Real, count: int, covariance: Real | None = None) -> EigenK:
    r"""Return the components that matter most to a map :math:`A`.

    Without a covariance they are :math:`\sqrt{\Sigma} V^T x` of the truncated :math:`A = U \Sigma V^T`, the best map of
    its rank. With :math:`C` they are :math:`U^T A x` with the first eigenvectors :math:`U` of :math:`A C A^T`, which
    leave the least error of what is mapped.

    Parameters
    ----------
    matrix
        :math:`A`, ``(d, size)``; of several users, for one broadcast: their maps on top of each other.
    count
        How many components.
    covariance
        :math:`C` of what is mapped, ``(size, size)``.

    Raises
    ------
    ConfigError
        If there are not as many components, or the covariance is of other dimensions.
    """
    size = matrix.shape[1]
    _check_count(count, size)
    if covariance is None:
        _, values, directions = np.linalg.svd(matrix, full_matrices=False)
        kept = int(np.sum(values[:count] > _RANK * values[0]))
        roots = np.sqrt(values[:kept, None])
        return _padded(roots * directions[:kept], (directions[:kept] / roots).T, count)
    if covariance.shape != (size, size):
        raise ConfigError(f"covariance is {covariance.shape}: expected ({size}, {size}), as the map takes")
    variances, axes = np.linalg.eigh(matrix @ covariance @ matrix.T)
    kept = int(np.sum(variances[-count:] > _RANK * variances[-1]))
    analysis = axes[:, ::-1][:, :kept].T @ matrix
    return _padded(analysis, np.linalg.pinv(matrix, rcond=_RANK) @ axes[:, ::-1][:, :kept], count)


def _padded(analysis: Real, synthesis: Real, count: int) -> EigenK:
    """Return components with zeros for those that a map of lower rank does not have."""
    more = count - len(analysis)
    return EigenK(analysis=np.pad(analysis, ((0, more), (0, 0))), synthesis=np.pad(synthesis, ((0, 0), (0, more))))


def features_of(channel_uses: int, num_transmit: int) -> int:
    r"""Return how many real features a block carries, :math:`2 K N_T`."""
    return 2 * channel_uses * num_transmit


def _check_count(count: int, size: int) -> None:
    if not 1 <= count <= size:
        msg = f"{count} features of latents of {size} dimensions: expected from 1 to {size}; take fewer channel uses"
        raise ConfigError(msg)
