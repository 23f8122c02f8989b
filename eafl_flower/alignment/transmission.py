r"""Latents on their way: from the access point's encoder to the user's classifier.

.. math:: t = F L_0^{-1}(\mathrm{pack}(x) - \mu_0), \qquad y = (I_K \otimes H) t + w, \qquad
          \hat x = \mathrm{unpack}(L_k G y + \mu_k)
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eafl_flower.alignment.packing import pack, unpack
from eafl_flower.alignment.whitening import Whitening
from eafl_flower.errors import ConfigError, ProtocolError

Real = NDArray[np.float64]
Complex = NDArray[np.complex128]


@dataclass(frozen=True, kw_only=True, eq=False)
class Sender:
    r"""What sends latents.

    Parameters
    ----------
    whitening
        :math:`L_0`, :math:`\mu_0`, fitted to the access point's pilots.
    precoder
        :math:`F`, ``(K N_T, m)``.

    Raises
    ------
    ConfigError
        If they are not of the same dimensions.
    """

    whitening: Whitening
    precoder: Complex

    def __post_init__(self) -> None:
        if self.precoder.ndim != 2 or self.precoder.shape[1] != len(self.whitening.mean):
            msg = f"precoder is {self.precoder.shape}: expected (symbols, {len(self.whitening.mean)}), as is whitened"
            raise ConfigError(msg)

    def symbols(self, latents: Real) -> Complex:
        """Return the symbols of real latents ``(d, n)``, ``(K N_T, n)``."""
        return self.precoder @ self.whitening.apply(pack(latents))


@dataclass(frozen=True, kw_only=True, eq=False)
class Receiver:
    r"""What makes latents of what is received.

    Parameters
    ----------
    whitening
        :math:`L_k`, :math:`\mu_k`, fitted to the user's pilots; `no_whitening` if these were not white.
    equalizer
        :math:`G_k`, ``(d, K N_R)``.
    size
        Real dimensions of the user's latents.

    Raises
    ------
    ConfigError
        If they are not of the same dimensions.
    """

    whitening: Whitening
    equalizer: Complex
    size: int

    def __post_init__(self) -> None:
        rows = len(self.whitening.mean)
        if self.equalizer.ndim != 2 or self.equalizer.shape[0] != rows or (self.size + 1) // 2 != rows:
            msg = (
                f"equalizer is {self.equalizer.shape}, and latents have {self.size} dimensions: expected "
                f"({rows}, symbols) and {2 * rows - 1} or {2 * rows}, as is whitened"
            )
            raise ConfigError(msg)

    def latents(self, received: Complex) -> Real:
        """Return real latents ``(size, n)`` of what is received, ``(K N_R, n)``.

        Raises
        ------
        ProtocolError
            If it has another number of symbols, or values that are not finite.
        """
        if received.ndim != 2 or received.shape[0] != self.equalizer.shape[1]:
            raise ProtocolError(f"received {received.shape}: expected ({self.equalizer.shape[1]}, n) symbols")
        if not np.isfinite(received).all():
            raise ProtocolError("received values that are not finite")
        return unpack(self.whitening.undo(self.equalizer @ received), self.size)


def compression(channel_uses: int, num_transmit: int, dimensions: int) -> tuple[float, float]:
    r"""Return :math:`K / m`, the paper's compression factor, and :math:`K N_T / m`, symbols per complex dimension.

    Examples
    --------
    >>> compression(24, 2, 96)
    (0.25, 0.5)
    """
    if min(channel_uses, num_transmit, dimensions) < 1:
        raise ConfigError(
            f"{channel_uses} uses, {num_transmit} antennas, {dimensions} dimensions: expected one or more"
        )
    return channel_uses / dimensions, channel_uses * num_transmit / dimensions
