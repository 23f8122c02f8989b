import doctest

import numpy as np
import pytest

from eafl_flower.errors import ConfigError
from eafl_flower.radio import decibel, geometry
from eafl_flower.radio.geometry import (
    Area,
    PathLoss,
    access_points,
    distances_m,
    draw_shadowing_db,
    large_scale_fading,
    user_positions,
)

AREA = Area()


def test_the_examples_of_the_docstrings_hold():
    for module in (geometry, decibel):
        assert doctest.testmod(module, extraglobs={"np": np}).failed == 0


def test_access_points_stay_within_the_jitter_of_their_point_of_the_grid():
    grid = access_points(Area(jitter_m=0.0), np.random.default_rng(0))
    moved = access_points(AREA, np.random.default_rng(0), (50,))
    assert sorted(set(grid[:, 0])) == [125.0, 375.0, 625.0, 875.0]
    offset = np.abs(moved - grid)
    assert offset.max() <= AREA.jitter_m
    assert offset.max() > 0.95 * AREA.jitter_m


def test_distances_do_not_change_when_all_move_together_or_by_whole_sides():
    rng = np.random.default_rng(1)
    aps, users = access_points(AREA, rng), user_positions(AREA, 30, rng)
    expected = distances_m(AREA, users, aps)
    for shift in ([123.4, -987.6], [AREA.side_m, 0.0], [-3 * AREA.side_m, 2 * AREA.side_m]):
        moved = distances_m(AREA, users + shift, (aps + shift) % AREA.side_m)
        np.testing.assert_allclose(moved, expected, rtol=1e-9)
    np.testing.assert_allclose(distances_m(AREA, users + np.array([AREA.side_m, 0.0]), aps), expected, rtol=1e-9)


def test_no_distance_is_longer_than_to_the_middle_of_the_torus_nor_shorter_than_the_height():
    rng = np.random.default_rng(2)
    distance = distances_m(AREA, user_positions(AREA, 400, rng), access_points(AREA, rng))
    assert distance.min() >= AREA.height_m
    assert distance.max() <= np.hypot(AREA.side_m / np.sqrt(2), AREA.height_m)


def test_positions_at_many_times_give_a_distance_for_each():
    rng = np.random.default_rng(3)
    aps, start = access_points(AREA, rng), user_positions(AREA, 5, rng)
    velocity, times = rng.normal(0.0, 15.0, (5, 2)), np.linspace(0.0, 60.0, 7)
    over_time = distances_m(AREA, start + times[:, None, None] * velocity, aps)
    assert over_time.shape == (7, 5, AREA.num_aps)
    np.testing.assert_allclose(over_time[3], distances_m(AREA, start + times[3] * velocity, aps))


def test_ten_times_the_distance_loses_the_decade_and_shadowing_adds():
    path_loss = PathLoss()
    near, far = (10 * np.log10(large_scale_fading(path_loss, np.array(r))) for r in (20.0, 200.0))
    assert near - far == pytest.approx(path_loss.loss_per_decade_db)
    shadowed = 10 * np.log10(large_scale_fading(path_loss, np.array(20.0), np.array(5.0)))
    assert shadowed - near == pytest.approx(5.0)


def test_shadowing_has_the_spread_it_says_within_five_standard_errors():
    drawn = draw_shadowing_db(PathLoss(), (100, 100), np.random.default_rng(4))
    assert abs(drawn.std() - 4.0) < 5 * 4.0 / np.sqrt(2 * drawn.size)


@pytest.mark.parametrize(
    ("users", "aps", "message"),
    [
        (np.zeros((0, 2)), np.zeros((1, 2)), r"positions of users have shape \(0, 2\): expected"),
        (np.zeros((1, 2)), np.zeros((0, 2)), r"positions of access points have shape \(0, 2\): expected"),
        (np.zeros(2), np.zeros((1, 2)), r"shape \(2,\)"),
        (
            np.array([[0.0, 1.0], [np.nan, 2.0]]),
            np.zeros((1, 2)),
            r"position of users 1 is \[nan, 2.0\] m: expec",
        ),
        (np.zeros((1, 2)), np.array([[np.inf, 0.0]]), r"position of access points 0 is \[inf"),
    ],
)
def test_nobody_somewhere_and_nowhere_are_refused_in_one_line(users, aps, message):
    with pytest.raises(ConfigError, match=message):
        distances_m(AREA, users, aps)


def test_access_points_that_fill_no_square_grid_are_refused():
    with pytest.raises(ConfigError, match="num_aps = 15: expected a square number"):
        Area(num_aps=15)
