r"""Rates as functions of log power, in which they are log-concave.

With :math:`q = \log p` and :math:`s_k = \log \mathrm{SINR}_k`,

.. math:: s_k = \log A_k + q_k - \log \bigl(\sum_i C_{ki} e^{q_i} + I_k\bigr), \quad
          r_k = \log R_k = \varphi(s_k) + \log(c B / \ln 2), \quad \varphi(s) = \log \log(1 + e^s).

:math:`s_k` is concave as a linear function less a log-sum-exp. :math:`\varphi` is increasing, and concave because
:math:`\log(1 + x) \le x`. So :math:`r_k` is concave: latencies :math:`b_k e^{-r_k}` and energies
:math:`P_u b_k e^{q_k - r_k}` are convex in :math:`q`, and what is optimal near by is optimal.

Boche and Stanczak, "Convexity of some feasible QoS regions and asymptotic behavior of the minimum total power in CDMA
systems", IEEE Trans. Communications 52(12), 2004.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eafl_flower.errors import ConfigError
from eafl_flower.radio.gains import UplinkGains, require_heard

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class RatesAt:
    r"""Log rates at one point, with what their derivatives are made of.

    Parameters
    ----------
    log_rate
        :math:`r`, ``(num_users,)``.
    share
        :math:`\Pi_{ki} = C_{ki} p_i / D_k`: the share of user :math:`i` in what disturbs user :math:`k`.
    slope, curvature
        :math:`\varphi'` and :math:`\varphi'' \le 0`, ``(num_users,)``.
    """

    log_rate: Array
    share: Array
    slope: Array
    curvature: Array

    def jacobian(self) -> Array:
        r""":math:`\partial r_k / \partial q_i = \varphi'_k (\delta_{ki} - \Pi_{ki})`."""
        return self.slope[:, None] * (np.eye(len(self.slope)) - self.share)

    def back(self, weights: Array) -> Array:
        r"""Gradient of :math:`\sum_k w_k r_k`, without the Jacobian."""
        scaled = weights * self.slope
        gradient: Array = scaled - scaled @ self.share
        return gradient

    def hessian(self, squares: Array, weights: Array) -> Array:
        r"""Return :math:`\sum_k t_k \nabla r_k \nabla r_k^T - \sum_k w_k \nabla^2 r_k`, with one product of matrices.

        .. math:: \nabla^2 r_k = \varphi''_k \nabla s_k \nabla s_k^T
                  - \varphi'_k (\mathrm{diag}(\Pi_k) - \Pi_k \Pi_k^T), \quad \nabla s_k = e_k - \Pi_k

        Parameters
        ----------
        squares
            :math:`t`, ``(num_users,)``.
        weights
            :math:`w`, ``(num_users,)``.
        """
        outer = self.slope**2 * squares - self.curvature * weights
        inner = self.slope * weights
        cross = outer[:, None] * self.share
        matrix: Array = self.share.T @ (cross - inner[:, None] * self.share) - cross - cross.T
        matrix[np.diag_indices_from(matrix)] += outer + inner @ self.share
        return matrix


@dataclass(frozen=True, eq=False)
class LogRates:
    r"""Log rates of the users of one drop: `uplink_gains`, divided by the signal.

    Parameters
    ----------
    mixing
        :math:`C_{ki}`: interference and, on the diagonal, self-interference, by ``A_k``.
    noise
        ``I_k / A_k``.
    log_scale
        :math:`\log(c B / \ln 2)`.
    """

    mixing: Array
    noise: Array
    log_scale: float

    @classmethod
    def of(cls, gains: UplinkGains) -> "LogRates":
        """Return the log rates [bit/s] of the users of one drop.

        Raises
        ------
        ConfigError
            If there are several drops, or no access point hears a user.
        """
        if gains.signal.ndim != 1:
            raise ConfigError(f"gains have shape {gains.signal.shape}: expected those of one drop, as `gains.drop(0)`")
        require_heard(gains)
        mixing = (gains.interference + np.diag(gains.self_interference)) / gains.signal[:, None]
        return cls(mixing, gains.noise / gains.signal, float(np.log(gains.data_bandwidth_hz / np.log(2.0))))

    def at(self, log_power: Array) -> RatesAt:
        """Return log rates at ``log_power``, ``(num_users,)``."""
        power = np.exp(log_power)
        received = self.mixing * power
        denominator = received.sum(axis=1) + self.noise
        ratio = power / denominator
        nats = np.log1p(ratio)
        slope = ratio / (1.0 + ratio) / nats
        curvature = slope * np.minimum(nats - ratio, 0.0) / (1.0 + ratio) / nats
        return RatesAt(np.log(nats) + self.log_scale, received / denominator[:, None], slope, curvature)
