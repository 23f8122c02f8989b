import math

import numpy as np
import pytest

from eafl_flower.core.rng import generator
from eafl_flower.errors import ConfigError
from eafl_flower.simulation import AlwaysOn, OnOff


def intervals(churn, client, num_intervals):
    """(is_on, start, end) of the first intervals."""
    found, time_s = [], 0.0
    for _ in range(num_intervals):
        is_on, until_s = churn.interval(client, time_s)
        found.append((is_on, time_s, until_s))
        time_s = until_s
    return found


def test_a_client_that_is_always_on_stays_so():
    assert AlwaysOn().interval(3, 1e9) == (True, math.inf)


def test_clients_start_on_and_alternate():
    churn = OnOff(seed=1, mean_on_s=20.0, mean_off_s=5.0)
    assert [is_on for is_on, _, _ in intervals(churn, 7, 100)] == [True, False] * 50


def test_on_and_off_times_have_their_means():
    churn, num_intervals = OnOff(seed=1, mean_on_s=20.0, mean_off_s=5.0), 20_000
    times = np.array([end - start for _, start, end in intervals(churn, 0, num_intervals)])
    # the standard error of the mean of n exponential times is mean / sqrt(n); five of them
    tolerance = 5 / math.sqrt(num_intervals / 2)
    assert times[::2].mean() == pytest.approx(20.0, rel=tolerance)
    assert times[1::2].mean() == pytest.approx(5.0, rel=tolerance)
    # and their standard deviation is their mean: the relative standard error is sqrt(2 / n) for exponential times
    assert times[::2].std() == pytest.approx(20.0, rel=5 * math.sqrt(2 / (num_intervals / 2)))


def test_answers_do_not_depend_on_what_was_asked_before():
    def churn():
        return OnOff(seed=4, mean_on_s=3.0, mean_off_s=2.0)

    times = generator(1, "times").uniform(0, 5000, size=300)
    asked_upwards, asked_downwards = churn(), churn()
    upwards = {t: asked_upwards.interval(5, t) for t in np.sort(times)}
    downwards = {t: asked_downwards.interval(5, t) for t in np.sort(times)[::-1]}
    alone = {t: churn().interval(5, t) for t in times}
    assert upwards == downwards == alone
    assert {t: asked_upwards.interval(5, t) for t in times} == alone


def test_an_answer_holds_until_it_says():
    churn = OnOff(seed=2, mean_on_s=1.0, mean_off_s=1.0)
    for is_on, start, end in intervals(churn, 1, 200):
        for time_s in (start, (start + end) / 2, math.nextafter(end, 0)):
            assert churn.interval(1, time_s) == (is_on, end)


def test_clients_and_seeds_have_their_own_times():
    a, b = (OnOff(seed=seed, mean_on_s=1.0, mean_off_s=1.0) for seed in (1, 2))
    assert len({a.interval(0, 0.0), a.interval(1, 0.0), b.interval(0, 0.0), b.interval(1, 0.0)}) == 4


def test_growing_times_draw_each_switch_a_bounded_number_of_times():
    churn = OnOff(seed=1, mean_on_s=1.0, mean_off_s=1.0)
    for time_s in np.arange(0.0, 3000.0, 0.5):
        churn.interval(0, float(time_s))
    # doubled until the last switch lies beyond: no more than about twice the 3,000 that were needed
    assert churn._switches_s[0].size <= 8192


@pytest.mark.parametrize("mean", [0.0, -1.0, math.nan, math.inf])
def test_a_mean_that_is_not_positive_is_refused(mean):
    with pytest.raises(ConfigError, match="mean_on_s"):
        OnOff(seed=1, mean_on_s=mean, mean_off_s=1.0)
    with pytest.raises(ConfigError, match="mean_off_s"):
        OnOff(seed=1, mean_on_s=1.0, mean_off_s=mean)


@pytest.mark.parametrize("time_s", [-1.0, math.nan, math.inf])
def test_a_time_that_is_none_is_refused(time_s):
    with pytest.raises(ValueError, match="expected a finite time of at least 0"):
        OnOff(seed=1, mean_on_s=1.0, mean_off_s=1.0).interval(0, time_s)
