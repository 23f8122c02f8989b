import math

import numpy as np
import pytest

from eafl_flower.ranks.quality import Usual, quality, taken_in
from eafl_flower.ranks.rewards import centred_quality, linear_reward, normalised_reward


def test_a_reward_is_between_zero_and_one_whatever_comes():
    rng = np.random.default_rng(0)
    found = normalised_reward(3 * rng.standard_normal(1000), rng.exponential(5.0, 1000), deadline_s=4.0)
    assert (found >= 0).all()
    assert (found <= 1).all()
    assert normalised_reward(1.0, 0.0, deadline_s=4.0) == 1.0
    assert normalised_reward(0.0, 9.0, deadline_s=4.0) == 0.0


def test_a_reward_rises_with_quality_and_falls_with_time_by_their_weights():
    base = normalised_reward(0.5, 2.0, deadline_s=4.0)
    assert normalised_reward(0.6, 2.0, deadline_s=4.0) - base == pytest.approx(0.75 * 0.1)
    assert normalised_reward(0.5, 3.0, deadline_s=4.0) - base == pytest.approx(-0.25 * 0.25)


def test_quality_takes_off_what_all_gain():
    scores = np.array([0.4, 0.45, 0.5])
    np.testing.assert_allclose(centred_quality(scores, 0.45), centred_quality(scores + 0.3, 0.75))
    assert centred_quality(0.45, 0.45) == 0.5


def test_the_released_reward_is_linear():
    assert linear_reward(70.0, 10.0, 100.0) == pytest.approx(126.0 - 1.6 - 0.1)


def test_the_usual_score_is_the_mean_of_the_round_before():
    usual = Usual()
    for score, weight in ((1.0, 1.0), (2.0, 3.0), (math.nan, 1.0), (9.0, 0.0)):
        usual = taken_in(usual, score, weight, 1)
    assert usual.mean is None
    usual = taken_in(usual, 5.0, 1.0, 2)
    assert usual.mean == pytest.approx(1.75)
    assert taken_in(usual, math.nan, 1.0, 3).mean == 5.0
    assert taken_in(taken_in(usual, math.nan, 1.0, 3), math.nan, 1.0, 4).mean == 5.0


def test_a_loss_is_held_against_the_usual_one_in_shares_of_it():
    better = quality(0.9, 1.0, spread=0.4, lower_is_better=True)
    assert better == pytest.approx(0.75)
    assert quality(9.0, 10.0, spread=0.4, lower_is_better=True) == pytest.approx(better)
    assert quality(1.0, 1.0, spread=0.4, lower_is_better=True) == 0.5
    assert quality(1.1, 1.0, spread=0.4, lower_is_better=True) == pytest.approx(0.25)
    assert quality(-1.1, -1.0, spread=0.4, lower_is_better=True) == pytest.approx(0.75)  # a likelihood, say


@pytest.mark.parametrize(("score", "usual"), [(math.nan, 1.0), (math.inf, 1.0), (1.0, None), (1.0, 0.0)])
def test_where_nothing_is_known_the_quality_is_one_half(score, usual):
    assert quality(score, usual, spread=0.2, lower_is_better=True) == 0.5


def test_a_raw_score_is_its_own_quality():
    assert quality(0.3, None, spread=0.2, lower_is_better=False, raw=True) == 0.3
    assert quality(1.7, None, spread=0.2, lower_is_better=False, raw=True) == 1.0
