import numpy as np
import pytest

from eafl_flower.mobility.coverage import HandoverRule, cover
from eafl_flower.mobility.handovers import handover_statistics
from eafl_flower.mobility.traces import traces_of

UNITS_M = np.array([[0.0, 0.0], [1000.0, 0.0]])
RULE = HandoverRule(radius_m=600, hysteresis_m=0, time_to_trigger_s=0, step_s=1)


def drives(**places):
    """Vehicles with a place on the line between the units every ten seconds."""
    return traces_of({name: (10.0 * np.arange(len(x)), x, np.zeros(len(x))) for name, x in places.items()})


def test_a_vehicle_that_passes_is_handed_over_once():
    found = handover_statistics(cover(drives(a=np.arange(-900.0, 2000.0, 100.0)), UNITS_M, RULE))
    assert found.num_handovers == 1
    assert found.handovers_per_vehicle == 1
    assert found.handover_s[0] == pytest.approx(141, abs=1)  # at 500 m, from -900 m at 10 m/s
    assert found.num_ping_pongs == 0
    np.testing.assert_allclose(found.stay_s, [(500 + 600) / 10, (1600 - 500) / 10], atol=2)
    assert found.served_s == found.stay_s.sum()
    assert found.present_s == pytest.approx(280, abs=1)
    assert found.covered_share == pytest.approx((1600 + 600) / 2800, rel=0.01)
    assert found.handovers_per_minute == pytest.approx(60 / found.served_s)
    assert found.num_left == 2  # of unit 0 to unit 1, and of unit 1 to nobody
    assert found.seconds_a_border == found.served_s / 2


def test_who_comes_back_at_once_is_a_ping_pong_and_who_comes_back_late_is_not():
    coverage = cover(drives(a=[400.0, 600, 400, 400, 400, 400, 400, 600, 600, 600, 600, 600, 600, 400]), UNITS_M, RULE)
    found = handover_statistics(coverage, ping_pong_s=15)
    assert found.num_handovers == 4
    assert found.num_ping_pongs == 1
    assert found.ping_pong_share == 0.25
    assert handover_statistics(coverage, ping_pong_s=1000).num_ping_pongs == 3


def test_a_change_by_way_of_nobody_is_no_handover():
    apart = np.array([[0.0, 0.0], [2000.0, 0.0]])
    found = handover_statistics(cover(drives(a=np.arange(-900.0, 3000.0, 100.0)), apart, RULE))
    assert found.num_handovers == 0
    assert len(found.stay_s) == 2
    assert found.ping_pong_share == 0


def test_a_drive_that_ends_crosses_no_border():
    found = handover_statistics(cover(drives(a=[0.0, 100.0], b=[50.0, 50.0]), UNITS_M, RULE))
    assert found.num_left == 0
    assert found.seconds_a_border == np.inf
    assert len(found.stay_s) == 2


def test_vehicles_are_counted_one_by_one():
    places = {"a": np.arange(-900.0, 2000.0, 100.0), "b": [400.0, 600, 400, 600], "c": [9e4, 9e4, 9e4]}
    together = handover_statistics(cover(drives(**places), UNITS_M, RULE))
    alone = [handover_statistics(cover(drives(**{name: places[name]}), UNITS_M, RULE)) for name in "ab"]
    assert together.num_handovers == sum(one.num_handovers for one in alone)
    assert together.num_ping_pongs == sum(one.num_ping_pongs for one in alone)
    assert sorted(together.stay_s) == sorted(np.concatenate([one.stay_s for one in alone]))
    assert together.handovers_per_vehicle == together.num_handovers / 3


def test_quantiles_of_stays_are_ordered():
    found = handover_statistics(cover(drives(a=np.arange(-900.0, 2000.0, 100.0)), UNITS_M, RULE))
    low, high = found.stay_quantiles_s(0, 1)
    assert (low, high) == (found.stay_s.min(), found.stay_s.max())
