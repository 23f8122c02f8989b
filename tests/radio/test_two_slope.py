import doctest

import numpy as np
import pytest

from eafl_flower.errors import ConfigError
from eafl_flower.radio import two_slope
from eafl_flower.radio.two_slope import TwoSlope, two_slope_gain


def gain_db(path, flat_m):
    return 10 * np.log10(two_slope_gain(path, np.asarray(flat_m, np.float64)))


def test_the_examples_are_true():
    assert doctest.testmod(two_slope).failed == 0


def test_a_decade_takes_ten_times_the_exponent_on_each_side_of_the_break():
    path = TwoSlope(exponent_near=2.0, exponent_far=4.0, break_m=100, unit_height_m=1e-9)
    assert gain_db(path, 1) == pytest.approx(path.gain_at_1m_db)
    assert gain_db(path, 10) - gain_db(path, 100) == pytest.approx(20)
    assert gain_db(path, 100) - gain_db(path, 1000) == pytest.approx(40)


def test_the_gain_falls_with_distance_and_has_no_step_at_the_break():
    path = TwoSlope()
    distance_m = np.geomspace(0.1, 1e5, 500)
    assert (np.diff(gain_db(path, distance_m)) < 0).all()
    assert gain_db(path, 99.999) == pytest.approx(gain_db(path, 100.001), abs=1e-3)


def test_right_below_a_unit_its_height_is_the_distance():
    path = TwoSlope(unit_height_m=10.0)
    assert gain_db(path, 0) == pytest.approx(path.gain_at_1m_db - 10 * path.exponent_near)


def test_by_default_a_metre_costs_what_free_space_does_at_5_9_ghz():
    assert TwoSlope().gain_at_1m_db == pytest.approx(-20 * np.log10(4 * np.pi * 5.9e9 / 299_792_458), abs=0.05)


def test_shadowing_adds_decibels():
    gain = two_slope_gain(TwoSlope(), np.array([50.0, 50.0]), np.array([0.0, 10.0]))
    assert gain[1] / gain[0] == pytest.approx(10)


def test_a_break_at_nothing_is_refused():
    with pytest.raises(ConfigError, match="break_m"):
        TwoSlope(break_m=0.0)
