import numpy as np
import pytest

from eafl_flower.core.rng import generator
from eafl_flower.data.generated.town import Town
from eafl_flower.errors import ConfigError
from eafl_flower.mobility.synthetic import Streets
from eafl_flower.radio.roadside import Roadside, snr_at

FLAT = Town(radio=Roadside(shadowing_db=0.0))


def places(number, seed=1):
    return generator(seed, "places").uniform(0, 2000, (number, 2))


@pytest.mark.parametrize("town", [Town(), Town(units_along=1), Town(units_along=10), Town(units_along=7)])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_unit_stands_at_a_crossing_of_its_own_in_the_inner_half_of_its_square(town, seed):
    units_m, side_m = town.units_m(seed), town.streets.side_m / town.units_along
    assert units_m.shape == (town.num_units, 2)
    assert len(np.unique(units_m, axis=0)) == town.num_units
    np.testing.assert_array_equal(units_m % town.streets.block_m, 0)
    column, row = np.arange(town.num_units) % town.units_along, np.arange(town.num_units) // town.units_along
    off_m = units_m - side_m * (np.stack([column, row], axis=1) + 0.5)
    assert np.abs(off_m).max() <= side_m / 4 + town.streets.block_m / 2  # the nearest crossing to the place drawn


def test_without_shadowing_the_nearest_unit_is_the_best():
    where_m, units_m = places(500), FLAT.units_m(4)
    nearest = np.linalg.norm(where_m[:, None] - units_m, axis=-1).argmin(axis=1)
    np.testing.assert_array_equal(FLAT.best_unit(where_m, units_m, 4), nearest)


def test_the_best_unit_is_the_one_of_the_highest_ratio_and_shadowing_moves_the_borders():
    town, where_m = Town(), places(300)
    units_m = town.units_m(1)
    best = town.best_unit(where_m, units_m, 1)
    ratio = snr_at(town.radio, 1, where_m, units_m, best)
    for unit in range(town.num_units):
        assert (ratio >= snr_at(town.radio, 1, where_m, units_m, np.full(len(where_m), unit))).all()
    changed = (best != FLAT.best_unit(where_m, units_m, 1)).mean()
    assert 0 < changed < 0.5
    assert (best != town.best_unit(where_m, units_m, 2)).any()  # shadows of another seed


def test_squares_of_less_than_two_blocks_are_refused():
    with pytest.raises(ConfigError, match="units_along = 11: expected at most 10, half of the blocks along a side"):
        Town(units_along=11)
    with pytest.raises(ConfigError, match="units_along = 2: expected at most 1"):
        Town(streets=Streets(blocks=3), units_along=2)
