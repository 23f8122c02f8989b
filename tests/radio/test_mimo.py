import numpy as np
import pytest

from eafl_flower.errors import ConfigError
from eafl_flower.radio.mimo import (
    behind,
    complex_normal,
    draw_channel,
    estimated,
    faded,
    noise_std,
    noisy,
    through,
    user_channel,
)

FOUR = {"channel_uses": 4, "num_receive": 4, "num_transmit": 4}


@pytest.mark.parametrize("entry_variance", [0.5, 1.0])
def test_entries_have_the_variance_that_is_asked_for(entry_variance):
    channel = draw_channel(200, 300, np.random.default_rng(1), entry_variance)
    power = np.abs(channel) ** 2  # exponential: its standard deviation is its mean
    assert abs(power.mean() - entry_variance) < 5 * entry_variance / np.sqrt(power.size)
    circular = np.mean(channel**2)  # 0 where both parts are alike and independent
    assert abs(circular) < 5 * entry_variance / np.sqrt(power.size)


def test_a_channel_depends_on_seed_and_user_only():
    np.testing.assert_array_equal(user_channel(3, 1, 2, 2), user_channel(3, 1, 2, 2))
    assert not np.allclose(user_channel(3, 1, 2, 2), user_channel(3, 2, 2, 2))
    assert not np.allclose(user_channel(3, 1, 2, 2), user_channel(4, 1, 2, 2))


@pytest.mark.parametrize(("num_receive", "num_transmit"), [(1, 1), (2, 4), (4, 2)])
def test_blocks_of_symbols_go_through_a_kronecker_product(num_receive, num_transmit):
    rng = np.random.default_rng(2)
    channel = draw_channel(num_receive, num_transmit, rng)
    whole = np.kron(np.eye(3), channel)
    sent = complex_normal((3 * num_transmit, 5), 1.0, rng)
    matrix = complex_normal((7, 3 * num_receive), 1.0, rng)
    np.testing.assert_allclose(through(channel, sent), whole @ sent, atol=1e-14)
    np.testing.assert_allclose(behind(matrix, channel), matrix @ whole, atol=1e-14)


def test_several_channels_at_once_are_the_same_as_one_by_one():
    rng = np.random.default_rng(3)
    channels = np.stack([draw_channel(2, 4, rng) for _ in range(3)])
    sent, matrices = complex_normal((3, 8, 5), 1.0, rng), complex_normal((3, 6, 4), 1.0, rng)
    for k in range(3):
        np.testing.assert_allclose(through(channels, sent)[k], through(channels[k], sent[k]), atol=1e-14)
        np.testing.assert_allclose(through(channels, sent[:1])[k], through(channels[k], sent[0]), atol=1e-14)
        np.testing.assert_allclose(behind(matrices, channels)[k], behind(matrices[k], channels[k]), atol=1e-14)


def test_zero_decibel_is_noise_as_loud_as_the_signal_and_none_is_silence():
    assert noise_std(0.0, channel_uses=1, num_receive=1, num_transmit=1) == 1.0
    assert noise_std(None, **FOUR) == 0.0
    assert noise_std(0.0, **FOUR) == 1 / 8  # (1 / N_R) ** 0.5 / K


def test_both_conventions_agree_on_one_use_and_differ_by_the_uses_in_noise_power():
    one = {"channel_uses": 1, "num_receive": 4, "num_transmit": 4}
    assert noise_std(7.0, **one) == pytest.approx(noise_std(7.0, **one, convention="per_symbol"))
    ratio = noise_std(7.0, **FOUR, convention="per_symbol") / noise_std(7.0, **FOUR)
    assert ratio**2 == pytest.approx(4)


def test_power_per_symbol_over_noise_is_the_ratio_that_was_asked_for():
    sigma = noise_std(13.0, **FOUR, power=5.0, convention="per_symbol")
    assert 10 * np.log10(5.0 / 16 / sigma**2) == pytest.approx(13.0)


def test_noise_has_the_variance_of_its_standard_deviation():
    silent = np.zeros((100, 500), np.complex128)
    power = np.abs(noisy(silent, 0.3, np.random.default_rng(4))) ** 2
    assert abs(power.mean() - 0.09) < 5 * 0.09 / np.sqrt(power.size)


def test_an_estimate_errs_by_its_variance_and_not_at_all_without():
    rng = np.random.default_rng(5)
    channel = draw_channel(100, 300, rng)
    np.testing.assert_array_equal(estimated(channel, 0.0, rng), channel)
    power = np.abs(estimated(channel, 0.1, rng) - channel) ** 2
    assert abs(power.mean() - 0.1) < 5 * 0.1 / np.sqrt(power.size)


def test_fading_keeps_the_variance_and_correlates_as_it_says():
    rng = np.random.default_rng(6)
    channel = draw_channel(200, 300, rng)
    later = faded(faded(channel, 0.9, rng), 0.9, rng)
    error = 5 * 0.5 / np.sqrt(channel.size)
    assert abs(np.mean(np.abs(later) ** 2) - 0.5) < error
    assert abs(np.mean(later * channel.conj()) - 0.5 * 0.81) < error
    np.testing.assert_array_equal(faded(channel, 1.0, rng), channel)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: draw_channel(0, 2, np.random.default_rng(0)), "0 receive and 2 transmit"),
        (lambda: draw_channel(2, 2, np.random.default_rng(0), 0.0), "entry_variance = 0.0: expected a positive"),
        (lambda: noise_std(float("nan"), **FOUR), "snr_db = nan: expected a number from -300 to 300, or None"),
        (lambda: noise_std(-4000.0, **FOUR), "snr_db = -4000.0: expected a number from"),
        (lambda: noise_std(4000.0, **FOUR), "snr_db = 4000.0: expected a number from"),
        (lambda: noise_std(3.0, **FOUR, convention="loud"), 'expected "code" or "per_symbol"'),
        (lambda: noise_std(3.0, **FOUR, power=0.0), "power = 0.0: expected a positive"),
        (lambda: noise_std(3.0, channel_uses=0, num_receive=1, num_transmit=1), "0 uses"),
        (lambda: estimated(np.eye(2), -1.0, np.random.default_rng(0)), "error_variance = -1.0"),
        (lambda: faded(np.eye(2), 1.1, np.random.default_rng(0)), "correlation = 1.1: expected a number from 0 to 1"),
        (lambda: through(np.eye(2), np.zeros((3, 1))), "3 symbols sent over 2 antennas"),
        (lambda: behind(np.zeros((1, 5)), np.eye(2)), "5 symbols received over 2 antennas"),
    ],
)
def test_what_cannot_be_is_refused_in_words(call, told):
    with pytest.raises(ConfigError, match=told):
        call()
