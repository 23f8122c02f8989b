"""Regret and violation on rewards whose best static policy is known, against what is proved and what was measured."""

import math
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from rank_rewards import play, world

from eafl_flower.ranks.ucb_dual import Choosing

RUNS = 20
# Per-round regret that was measured for the method with bonus 0.2, nine vehicles, five seeds, of another world of which
# the arms, the largest price of 6.3 and the price it settles at (0.11 to 0.14) are known.
MEASURED = {100: 0.038, 400: 0.025, 1600: 0.013, 6400: 0.0050}


@cache
def played(rounds, bonus=0.2, grows=False):
    return play(world(), rounds, runs=RUNS, choosing=Choosing(bonus=bonus, bonus_grows=grows))


def standard_error(values):
    return float(np.std(values, ddof=1) / math.sqrt(len(values)))


def test_the_world_is_the_one_that_is_known_of():
    found = world()
    assert found.largest_dual == pytest.approx(6.3)
    assert 0.11 < found.optimum()[1] < 0.14


@pytest.mark.parametrize("rounds", MEASURED)
def test_regret_per_round_is_what_was_measured(rounds):
    """Within five standard errors of the difference of a mean of five runs and one of ours."""
    ours = played(rounds).regret / rounds
    assert abs(ours.mean() - MEASURED[rounds]) < 5 * math.sqrt(RUNS / 5 + 1) * standard_error(ours)


@pytest.mark.parametrize(("bonus", "grows"), [(0.2, False), (1.0, True)])
def test_regret_per_round_falls_as_rounds_grow(bonus, grows):
    counts = (100, 400, 1600, 6400) if bonus == 0.2 else (100, 400, 1600)
    rates = [played(rounds, bonus, grows).regret / rounds for rounds in counts]
    for before, after in pairwise(rates):
        assert before.mean() - after.mean() > 3 * math.hypot(standard_error(before), standard_error(after))


@pytest.mark.parametrize("rounds", [100, 400, 1600])
def test_regret_and_violation_are_within_the_bounds(rounds):
    found, arms = world(), world().reward.size
    learning = 4 * (1 + 2 / found.slack) * math.sqrt(2 * arms * rounds * math.log(rounds))
    most_regret = math.sqrt(rounds) / 2 + learning
    most_violation = found.slack * (2 * math.sqrt(rounds) / found.slack**2 + math.sqrt(rounds) / 2 + learning)
    ours = played(rounds, 1.0, True)
    assert (ours.regret < most_regret).all()
    assert (ours.violation < most_violation).all()


@pytest.mark.parametrize("rounds", MEASURED)
def test_violation_is_at_most_what_the_price_has_risen_by(rounds):
    """The price never falls by more than the budget leaves, so the excess is at most its last value over the step."""
    ours = played(rounds)
    assert (ours.dual < world().largest_dual).all()
    assert (ours.violation <= ours.dual[-1] * math.sqrt(rounds) * (1 + 1e-9)).all()


def test_violation_per_round_vanishes():
    early, late = (played(rounds).violation / rounds for rounds in (1600, 6400))
    assert early.mean() - late.mean() > 2 * math.hypot(standard_error(early), standard_error(late))
    assert late.max() < 0.01 * world().budget


def test_where_the_budget_binds_the_second_half_of_a_run_keeps_it():
    found, ours = world(), played(6400)
    spent = found.energy[ours.arms[3200:]].mean((0, 2))
    assert np.abs(spent / found.budget - 1).max() < 0.02


def test_where_the_budget_does_not_bind_energy_is_free():
    found = world()
    ours = play(type(found)(reward=found.reward, energy=found.energy, budget=1.0), 400, runs=2, choosing=Choosing())
    assert (ours.dual == 0).all()
    bound = played(400)
    assert (bound.dual[200:] > 0).all()
    assert found.energy[ours.arms[200:]].mean() > found.energy[bound.arms[200:]].mean()


def test_without_a_price_the_budget_is_exceeded():
    free, bound = play(world(), 400, runs=RUNS, choosing=Choosing(), step=0.0).violation, played(400).violation
    assert free.mean() - bound.mean() > 3 * math.hypot(standard_error(free), standard_error(bound))
    assert free.min() > 0
