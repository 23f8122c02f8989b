import json
from dataclasses import replace

import numpy as np
import pytest

from eafl_flower.core.state import flatten, restore
from eafl_flower.errors import ConfigError
from eafl_flower.ranks.budget import (
    Sharing,
    default_budget_j,
    first_shares,
    released_difficulty,
    released_shares,
    shared_anew,
)

EVERY = Sharing(period=1)


def released(used, accuracy):
    """Return the budgets after six rounds like this, of 300 units of rank in equal parts."""
    budgets, hardness = np.full(3, 100), np.zeros(3)
    for _ in range(6):
        hardness = released_difficulty(hardness, budgets, accuracy)
    return released_shares(budgets, used, hardness, total=300)


def test_the_released_rule_changes_nothing_where_everything_is_used():
    assert released([100, 100, 100], [73, 70, 64]).tolist() == [100, 100, 100]


def test_the_released_rule_gives_what_others_leave_to_those_that_are_hard_and_use_their_share():
    gained = released([81, 83, 90], [73, 70, 64]) - [81, 83, 90]
    assert gained.sum() == 300 - 81 - 83 - 90
    assert (gained > 0).all()
    assert (np.diff(gained) > 0).all()


def test_the_released_rule_cuts_the_hardest_task_most_where_too_much_is_used():
    cut = np.array([110, 105, 108]) - released([110, 105, 108], [73, 70, 64])
    assert cut.sum() == 110 + 105 + 108 - 300
    assert cut[2] > max(cut[0], cut[1])


def test_in_joules_all_are_cut_alike_where_too_much_is_used():
    used = np.array([110.0, 105.0, 108.0])
    shares = shared_anew(
        first_shares(300.0, np.full(3, 10.0), EVERY), used, [0.73, 0.70, 0.64], least_j=np.full(3, 10.0), sharing=EVERY
    )
    np.testing.assert_allclose(shares.budgets, used * 300 / used.sum(), rtol=1e-12)


def test_in_joules_a_hard_task_that_uses_its_share_gets_most_of_what_is_left():
    used = np.array([81.0, 83.0, 90.0])
    shares = shared_anew(
        first_shares(300.0, np.full(3, 10.0), EVERY), used, [0.73, 0.70, 0.64], least_j=np.full(3, 10.0), sharing=EVERY
    )
    gained = shares.budgets - used
    assert (gained > 0).all()
    assert (np.diff(gained) > 0).all()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("difficulty", ["accuracy", "loss"])
def test_whatever_is_used_the_budgets_add_up_and_stay_within_their_bounds(seed, difficulty):
    rng = np.random.default_rng(seed)
    for _ in range(25):
        tasks, total = int(rng.integers(1, 8)), float(10 ** rng.uniform(-3, 6))
        share = float(rng.uniform(0.1, 1.0))
        sharing = Sharing(period=int(rng.integers(1, 4)), difficulty=difficulty, largest_share=share)
        least = total * rng.dirichlet(np.ones(tasks)) * rng.uniform(0, 1) / 1.05
        shares = first_shares(total, least, sharing)
        for _ in range(20):
            used = total * rng.exponential(1, tasks) * rng.choice([0.0, 0.3, 1.0, 3.0]) / tasks
            shares = shared_anew(shares, used, rng.random(tasks) * 3, least_j=least, sharing=sharing)
            assert shares.budgets.sum() == pytest.approx(total, rel=1e-9)
            assert (shares.budgets >= 1.05 * least - 1e-9 * total).all()
            most = np.maximum(1.05 * least, max(share, 1 / tasks) * total)
            assert (shares.budgets <= most + 1e-9 * total).all()


def test_budgets_change_once_a_period():
    sharing, least = Sharing(period=6), np.full(2, 1.0)
    shares, seen = first_shares(100.0, least, sharing), []
    for number in range(13):
        before = shares.budgets
        shares = shared_anew(shares, [20.0 + number, 40.0], [0.9, 0.5], least_j=least, sharing=sharing)
        seen.append(not np.array_equal(before, shares.budgets))
    assert [number for number, changed in enumerate(seen, start=1) if changed] == [6, 12]


def test_scaling_all_energies_scales_the_budgets():
    def budgets(unit):
        least = unit * np.array([1.0, 2.0, 3.0])
        shares = first_shares(30.0 * unit, least, EVERY)
        for used in ([5.0, 9.0, 10.0], [8.0, 12.0, 14.0]):
            shares = shared_anew(shares, unit * np.array(used), [0.9, 0.6, 0.3], least_j=least, sharing=EVERY)
        return shares.budgets

    np.testing.assert_allclose(budgets(1000.0), 1000 * budgets(1.0), rtol=1e-12)


def test_by_loss_a_task_that_no_longer_improves_is_the_harder_one():
    sharing, least = Sharing(period=2, difficulty="loss"), np.zeros(2)
    shares = first_shares(100.0, least, sharing)
    for loss in ([1.0, 1.0], [0.5, 0.99]):
        shares = shared_anew(shares, [30.0, 30.0], loss, least_j=least, sharing=sharing)
    assert shares.budgets[1] > shares.budgets[0]


def test_where_budgets_are_of_jobs_traffic_makes_no_task_hard():
    """Tasks of two and six jobs, alike in all else: a job of each may take the same, before and after."""
    least, jobs = np.zeros(2), np.array([2.0, 6.0])
    shares = replace(first_shares(100.0, least, EVERY), budgets=100.0 * jobs / jobs.sum())
    wide = replace(EVERY, largest_share=0.9)
    for _ in range(5):
        shares = shared_anew(shares, 9.0 * jobs, [0.5, 0.5], least_j=least, sharing=wide, jobs=jobs)
        np.testing.assert_allclose(shares.budgets / jobs, 12.5, rtol=1e-12)


@pytest.mark.parametrize("difficulty", ["accuracy", "loss"])
def test_a_task_that_comes_late_counts_as_hard_as_the_others_were_and_by_its_own_scores_then(difficulty):
    sharing, least = Sharing(period=1, difficulty=difficulty), np.zeros(3)
    shares = first_shares(90.0, least, sharing)
    for _ in range(10):  # nobody is with the third task, which has no score
        shares = shared_anew(
            shares, [40.0, 40.0, 0.0], [0.8, 0.8, 0.0], least_j=least, sharing=sharing, jobs=[4.0, 4.0, 0.0]
        )
    np.testing.assert_allclose(shares.budgets, [45.0, 45.0, 0.0], atol=1e-6)
    assert shares.difficulty[2] == pytest.approx(shares.difficulty[0])
    shares = replace(shares, budgets=np.full(3, 30.0), used=np.full(3, 30.0))
    for _ in range(10):
        shares = shared_anew(
            shares, [27.0, 27.0, 27.0], [0.8, 0.8, 0.8], least_j=least, sharing=sharing, jobs=[4.0] * 3
        )
    np.testing.assert_allclose(shares.budgets, 30.0, rtol=0.05)


@pytest.mark.parametrize("losses", [[-0.5, -0.6], [0.0, 0.0], [2.0, -1.0], [-1.0, 1.0]])
def test_losses_that_are_not_above_zero_end_no_run(losses):
    """Of a density, say, or rewards with their signs changed."""
    sharing, least = Sharing(period=1, difficulty="loss"), np.zeros(2)
    shares = first_shares(100.0, least, sharing)
    for number in range(12):
        shares = shared_anew(shares, [30.0, 30.0], np.array(losses) - 0.1 * number, least_j=least, sharing=sharing)
        assert shares.budgets.sum() == pytest.approx(100.0) and (shares.budgets > 10.0).all()


def test_stored_shares_go_on_alike():
    sharing, least = Sharing(period=2, difficulty="loss"), np.array([1.0, 2.0])
    shares = first_shares(20.0, least, sharing)
    rng = np.random.default_rng(0)
    for _ in range(5):
        arrays, tree = flatten(shares)
        again = restore(first_shares(9.0, least, sharing), arrays, json.loads(json.dumps(tree)))
        used, loss = 8 * rng.random(2), rng.random(2)
        shares, again = (shared_anew(s, used, loss, least_j=least, sharing=sharing) for s in (shares, again))
        assert all(np.array_equal(a, b) for a, b in zip(vars(shares).values(), vars(again).values(), strict=True))


def test_the_usual_budget_lies_between_the_smallest_and_the_largest_ranks():
    assert default_budget_j([1.0, 1.0], [2.0, 4.0]) == pytest.approx(0.6 * 6 + 0.4 * 2)


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigError, match=r"a budget of 2 J a round is below the 2\.1 J that all tasks need"):
        first_shares(2.0, [1.0, 1.0], Sharing())
    with pytest.raises(ConfigError, match="there are no tasks"):
        first_shares(2.0, [], Sharing())
    with pytest.raises(ConfigError, match="largest_share = 0"):
        Sharing(largest_share=0.0)
    shares = first_shares(3.0, [1.0, 1.0], EVERY)
    with pytest.raises(ConfigError, match=r"the smallest ranks need 4\.2 J a round, above the budget of 3 J"):
        shared_anew(shares, [1.0, 1.0], [0.5, 0.5], least_j=[2.0, 2.0], sharing=EVERY)
