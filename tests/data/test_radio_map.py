"""The generated drives through a town: what the main job learns from."""

import numpy as np
import pytest

from eafl_flower.data import Drives, Town, simulate_radio_map
from eafl_flower.errors import ConfigError

SMALL = Drives(town=Town(units_along=2), rows=40)


def test_units_stand_at_crossings_one_in_each_square_of_the_town():
    town = Town(units_along=4)
    units_m = town.units_m(seed=3)
    square_m = town.streets.side_m / 4
    squares = (units_m // square_m).astype(int)
    assert sorted(map(tuple, squares)) == [(i, j) for i in range(4) for j in range(4)]
    assert np.allclose(units_m % town.streets.block_m, 0)


def test_the_label_is_the_unit_heard_best_where_the_vehicle_truly_is():
    exact = Drives(town=SMALL.town, rows=40, position_error_m=1e-9)
    x, y = exact.recorded(6, seed=2)
    places_m = exact.places_m(6, seed=2)
    assert np.allclose(x, places_m, atol=1e-6)
    units_m = SMALL.town.units_m(2)
    assert (y == SMALL.town.best_unit(places_m.reshape(-1, 2), units_m, 2).reshape(y.shape)).all()


def test_without_shadowing_the_best_unit_is_the_nearest():
    from dataclasses import replace

    town = replace(SMALL.town, radio=replace(SMALL.town.radio, shadowing_db=0.0))
    places_m = np.random.default_rng(1).uniform(0, town.streets.side_m, (500, 2))
    units_m = town.units_m(1)
    nearest = np.linalg.norm(places_m[:, None] - units_m, axis=-1).argmin(axis=1)
    assert (town.best_unit(places_m, units_m, 1) == nearest).all()


def test_the_error_of_a_position_has_the_spread_it_is_said_to_have():
    drives = Drives(town=SMALL.town, rows=100, position_error_m=5.0)
    x, _ = drives.recorded(20, seed=4)
    error_m = x - drives.places_m(20, seed=4)
    assert abs(error_m.std() / 5 - 1) < 4 / np.sqrt(2 * error_m.size)  # four standard errors


def test_seen_vehicles_hold_out_the_last_part_of_their_drives_and_the_seed_decides_everything():
    first, again, other = (simulate_radio_map(clients=10, unseen=2, seed=s, drives=SMALL) for s in (1, 1, 2))
    rows = first.partition(0)
    assert len(rows.y_train) + len(rows.y_test) == 40
    assert len(rows.y_test) == 12  # 30 %
    for client in range(10):
        one, two = first.partition(client), again.partition(client)
        assert (one.x_train == two.x_train).all()
        assert (one.y_test == two.y_test).all()
    assert not np.array_equal(rows.x_train, other.partition(0).x_train)


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigError, match="units_along"):
        Town(units_along=15)
    with pytest.raises(ConfigError):
        simulate_radio_map(clients=4, unseen=4)
