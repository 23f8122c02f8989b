r"""What a link with Rayleigh fading carries.

With its power gain :math:`h \sim \mathrm{Exp}(1)` and mean signal-to-noise ratio :math:`\gamma` the rate is

.. math:: R(h) = B\log_2(1 + \gamma h) \ \text{ if at least } R_0, \text{ else } 0

With :math:`h_0 = (2^{R_0 / B} - 1) / \gamma`, at which the rate is :math:`R_0`, its mean is

.. math:: \bar R = B\,e^{-h_0}\log_2(1 + \gamma h_0) + \frac{B}{\ln 2}\,e^{1/\gamma}\,E_1(1/\gamma + h_0)

by parts (for :math:`R_0 = 0`: Alouini and Goldsmith, IEEE Trans. Veh. Technol. 48(4), 1999), and the probability of an
outage is :math:`1 - e^{-h_0}`.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import exp1

Array = NDArray[np.float64]
_FAR = 100.0


def rate_bit_s(snr: Array, bandwidth_hz: float, least_bit_s: float = 0.0) -> Array:
    """Return the rate at a signal-to-noise ratio, fading included [bit/s], ``(...)``; 0 if below ``least_bit_s``."""
    rate = bandwidth_hz * np.log1p(snr) / np.log(2)
    return np.where(rate >= least_bit_s, rate, 0.0)


def mean_rate_bit_s(mean_snr: Array, bandwidth_hz: float, least_bit_s: float = 0.0) -> Array:
    r"""Return the mean rate :math:`\bar R` over the fading [bit/s], ``(...)``.

    Parameters
    ----------
    mean_snr
        Mean signal-to-noise ratio :math:`\gamma`, linear, ``(...)``; at 0 the rate is 0.
    bandwidth_hz
        Bandwidth :math:`B` [Hz].
    least_bit_s
        Rate :math:`R_0` below which nothing arrives [bit/s].

    Examples
    --------
    >>> round(float(mean_rate_bit_s(np.array(1.0), 1.0)), 6)
    0.860347
    """
    snr = np.asarray(mean_snr, np.float64)
    heard = snr > np.finfo(float).tiny
    inverse = 1 / np.where(heard, snr, 1.0)
    least_snr = np.expm1(np.log(2) * least_bit_s / bandwidth_hz)
    least_gain = least_snr * inverse
    nats = np.log1p(least_snr) + _scaled_exp1(inverse + least_gain)
    return np.where(heard, bandwidth_hz * np.exp(-least_gain) * nats / np.log(2), 0.0)


def outage_probability(mean_snr: Array, bandwidth_hz: float, least_bit_s: float) -> Array:
    """Return the probability that the rate is below ``least_bit_s``, ``(...)``; arguments as `mean_rate_bit_s`."""
    least_snr = np.expm1(np.log(2) * least_bit_s / bandwidth_hz)
    with np.errstate(divide="ignore"):
        missed: Array = -np.expm1(-least_snr / np.asarray(mean_snr, np.float64))
    return missed


def _scaled_exp1(x: Array) -> Array:
    """Return ``exp(x) * exp1(x)``; far out by its asymptotic series, as the factors leave the floating-point range."""
    near = np.minimum(x, _FAR)
    inverse = 1 / np.maximum(x, _FAR)
    # The first term that is left out is 5040 / 100^7 of the value.
    series = np.ones_like(inverse)
    for order in range(6, 0, -1):
        series = 1 - order * inverse * series
    return np.where(x <= _FAR, np.exp(near) * exp1(near), inverse * series)
