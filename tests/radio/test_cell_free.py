from dataclasses import replace

import numpy as np
import pytest
from cell_free_drops import gains_of_drops

from eafl_flower.errors import ConfigError
from eafl_flower.radio.cell_free import Uplink, assign_pilots, estimation_quality, uplink_gains
from eafl_flower.radio.gains import rate_jacobian, rates_bit_s, require_heard, sinr, sinr_jacobian

# two access points with four antennas, three users of whom two share a pilot, by another implementation
FADING = np.array([[1e-9, 2e-11], [5e-11, 4e-10], [3e-10, 1e-11]])
PILOTS = np.array([0, 1, 0])
UPLINK = Uplink()
QUALITY = [[7.68995e-10, 1.31587e-11], [4.96050e-11, 3.99602e-10], [6.92096e-11, 3.28968e-12]]
WORKED = [
    ([1.0, 1.0, 1.0], [1.923609, 3.354955, 0.065632], [29.40726, 40.33050, 1.74248]),
    ([0.2, 0.5, 1.0], [0.770903, 3.560557, 0.255251], [15.66521, 41.59499, 6.23154]),
]


def test_the_quality_of_estimates_is_that_of_the_worked_example():
    np.testing.assert_allclose(estimation_quality(FADING, PILOTS, UPLINK), QUALITY, rtol=1e-5)


@pytest.mark.parametrize(("power", "ratios", "rates"), WORKED)
def test_sinr_and_rates_are_those_of_the_worked_example(power, ratios, rates):
    gains = uplink_gains(FADING, PILOTS, UPLINK)
    np.testing.assert_allclose(sinr(gains, np.array(power)), ratios, rtol=1e-5)
    np.testing.assert_allclose(rates_bit_s(gains, np.array(power)) / 1e6, rates, rtol=5e-6)


def test_jacobians_are_the_central_differences():
    gains, step = gains_of_drops(4, 12, seed=1), 1e-6
    power = np.random.default_rng(2).uniform(0.05, 0.95, (4, 12))
    for function, jacobian in ((sinr, sinr_jacobian), (rates_bit_s, rate_jacobian)):
        columns = [
            (function(gains, power + step * e) - function(gains, power - step * e)) / (2 * step) for e in np.eye(12)
        ]
        scale = np.abs(jacobian(gains, power)).max()
        np.testing.assert_allclose(jacobian(gains, power), np.stack(columns, axis=-1), rtol=1e-5, atol=1e-8 * scale)


@pytest.mark.parametrize(("num_users", "mean_mbit_s"), [(20, 22.5), (40, 14.9)])
def test_the_mean_rate_at_full_power_is_that_of_another_implementation_within_standard_errors(num_users, mean_mbit_s):
    """Both means are of 200 drops: their difference has twice the variance of one, which the spread of drops tells."""
    drops = rates_bit_s(gains_of_drops(200, num_users, seed=3), np.ones((200, num_users))).mean(axis=-1) / 1e6
    error = drops.std(ddof=1) / np.sqrt(len(drops))
    rounding = 0.05
    assert abs(drops.mean() - mean_mbit_s) < 4 * np.sqrt(2) * error + rounding


def test_users_in_another_order_have_their_rates_in_that_order():
    rng = np.random.default_rng(4)
    fading, pilots, power = 10 ** rng.uniform(-13, -9, (9, 16)), rng.integers(0, 4, 9), rng.uniform(0, 1, 9)
    order = rng.permutation(9)
    ordered = rates_bit_s(uplink_gains(fading[order], pilots[order], UPLINK), power[order])
    np.testing.assert_allclose(ordered, rates_bit_s(uplink_gains(fading, pilots, UPLINK), power)[order], rtol=1e-12)


def test_drops_together_are_drops_alone():
    gains = gains_of_drops(3, 7, seed=5)
    power = np.random.default_rng(6).uniform(0, 1, (3, 7))
    alone = [rates_bit_s(gains.drop(i), power[i]) for i in range(3)]
    np.testing.assert_allclose(rates_bit_s(gains, power), alone, rtol=1e-12)


def test_whoever_is_left_out_is_as_silent_as_power_zero():
    gains, power = gains_of_drops(1, 8, seed=7).drop(0), np.ones(8)
    some = np.array([0, 3, 5])
    silent = np.zeros(8)
    silent[some] = 1.0
    left = gains.of(some)
    np.testing.assert_allclose(rates_bit_s(left, power[some]), rates_bit_s(gains, silent)[some], rtol=1e-12)


def test_a_user_alone_without_noise_is_limited_by_its_own_channel_only():
    """One AP, perfect estimates: SINR = N gamma / beta = N."""
    gains = uplink_gains(np.array([[1e-6]]), np.array([0]), Uplink(noise_dbm=-200.0, num_antennas=7))
    assert sinr(gains, np.array([1.0]))[0] == pytest.approx(7.0, rel=1e-6)


def test_power_and_noise_in_other_units_change_no_rate():
    power = np.array([0.3, 1.0, 0.6])
    louder = replace(UPLINK, max_power_w=10 * UPLINK.max_power_w, noise_dbm=UPLINK.noise_dbm + 10)
    expected = rates_bit_s(uplink_gains(FADING, PILOTS, UPLINK), power)
    np.testing.assert_allclose(rates_bit_s(uplink_gains(FADING, PILOTS, louder), power), expected, rtol=1e-12)


def test_the_first_users_have_different_pilots_and_a_later_one_that_which_is_heard_least_at_its_access_point():
    rng = np.random.default_rng(8)
    fading = 10 ** rng.uniform(-13, -9, (5, 12, 4))
    pilots = assign_pilots(fading, 3, rng)
    assert [sorted(drop) for drop in pilots[:, :3]] == [[0, 1, 2]] * 5
    for drop, users in zip(fading, pilots, strict=True):
        for user in range(3, 12):
            best = drop[user].argmax()
            heard = [drop[:user][users[:user] == pilot, best].sum() for pilot in range(3)]
            assert users[user] == np.argmin(heard)


def test_a_user_that_nobody_hears_has_rate_zero_and_is_named_where_that_is_wrong():
    fading = np.concatenate([FADING, np.zeros((1, 2))])
    gains = uplink_gains(fading, np.array([0, 1, 0, 1]), UPLINK)
    rates = rates_bit_s(gains, np.ones(4))
    assert rates[3] == 0
    np.testing.assert_allclose(rates[:3], rates_bit_s(uplink_gains(FADING, PILOTS, UPLINK), np.ones(3)), rtol=1e-12)
    assert np.isfinite(rate_jacobian(gains, np.ones(4))).all()
    with pytest.raises(ConfigError, match=r"no access point hears user 3 \(1 of 4 users\)"):
        require_heard(gains)


@pytest.mark.parametrize(
    ("fading", "pilots", "message"),
    [
        (np.ones((0, 2)), np.zeros(0, int), "at least one user and one access point"),
        (np.ones((2, 0)), np.zeros(2, int), "at least one user and one access point"),
        (np.ones((2, 2)), np.zeros(3, int), "a pilot for each user"),
        (np.array([[1e-9, np.nan]]), np.zeros(1, int), "fading of user 0 to access point 1 is nan"),
        (np.array([[1e-9], [-1e-9]]), np.zeros(2, int), "fading of user 1 to access point 0 is -1e-09"),
    ],
)
def test_fading_that_is_none_is_refused_in_one_line(fading, pilots, message):
    with pytest.raises(ConfigError, match=message):
        uplink_gains(fading, pilots, UPLINK)


def test_pilots_that_leave_no_room_for_data_are_refused():
    with pytest.raises(ConfigError, match="num_pilots = 200: expected fewer than the 200 samples"):
        Uplink(num_pilots=200)
