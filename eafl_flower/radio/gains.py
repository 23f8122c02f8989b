r"""What powers do to rates when users share an uplink.

.. math:: \mathrm{SINR}_k(p) = \frac{A_k p_k}{B_k p_k + \sum_{i \ne k} \tilde B_{ki} p_i + I_k},
          \quad R_k = c B \log_2(1 + \mathrm{SINR}_k), \quad 0 \le p_k \le 1

The coefficients are those of a network, such as `cell_free.uplink_gains`.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from eafl_flower.errors import ConfigError

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class UplinkGains:
    r"""What powers do to rates: the coefficients of the SINR.

    Leading dimensions are drops. A user that no AP hears has ``signal`` 0, and rate 0 at any power.

    Parameters
    ----------
    signal
        :math:`A_k`, ``(..., num_users)``.
    self_interference
        :math:`B_k`, what a user's own signal costs because its channel is known on average only, ``(..., num_users)``.
    interference
        :math:`\tilde B_{ki}`: what user :math:`i` costs user :math:`k`, ``(..., num_users, num_users)``, diagonal 0.
    noise
        :math:`I_k`, ``(..., num_users)``.
    data_bandwidth_hz
        :math:`c B` [Hz].
    max_power_w
        Power at coefficient 1 [W].
    """

    signal: Array
    self_interference: Array
    interference: Array
    noise: Array
    data_bandwidth_hz: float
    max_power_w: float

    @property
    def num_users(self) -> int:
        """Number of users."""
        return int(self.signal.shape[-1])

    def drop(self, index: int) -> "UplinkGains":
        """Return one drop of several."""
        return replace(
            self,
            signal=self.signal[index],
            self_interference=self.self_interference[index],
            interference=self.interference[index],
            noise=self.noise[index],
        )

    def of(self, users: Integers) -> "UplinkGains":
        """Return the gains of some users, while nobody else sends data; pilots are still those of all."""
        return replace(
            self,
            signal=self.signal[..., users],
            self_interference=self.self_interference[..., users],
            interference=self.interference[..., users[:, None], users],
            noise=self.noise[..., users],
        )


def require_heard(gains: UplinkGains) -> None:
    """Check that every user is heard.

    Raises
    ------
    ConfigError
        If no access point hears a user: its rate is 0 at any power, and its upload would never end.
    """
    deaf = gains.signal <= 0
    if deaf.any():
        users = sorted({int(where[-1]) for where in np.argwhere(deaf)})
        msg = (
            f"no access point hears user {users[0]} ({len(users)} of {gains.num_users} users): leave out who is too far"
        )
        raise ConfigError(msg)


def sinr(gains: UplinkGains, power: Array) -> Array:
    """SINR of each user at power coefficients ``power``, both ``(..., num_users)``; 0 for a user that no AP hears."""
    return gains.signal * power / _denominator(gains, power)


def rates_bit_s(gains: UplinkGains, power: Array) -> Array:
    r"""Rate of each user :math:`R_k = c B \log_2(1 + \mathrm{SINR}_k)` [bit/s], ``(..., num_users)``."""
    rate: Array = gains.data_bandwidth_hz / np.log(2.0) * np.log1p(sinr(gains, power))
    return rate


def sinr_jacobian(gains: UplinkGains, power: Array) -> Array:
    r"""Return derivatives of the SINRs, :math:`\partial\,\mathrm{SINR}_k / \partial p_i` in row k and column i.

    .. math::
        \frac{\partial\,\mathrm{SINR}_k}{\partial p_i} = -\frac{\mathrm{SINR}_k}{D_k} \tilde B_{ki}, \quad
        \frac{\partial\,\mathrm{SINR}_k}{\partial p_k} = \frac{A_k - \mathrm{SINR}_k B_k}{D_k}

    with the denominator :math:`D_k` of the SINR. Shape ``(..., num_users, num_users)``.
    """
    denominator = _denominator(gains, power)
    ratio = gains.signal * power / denominator
    jacobian: Array = -(ratio / denominator)[..., None] * gains.interference
    users = np.arange(gains.num_users)
    jacobian[..., users, users] = (gains.signal - ratio * gains.self_interference) / denominator
    return jacobian


def rate_jacobian(gains: UplinkGains, power: Array) -> Array:
    r"""Return derivatives of the rates :math:`\partial R_k / \partial p_i` [bit/s], ``(..., num_users, num_users)``."""
    slope = gains.data_bandwidth_hz / np.log(2.0) / (1.0 + sinr(gains, power))
    jacobian: Array = slope[..., None] * sinr_jacobian(gains, power)
    return jacobian


def _denominator(gains: UplinkGains, power: Array) -> Array:
    others = (gains.interference @ power[..., None])[..., 0]
    total: Array = gains.self_interference * power + others + gains.noise
    return np.where(gains.signal > 0, total, 1.0)  # without signal all terms are 0
