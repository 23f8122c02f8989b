import doctest

import numpy as np

from eafl_flower.core.rng import generator
from eafl_flower.mobility import dwell
from eafl_flower.mobility.dwell import next_unit, time_to_leave_s, way_to_border_m

RADIUS_M = 300.0


def inside(count=500):
    rng = generator(1, "places")
    angle, share = rng.uniform(0, 2 * np.pi, count), np.sqrt(rng.random(count))
    place = RADIUS_M * share[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return place, rng.normal(0, 15, (count, 2))


def test_the_examples_are_true():
    assert doctest.testmod(dwell).failed == 0


def test_after_the_time_to_leave_a_vehicle_is_on_the_border():
    place, velocity = inside()
    fast = np.hypot(*velocity.T) >= 1
    time_s = time_to_leave_s(place, velocity, np.zeros(2), RADIUS_M)
    ends = place + velocity * time_s[:, None]
    np.testing.assert_allclose(np.hypot(*ends[fast].T), RADIUS_M, rtol=1e-9)
    assert (time_s >= 0).all()


def test_a_vehicle_without_a_heading_has_the_way_to_the_nearest_point_of_the_border():
    place, _ = inside()
    way_m = way_to_border_m(place, np.zeros_like(place), np.zeros(2), RADIUS_M)
    np.testing.assert_allclose(way_m, RADIUS_M - np.hypot(*place.T), rtol=1e-9)
    np.testing.assert_array_equal(time_to_leave_s(place, np.zeros_like(place), np.zeros(2), RADIUS_M), way_m)


def test_who_is_slow_counts_as_fast_as_one_metre_a_second():
    place, velocity = inside()
    slow = velocity / np.hypot(*velocity.T)[:, None] * 0.25
    way_m = way_to_border_m(place, slow, np.zeros(2), RADIUS_M)
    np.testing.assert_array_equal(time_to_leave_s(place, slow, np.zeros(2), RADIUS_M), way_m)


def test_outside_of_the_disc_nothing_is_left():
    assert way_to_border_m(np.array([400.0, 0.0]), np.array([-10.0, 0.0]), np.zeros(2), RADIUS_M) == 0


def test_the_next_unit_is_the_nearest_whose_disc_holds_the_point_beyond_the_border():
    units_m = np.array([[0.0, 0.0], [500.0, 0.0], [500.0, 100.0], [0.0, 900.0]])
    place = np.array([[0.0, 0.0]] * 4)
    velocity = np.array([[10.0, 0.0], [10.0, 2.5], [0.0, 10.0], [0.0, 0.0]])
    found = next_unit(place, velocity, np.zeros(4, np.int64), units_m, RADIUS_M, further_m=30)
    assert found.tolist() == [1, 2, -1, -1]
