import math
from itertools import pairwise

import numpy as np
import pytest

from eafl_flower.aggregation import Constant, Estimated, Exponential, HalfLife, Hinge, Polynomial
from eafl_flower.errors import ConfigError

RULES = [HalfLife(7.0), Exponential(0.1), Polynomial(0.5), Hinge(10.0, 4.0), Constant()]


@pytest.mark.parametrize("rule", RULES)
def test_a_fresh_update_weighs_one_and_a_stale_one_never_more(rule):
    weights = [rule.weight(tau) for tau in range(200)]
    assert weights[0] == 1.0
    assert all(0 < later <= earlier for earlier, later in pairwise(weights))


@pytest.mark.parametrize("rule", RULES)
def test_negative_staleness_is_refused(rule):
    with pytest.raises(ValueError, match="staleness is -1, expected 0 or more"):
        rule.weight(-1)


def test_the_weight_at_the_half_life_is_one_half():
    assert HalfLife(7.0).weight(7) == 0.5
    assert HalfLife(7.0).weight(14) == 0.25
    assert HalfLife(2.0).weight(1) == pytest.approx(math.sqrt(0.5), rel=1e-15)


@pytest.mark.parametrize(("in_flight", "half_life"), [(1, 1.0), (2, 1.0), (10, 9.0)])
def test_the_default_half_life_is_the_other_clients_in_flight(in_flight, half_life):
    assert HalfLife.for_in_flight(in_flight) == HalfLife(half_life)


def test_the_rules_have_their_closed_forms():
    assert Exponential(math.log(2) / 7).weight(7) == pytest.approx(0.5, rel=1e-15)
    assert Polynomial(0.5).weight(3) == 0.5
    assert [Hinge(10.0, 4.0).weight(t) for t in (4, 5, 6)] == [1.0, 1 / 11, 1 / 21]
    assert Constant().weight(1000) == 1.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HalfLife(0.0), "half_life = 0.0: expected a number above 0"),
        (lambda: Exponential(-1.0), "rate = -1.0"),
        (lambda: Polynomial(math.nan), "exponent = nan"),
        (lambda: Hinge(0.0, 1.0), "a = 0.0"),
        (lambda: Hinge(1.0, -1.0), "b = -1.0"),
    ],
)
def test_a_parameter_out_of_range_is_named(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def _turning(angle):
    return (np.array([math.cos(angle), math.sin(angle)]),)


def test_the_estimated_rate_is_the_decay_of_the_cosine_per_version():
    rule = Estimated()
    state = rule.init()
    assert rule.rule(state) == Exponential(0.03)
    for n in range(5):  # every update stands at 0.3 rad to the one before, 4 versions earlier
        state = rule.observe(state, 7, 4 * n, _turning(0.3 * n))
    assert rule.rule(state).rate == pytest.approx(-math.log(math.cos(0.3)) / 4, rel=1e-12)


def test_clients_are_compared_with_themselves_only():
    rule = Estimated()
    state = rule.observe(rule.init(), 1, 0, _turning(0.0))
    state = rule.observe(state, 2, 1, _turning(1.0))
    assert state.rates == ()
    state = rule.observe(state, 1, 2, _turning(0.5))
    assert state.rates == (pytest.approx(-math.log(math.cos(0.5)) / 2, rel=1e-12),)


def test_pairs_that_say_nothing_are_left_out():
    rule = Estimated()
    state = rule.observe(rule.init(), 1, 3, _turning(0.0))
    state = rule.observe(state, 1, 3, _turning(1.0))  # two jobs on one version
    state = rule.observe(state, 1, 4, (np.zeros(2),))
    state = rule.observe(state, 1, 5, _turning(1.0))
    assert state.rates == ()


def test_the_estimate_stays_in_its_bounds_and_its_window():
    rule = Estimated()
    opposite, equal = rule.init(), rule.init()
    for n in range(100):
        opposite = rule.observe(opposite, 0, n, _turning(math.pi * n))
        equal = rule.observe(equal, 0, n, _turning(0.0))
    assert len(opposite.rates) == 64
    assert rule.rule(opposite).rate == 1.0  # -ln 0.05 = 3.0 per version, above the bound
    assert rule.rule(equal).rate == 0.001


def test_the_estimate_keeps_its_own_copy_of_an_update():
    delta = _turning(0.0)
    state = Estimated().observe(Estimated().init(), 0, 0, delta)
    delta[0][:] = 9.0
    assert state.last[0][1][0].tolist() == [1.0, 0.0]
