r"""Flat MIMO channels, and what they do to blocks of symbols.

.. math:: y = (I_K \otimes H)\,t + w, \qquad H_{ij} \sim \mathcal{CN}(0, v), \quad w \sim \mathcal{CN}(0, \sigma^2 I)

:math:`K` uses of one channel :math:`H` of shape ``(num_receive, num_transmit)``. Symbols are use-major: row
:math:`i N_T + a` is antenna :math:`a` in use :math:`i`. The Kronecker product is never formed.

The released code of arXiv 2602.17271 draws both parts of an entry with standard deviation 1/2, so :math:`v = 1/2`;
:math:`v = 1` is the textbook's.
"""

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from eafl_flower.core.rng import generator
from eafl_flower.errors import ConfigError
from eafl_flower.radio.decibel import from_db

Complex = NDArray[np.complex128]
NoiseConvention = Literal["code", "per_symbol"]
MOST_DB = 300.0
"""Ratios above, or inverse ratios, have powers that are no numbers in double precision, or that nothing is beside."""


def complex_normal(shape: tuple[int, ...], variance: float, rng: np.random.Generator) -> Complex:
    r"""Return independent draws of :math:`\mathcal{CN}(0, v)`: both parts have half the variance."""
    parts = rng.standard_normal((2, *shape)) * math.sqrt(variance / 2)
    drawn: Complex = parts[0] + 1j * parts[1]
    return drawn


def draw_channel(num_receive: int, num_transmit: int, rng: np.random.Generator, entry_variance: float = 0.5) -> Complex:
    r"""Return a channel :math:`H` with independent entries, ``(num_receive, num_transmit)``.

    Raises
    ------
    ConfigError
        If there are no antennas, or the variance is not positive.
    """
    if num_receive < 1 or num_transmit < 1:
        raise ConfigError(f"{num_receive} receive and {num_transmit} transmit antennas: expected at least one of each")
    if not (entry_variance > 0 and math.isfinite(entry_variance)):
        raise ConfigError(f"entry_variance = {entry_variance}: expected a positive number, 0.5 or 1 are usual")
    return complex_normal((num_receive, num_transmit), entry_variance, rng)


def user_channel(seed: int, user: int, num_receive: int, num_transmit: int, entry_variance: float = 0.5) -> Complex:
    """Return the channel of a user, a function of ``(seed, user)`` and of the number of antennas."""
    return draw_channel(num_receive, num_transmit, generator(seed, "mimo", user), entry_variance)


def noise_std(
    snr_db: float | None,
    *,
    channel_uses: int,
    num_receive: int,
    num_transmit: int,
    power: float = 1.0,
    convention: NoiseConvention = "code",
) -> float:
    r"""Return the standard deviation :math:`\sigma` of a complex noise entry.

    .. math::
        \sigma_{code} = \frac{1}{K}\sqrt{\frac{1}{N_R\,\mathrm{SNR}}}, \qquad
        \sigma_{per\ symbol} = \sqrt{\frac{P}{K N_T\,\mathrm{SNR}}}

    The first is that of the released code. Its noise power falls as :math:`1/K^2`, while a block of power :math:`P` has
    :math:`P / (K N_T)` a symbol, as the second has it. They agree at :math:`K = 1`, :math:`P = 1`, :math:`N_R = N_T`.

    Parameters
    ----------
    snr_db
        Signal-to-noise ratio [dB], from -300 to 300; 0 is a ratio of 1. None: no noise.
    channel_uses, num_receive, num_transmit
        :math:`K`, :math:`N_R`, :math:`N_T`.
    power
        Power :math:`P` of a block; ``"code"`` takes it as 1.
    convention
        Which of the two.

    Raises
    ------
    ConfigError
        If a number is out of range or the convention unknown.
    """
    if min(channel_uses, num_receive, num_transmit) < 1:
        raise ConfigError(
            f"{channel_uses} uses, {num_receive} x {num_transmit} antennas: expected at least one of each"
        )
    if convention not in ("code", "per_symbol"):
        raise ConfigError(f'noise convention {convention!r}: expected "code" or "per_symbol"')
    if not (power > 0 and math.isfinite(power)):
        raise ConfigError(f"power = {power}: expected a positive number")
    if snr_db is None:
        return 0.0
    check_snr(snr_db)
    snr = from_db(float(snr_db))
    if convention == "code":
        return math.sqrt(1 / (num_receive * snr)) / channel_uses
    return math.sqrt(power / (channel_uses * num_transmit * snr))


def check_snr(snr_db: float | None) -> None:
    """Refuse a signal-to-noise ratio [dB] that is no number from -300 to 300; None is a channel without noise.

    Raises
    ------
    ConfigError
        If it is anything else.
    """
    if snr_db is not None and not abs(snr_db) <= MOST_DB:
        most = f"{MOST_DB:.0f}"
        raise ConfigError(f"snr_db = {snr_db}: expected a number from -{most} to {most}, or None for no noise")


def through(channel: Complex, sent: Complex) -> Complex:
    r"""Return :math:`(I_K \otimes H)\,t`, ``(..., channel_uses * num_receive, n)``.

    Parameters
    ----------
    channel
        :math:`H`, ``(..., num_receive, num_transmit)``.
    sent
        :math:`t`, ``(..., channel_uses * num_transmit, n)``.

    Raises
    ------
    ConfigError
        If the symbols are no whole number of channel uses.
    """
    num_receive, num_transmit = channel.shape[-2:]
    uses = _uses(sent.shape[-2], num_transmit, "sent")
    blocks = channel[..., None, :, :] @ sent.reshape(*sent.shape[:-2], uses, num_transmit, sent.shape[-1])
    return blocks.reshape(*blocks.shape[:-3], uses * num_receive, sent.shape[-1])


def behind(matrix: Complex, channel: Complex) -> Complex:
    r"""Return :math:`G\,(I_K \otimes H)`, ``(..., d, channel_uses * num_transmit)``.

    Parameters
    ----------
    matrix
        :math:`G`, ``(..., d, channel_uses * num_receive)``.
    channel
        :math:`H`, ``(..., num_receive, num_transmit)``.

    Raises
    ------
    ConfigError
        If the columns are no whole number of channel uses.
    """
    num_receive, num_transmit = channel.shape[-2:]
    uses = _uses(matrix.shape[-1], num_receive, "received")
    *leading, rows, columns = matrix.shape
    blocks = matrix.reshape(*leading, rows * uses, num_receive) @ channel
    return blocks.reshape(*blocks.shape[:-2], rows, columns // num_receive * num_transmit)


def noisy(received: Complex, noise_std: float, rng: np.random.Generator) -> Complex:
    r"""Return what arrives with noise :math:`\mathcal{CN}(0, \sigma^2)` on each symbol."""
    return received + complex_normal(received.shape, noise_std**2, rng)


def estimated(channel: Complex, error_variance: float, rng: np.random.Generator) -> Complex:
    r"""Return a channel as it is known, :math:`\hat H = H + E` with :math:`E_{ij} \sim \mathcal{CN}(0, v_e)`.

    Raises
    ------
    ConfigError
        If the variance is negative or not a number.
    """
    if not (error_variance >= 0 and math.isfinite(error_variance)):
        raise ConfigError(f"error_variance = {error_variance}: expected a number of at least 0")
    return channel + complex_normal(channel.shape, error_variance, rng)


def faded(channel: Complex, correlation: float, rng: np.random.Generator, entry_variance: float = 0.5) -> Complex:
    r"""Return the channel one step later, :math:`H' = a H + \sqrt{1 - a^2}\,W` with :math:`W` a fresh channel.

    First-order autoregressive: the entries keep their variance, and their correlation over :math:`s` steps is
    :math:`a^s`.

    Raises
    ------
    ConfigError
        If the correlation :math:`a` is not from 0 to 1, or the variance is not positive.
    """
    if not 0 <= correlation <= 1:
        raise ConfigError(f"correlation = {correlation}: expected a number from 0 to 1")
    fresh = draw_channel(channel.shape[0], channel.shape[1], rng, entry_variance)
    return correlation * channel + math.sqrt(1 - correlation**2) * fresh


def _uses(rows: int, antennas: int, what: str) -> int:
    uses, rest = divmod(rows, antennas)
    if rest or not uses:
        msg = f"{rows} symbols {what} over {antennas} antennas: expected a whole number of channel uses"
        raise ConfigError(msg)
    return uses
