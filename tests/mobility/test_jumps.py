import itertools

import numpy as np
import pytest

from eafl_flower.core.rng import generator
from eafl_flower.mobility.jumps import possible

FASTEST_M_S = 30.0


def kept(time_s, x_m, offsets=None):
    x_m = np.asarray(x_m, np.float64)
    offsets = np.array([0, len(x_m)] if offsets is None else offsets)
    return possible(np.asarray(time_s, np.float64), x_m, np.zeros(len(x_m)), offsets, FASTEST_M_S)


@pytest.mark.parametrize("wild", [[0], [9], [4], [3, 4, 5], [0, 1], [0, 4, 9]])
def test_wild_samples_go_and_all_others_stay(wild):
    time_s = 10.0 * np.arange(10)
    x_m = 5.0 * time_s
    x_m[wild] += 1e6 * (1 + np.arange(len(wild)))
    assert np.flatnonzero(~kept(time_s, x_m)).tolist() == wild


def test_a_vehicle_that_really_went_far_while_not_recorded_is_kept():
    assert kept([0, 10, 1010, 1020], [0, 100, 20_000, 20_100]).all()


def test_a_step_at_exactly_the_fastest_speed_is_kept():
    assert kept([0, 1, 2], [0, 30, 60]).all()


def test_the_border_between_two_vehicles_is_no_jump():
    assert kept([0, 1, 0, 1], [0, 1, 1e6, 1e6 + 1], offsets=[0, 2, 4]).all()


def test_of_two_samples_that_exclude_each_other_the_first_stays():
    assert kept([0, 1], [0, 1e6]).tolist() == [True, False]


def test_a_place_too_far_away_at_first_is_believed_once_a_vehicle_can_have_come_there():
    time_s = np.array([0, 1, 2, 3, 4, 5, 6, 25, 26, 27])
    x_m = np.array([0, 0, 0, 0, 0, 500, 500, 500, 500, 500])
    assert np.flatnonzero(~kept(time_s, x_m)).tolist() == [5, 6]


def longest_possible(time_s, x_m, y_m):
    """By trying every subset."""
    for size in range(len(time_s), 0, -1):
        for chosen in itertools.combinations(range(len(time_s)), size):
            rows = list(chosen)
            steps_m = np.hypot(np.diff(x_m[rows]), np.diff(y_m[rows]))
            if (steps_m <= FASTEST_M_S * np.diff(time_s[rows])).all():
                return size
    raise AssertionError


def test_what_is_kept_is_possible_and_as_much_as_any_choice_allows():
    for seed in range(60):
        rng = generator(seed, "jumps")
        time_s = np.cumsum(rng.uniform(0.5, 3, 9))
        places = np.repeat(rng.choice([0.0, 60.0, 300.0], (2, 9)), 3, axis=1)[:, rng.integers(3) :][:, :9]
        x_m, y_m = places + rng.uniform(-30, 30, (2, 9))
        keep = possible(time_s, x_m, y_m, np.array([0, 9]), FASTEST_M_S)
        rows = np.flatnonzero(keep)
        steps_m = np.hypot(np.diff(x_m[rows]), np.diff(y_m[rows]))
        assert (steps_m <= FASTEST_M_S * np.diff(time_s[rows])).all()
        assert keep.sum() == longest_possible(time_s, x_m, y_m)
