"""Maps from the access point's latents to a user's, and what pilots sum up to."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from eafl_flower.alignment.packing import finite_matrix
from eafl_flower.errors import DataError

Real = NDArray[np.float64]


class Map(Protocol):
    r"""A map of latents, :math:`y = A\,\phi(x) + b`."""

    @property
    def matrix(self) -> Real:
        r""":math:`A`, ``(d, q)``."""
        ...

    def encode(self, latents: Real) -> Real:
        r"""Return :math:`\phi(x)`, which the access point can send in place of its latents, ``(q, n)``."""
        ...

    def decode(self, encoded: Real) -> Real:
        r"""Return the user's latents :math:`A\,\phi + b`, ``(d, n)``."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class LatentSums:
    r"""What pilots sum up to; two holders' sums add up to those of all their pilots.

    Parameters
    ----------
    count
        :math:`n`.
    theirs, own
        :math:`\sum x`, ``(d_0,)``, and :math:`\sum y`, ``(d,)``.
    theirs_squared, cross, own_squared
        :math:`\sum x x^T`, :math:`\sum y x^T` and :math:`\sum y y^T`.
    """

    count: int
    theirs: Real
    own: Real
    theirs_squared: Real
    cross: Real
    own_squared: Real

    def __add__(self, other: "LatentSums") -> "LatentSums":
        """Return the sums over both holders' pilots."""
        if self.cross.shape != other.cross.shape:
            raise DataError(f"sums of maps {self.cross.shape} and {other.cross.shape}: expected the same dimensions")
        return LatentSums(
            count=self.count + other.count,
            theirs=self.theirs + other.theirs,
            own=self.own + other.own,
            theirs_squared=self.theirs_squared + other.theirs_squared,
            cross=self.cross + other.cross,
            own_squared=self.own_squared + other.own_squared,
        )

    def centred(self) -> "LatentSums":
        """Return the sums of what is left when means are taken off."""
        n = self.count
        return LatentSums(
            count=n,
            theirs=np.zeros_like(self.theirs),
            own=np.zeros_like(self.own),
            theirs_squared=self.theirs_squared - np.outer(self.theirs, self.theirs) / n,
            cross=self.cross - np.outer(self.own, self.theirs) / n,
            own_squared=self.own_squared - np.outer(self.own, self.own) / n,
        )


def latent_sums(theirs: Real, own: Real) -> LatentSums:
    """Return the sums over pilots, of latents ``(d_0, n)`` and ``(d, n)``.

    Raises
    ------
    DataError
        If these are not as many, not matrices, or not finite.
    """
    theirs, own = matched(theirs, own)
    return LatentSums(
        count=theirs.shape[1],
        theirs=theirs.sum(axis=1),
        own=own.sum(axis=1),
        theirs_squared=theirs @ theirs.T,
        cross=own @ theirs.T,
        own_squared=own @ own.T,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearMap:
    r"""A map :math:`y = A x + b`.

    Parameters
    ----------
    matrix
        :math:`A`, ``(d, d_0)``.
    offset
        :math:`b`, ``(d, 1)``.
    """

    matrix: Real
    offset: Real

    def encode(self, latents: Real) -> Real:
        """Return the latents themselves."""
        return latents

    def decode(self, encoded: Real) -> Real:
        r"""Return :math:`A x + b`."""
        return self.matrix @ encoded + self.offset


def matched(theirs: Real, own: Real) -> tuple[Real, Real]:
    """Return latents of both sides in float64.

    Raises
    ------
    DataError
        If they are not of the same number of pilots, two or more, or not finite.
    """
    theirs, own = finite_matrix(theirs, "the access point's latents"), finite_matrix(own, "the user's latents")
    if theirs.shape[1] != own.shape[1] or theirs.shape[1] < 2:
        msg = (
            f"{theirs.shape[1]} pilots at the access point, {own.shape[1]} at the user: expected the same data in the "
            "same order, two or more"
        )
        raise DataError(msg)
    return theirs, own
