r"""Links that undo the channel and know nothing of what is sent: half of a disjoint design.

With :math:`H = U S V^H` a user receives with

.. math:: G_k = \sqrt{K N_T}\,(S^2 + \tfrac{1}{\mathrm{SNR}} I)^{-1} S\,U^H, \qquad M_k = G_k H

and tells :math:`M_k`. One precoder for all users is :math:`F = \frac{1}{N}\sum_k (M_k^H M_k + \lambda' I)^{-1} M_k^H`,
where :math:`\lambda'` is 0, or ascends for some steps while :math:`F` exceeds the budget; what is left of an excess is
divided out, and given back by the users.

All matrices are of one channel use; a latent's block has :math:`K` of them. The released code decomposes the whole
block, where each singular value comes :math:`K` times and its vectors are whatever the library returns; here they are
the same in each use.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eafl_flower.errors import ConfigError
from eafl_flower.radio.decibel import from_db
from eafl_flower.radio.mimo import check_snr, through

Complex = NDArray[np.complex128]
_STEPS, _STEP = 30, 0.1  # of the ascent in the released code


@dataclass(frozen=True, kw_only=True, eq=False)
class Link:
    r"""Both ends of a link to one user.

    Parameters
    ----------
    precoder
        Of one channel use, ``(N_T, N_T)``; white symbols behind it have the power of the budget over :math:`K` uses.
    receiver
        Of one channel use, ``(N_T, N_R)``.
    channel_uses
        :math:`K`.
    """

    precoder: Complex
    receiver: Complex
    channel_uses: int

    def sent(self, white: Complex) -> Complex:
        """Return what is sent of white symbols, ``(K N_T, n)``.

        Raises
        ------
        ConfigError
            If they are of more or fewer channel uses: the budget would be exceeded, or left.
        """
        if white.shape[0] != (symbols := self.channel_uses * self.precoder.shape[1]):
            msg = f"{white.shape[0]} symbols over a link of {symbols} a latent: expected 2 x {symbols} real features"
            raise ConfigError(msg)
        return through(self.precoder, white)

    def received(self, symbols: Complex) -> Complex:
        """Return the white symbols as they are understood of what is heard, ``(K N_R, n)``."""
        return through(self.receiver, symbols)


def broadcast_links(
    channels: Sequence[Complex], snr_db: float | None, *, channel_uses: int, num_pilots: int, power: float = 1.0
) -> tuple[Link, ...]:
    r"""Return links with one precoder for all users, as the released baselines have them.

    Parameters
    ----------
    channels
        Of each user, square.
    snr_db
        Signal-to-noise ratio [dB]; None: the channels are inverted.
    channel_uses
        :math:`K`.
    num_pilots
        :math:`n`, by which the released code scales its step: :math:`\lambda' = \lambda N n / (n-1)`.
    power
        Budget :math:`P` of a block.

    Raises
    ------
    ConfigError
        If there is no channel, one is not square or not as large as the others, nothing comes through any, or a number
        is out of range.
    """
    check_snr(snr_db)
    _check(channel_uses, power)
    if num_pilots < 2:
        raise ConfigError(f"num_pilots = {num_pilots}: expected two or more")
    if not channels or len({channel.shape for channel in channels}) != 1:
        raise ConfigError(f"channels are {[c.shape for c in channels]}: expected one or more, all of one shape")
    receivers = [_receiver(channel, snr_db, channel_uses) for channel in channels]
    combined = np.stack([receiver @ channel for receiver, channel in zip(receivers, channels, strict=True)])
    adjoint = np.swapaxes(combined, -1, -2).conj()
    identity = np.eye(combined.shape[-1])

    def precoder_of(multiplier: float) -> Complex:
        weight = multiplier * len(channels) * num_pilots / (num_pilots - 1)
        loaded = adjoint @ combined + weight * identity
        each = np.linalg.solve(loaded, adjoint) if weight > 0 else np.linalg.pinv(combined)
        return np.asarray(each.mean(axis=0), np.complex128)

    precoder, multiplier = precoder_of(0.0), 0.0
    if _energy(precoder, channel_uses) > power:
        for _ in range(_STEPS):
            excess = _energy(precoder, channel_uses) - power
            multiplier = max(0.0, multiplier + _STEP * excess) if excess > 0 else 0.0
            precoder = precoder_of(multiplier)
    scale = math.sqrt(_energy(precoder, channel_uses) / power)
    if scale == 0:
        raise ConfigError("channels are all 0: nothing that is sent arrives")
    return tuple(
        Link(precoder=precoder / scale, receiver=scale * receiver, channel_uses=channel_uses) for receiver in receivers
    )


def own_link(channel: Complex, noise_std: float, *, channel_uses: int, power: float = 1.0) -> Link:
    r"""Return the link that is best for one user alone: :math:`F = a V`, and the linear receiver of least error for it.

    .. math:: a^2 = \frac{P}{K N_T}, \qquad G = \frac{1}{a}\,S\,(S^2 + \tfrac{\sigma^2}{a^2} I)^{-1} U^H

    Parameters
    ----------
    channel
        Square.
    noise_std
        :math:`\sigma`.
    channel_uses
        :math:`K`.
    power
        Budget :math:`P` of a block.

    Raises
    ------
    ConfigError
        If the channel is not square, or a number is out of range.
    """
    _check(channel_uses, power)
    if not 0 <= noise_std < math.inf:
        raise ConfigError(f"noise_std = {noise_std}: expected a number of at least 0")
    left, gains, right = _decomposed(channel)
    amplitude = math.sqrt(power / (channel_uses * channel.shape[1]))
    inverse = _regularised(gains, (noise_std / amplitude) ** 2) / amplitude
    precoder, receiver = amplitude * right.conj().T, inverse[:, None] * left.conj().T
    return Link(precoder=precoder, receiver=receiver, channel_uses=channel_uses)


def _check(channel_uses: int, power: float) -> None:
    if channel_uses < 1:
        raise ConfigError(f"channel_uses = {channel_uses}: expected at least one")
    if not 0 < power < math.inf:
        raise ConfigError(f"power = {power}: expected a positive number")


def _receiver(channel: Complex, snr_db: float | None, channel_uses: int) -> Complex:
    left, gains, _ = _decomposed(channel)
    noise = 0.0 if snr_db is None else 1 / from_db(float(snr_db))
    return math.sqrt(channel_uses * channel.shape[1]) * _regularised(gains, noise)[:, None] * left.conj().T


def _regularised(gains: NDArray[np.float64], noise: float) -> NDArray[np.float64]:
    """Return s / (s^2 + noise); 0 where nothing comes through."""
    energy = gains**2 + noise
    return np.divide(gains, energy, out=np.zeros_like(gains), where=energy > 0)


def _decomposed(channel: Complex) -> tuple[Complex, NDArray[np.float64], Complex]:
    if channel.ndim != 2 or channel.shape[0] != channel.shape[1]:
        msg = (
            f"channel is {channel.shape}: links that undo the channel expect as many antennas at the user as at the "
            "access point; the ADMM takes any number"
        )
        raise ConfigError(msg)
    if not np.isfinite(channel).all():
        raise ConfigError("channel has values that are not finite")
    left, gains, right = np.linalg.svd(channel)
    return np.asarray(left, np.complex128), np.asarray(gains, np.float64), np.asarray(right, np.complex128)


def _energy(precoder: Complex, channel_uses: int) -> float:
    return channel_uses * float(np.linalg.norm(precoder) ** 2)
