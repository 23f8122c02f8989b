import numpy as np
import pytest

from eafl_flower.errors import ConfigError, DataError
from eafl_flower.mobility.coverage import HandoverRule
from eafl_flower.mobility.handovers import handover_statistics
from eafl_flower.mobility.scale import motion_scale
from eafl_flower.mobility.synthetic import Streets, street_traces
from eafl_flower.mobility.traces import traces_of

STREETS = Streets()
UNITS_M = np.array([[x, y] for x in (250.0, 750.0) for y in (250.0, 750.0)])
RULE = HandoverRule(radius_m=400, step_s=2)


@pytest.mark.parametrize("rounds", [4.0, 12.0])
def test_at_the_scale_a_border_is_crossed_once_in_so_many_rounds(rounds):
    traces = street_traces(STREETS, vehicles=40, duration_s=600, seed=1)
    about_m = (STREETS.side_m / 2, STREETS.side_m / 2)
    units_m = UNITS_M + 500
    found = motion_scale(traces, units_m, RULE, round_s=20, rounds_a_border=rounds, about_m=about_m)
    assert found.rounds_a_border == pytest.approx(rounds, rel=0.1)
    assert found.rounds_a_border == handover_statistics(found.coverage).seconds_a_border / 20


def test_who_goes_to_and_fro_crosses_the_border_once_a_leg():
    # A leg lasts 100 s at any scale, and the radius covers all of it.
    times = np.arange(0.0, 2001.0, 100.0)
    x_m = np.where(np.arange(len(times)) % 2, 900.0, -900.0)
    traces = traces_of({"a": (times, x_m, np.zeros(len(times)))})
    rule = HandoverRule(radius_m=1000, hysteresis_m=0, time_to_trigger_s=0, step_s=1)
    units_m = np.array([[-500.0, 0.0], [500.0, 0.0]])
    found = motion_scale(traces, units_m, rule, round_s=10, rounds_a_border=10, about_m=(0.0, 0.0))
    assert found.rounds_a_border == pytest.approx(10, rel=0.02)


def test_traffic_that_no_scale_brings_to_a_unit_is_told():
    traces = traces_of({"a": ([0.0, 10.0], [1.0, 2.0], [0.0, 0.0])})
    with pytest.raises(DataError, match="no vehicle is served at any scale"):
        motion_scale(traces, [[0.0, 1e9]], RULE, round_s=1, about_m=(0.0, 0.0))


def test_rounds_must_last():
    traces = traces_of({"a": ([0.0, 10.0], [1.0, 2.0], [0.0, 0.0])})
    with pytest.raises(ConfigError, match="round_s = 0"):
        motion_scale(traces, UNITS_M, RULE, round_s=0, about_m=(0.0, 0.0))
