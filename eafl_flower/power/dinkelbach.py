r"""Powers of the largest energy efficiency, by Dinkelbach's method.

.. math:: \max_p \min_k \frac{F_k(p)}{G_k(p)}, \quad F_k = \log_2(1 + \mathrm{SINR}_k), \quad
          G_k = \zeta_0 P_u p_k + \zeta_1

With the best ratio so far, :math:`\lambda`, the largest :math:`z = \min_k (F_k - \lambda G_k)` is sought. The least
ratio at its powers is the next :math:`\lambda`, until :math:`z` vanishes. In log power and with
:math:`e^y = z + \lambda\zeta_1` that is

.. math:: \max y \quad \text{s.t.} \quad \log(\lambda \zeta_0 P_u e^{q_k} + e^y) \le \log F_k(q),

which is convex (see `log_rates`), so that the answer is the global optimum.

Dinkelbach, "On nonlinear fractional programming", Management Science 13(7), 1967; Crouzeix and Ferland, "Algorithms for
generalized fractional programming", Mathematical Programming 52, 1991; Zappone and Jorswieck, "Energy efficiency in
wireless networks via fractional programming theory", Foundations and Trends in Communications and Information Theory
11(3-4), 2015.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from eafl_flower.core.settings import NotNegative, Positive, Range, check_settings
from eafl_flower.power.allocation import Allocation
from eafl_flower.power.interior_point import minimise
from eafl_flower.power.local_search import best_maximum
from eafl_flower.power.log_rates import LogRates, RatesAt
from eafl_flower.power.max_sum_rate import starts
from eafl_flower.radio.gains import UplinkGains, rates_bit_s, sinr

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Efficiency:
    r"""What efficiency divides by, and the range of powers.

    Parameters
    ----------
    amplifier
        :math:`\zeta_0`: watts drawn for each watt sent.
    circuit_power_w
        :math:`\zeta_1`: power drawn whatever is sent [W].
    least_power
        Least coefficient, positive.

    Raises
    ------
    ConfigError
        If a number is out of range.
    """

    amplifier: NotNegative = 1.0
    circuit_power_w: Positive = 1.0
    least_power: Annotated[float, Range(0, 1, above=True, below=True)] = 1e-6

    def __post_init__(self) -> None:
        check_settings(self)


def efficiencies(gains: UplinkGains, power: Array, efficiency: Efficiency) -> Array:
    r"""Efficiency of each user, :math:`F_k / G_k` [bit/s/Hz/W], ``(..., num_users)``."""
    return np.log2(1.0 + sinr(gains, power)) / _drawn_w(gains, power, efficiency)


def _drawn_w(gains: UplinkGains, power: Array, efficiency: Efficiency) -> Array:
    return efficiency.amplifier * gains.max_power_w * power + efficiency.circuit_power_w


def max_min_efficiency(
    gains: UplinkGains, efficiency: Efficiency | None = None, *, tolerance: float = 1e-8, most_iterations: int = 30
) -> Allocation:
    r"""Maximise the least efficiency of one drop; independent of what is sent.

    Parameters
    ----------
    gains
        Users of one drop.
    efficiency
        What is divided by, and bounds.
    tolerance
        For the residual of every convex problem, and for the share of ``F`` that is left over at the end.
    most_iterations
        Steps of Dinkelbach's method; usually four are enough.

    Returns
    -------
    Allocation
        ``objective``: the least efficiency [bit/s/Hz/W]. ``kkt_residual``: the larger of the last convex problem's
        residual and of :math:`z / (\lambda\zeta_1)`. ``iterations``: those of all convex problems.
    """
    efficiency = efficiency or Efficiency()
    rates, floor = LogRates.of(gains), float(np.log(efficiency.least_power))
    # without a price on power (the first step, at ratio 0) the powers of the largest least rate are the answer
    power = np.clip(starts(gains, np.random.default_rng(0), efficiency.least_power, 2)[1], efficiency.least_power, 1.0)
    ratio, residual, iterations = float(efficiencies(gains, power, efficiency).min()), np.inf, 0
    for _ in range(most_iterations):
        program = _Program(rates, ratio * efficiency.amplifier * gains.max_power_w, floor)
        found = minimise(program, program.begin(np.log(power)), tolerance=tolerance / 10)
        iterations += found.iterations
        power = np.exp(found.x[:-1])
        at_best = float(efficiencies(gains, power, efficiency).min())
        surplus = np.log2(1.0 + sinr(gains, power)) - ratio * _drawn_w(gains, power, efficiency)
        residual = max(found.residual, abs(float(surplus.min())) / (ratio * efficiency.circuit_power_w))
        ratio = max(ratio, at_best)
        if residual <= tolerance:
            break
    return _allocation("max-min energy efficiency", gains, power, efficiency, at_best, residual, tolerance, iterations)


def max_global_efficiency(
    gains: UplinkGains,
    rng: np.random.Generator,
    efficiency: Efficiency | None = None,
    *,
    num_starts: int = 6,
    tolerance: float = 1e-5,
) -> Allocation:
    r"""Maximise the efficiency of all users together, :math:`\sum_k F_k / \sum_k G_k`, of one drop.

    It is not concave: local maxima of its logarithm, from several starts.

    Parameters
    ----------
    gains
        Users of one drop.
    rng
        Draws starts.
    efficiency
        What is divided by, and bounds.
    num_starts
        Number of starts, at least 1.
    tolerance
        The largest residual that counts as converged.

    Returns
    -------
    Allocation
        ``objective``: the efficiency [bit/s/Hz/W]. ``kkt_residual``: the largest component of the gradient of its
        logarithm by log power, as far as the bounds let it be followed: it proves a local maximum, not the global one.
    """
    efficiency = efficiency or Efficiency()
    rates = LogRates.of(gains)

    def log_ratio(log_power: Array) -> tuple[float, Array]:
        at, drawn = rates.at(log_power), _drawn_w(gains, np.exp(log_power), efficiency)
        each, total = np.exp(at.log_rate), float(drawn.sum())
        gradient = at.back(each / each.sum()) - (drawn - efficiency.circuit_power_w) / total
        return float(np.log(each.sum()) - np.log(total)), gradient

    first = starts(gains, rng, efficiency.least_power, num_starts)
    found = best_maximum(log_ratio, first, efficiency.least_power)
    power = np.exp(found.log_power)
    spectral, drawn = np.log2(1.0 + sinr(gains, power)), _drawn_w(gains, power, efficiency)
    objective = float(spectral.sum() / drawn.sum())
    name = "global energy efficiency"
    return _allocation(name, gains, power, efficiency, objective, found.residual, tolerance, found.iterations)


def _allocation(
    method: str,
    gains: UplinkGains,
    power: Array,
    efficiency: Efficiency,
    objective: float,
    residual: float,
    tolerance: float,
    iterations: int,
) -> Allocation:
    return Allocation(
        method=method,
        power=power,
        rate_bit_s=rates_bit_s(gains, power),
        objective=objective,
        kkt_residual=residual,
        converged=residual <= tolerance,
        iterations=iterations,
        starved_fraction=float(np.mean(power <= efficiency.least_power * (1 + 1e-6))),
    )


class _Program:
    """Largest y with ``log(price e^q + e^y) <= log F(q)``; price: what a coefficient of 1 costs at this ratio."""

    def __init__(self, rates: LogRates, price: float, floor: float) -> None:
        self.rates, self.price = rates, price
        self.log_unit = rates.log_scale + float(np.log(np.log(2.0)))  # from rates [bit/s] to F [bit/s/Hz]
        users = len(rates.noise)
        self.lower, self.upper = np.full(users + 1, floor), np.zeros(users + 1)
        self.lower[-1], self.upper[-1] = -50.0, 50.0

    def begin(self, log_power: Array, margin: float = 0.02) -> Array:
        log_power = np.clip(log_power, self.lower[:-1] + margin, self.upper[:-1] - margin)
        spectral = np.exp(self.rates.at(log_power).log_rate - self.log_unit)
        left = (spectral - self.price * np.exp(log_power)).min()
        return np.append(log_power, np.log(max(left, 0.01 * spectral.min())) - margin)

    def at(self, x: Array) -> "_Point":
        return _Point(self, x)


class _Point:
    def __init__(self, program: _Program, x: Array) -> None:
        self.rates: RatesAt = program.rates.at(x[:-1])
        cost, rest = program.price * np.exp(x[:-1]), np.exp(x[-1])
        self.share = cost / (cost + rest)
        self.objective = -float(x[-1])
        self.constraints = np.log(cost + rest) - (self.rates.log_rate - program.log_unit)

    def gradients(self) -> tuple[Array, Array]:
        users = len(self.share)
        gradient, jacobian = np.zeros(users + 1), np.empty((users, users + 1))
        gradient[-1] = -1.0
        jacobian[:, :-1] = np.diag(self.share) - self.rates.jacobian()
        jacobian[:, -1] = 1.0 - self.share
        return gradient, jacobian

    def hessian(self, multipliers: Array) -> Array:
        users = len(self.share)
        bend = multipliers * self.share * (1.0 - self.share)
        matrix = np.empty((users + 1, users + 1))
        matrix[:-1, :-1] = self.rates.hessian(np.zeros(users), multipliers) + np.diag(bend)
        matrix[-1, :-1] = matrix[:-1, -1] = -bend
        matrix[-1, -1] = bend.sum()
        return matrix
