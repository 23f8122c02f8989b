import math

import numpy as np
import pytest

from experiments.eafl_alp.statistics import fitness, geometric_mean_ratio, share_of_gap, smoothed, time_to


def test_a_gap_is_fit_above_two_standard_errors_and_one_point():
    none = [0.50, 0.52, 0.48, 0.51, 0.49]
    assert fitness([n + 0.05 for n in none], none).fit
    assert not fitness([n + 0.009 for n in none], none).fit  # sure, but less than a point
    unsure = [n + gap for n, gap in zip(none, (0.2, -0.2, 0.2, -0.1, 0.1), strict=True)]
    assert not fitness(unsure, none).fit  # four points, of which the standard error is eight
    assert not fitness([0.9], [0.1]).fit  # one seed tells nothing


def test_differences_are_paired():
    none = [0.2, 0.5, 0.8]
    judged = fitness([n + 0.03 for n in none], none)
    assert judged.gap.mean == pytest.approx(0.03)
    assert judged.standard_error == pytest.approx(0.0, abs=1e-12)


def test_the_share_of_the_gap_is_one_for_exact_and_nothing_for_none():
    none, exact = [0.4, 0.6], [0.6, 0.8]
    assert share_of_gap(exact, none, exact) == pytest.approx(1.0)
    assert share_of_gap(none, none, exact) == pytest.approx(0.0)
    assert share_of_gap([0.5, 0.7], none, exact) == pytest.approx(0.5)


def test_smoothing_is_the_mean_of_the_last_five():
    values = list(np.arange(10.0))
    assert smoothed(values)[-1] == pytest.approx(7.0)
    assert smoothed(values)[0] == 0.0


def test_a_target_counts_when_five_evaluations_reach_it_together():
    curve = [[i, 10.0 * i, score] for i, score in enumerate([0.9, 0.1, 0.1, 0.1, 0.1, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6])]
    assert time_to(0.6, curve, 2) == 90.0  # the single 0.9 at the beginning does not count
    assert time_to(0.7, curve, 2) is None


def test_the_mean_ratio_is_geometric_and_its_interval_holds_it():
    ratio, low, high = geometric_mean_ratio([2.0, 1.0, 1.0], [1.0, 2.0, 1.0])
    assert ratio == pytest.approx(1.0)
    # t quantile of 2 degrees of freedom times the standard error of the logarithms log 2, -log 2, 0
    half = 4.302652729911275 * math.log(2) / math.sqrt(3)
    assert (low, high) == pytest.approx((math.exp(-half), math.exp(half)))
