import numpy as np
import pytest

from eafl_flower.errors import ConfigError
from eafl_flower.mobility.synthetic import Streets, street_traces

STREETS = Streets(block_m=50.0, blocks=6)


def traffic(vehicles=200, duration_s=300.0, seed=1):
    return street_traces(STREETS, vehicles=vehicles, duration_s=duration_s, seed=seed)


def test_everybody_is_there_all_the_time_and_in_the_town():
    traces = traffic()
    xy_m, present = traces.at(np.linspace(0, 300, 61)[:, None])
    assert present.all()
    assert xy_m.min() >= 0
    assert xy_m.max() <= STREETS.side_m


def test_vehicles_drive_on_streets_at_one_speed_each_within_the_limits():
    traces = traffic()
    times = np.linspace(0, 299, 100)[:, None]
    xy_m, _ = traces.at(times)
    off_street_m = np.abs(xy_m - STREETS.block_m * np.round(xy_m / STREETS.block_m)).min(axis=-1)
    assert off_street_m.max() < 1e-9 * STREETS.side_m
    inside = np.ones(len(traces.time_s) - 1, bool)
    inside[traces.offsets[1:-1] - 1] = False
    vehicle = np.repeat(np.arange(len(traces)), np.diff(traces.offsets))[:-1][inside]
    speed = np.hypot(np.diff(traces.x_m), np.diff(traces.y_m))[inside] / np.diff(traces.time_s)[inside]
    own = speed[np.searchsorted(vehicle, np.arange(len(traces)))]
    np.testing.assert_allclose(speed, own[vehicle], rtol=1e-9)
    assert own.min() >= STREETS.slowest_m_s
    assert own.max() <= STREETS.fastest_m_s


def test_a_vehicle_is_a_function_of_the_seed_and_its_number_alone():
    few, many, longer = traffic(vehicles=5), traffic(vehicles=50), traffic(vehicles=5, duration_s=900)
    for time_s in (0.0, 77.7, 300.0):
        np.testing.assert_array_equal(many.at(time_s, range(5))[0], few.at(time_s)[0])
        np.testing.assert_array_equal(longer.at(time_s)[0], few.at(time_s)[0])
    assert not np.array_equal(traffic(vehicles=5, seed=2).at(77.7)[0], few.at(77.7)[0])


def test_half_of_the_ways_lead_straight_on_and_a_quarter_to_each_side():
    wide = Streets(block_m=50.0, blocks=1000)
    traces = street_traces(wide, vehicles=400, duration_s=300, seed=3)
    steps = np.stack([np.diff(traces.x_m), np.diff(traces.y_m)], axis=1) / 50
    whole = np.abs(steps).sum(axis=1) == 1  # a leg, not the way from one vehicle to the next
    pairs = whole[1:] & whole[:-1]
    before, after = steps[:-1][pairs], steps[1:][pairs]
    straight = (before * after).sum(axis=1) == 1
    left = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0] == 1
    for share, expected in ((straight.mean(), 0.5), (left.mean(), 0.25)):
        assert abs(share - expected) < 5 * np.sqrt(expected * (1 - expected) / len(straight))


def test_the_slowest_is_not_faster_than_the_fastest():
    with pytest.raises(ConfigError, match=r"slowest_m_s = 20\.0: expected at most fastest_m_s"):
        Streets(slowest_m_s=20.0)


@pytest.mark.parametrize(("vehicles", "duration_s"), [(0, 10.0), (1, 0.0), (1, np.inf)])
def test_no_traffic_is_refused(vehicles, duration_s):
    with pytest.raises(ConfigError, match="expected at least one, and a positive time"):
        traffic(vehicles=vehicles, duration_s=duration_s)
