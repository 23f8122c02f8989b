import doctest

import numpy as np
import pytest

from eafl_flower.core.rng import generator
from eafl_flower.errors import ConfigError
from eafl_flower.mobility import traces as module
from eafl_flower.mobility.traces import Traces, first_after, traces_of

ROUNDING = 1e-12


def random_traces(vehicles=40, most=30, seed=1):
    rng = generator(seed, "traces")
    drives = {}
    for number in range(vehicles):
        count = rng.integers(1, most)
        times = np.cumsum(rng.uniform(1, 400, count)) + rng.uniform(0, 1000)
        drives[str(number)] = (times, rng.uniform(-1e4, 1e4, count), rng.uniform(-1e4, 1e4, count))
    return traces_of(drives)


def test_the_examples_are_true():
    assert doctest.testmod(module).failed == 0


def test_on_a_line_the_position_is_exact():
    times = np.array([0.0, 1.0, 7.0, 100.0])
    drive = traces_of({"a": (times, 5 + 3 * times, -2 * times)})
    asked = np.linspace(0, 100, 77)
    xy_m, present = drive.at(asked[:, None])
    assert present.all()
    np.testing.assert_allclose(xy_m[:, 0], np.stack([5 + 3 * asked, -2 * asked], axis=1), rtol=ROUNDING, atol=1e-10)


def test_at_its_samples_a_vehicle_is_where_they_say():
    traces = random_traces()
    vehicle = np.repeat(np.arange(len(traces)), np.diff(traces.offsets))
    xy_m, present = traces.at(traces.time_s, vehicle)
    assert present.all()
    np.testing.assert_array_equal(xy_m, np.stack([traces.x_m, traces.y_m], axis=1))


def test_who_is_between_two_samples_far_apart_in_time_is_not_there():
    traces = traces_of({"a": ([0, 10, 500, 510], [0, 1, 2, 3], [0, 0, 0, 0])}, longest_gap_s=300)
    xy_m, present = traces.at(np.array([[-1.0], [0], [5], [10], [10.1], [499], [500], [510], [510.1]]))
    assert present[:, 0].tolist() == [False, True, True, True, False, False, True, True, False]
    assert np.isnan(xy_m[~present]).all()
    assert np.isfinite(xy_m[present]).all()


def test_all_at_once_are_where_each_alone_is():
    traces = random_traces()
    for time_s in generator(2, "times").uniform(traces.start_s - 10, traces.end_s + 10, 20):
        together, present = traces.at(time_s)
        alone = [traces.at(time_s, [vehicle]) for vehicle in range(len(traces))]
        np.testing.assert_array_equal(together, np.concatenate([xy_m for xy_m, _ in alone]))
        np.testing.assert_array_equal(present, np.concatenate([there for _, there in alone]))
        velocity = np.concatenate([traces.velocity_m_s(time_s, [vehicle]) for vehicle in range(len(traces))])
        np.testing.assert_array_equal(traces.velocity_m_s(time_s), velocity)


def test_positions_are_those_of_numpys_interpolation():
    traces = random_traces()
    for vehicle in range(len(traces)):
        part = slice(traces.offsets[vehicle], traces.offsets[vehicle + 1])
        asked = np.linspace(traces.time_s[part][0], traces.time_s[part][-1], 50)
        xy_m, present = traces.at(asked[:, None], [vehicle])
        expected = np.interp(asked, traces.time_s[part], traces.x_m[part])
        np.testing.assert_allclose(xy_m[:, 0, 0][present[:, 0]], expected[present[:, 0]], rtol=1e-9, atol=1e-7)


def test_the_first_place_after_a_time_is_that_of_a_search_in_each_range():
    traces = random_traces(vehicles=15)
    for time_s in (*traces.time_s[::7], traces.start_s - 1, traces.end_s + 1):
        starts, ends = traces.offsets[:-1], traces.offsets[1:]
        found = first_after(traces.time_s, starts, ends, np.full(len(starts), time_s))
        one_by_one = [
            a + np.searchsorted(traces.time_s[a:b], time_s, side="right") for a, b in zip(starts, ends, strict=True)
        ]
        assert found.tolist() == one_by_one


def test_velocity_and_dead_reckoning_know_nothing_of_later_samples():
    past = ([0.0, 10.0, 20.0], [0.0, 50.0, 50.0], [0.0, 0.0, 100.0])
    known = traces_of({"a": past})
    later = traces_of({"a": tuple([*column, value] for column, value in zip(past, (30.0, 9e3, -9e3), strict=True))})
    for time_s in (5.0, 10.0, 15.0, 20.0, 29.0):
        np.testing.assert_array_equal(later.velocity_m_s(time_s), known.velocity_m_s(time_s))
        np.testing.assert_array_equal(later.reckoned_m(time_s)[0], known.reckoned_m(time_s)[0])
    assert known.velocity_m_s(25.0).tolist() == [[0.0, 10.0]]
    assert known.reckoned_m(25.0)[0].tolist() == [[50.0, 150.0]]
    assert known.velocity_m_s(5.0).tolist() == [[0.0, 0.0]]  # of one sample no velocity is known


def test_some_of_the_vehicles_drive_as_they_did_among_all():
    traces = random_traces()
    some = traces.of([7, 3, 21])
    assert some.names == ("7", "3", "21")
    time_s = float(np.median(traces.time_s))
    np.testing.assert_array_equal(some.at(time_s)[0], traces.at(time_s, [7, 3, 21])[0])


def test_a_shift_moves_times_and_a_scale_moves_places_about_its_point():
    traces = random_traces(vehicles=5)
    time_s = float(np.median(traces.time_s))
    xy_m, present = traces.at(time_s)
    np.testing.assert_allclose(traces.shifted(-traces.start_s).at(time_s - traces.start_s)[0], xy_m, rtol=1e-9)
    scaled, _ = traces.scaled(0.25, (100.0, -50.0)).at(time_s)
    np.testing.assert_allclose(scaled[present], 0.25 * (xy_m[present] - [100, -50]) + [100, -50], rtol=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"names": ()}, "no vehicle"),
        ({"time_s": np.array([0.0, 1.0])}, "have shapes"),
        ({"offsets": np.array([0, 2, 3])}, "offsets"),
        ({"offsets": np.array([0, 3, 3]), "names": ("a", "b")}, "a vehicle has no sample"),
        ({"x_m": np.array([0.0, np.nan, 1.0])}, "not a finite number"),
        ({"time_s": np.array([0.0, 1.0, 1.0])}, "do not increase"),
        ({"longest_gap_s": 0.0}, "longest_gap_s = 0.0: expected a positive number"),
    ],
)
def test_what_cannot_be_traces_is_refused(change, message):
    good = {"names": ("a",), "offsets": np.array([0, 3]), "time_s": np.arange(3.0), "x_m": np.zeros(3)}
    with pytest.raises(ConfigError, match=message):
        Traces(**{"y_m": np.zeros(3), **good, **change})


@pytest.mark.parametrize("vehicle", [-1, 5])
def test_a_vehicle_that_is_not_there_is_told_by_its_number(vehicle):
    with pytest.raises(ConfigError, match=f"vehicle {vehicle}: expected a number from 0 to 4"):
        random_traces(vehicles=5).at(0.0, [vehicle])
