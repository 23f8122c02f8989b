r"""Latents on their way: from the access point's encoder to the user's classifier.

.. math:: t = F L_0^{-1}(\mathrm{pack}(x) - \mu_0), \qquad y = (I_K \otimes H) t + w, \qquad
          \hat x = \mathrm{unpack}(L_k G y + \mu_k)
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eafl_flower.alignment.packing import pack, unpack
from eafl_flower.alignment.whitening import Whitening

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
    """

    whitening: Whitening
    precoder: Complex

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
    """

    whitening: Whitening
    equalizer: Complex
    size: int

    def latents(self, received: Complex) -> Real:
        """Return real latents ``(size, n)`` of what is received, ``(K N_R, n)``."""
        return unpack(self.whitening.undo(self.equalizer @ received), self.size)


def compression(channel_uses: int, num_transmit: int, dimensions: int) -> tuple[float, float]:
    r"""Return :math:`K / m`, the paper's compression factor, and :math:`K N_T / m`, symbols per complex dimension."""
    return channel_uses / dimensions, channel_uses * num_transmit / dimensions
