import numpy as np
import pytest

from eafl_flower.data.sets.trips import FEATURE_NAMES, THRESHOLDS, motion_features, window_starts

POINTS = THRESHOLDS.window_points
METRE_DEG = 1 / np.radians(1) / THRESHOLDS.earth_radius_m


def features(north_m, east_m=None, *, step_s=2, latitude=0.0):
    """Features of one window whose points lie so far north and east of a place."""
    north = np.asarray(north_m, dtype=float)
    east = np.zeros_like(north) if east_m is None else np.asarray(east_m, dtype=float)
    time_s = np.arange(len(north)) * step_s
    lat = latitude + north * METRE_DEG
    lon = 116.0 + east * METRE_DEG / np.cos(np.radians(lat))
    return dict(zip(FEATURE_NAMES, motion_features(lat[None], lon[None], time_s[None])[0], strict=True))


def test_a_straight_drive_has_one_speed_and_no_turn():
    found = features(10.0 * np.arange(POINTS))
    for name in ("mean", "p10", "p25", "p50", "p75", "max"):
        assert found[f"speed_{name}_m_s"] == pytest.approx(5.0, rel=1e-6)
    for name in ("speed_sd_m_s", "acceleration_sd_m_s2", "turn_mean_rad", "stop_share", "sharp_turn_share"):
        assert found[name] == pytest.approx(0, abs=1e-6)
    assert found["straightness"] == pytest.approx(1)
    assert (found["distance_m"], found["duration_s"]) == (pytest.approx(290), 58)


def test_motion_does_not_depend_on_where_it_is():
    rng = np.random.default_rng(0)
    north, east = 20 * rng.standard_normal((2, POINTS))
    at_equator, in_beijing = (features(north, east, latitude=latitude) for latitude in (0.0, 40.0))
    assert in_beijing == pytest.approx(at_equator, rel=1e-3, abs=1e-3)


def test_constant_acceleration_is_found():
    seconds = 2.0 * np.arange(POINTS)
    found = features(0.5 * 0.3 * seconds**2)
    assert found["acceleration_mean_m_s2"] == pytest.approx(0.3, rel=1e-6)
    assert found["acceleration_p90_m_s2"] == pytest.approx(0.3, rel=1e-6)
    assert found["speed_change_m_s"] == pytest.approx(0.6, rel=1e-6)


def test_a_walk_around_blocks_turns_by_right_angles():
    side = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]] * 8)[: POINTS - 1] * 10.0
    path = np.concatenate([[[0, 0]], np.cumsum(side, axis=0)])
    found = features(path[:, 0], path[:, 1])
    assert found["turn_mean_rad"] == pytest.approx(np.pi / 2, rel=1e-3)
    assert found["sharp_turn_share"] == 1
    assert found["straightness"] == pytest.approx(10 / 290, rel=1e-3)


def test_standing_is_a_stop_without_a_place_to_go_to():
    found = features(np.zeros(POINTS))
    assert (found["stop_share"], found["distance_m"], found["straightness"]) == (1, 0, 0)
    assert all(np.isfinite(value) for value in found.values())


def test_a_jump_of_position_counts_as_the_fastest_speed():
    found = features(np.where(np.arange(POINTS) < 15, 0, 1e6))
    assert found["speed_max_m_s"] == THRESHOLDS.fastest_m_s
    assert found["distance_m"] == pytest.approx(2 * THRESHOLDS.fastest_m_s)


def test_points_of_one_second_are_a_second_apart():
    found = features(10.0 * np.arange(POINTS), step_s=0)
    assert found["speed_max_m_s"] == pytest.approx(10)


def test_windows_follow_each_other_within_a_trip_and_never_cross_into_another():
    trip = np.repeat([0, 1, 2], [70, 29, 30])
    time_s = np.concatenate([np.arange(70), np.arange(29), np.arange(30)])
    assert window_starts(trip, time_s).tolist() == [0, 30, 99]


@pytest.mark.parametrize(("step_s", "kept"), [(0.6, 0), (1, 1), (20, 1), (21, 0)])
def test_windows_are_neither_too_short_nor_too_long(step_s, kept):
    time_s = (np.arange(30) * step_s).astype(np.int64)  # 29 steps: 17, 29, 580 and 609 s
    assert len(window_starts(np.zeros(30), time_s)) == kept
