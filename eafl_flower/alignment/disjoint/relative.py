"""Relative representations: latents described by their likeness to anchors (Moschella et al., ICLR 2023)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from eafl_flower.alignment.disjoint.aligners import Ridge
from eafl_flower.alignment.disjoint.maps import LinearMap, matched
from eafl_flower.core.settings import CountFromOne, NotNegative, check_settings
from eafl_flower.errors import ConfigError

Real = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class RelativeMap:
    r"""A map of similarities to anchors.

    Parameters
    ----------
    anchors
        The access point's latents of the anchors, of norm 1, ``(d_0, num_anchors)``.
    linear
        The user's map from similarities to latents.
    """

    anchors: Real
    linear: LinearMap

    @property
    def matrix(self) -> Real:
        """The user's matrix, ``(d, num_anchors)``."""
        return self.linear.matrix

    def encode(self, latents: Real) -> Real:
        """Return the cosines between latents and anchors, ``(num_anchors, n)``."""
        return self.anchors.T @ _normalised(latents)

    def decode(self, encoded: Real) -> Real:
        """Return the user's latents, ``(d, n)``."""
        return self.linear.decode(encoded)


@dataclass(frozen=True, kw_only=True)
class Relative:
    """Each side describes a datum by its cosines with the same anchors.

    The user learns from its own latents alone what such a description means, and takes the access point's for one of
    its own. It needs neither the access point's latents nor sums over them, only which pilots are anchors; but it needs
    its own one by one, so it is not federated in the sense of the others. Cosines do not tell the norm of a latent.

    Parameters
    ----------
    num_anchors
        The first so many pilots are the anchors.
    strength
        Of the ridge from cosines to latents.
    """

    num_anchors: CountFromOne = 64
    strength: NotNegative = 1e-6
    federated: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_settings(self)

    def fit(self, theirs: Real, own: Real) -> RelativeMap:
        """Return the map from the access point's latents ``(d_0, n)`` to the user's ``(d, n)`` of the same pilots."""
        theirs, own = matched(theirs, own)
        if self.num_anchors > theirs.shape[1]:
            raise ConfigError(f"num_anchors = {self.num_anchors}: there are {theirs.shape[1]} pilots")
        cosines = _normalised(own[:, : self.num_anchors]).T @ _normalised(own)
        linear = Ridge(strength=self.strength).fit(cosines, own)
        return RelativeMap(anchors=_normalised(theirs[:, : self.num_anchors]), linear=linear)


def _normalised(latents: Real) -> Real:
    norms = np.linalg.norm(latents, axis=0, keepdims=True)
    return np.asarray(np.divide(latents, norms, out=np.zeros_like(latents), where=norms > 0), np.float64)
