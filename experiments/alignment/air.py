r"""What goes over the air, also for maps that stay real: real and imaginary parts are then symbols of their own.

In each use such a block has the real parts of all antennas, then their imaginary parts, so that a channel is

.. math:: \begin{pmatrix} \Re H & -\Im H \\ \Im H & \Re H \end{pmatrix}

and noise of variance :math:`\sigma^2` has :math:`\sigma^2/2` on each.
"""

import numpy as np
from numpy.typing import NDArray

from eafl_flower.radio.mimo import noisy, through

Complex = NDArray[np.complex128]


def parted(channel: Complex) -> Complex:
    """Return a channel ``(N_R, N_T)`` for real symbols, ``(2 N_R, 2 N_T)``; its imaginary part is 0."""
    return np.block([[channel.real, -channel.imag], [channel.imag, channel.real]]).astype(np.complex128)


def as_parts(symbols: Complex, antennas: int) -> Complex:
    """Return complex symbols ``(uses * antennas, n)`` as real ones, ``(2 * uses * antennas, n)``."""
    uses = symbols.shape[0] // antennas
    blocks = symbols.reshape(uses, antennas, -1)
    return np.stack([blocks.real, blocks.imag], axis=1).reshape(2 * uses * antennas, -1).astype(np.complex128)


def of_parts(symbols: Complex, antennas: int) -> Complex:
    """Return real symbols ``(2 * uses * antennas, n)`` as the complex ones that are sent."""
    blocks = symbols.real.reshape(-1, 2, antennas, symbols.shape[1])
    joined: Complex = (blocks[:, 0] + 1j * blocks[:, 1]).reshape(-1, symbols.shape[1])
    return joined


def over_air(
    sent: Complex, channel: Complex, noise_std: float, rng: np.random.Generator, *, wide: bool = False
) -> Complex:
    """Return what is heard of symbols; with ``wide`` sent and heard in parts."""
    num_receive, num_transmit = channel.shape
    heard = through(channel, of_parts(sent, num_transmit) if wide else sent)
    if noise_std > 0:
        heard = noisy(heard, noise_std, rng)
    return as_parts(heard, num_receive) if wide else heard
