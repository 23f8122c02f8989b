import numpy as np
import pytest

from eafl_flower.core.rng import generator
from eafl_flower.errors import ConfigError
from eafl_flower.mobility.placement import grid_units, k_means_units
from eafl_flower.mobility.traces import traces_of


def scattered(points):
    return traces_of({str(k): ([0.0], [x], [y]) for k, (x, y) in enumerate(points)})


def towns():
    rng = generator(1, "towns")
    centres = np.array([[0.0, 0.0], [10_000.0, 0.0], [0.0, 8000.0]])
    return centres, np.concatenate([centre + rng.normal(0, 50, (200, 2)) for centre in centres])


def test_a_grid_halves_and_quarters_the_span_of_the_traffic():
    ticks = np.linspace(0, 100, 1001)  # 98 % of the samples lie from 1 to 99
    units_m = grid_units(scattered(np.stack([ticks, 10 * ticks], axis=1)), 2, 4)
    assert units_m.shape == (8, 2)
    np.testing.assert_allclose(np.unique(units_m[:, 0]), 1 + 98 * np.array([0.25, 0.75]))
    np.testing.assert_allclose(np.unique(units_m[:, 1].round(6)), 10 + 980 * np.array([0.125, 0.375, 0.625, 0.875]))


def test_k_means_puts_a_unit_into_each_of_three_towns():
    centres, points = towns()
    units_m = k_means_units(scattered(points), 3, generator(5, "units"))
    nearest = np.hypot(*(units_m[:, None] - centres).transpose(2, 0, 1)).min(axis=1)
    assert (nearest < 5 * 50 / np.sqrt(200) * np.sqrt(2)).all()  # the mean of 200 points, five standard errors


def test_each_unit_of_k_means_is_the_mean_of_the_samples_nearest_to_it():
    _, points = towns()
    units_m = k_means_units(scattered(points), 7, generator(5, "units"))
    own = np.hypot(*(points[:, None] - units_m).transpose(2, 0, 1)).argmin(axis=1)
    means = np.array([points[own == unit].mean(axis=0) for unit in range(7)])
    np.testing.assert_allclose(units_m, means, rtol=1e-9, atol=1e-6)


def test_the_same_generator_gives_the_same_units():
    traces = scattered(towns()[1])
    one, other = (k_means_units(traces, 5, generator(9, "units")) for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_as_many_units_as_positions_stand_on_them():
    points = np.array([[0.0, 0.0], [5.0, 0.0], [0.0, 7.0]])
    units_m = k_means_units(scattered([*points, *points]), 3, generator(1, "units"))
    assert sorted(map(tuple, units_m)) == sorted(map(tuple, points))


@pytest.mark.parametrize("number", [0, 4])
def test_more_units_than_positions_and_none_are_refused(number):
    with pytest.raises(ConfigError, match=f"{number} units: expected from 1 to 3"):
        k_means_units(scattered([(0, 0), (1, 0), (2, 0)]), number, generator(1, "units"))


def test_an_empty_grid_is_refused():
    with pytest.raises(ConfigError, match="expected at least 1 x 1"):
        grid_units(scattered([(0, 0)]), 0, 3)
