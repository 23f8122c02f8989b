"""What of a latent is sent, where alignment and channel are dealt with apart: First-K, Top-K and Eigen-K."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from eafl_flower.errors import ConfigError

Real = NDArray[np.float64]
Places = NDArray[np.int64]


class Selection(Protocol):
    """Picks features of latents, and makes latents of features."""

    uses_counted: ClassVar[int]
    """How often each channel use counts: twice, where users must be told which features are sent."""

    def features(self, latents: Real) -> tuple[Real, Places]:
        """Return features ``(count, n)``, and what a user has to be told beside, ``(rows, n)``."""
        ...

    def latents(self, features: Real, places: Places) -> Real:
        """Return latents ``(size, n)``."""
        ...


@dataclass(frozen=True, kw_only=True)
class FirstK:
    """The first features.

    Parameters
    ----------
    count
        How many.
    size
        Real dimensions of a latent.
    """

    count: int
    size: int
    uses_counted: ClassVar[int] = 1

    def __post_init__(self) -> None:
        _check_count(self.count, self.size)

    def features(self, latents: Real) -> tuple[Real, Places]:
        """Return the first rows; there is nothing to tell."""
        return latents[: self.count], np.zeros((0, latents.shape[1]), np.int64)

    def latents(self, features: Real, places: Places) -> Real:
        """Return latents with zeros behind the features."""
        return np.concatenate([features, np.zeros((self.size - self.count, features.shape[1]))])


@dataclass(frozen=True, kw_only=True)
class TopK:
    """The features of largest magnitude of each latent, largest first; their places are told without error.

    Parameters
    ----------
    count
        How many.
    size
        Real dimensions of a latent.
    """

    count: int
    size: int
    uses_counted: ClassVar[int] = 2

    def __post_init__(self) -> None:
        _check_count(self.count, self.size)

    def features(self, latents: Real) -> tuple[Real, Places]:
        """Return the largest features, and their rows."""
        places = np.argsort(-np.abs(latents), axis=0, kind="stable")[: self.count]
        return np.take_along_axis(latents, places, axis=0), places

    def latents(self, features: Real, places: Places) -> Real:
        """Return latents that are 0 where nothing was sent."""
        found = np.zeros((self.size, features.shape[1]))
        np.put_along_axis(found, places, features, axis=0)
        return found


@dataclass(frozen=True, kw_only=True, eq=False)
class EigenK:
    r"""The components of a latent that matter most to a map :math:`A = U \Sigma V^T`, :math:`\sqrt{\Sigma} V^T x`.

    Parameters
    ----------
    directions
        Rows of :math:`V^T` with the largest singular values, ``(count, size)``.
    weights
        Roots of these singular values, ``(count,)``.
    """

    directions: Real
    weights: Real
    uses_counted: ClassVar[int] = 1

    def features(self, latents: Real) -> tuple[Real, Places]:
        """Return the components; there is nothing to tell."""
        return self.weights[:, None] * (self.directions @ latents), np.zeros((0, latents.shape[1]), np.int64)

    def latents(self, features: Real, places: Places) -> Real:
        """Return latents in the span of the directions."""
        inverse = np.divide(1.0, self.weights, out=np.zeros_like(self.weights), where=self.weights > 0)
        found: Real = self.directions.T @ (inverse[:, None] * features)
        return found


def eigen_k(matrix: Real, count: int) -> EigenK:
    """Return the components that matter most to a map.

    Parameters
    ----------
    matrix
        ``(d, size)``; of several users, for one broadcast: their maps on top of each other.
    count
        How many components.

    Raises
    ------
    ConfigError
        If there are not as many.
    """
    _check_count(count, matrix.shape[1])
    _, values, directions = np.linalg.svd(matrix, full_matrices=matrix.shape[0] < count)
    padded = np.zeros(count)  # a map of fewer dimensions than are sent has no more singular values
    padded[: min(count, len(values))] = values[:count]
    padded[padded <= 1e-12 * padded.max(initial=0.0)] = 0.0
    return EigenK(directions=directions[:count], weights=np.sqrt(padded))


def features_of(channel_uses: int, num_transmit: int) -> int:
    r"""Return how many real features a block carries, :math:`2 K N_T`."""
    return 2 * channel_uses * num_transmit


def _check_count(count: int, size: int) -> None:
    if not 1 <= count <= size:
        msg = f"{count} features of latents of {size} dimensions: expected from 1 to {size}; take fewer channel uses"
        raise ConfigError(msg)
