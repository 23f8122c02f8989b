import doctest

import numpy as np
import pytest
from scipy.integrate import quad

from eafl_flower.core.rng import generator
from eafl_flower.radio import rayleigh
from eafl_flower.radio.rayleigh import mean_rate_bit_s, outage_probability, rate_bit_s

BANDWIDTH_HZ = 2e6
LEAST_BIT_S = 1e5
SNRS = 10.0 ** np.arange(-3, 7)


def test_the_examples_are_true():
    assert doctest.testmod(rayleigh).failed == 0


@pytest.mark.parametrize("least_bit_s", [0.0, LEAST_BIT_S, 5e6])
@pytest.mark.parametrize("snr", [0.05, 1.0, 30.0, 1e4])
def test_the_mean_rate_is_the_mean_of_rates(snr, least_bit_s):
    gains = generator(1, "gains").standard_exponential(200_000)
    rates = rate_bit_s(snr * gains, BANDWIDTH_HZ, least_bit_s)
    error = rates.std() / np.sqrt(len(rates)) + BANDWIDTH_HZ * 1e-9
    assert abs(rates.mean() - mean_rate_bit_s(np.array(snr), BANDWIDTH_HZ, least_bit_s)) < 5 * error
    missed = (rates == 0).mean()
    exact = outage_probability(np.array(snr), BANDWIDTH_HZ, least_bit_s)
    assert abs(missed - exact) <= 5 * np.sqrt(exact * (1 - exact) / len(rates))


@pytest.mark.parametrize("least_bit_s", [0.0, LEAST_BIT_S])
def test_the_closed_form_is_the_integral(least_bit_s):
    for snr in SNRS:
        first = np.expm1(np.log(2) * least_bit_s / BANDWIDTH_HZ) / snr

        def integrand(u, snr=snr):  # over u = log h, in which it is smooth however strong the signal
            return np.log1p(snr * np.exp(u)) / np.log(2) * np.exp(u - np.exp(u))

        low = np.log(first) if first else -60.0
        value, _ = quad(integrand, low, max(low, 0.0) + 6, epsabs=0, epsrel=1e-10, limit=500) if low < 6 else (0.0, 0.0)
        assert mean_rate_bit_s(snr, BANDWIDTH_HZ, least_bit_s) == pytest.approx(BANDWIDTH_HZ * value, rel=1e-7)


def test_the_two_forms_of_the_exponential_integral_meet():
    # Of x just below and just above where the series takes over, the values differ by the slope alone, 1 / x^2.
    below, above = (mean_rate_bit_s(np.array(1 / x), 1.0) * np.log(2) for x in (99.999999, 100.000001))
    assert below - above == pytest.approx(2e-6 / 100**2, rel=0.05)


def test_fading_costs_rate_but_never_more_than_its_mean_would_give():
    faded, steady = mean_rate_bit_s(SNRS, BANDWIDTH_HZ), rate_bit_s(SNRS, BANDWIDTH_HZ)
    assert (faded <= steady * (1 + 1e-12)).all()  # by Jensen
    assert (np.diff(faded) > 0).all()
    # At a weak signal both are gamma / ln 2; at a strong one they differ by Euler's constant in nats.
    assert faded[0] == pytest.approx(BANDWIDTH_HZ * 1e-3 / np.log(2), rel=2e-3)
    assert (steady - faded)[-1] == pytest.approx(BANDWIDTH_HZ * np.euler_gamma / np.log(2), rel=1e-3)


def test_without_a_signal_there_is_no_rate():
    assert mean_rate_bit_s(np.array([0.0, 1e-320]), BANDWIDTH_HZ).tolist() == [0.0, 0.0]
    assert mean_rate_bit_s(np.array([1e-300, 1e-5]), BANDWIDTH_HZ, LEAST_BIT_S).tolist() == [0.0, 0.0]
    assert outage_probability(np.array([0.0, 1e-300]), BANDWIDTH_HZ, LEAST_BIT_S).tolist() == [1.0, 1.0]
