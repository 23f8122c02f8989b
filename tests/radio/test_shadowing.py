import numpy as np
import pytest

from eafl_flower.core.rng import generator
from eafl_flower.radio.shadowing import NUM_WAVES, shadowing_db, waves_of

CORRELATION_M = 25.0
UNITS = 4000  # independent draws


def fields(places_m):
    """Shadowing of many units at these places, ``(UNITS, n)``."""
    return np.stack([waves_of(7, unit, CORRELATION_M).at(np.asarray(places_m)) for unit in range(UNITS)])


@pytest.mark.parametrize("angle", [0.0, 1.0, 2.5])
def test_correlation_falls_as_the_exponential_of_the_distance_in_every_direction(angle):
    steps_m = np.array([0.0, 2.5, 12.5, 25.0, 50.0, 100.0])
    places_m = np.array([300.0, -80.0]) + steps_m[:, None] * [np.cos(angle), np.sin(angle)]
    products = fields(places_m) * fields(places_m[:1])
    error = products.std(axis=0, ddof=1) / np.sqrt(UNITS)
    assert (np.abs(products.mean(axis=0) - np.exp(-steps_m / CORRELATION_M)) < 5 * error).all()
    assert error.max() < 0.03  # so the test can tell it from another law


def test_shadowing_has_mean_nought_and_is_nearly_normal():
    values = fields([[12.0, 34.0]])[:, 0]
    assert abs(values.mean()) < 5 / np.sqrt(UNITS)
    # A sum of N cosines has the fourth moment 3 - 3 / (2 N); for a normal one its estimate varies by sqrt(96 / n).
    assert abs((values**4).mean() - (3 - 1.5 / NUM_WAVES)) < 5 * np.sqrt(96 / UNITS)


def test_two_units_are_shadowed_independently():
    values = fields([[12.0, 34.0]])[:, 0]
    assert abs((values[1:] * values[:-1]).mean()) < 5 / np.sqrt(UNITS)


def test_along_a_drive_the_shadowing_of_one_unit_decays_too():
    # Of one draw the correlation over places is (1 / N) sum cos(k d), a mean of N wave vectors that are spread evenly.
    waves = waves_of(3, 0, CORRELATION_M)
    for step_m in (5.0, 25.0, 75.0):
        over_waves = np.cos(step_m * waves.vectors[0])
        error = over_waves.std(ddof=1) / np.sqrt(NUM_WAVES)
        assert abs(over_waves.mean() - np.exp(-step_m / CORRELATION_M)) < 5 * error


def test_shadowing_is_a_function_of_place_unit_and_seed():
    rng = generator(1, "places")
    places_m, units = rng.uniform(-1e4, 1e4, (200, 2)), rng.integers(0, 9, 200)
    together = shadowing_db(5, places_m, units, 4.0, CORRELATION_M)
    order = rng.permutation(200)
    np.testing.assert_array_equal(shadowing_db(5, places_m[order], units[order], 4.0, CORRELATION_M), together[order])
    alone = [shadowing_db(5, places_m[k : k + 1], units[k : k + 1], 4.0, CORRELATION_M)[0] for k in range(200)]
    np.testing.assert_allclose(alone, together, rtol=1e-9, atol=1e-9)
    assert not np.allclose(shadowing_db(6, places_m, units, 4.0, CORRELATION_M), together)
    np.testing.assert_allclose(shadowing_db(5, places_m, units, 8.0, CORRELATION_M), 2 * together)
    assert not shadowing_db(5, places_m, units, 0.0, CORRELATION_M).any()
