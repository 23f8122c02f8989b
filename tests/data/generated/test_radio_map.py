from dataclasses import replace

import numpy as np
import pytest

from eafl_flower.config import RunConfig
from eafl_flower.data.generated.radio_map import Drives, simulate_radio_map
from eafl_flower.data.holders import Holders
from eafl_flower.data.lookup import lookup_scores, majority_scores
from eafl_flower.errors import ConfigError
from eafl_flower.protocols import DataSource
from eafl_flower.types import digest

SHORT = Drives(rows=24)


def everything(source):
    return digest(
        [array for i in range(source.num_clients) for p in [source.partition(i)] for array in (p.x_train, p.x_test)]
    )


def test_the_default_is_sixty_vehicles_twelve_unseen_with_the_last_thirty_percent_held_out():
    source = simulate_radio_map()
    assert isinstance(source, DataSource)
    assert (source.num_clients, source.num_seen) == (60, 48)
    assert source.feature_names == ("east_m", "north_m")
    assert source.class_names == tuple(f"unit_{number}" for number in range(16))
    seen, unseen = source.partition(0), source.partition(59)
    assert (len(seen.y_train), len(seen.y_test)) == (84, 36)
    assert (len(unseen.y_train), len(unseen.y_test)) == (30, 90)
    assert seen.x_train.dtype == np.float32 and seen.y_train.dtype == np.int64


def test_vehicles_drive_on_streets_at_a_speed_of_their_own():
    drives = Drives()
    places_m = drives.places_m(20, seed=3)
    streets = drives.town.streets
    assert ((places_m >= 0) & (places_m <= streets.side_m)).all()
    off_m = np.abs(places_m / streets.block_m - np.round(places_m / streets.block_m)) * streets.block_m
    assert off_m.min(axis=-1).max() < 1e-6  # one of both coordinates is that of a street
    way_m = np.abs(np.diff(places_m, axis=1)).sum(axis=-1)  # along the streets; less where a vehicle turns round
    assert way_m.max() <= drives.every_s * streets.fastest_m_s + 1e-6
    np.testing.assert_allclose(way_m.max(axis=1), np.median(way_m, axis=1))  # the same speed all the time
    assert np.median(way_m, axis=1).min() >= drives.every_s * streets.slowest_m_s - 1e-6


def test_a_recorded_position_is_off_by_the_error_stated():
    drives = Drives()
    x_m, best = drives.recorded(40, seed=2)
    off_m = x_m - drives.places_m(40, seed=2)
    # The relative standard error of a deviation from n values is 1 / sqrt(2 n); five of them.
    assert off_m.std() == pytest.approx(5.0, rel=5 / np.sqrt(2 * off_m.size))
    exact_m, same = replace(drives, position_error_m=0.0).recorded(40, seed=2)
    np.testing.assert_array_equal(exact_m, drives.places_m(40, seed=2))
    np.testing.assert_array_equal(same, best)  # the unit is that of where the vehicle is, not of what it recorded


def test_rows_depend_on_the_seed_alone_and_a_vehicle_on_no_other():
    assert everything(simulate_radio_map(seed=5, drives=SHORT)) == everything(simulate_radio_map(seed=5, drives=SHORT))
    assert everything(simulate_radio_map(seed=5, drives=SHORT)) != everything(simulate_radio_map(seed=6, drives=SHORT))
    for few, many in zip(SHORT.recorded(5, 1), SHORT.recorded(9, 1), strict=True):
        np.testing.assert_array_equal(few, many[:5])


def test_a_vehicle_knows_few_units_and_all_together_know_all():
    for seed in (1, 2, 3):
        labels = [part.y_train for part in simulate_radio_map(seed=seed).parts[:48]]
        assert len(np.unique(np.concatenate(labels))) == 16
        assert np.mean([len(np.unique(own)) for own in labels]) < 8


def test_neither_the_majority_nor_one_coordinate_says_much_and_both_together_do():
    # The nearest of all training rows, seeds 1 to 3, on the rows held out; and of a vehicle's own rows.
    for seed in (1, 2, 3):
        source = simulate_radio_map(seed=seed)
        parts = source.parts[:48]
        x, y = np.concatenate([p.x_train for p in parts]), np.concatenate([p.y_train for p in parts])
        together, alone = scores_of_the_nearest(parts, x, y), scores_of_the_nearest(parts)
        assert together > 0.8
        assert alone < together - 0.15
        assert lookup_scores(source)[1]["seen"] < alone - 0.1
        assert majority_scores(source)["seen"] < 0.2


def scores_of_the_nearest(parts, x=None, y=None):
    right = []
    for part in parts:
        known, labels = (part.x_train, part.y_train) if x is None else (x, y)
        nearest = np.linalg.norm(part.x_test[:, None] - known, axis=-1).argmin(axis=1)
        right.append(labels[nearest] == part.y_test)
    return np.concatenate(right).mean()


def test_settings_reach_the_town():
    part = RunConfig.from_toml("radio-map").replace({"data.radio-map.units-along": 2}).data.part
    source = part.make(Holders(clients=6, unseen=2, seed=1))
    assert source.class_names == ("unit_0", "unit_1", "unit_2", "unit_3")
    assert (source.num_clients, source.num_seen) == (6, 4)


def test_counts_out_of_range_are_refused():
    with pytest.raises(ConfigError, match=r"data\.unseen = 5: expected 0 to 4, one client must train"):
        simulate_radio_map(clients=5, unseen=5)
    with pytest.raises(ConfigError, match=r"data\.radio-map\.units-along = 11: expected an integer from 2 to 10"):
        RunConfig.from_toml("radio-map").replace({"data.radio-map.units-along": 11})
    with pytest.raises(ConfigError, match=r"rows = 15: expected an integer of at least 16"):
        Drives(rows=15)
