r"""Powers of the largest sum of rates, which starve some users, and full power for all.

.. math:: \max_p \sum_k R_k(p), \quad p_{min} \le p \le 1

The sum has several local maxima, in most of which some users are as good as silent: :math:`p_{min}` keeps their uploads
from taking forever, and `Allocation.starved_fraction` says how many there are.
"""

import numpy as np
from numpy.typing import NDArray

from eafl_flower.power.allocation import Allocation
from eafl_flower.power.local_search import best_maximum
from eafl_flower.power.log_rates import LogRates
from eafl_flower.power.min_max import min_max_latency
from eafl_flower.power.uploads import Uploads
from eafl_flower.radio.gains import UplinkGains, rates_bit_s

Array = NDArray[np.float64]


def max_sum_rate(
    gains: UplinkGains,
    rng: np.random.Generator,
    *,
    least_power: float = 1e-2,
    num_starts: int = 6,
    tolerance: float = 1e-5,
) -> Allocation:
    """Maximise the sum of rates of one drop: the best of local maxima from several starts.

    The first starts are full power, the powers of the largest least rate and every power at its floor, further ones
    uniform in log power.

    Parameters
    ----------
    gains
        Users of one drop.
    rng
        Draws starts.
    least_power
        Least coefficient, positive.
    num_starts
        Number of starts, at least 1.
    tolerance
        The largest residual that counts as converged.

    Returns
    -------
    Allocation
        ``objective``: the sum of rates [bit/s]. ``kkt_residual``: the largest component of the gradient of its
        logarithm by log power, as far as the bounds let it be followed: it proves a local maximum, not the global one.
    """
    rates = LogRates.of(gains)

    def log_sum(log_power: Array) -> tuple[float, Array]:
        at = rates.at(log_power)
        each = np.exp(at.log_rate)
        total = float(each.sum())
        return float(np.log(total)), at.back(each / total)

    found = best_maximum(log_sum, starts(gains, rng, least_power, num_starts), least_power)
    power = np.exp(found.log_power)
    rate = rates_bit_s(gains, power)
    return Allocation(
        method="max-sum-rate",
        power=power,
        rate_bit_s=rate,
        objective=float(rate.sum()),
        kkt_residual=found.residual,
        converged=found.residual <= tolerance,
        iterations=found.iterations,
        starved_fraction=float(np.mean(power <= least_power * (1 + 1e-6))),
    )


def starts(gains: UplinkGains, rng: np.random.Generator, least_power: float, number: int) -> list[Array]:
    """Return ``number`` power coefficients to start from."""
    users = gains.num_users
    fair = min_max_latency(Uploads(gains=gains, payload_bits=np.full(users, gains.data_bandwidth_hz)), tolerance=1e-6)
    drawn = np.exp(rng.uniform(np.log(least_power), 0.0, (max(0, number - 3), users)))
    return [np.ones(users), fair.power, np.full(users, least_power), *drawn][:number]


def full_power(gains: UplinkGains) -> Allocation:
    """Return full power for all, ``(..., num_users)``; ``objective``: the sum of rates [bit/s]. Nothing is solved."""
    power = np.ones_like(gains.signal)
    rate = rates_bit_s(gains, power)
    return Allocation(
        method="full power",
        power=power,
        rate_bit_s=rate,
        objective=rate.sum(axis=-1),
        kkt_residual=0.0,
        converged=True,
        iterations=0,
    )
