import math

import numpy as np
import pytest

from eafl_flower.core.rng import generator
from eafl_flower.errors import ConfigError, DataError
from eafl_flower.mobility.coverage import HandoverRule, cover
from eafl_flower.mobility.traces import traces_of
from eafl_flower.roadside.churn import WhileServed

UNITS_M = np.array([[0.0, 0.0], [1000.0, 0.0]])
STEP_S = 0.5


def straight(speed_m_s=10.0, y_m=0.0, start_m=-900.0, end_m=1900.0, **more):
    """Vehicles that pass both units from west to east."""
    duration_s = (end_m - start_m) / speed_m_s
    return traces_of({"a": ([0.0, duration_s], [start_m, end_m], [y_m, y_m])}, longest_gap_s=1e9, **more)


def rule(**change):
    return HandoverRule(
        **{"radius_m": 400.0, "hysteresis_m": 0.0, "time_to_trigger_s": 0.0, "step_s": STEP_S, **change}
    )


def changes(coverage, vehicle=0):
    """Units that serve one after the other, and since when."""
    found, time_s = [], -math.inf
    while time_s < math.inf:
        unit, until_s = coverage.interval(vehicle, time_s)
        found.append((time_s, unit))
        time_s = until_s
    return found


def test_a_vehicle_that_goes_straight_on_is_served_for_chord_over_speed():
    for y_m in (0.0, 240.0, -320.0):
        found = changes(cover(straight(y_m=y_m), UNITS_M, rule()))
        half_m = math.sqrt(400**2 - y_m**2)
        crossings_s = [(900 - half_m) / 10, (900 + half_m) / 10, (1900 - half_m) / 10, (1900 + half_m) / 10]
        assert [unit for _, unit in found] == [-1, 0, -1, 1, -1]
        for (time_s, _), exact_s in zip(found[1:], crossings_s, strict=True):
            assert exact_s <= time_s + 1e-9 < exact_s + STEP_S + 2e-9  # at the next time of the grid


@pytest.mark.parametrize(("hysteresis_m", "trigger_s"), [(0.0, 0.0), (60.0, 0.0), (0.0, 4.0), (60.0, 4.0)])
def test_another_unit_takes_over_when_it_has_been_nearer_by_the_hysteresis_for_long_enough(hysteresis_m, trigger_s):
    coverage = cover(straight(), UNITS_M, rule(radius_m=700, hysteresis_m=hysteresis_m, time_to_trigger_s=trigger_s))
    units, times_s = [unit for _, unit in changes(coverage)], [time_s for time_s, _ in changes(coverage)]
    assert units == [-1, 0, 1, -1]
    # On the line between them it is nearer to unit 1 by 2 (x - 500).
    exact_s = (500 + hysteresis_m / 2 + 900) / 10 + trigger_s
    assert exact_s <= times_s[2] <= exact_s + 2 * STEP_S


def test_leaving_the_radius_ends_service_whatever_the_hysteresis():
    found = changes(cover(straight(), UNITS_M, rule(radius_m=600, hysteresis_m=10_000.0)))
    assert [unit for _, unit in found] == [-1, 0, 1, -1]
    assert found[2][0] == pytest.approx((900 + 600) / 10, abs=2 * STEP_S)


def swaying():
    """A vehicle that sways about the middle between the units, 40 m to each side."""
    times = np.arange(0.0, 600.0, 5.0)
    return traces_of({"a": (times, 500 + 40 * np.where(np.arange(len(times)) % 2, 1, -1), np.zeros(len(times)))})


def test_hysteresis_and_time_to_trigger_each_keep_a_vehicle_on_the_border_from_going_to_and_fro():
    many = changes(cover(swaying(), UNITS_M, rule(radius_m=700)))
    assert len(many) > 100
    assert len(changes(cover(swaying(), UNITS_M, rule(radius_m=700, hysteresis_m=80.0)))) == 3
    assert len(changes(cover(swaying(), UNITS_M, rule(radius_m=700, time_to_trigger_s=5.0)))) == 3


def random_coverage(**change):
    rng = generator(3, "drives")
    drives = {}
    for number in range(30):
        times = np.cumsum(rng.uniform(1, 60, 40))
        times[20:] += rng.choice([0, 1000])
        drives[str(number)] = (times, *np.cumsum(rng.normal(0, 200, (2, 40)), axis=1))
    units_m = rng.uniform(-1500, 1500, (change.pop("units", 8), 2))
    return cover(
        traces_of(drives), units_m, rule(**{"hysteresis_m": 30.0, "time_to_trigger_s": 9.0, "step_s": 3.0, **change})
    )


def one_by_one(coverage, vehicle):
    """The rule of the docstring, step by step, for one vehicle."""
    rule, serving, since, candidate, found = coverage.rule, -1, 0.0, -1, []
    for time_s in coverage.grid_s:
        xy_m, present = coverage.position(time_s, [vehicle])
        distance_m = np.hypot(*(xy_m[0] - coverage.units_m).T) if present[0] else np.full(len(coverage.units_m), np.inf)
        nearest = int(distance_m.argmin())
        if serving >= 0 and distance_m[serving] <= rule.radius_m:
            if distance_m[serving] - distance_m[nearest] > rule.hysteresis_m:
                if candidate != nearest:
                    candidate, since = nearest, time_s
                if time_s - since >= rule.time_to_trigger_s - 1e-9:
                    serving, candidate = nearest, -1
            else:
                candidate = -1
        else:
            serving, candidate = (nearest if distance_m[nearest] <= rule.radius_m else -1), -1
        found.append(serving)
    return found


@pytest.mark.parametrize("units", [1, 8, 40])
def test_all_at_once_are_served_as_each_alone_by_the_rule(units):
    coverage = random_coverage(units=units)
    for vehicle in range(0, len(coverage), 5):
        expected = one_by_one(coverage, vehicle)
        assert coverage.serving(coverage.grid_s[:, None], [vehicle])[:, 0].tolist() == expected


def test_blocks_of_vehicles_change_nothing(monkeypatch):
    whole = random_coverage()
    monkeypatch.setattr("eafl_flower.mobility.coverage._BLOCK", 3 * len(whole.grid_s))
    parts = random_coverage()
    for name in ("offsets", "change_s", "unit", "present_s", "num_present", "num_served"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))


def test_who_serves_is_who_the_interval_names_until_its_end():
    coverage = random_coverage()
    for vehicle in range(len(coverage)):
        for time_s, unit in changes(coverage, vehicle)[1:]:
            before, until_s = coverage.interval(vehicle, np.nextafter(time_s, -np.inf))
            assert (until_s, before) == (time_s, coverage.serving(np.nextafter(time_s, -np.inf), [vehicle])[0])
            assert before != unit
            assert coverage.serving(time_s, [vehicle])[0] == coverage.interval(vehicle, time_s)[0] == unit
    assert coverage.interval(0, coverage.traces.end_s + 1e6) == (-1, math.inf)


def test_a_client_is_on_while_any_unit_serves_it():
    coverage = random_coverage()
    churn = WhileServed(coverage)
    for vehicle in range(len(coverage)):
        on = [unit >= 0 for _, unit in changes(coverage, vehicle)]
        times_s = [time_s for time_s, _ in changes(coverage, vehicle)]
        for place, time_s in enumerate(times_s):
            is_on, until_s = churn.interval(vehicle, time_s)
            other = [k for k in range(place, len(on)) if on[k] != on[place]]
            assert (is_on, until_s) == (on[place], times_s[other[0]] if other else math.inf)


def test_counts_of_vehicles_are_those_of_positions_and_units():
    coverage = random_coverage()
    _, present = coverage.position(coverage.grid_s[:, None])
    np.testing.assert_array_equal(coverage.num_present, present.sum(axis=1))
    np.testing.assert_array_equal(coverage.present_s, coverage.rule.step_s * present.sum(axis=0))
    served = coverage.serving(coverage.grid_s[:, None], np.arange(len(coverage))) >= 0
    np.testing.assert_array_equal(coverage.num_served, served.sum(axis=1))
    assert not (served & ~present).any()


def test_it_prints_itself_in_a_line_without_its_arrays():
    assert repr(cover(straight(), UNITS_M, rule())) == (
        "<Coverage of <Traces of 1 vehicles: 2 samples, 0 to 280 s, longest_gap_s=1e+09> by 2 units, HandoverRule("
        "radius_m=400.0, hysteresis_m=0.0, time_to_trigger_s=0.0, step_s=0.5)>"
    )


def test_no_vehicle_near_any_unit_is_told_with_distances():
    with pytest.raises(DataError, match=r"no unit ever serves.*radius_m = 400.*is 600 m \('a' to unit 0 .*above 600 m"):
        cover(straight(y_m=600.0), UNITS_M, rule())


@pytest.mark.parametrize("units", [np.zeros((0, 2)), np.zeros(2), np.array([[0.0, np.nan]]), np.zeros((2, 3))])
def test_units_that_are_none_are_refused(units):
    with pytest.raises(ConfigError, match=r"expected \(number, 2\), at least one, with finite coordinates"):
        cover(straight(), units, rule())


def test_a_grid_of_too_many_steps_is_refused():
    with pytest.raises(ConfigError, match="expected a longer step"):
        cover(straight(), UNITS_M, rule(step_s=1e-6))


@pytest.mark.parametrize("change", [{"radius_m": 0.0}, {"hysteresis_m": -1.0}, {"step_s": math.nan}])
def test_a_rule_out_of_range_is_refused(change):
    with pytest.raises(ConfigError, match=next(iter(change))):
        rule(**change)


def test_the_predicted_stay_of_who_goes_straight_on_is_the_true_one():
    # A sample each 10 s, so that the velocity is known.
    times = np.arange(0.0, 281.0, 10.0)
    traces = traces_of({"a": (times, -900 + 10 * times, np.full(len(times), 240.0))})
    coverage = cover(traces, UNITS_M, rule())
    for time_s in (60.0, 83.0, 119.0):
        assert coverage.predicted_stay_s(time_s)[0] == pytest.approx((900 + 320) / 10 - time_s, rel=1e-9)
        assert coverage.interval(0, time_s)[1] - time_s == pytest.approx(122 - time_s, abs=STEP_S)
    assert coverage.predicted_stay_s(130.0)[0] == 0.0  # nobody serves it
    assert coverage.predicted_next_unit(100.0)[0] == -1  # the discs are 200 m apart
    near = cover(traces, UNITS_M, rule(radius_m=600))
    assert near.predicted_next_unit(100.0)[0] == 1
    assert near.predicted_next_unit(np.array([[100.0], [200.0]]))[:, 0].tolist() == [1, -1]


def test_predictions_know_nothing_of_later_samples():
    times = np.arange(0.0, 101.0, 10.0)
    past = traces_of({"a": (times, -300 + 3 * times, 0 * times)})
    turned = traces_of({"a": ([*times, 110.0], [*(-300 + 3 * times), 20.0], [*(0 * times), 200.0])})
    for time_s in (50.0, 99.0, 100.0):
        one, other = cover(past, UNITS_M, rule()), cover(turned, UNITS_M, rule())
        assert one.predicted_stay_s(time_s)[0] == other.predicted_stay_s(time_s)[0]
        assert one.predicted_next_unit(time_s)[0] == other.predicted_next_unit(time_s)[0]
