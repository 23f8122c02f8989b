import numpy as np
import pytest

from eafl_flower.core.rng import generator
from eafl_flower.data.sets import car_following
from eafl_flower.data.sets.idm import Traffic, simulate, simulate_idm_traffic
from eafl_flower.errors import ConfigError
from eafl_flower.protocols import DataSource
from eafl_flower.types import digest

QUIET = Traffic(
    desired_speed_sd_m_s=0.0,
    time_headway_spread=0.0,
    acceleration_spread=0.0,
    deceleration_spread=0.0,
    acceleration_noise_m_s2=0.0,
    speed_noise_m_s=0.0,
    headway_noise_m=0.0,
)


def everything(source):
    return digest(
        [array for i in range(source.num_clients) for p in [source.partition(i)] for array in (p.x_train, p.x_test)]
    )


def test_equal_drivers_without_noise_drive_at_the_models_equilibrium():
    speed, headway = simulate(generator(1), vehicles=20, frames=10, traffic=QUIET)
    v, gap = speed[0, -1].astype(float), QUIET.road_per_vehicle_m - QUIET.vehicle_length_m
    wanted = QUIET.standstill_gap_m + v * QUIET.time_headway_s
    # Nobody accelerates: (v / v0)^4 + (s* / s)^2 = 1; float32 keeps about 1e-6.
    assert (v / QUIET.desired_speed_m_s) ** 4 + (wanted / gap) ** 2 == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_allclose(speed, v, rtol=1e-5)
    np.testing.assert_allclose(headway, QUIET.road_per_vehicle_m, rtol=1e-5)


def test_nobody_drives_backwards_or_through_the_leader_and_the_ring_keeps_its_length():
    noiseless = Traffic(speed_noise_m_s=0.0, headway_noise_m=0.0)
    speed, headway = simulate(generator(2), vehicles=60, frames=700, traffic=noiseless)
    assert speed.min() >= 0
    assert headway.min() > noiseless.vehicle_length_m
    np.testing.assert_allclose(headway.sum(axis=0), 60 * noiseless.road_per_vehicle_m, rtol=1e-5)


def test_headways_change_by_the_difference_of_speeds():
    noiseless = Traffic(speed_noise_m_s=0.0, headway_noise_m=0.0)
    speed, headway = simulate(generator(3), vehicles=5, frames=50, traffic=noiseless)
    mean = (speed[:, 1:] + speed[:, :-1]) / 2
    change = (np.roll(mean, 1, axis=0) - mean) / car_following.FRAMES_PER_S
    np.testing.assert_allclose(np.diff(headway, axis=1), change, atol=2e-5)


def test_recorded_noise_has_the_stated_size():
    calm = Traffic(**{**QUIET.__dict__, "speed_noise_m_s": 0.15, "headway_noise_m": 0.3})
    speed, headway = simulate(generator(4), vehicles=50, frames=400, traffic=calm)
    # The relative standard error of a deviation from n values is 1 / sqrt(2 n); five of them.
    margin = 5 / np.sqrt(2 * speed.size)
    assert speed.std() == pytest.approx(0.15, rel=margin)
    assert headway.std() == pytest.approx(0.3, rel=margin)


def test_the_default_is_sixty_drivers_twelve_unseen_with_thirty_percent_held_out():
    source = simulate_idm_traffic()
    assert isinstance(source, DataSource)
    assert (source.num_clients, source.num_seen) == (60, 48)
    assert source.class_names == ("brake", "keep", "accelerate")
    seen, unseen = source.partition(0), source.partition(59)
    # 64 rows: 39 to train on, 6 left out, 19 held out; unseen: 16, 6 and 42.
    assert (len(seen.y_train), len(seen.y_test)) == (39, 19)
    assert (len(unseen.y_train), len(unseen.y_test)) == (16, 42)
    assert seen.x_train.dtype == np.float32 and seen.y_train.dtype == np.int64
    assert seen.x_train.shape[1] == len(source.feature_names) == 12


def test_rows_depend_on_the_seed_alone():
    assert everything(simulate_idm_traffic(seed=5)) == everything(simulate_idm_traffic(seed=5))
    assert everything(simulate_idm_traffic(seed=5)) != everything(simulate_idm_traffic(seed=6))


@pytest.mark.parametrize("clients, unseen", [(1, 0), (2, 1), (7, 3), (300, 60)])
def test_any_number_of_clients_shares_one_ring(clients, unseen):
    source = simulate_idm_traffic(clients=clients, unseen=unseen, rows_per_client=20)
    assert (source.num_clients, source.num_seen) == (clients, clients - unseen)
    assert all(np.isfinite(source.partition(i).x_test).all() for i in range(clients))


def test_training_rows_of_training_clients_have_mean_zero_and_deviation_one():
    source = simulate_idm_traffic()
    x = np.concatenate([source.partition(i).x_train for i in range(source.num_seen)])
    # The bins of the summaries and the cut at 8 deviations move the moments a little.
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=0.05)
    np.testing.assert_allclose(x.std(axis=0), 1, atol=0.05)


def test_counts_out_of_range_are_refused_together():
    with pytest.raises(ConfigError, match=r"data\.clients = -1.*data\.unseen = 3"):
        simulate_idm_traffic(clients=-1, unseen=3)
    with pytest.raises(ConfigError, match=r"data\.unseen = 5: expected 0 to 4, one client must train"):
        simulate_idm_traffic(clients=5, unseen=5)
    with pytest.raises(ConfigError, match=r"data\.idm\.rows-per-client = 3: expected at least 16"):
        simulate_idm_traffic(rows_per_client=3)


def test_a_client_that_does_not_exist_is_an_index_error():
    with pytest.raises(IndexError, match="client 60 of idm: expected 0 to 59"):
        simulate_idm_traffic().partition(60)


def test_pooled_training_beats_the_majority_and_drivers_alone_by_five_points():
    # Ridge classification, seeds 1 to 3: what a linear model shows, networks show too.
    pooled, alone, majority = [], [], []
    for seed in (1, 2, 3):
        source = simulate_idm_traffic(seed=seed)
        parts = [source.partition(i) for i in range(source.num_seen)]
        x, y = np.concatenate([p.x_train for p in parts]), np.concatenate([p.y_train for p in parts])
        together = ridge(x, y)
        pooled += [(predict(together, p.x_test) == p.y_test).mean() for p in parts]
        alone += [(predict(ridge(p.x_train, p.y_train), p.x_test) == p.y_test).mean() for p in parts]
        majority += [(p.y_test == np.bincount(y).argmax()).mean() for p in parts]
    assert np.mean(pooled) > np.mean(alone) + 0.05
    assert np.mean(pooled) > np.mean(majority) + 0.02


def ridge(x, y):
    x = np.hstack([x, np.ones((len(x), 1))]).astype(float)
    return np.linalg.solve(x.T @ x + np.eye(x.shape[1]), x.T @ np.eye(3)[y])


def predict(weights, x):
    return (np.hstack([x, np.ones((len(x), 1))]) @ weights).argmax(axis=1)
