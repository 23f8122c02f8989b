r"""The uplink of a cell-free network: access points that serve all users together.

Rayleigh fading, estimated with pilots that users share; each AP combines by maximum ratio and a central processor adds
up. The rates of `UplinkGains` are those of the use-and-then-forget bound and depend on large-scale fading alone.

Ngo, Ashikhmin, Yang, Larsson and Marzetta, "Cell-free massive MIMO versus small cells", IEEE Trans. Wireless
Commun. 16(3), 2017.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from eafl_flower.core.settings import CountFromOne, Positive, Range, check_settings
from eafl_flower.errors import ConfigError
from eafl_flower.radio.decibel import from_dbm
from eafl_flower.radio.gains import Array, Integers, UplinkGains


@dataclass(frozen=True, kw_only=True)
class Uplink:
    r"""Constants of the uplink.

    Parameters
    ----------
    num_antennas
        Antennas :math:`N` of each AP.
    bandwidth_hz
        Bandwidth :math:`B` [Hz].
    max_power_w
        Power :math:`P_u` of a user at power coefficient 1, and of its pilot [W].
    noise_dbm
        Noise over the whole band [dBm], with the receiver's noise figure.
    coherence_samples
        Samples :math:`\tau_c` in which the channel stays the same.
    num_pilots
        Orthogonal pilots :math:`\tau_p`, each of as many samples.

    Raises
    ------
    ConfigError
        If a number is out of range, or the pilots leave no sample for data.
    """

    num_antennas: CountFromOne = 4
    bandwidth_hz: Positive = 20e6
    max_power_w: Annotated[float, Range(1e-9, 1e6)] = 0.1
    noise_dbm: Annotated[float, Range(-250, 100)] = -94.0
    coherence_samples: Annotated[int, Range(2)] = 200
    num_pilots: Annotated[int, Range(1, 10_000)] = 10

    def __post_init__(self) -> None:
        check_settings(self)
        if self.num_pilots >= self.coherence_samples:
            msg = (
                f"num_pilots = {self.num_pilots}: expected fewer than the {self.coherence_samples} samples in which "
                "the channel stays the same"
            )
            raise ConfigError(msg)

    @property
    def data_bandwidth_hz(self) -> float:
        r"""Bandwidth that is left for data, :math:`c B` with :math:`c = (\tau_c - \tau_p) / \tau_c` [Hz]."""
        return self.bandwidth_hz * (self.coherence_samples - self.num_pilots) / self.coherence_samples

    @property
    def snr(self) -> float:
        r"""Full power over noise, :math:`\rho_u = P_u / \sigma^2`, before any path loss."""
        return self.max_power_w / from_dbm(self.noise_dbm)


def assign_pilots(fading: Array, num_pilots: int, rng: np.random.Generator) -> Integers:
    """Give every user a pilot, greedily; the first ``num_pilots`` users get different ones.

    Each later user takes, at the AP it hears best, the pilot that is received with the least power there.

    Parameters
    ----------
    fading
        Large-scale fading ``(..., num_users, num_aps)``, linear.
    num_pilots
        Number of pilots.
    rng
        Draws the pilots of the first users.

    Returns
    -------
    Integers
        Pilot of each user, ``(..., num_users)``.
    """
    *drops, num_users, num_aps = fading.shape
    flat = fading.reshape(-1, num_users, num_aps)
    pilots = np.empty((len(flat), num_users), np.int64)
    first = rng.permuted(np.tile(np.arange(num_pilots), (len(flat), 1)), axis=1)
    pilots[:, :num_pilots] = first[:, :num_users]
    own = flat.argmax(axis=-1)  # (drops, num_users): the AP that hears a user best
    for user in range(num_pilots, num_users):
        heard = np.take_along_axis(flat[:, :user], own[:, user, None, None], axis=2)[..., 0]  # (drops, user)
        received = np.zeros((len(flat), num_pilots))
        np.add.at(received, (np.arange(len(flat))[:, None], pilots[:, :user]), heard)
        pilots[:, user] = received.argmin(axis=-1)
    return pilots.reshape(*drops, num_users)


def estimation_quality(fading: Array, pilots: Integers, uplink: Uplink) -> Array:
    r"""Mean square of the channel estimates, :math:`\gamma_{kl} \le \beta_{kl}`.

    .. math:: \gamma_{kl} = \frac{p_p \beta_{kl}^2}{p_p \sum_i P_{ki} \beta_{il} + 1}, \quad p_p = \tau_p \rho_u

    with :math:`P_{ki} = 1` if the users share a pilot.

    Parameters
    ----------
    fading
        Large-scale fading :math:`\beta`, ``(..., num_users, num_aps)``, linear.
    pilots
        Pilot of each user, ``(..., num_users)``.
    uplink
        Constants.

    Returns
    -------
    Array
        ``(..., num_users, num_aps)``, linear.
    """
    quality: Array = fading * _share_of_estimate(fading, pilots, uplink)
    return quality


def _share_of_estimate(fading: Array, pilots: Integers, uplink: Uplink) -> Array:
    pilot_snr = uplink.num_pilots * uplink.snr
    received: Array = _same_pilot(pilots) @ fading
    share: Array = pilot_snr * fading / (pilot_snr * received + 1.0)
    return share


def _same_pilot(pilots: Integers) -> Array:
    return np.asarray(pilots[..., :, None] == pilots[..., None, :], np.float64)


def uplink_gains(fading: Array, pilots: Integers, uplink: Uplink) -> UplinkGains:
    r"""Coefficients of the SINR from large-scale fading.

    .. math::
        A_k &= \bigl(N \sum_l \gamma_{kl}\bigr)^2, \quad B_k = N \sum_l \gamma_{kl} \beta_{kl}, \quad
        I_k = N \sum_l \gamma_{kl} / \rho_u \\
        \tilde B_{ki} &= N \sum_l \gamma_{kl} \beta_{il}
        + P_{ki} \bigl(N \sum_l \gamma_{kl} \beta_{il} / \beta_{kl}\bigr)^2, \quad i \ne k

    Parameters
    ----------
    fading
        Large-scale fading :math:`\beta`, ``(..., num_users, num_aps)``, linear.
    pilots
        Pilot of each user, ``(..., num_users)``.
    uplink
        Constants.

    Raises
    ------
    ConfigError
        If there is no user or no AP, shapes do not fit, or fading is negative or not finite.
    """
    fading, pilots = np.asarray(fading, np.float64), np.asarray(pilots, np.int64)
    if fading.ndim < 2 or fading.size == 0 or pilots.shape != fading.shape[:-1]:
        msg = (
            f"fading has shape {fading.shape}, pilots {pilots.shape}: expected (..., num_users, num_aps) with at least "
            "one user and one access point, and a pilot for each user"
        )
        raise ConfigError(msg)
    wrong = ~((fading >= 0) & np.isfinite(fading))
    if wrong.any():
        where = tuple(np.argwhere(wrong)[0])
        msg = f"fading of user {where[-2]} to access point {where[-1]} is {fading[where]}: expected a finite gain, >= 0"
        raise ConfigError(msg)
    share = _share_of_estimate(fading, pilots, uplink)
    quality = fading * share
    others = np.swapaxes(fading, -1, -2)
    antennas = uplink.num_antennas
    coherent = antennas * (share @ others)  # share = quality / fading, and defined where fading is 0
    interference = antennas * (quality @ others) + _same_pilot(pilots) * coherent**2
    users = np.arange(fading.shape[-2])
    interference[..., users, users] = 0.0
    total = antennas * quality.sum(axis=-1)
    return UplinkGains(
        signal=total**2,
        self_interference=antennas * (quality * fading).sum(axis=-1),
        interference=interference,
        noise=total / uplink.snr,
        data_bandwidth_hz=uplink.data_bandwidth_hz,
        max_power_w=uplink.max_power_w,
    )
