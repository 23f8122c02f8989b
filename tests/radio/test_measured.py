"""Rates from exchanges that a server sees: how many bits, and how long."""

import numpy as np
import pytest

from eafl_flower.radio.measured import FEWEST, LONG_S, Exchange, at_rate, measured_rate_bit_s
from eafl_flower.types import Phase

MBIT = 1e6


def exchanges(sizes_mbit, seconds, model_s=0.0):
    model_s = np.broadcast_to(model_s, len(sizes_mbit))
    values = zip(sizes_mbit, seconds, model_s, strict=True)
    return [Exchange(num_bits=round(b * MBIT), time_s=t, model_s=m) for b, t, m in values]


@pytest.mark.parametrize("pause_s", [0.0, 0.1, 4.0, 60.0])
@pytest.mark.parametrize("rate_mbit", [0.05, 2.0, 300.0])
def test_where_sizes_differ_pauses_do_not_count(pause_s, rate_mbit):
    sizes = [1, 2, 4, 8, 16, 32, 2, 4]
    seconds = [pause_s + size / rate_mbit for size in sizes]
    assert measured_rate_bit_s(exchanges(sizes, seconds)) == pytest.approx(rate_mbit * MBIT)


@pytest.mark.parametrize("seed", range(20))
def test_pauses_that_vary_by_three_seconds_do_not_hide_transfers_of_tens_of_seconds(seed):
    """The standard error of a slope over sizes with deviation s is that of the pause over s times the root of n."""
    rng = np.random.default_rng(seed)
    sizes = rng.choice([4, 8, 16, 32], 32)
    seconds = rng.uniform(0, 3, 32) + sizes / 1.0
    error = 5 * (3 / np.sqrt(12)) / (sizes.std() * np.sqrt(32))  # s/Mbit, five of them, of 1
    found = measured_rate_bit_s(exchanges(sizes, seconds)) / MBIT
    assert 1 / (1 + error) <= found <= 1 / (1 - error)


def test_pauses_alone_are_hardly_ever_taken_for_a_slow_link():
    """Seconds that have nothing to do with sizes: a confidence of 95 % errs on this side at most once in forty."""
    rng, found = np.random.default_rng(1), 0
    for _ in range(400):
        found += measured_rate_bit_s(exchanges(rng.choice([1, 2, 4], 12), rng.uniform(3, 6, 12))) > 0
    assert found <= 400 / 40 + 5 * np.sqrt(400 / 40)


def test_no_rate_is_below_bits_over_all_seconds():
    """A pause cannot be negative: a slope that says so is too steep."""
    sizes = [1, 1, 1, 4, 4, 4, 4]
    rate = measured_rate_bit_s(exchanges(sizes, [0.1, 0.1, 0.1, 40, 40, 40, 40]))
    assert rate == pytest.approx(4 / 40 * MBIT)


def test_one_exchange_that_was_held_up_changes_little():
    sizes = [1, 2, 4, 8, 16, 1, 2, 4, 8, 16]
    seconds = [1 + size / 2 for size in sizes]
    seconds[3] = 500.0
    assert measured_rate_bit_s(exchanges(sizes, seconds)) == pytest.approx(2 * MBIT, rel=0.05)


def test_of_one_size_bits_over_seconds_count_if_the_model_is_slower():
    faster, slower = (measured_rate_bit_s(exchanges([3] * 8, [4.0] * 8, model_s)) for model_s in (5.0, 3.0))
    assert (faster, slower) == (pytest.approx(0.75 * MBIT), 0.0)


def test_of_one_size_bits_over_seconds_count_if_pauses_hardly_do():
    long, short = (measured_rate_bit_s(exchanges([3] * 8, [time_s] * 8)) for time_s in (LONG_S, 0.9 * LONG_S))
    assert (long, short) == (pytest.approx(3 * MBIT / LONG_S), 0.0)


def test_sizes_that_hardly_differ_are_one_size():
    sizes = [1.0, 1.1, 1.2, 1.3, 1.4, 1.45]
    assert measured_rate_bit_s(exchanges(sizes, [4 + size for size in sizes])) == 0.0


def test_few_exchanges_show_nothing():
    sizes = list(range(1, FEWEST))
    assert measured_rate_bit_s(exchanges(sizes, sizes, 1e9)) == 0.0
    assert measured_rate_bit_s([]) == 0.0


def test_energy_at_a_rate_is_the_models_power_over_its_time():
    assert at_rate(Phase(time_s=2.0, energy_j=0.4), 8_000, 1_000.0) == Phase(time_s=8.0, energy_j=pytest.approx(1.6))
    assert at_rate(Phase(time_s=0.0, energy_j=0.0), 8_000, 1_000.0) == Phase(time_s=8.0, energy_j=0.0)
