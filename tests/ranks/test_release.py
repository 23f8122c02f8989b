"""The released allocator, with the behaviour it is known for."""

import numpy as np
import pytest

from eafl_flower.errors import ConfigError
from eafl_flower.ranks.release import released_round, released_state, shares_of
from eafl_flower.ranks.rewards import linear_reward

EXAMPLES = [1, 2, 3]


def rewards_of(ranks, number):
    """About 70 per cent, a little more with rank and rounds, in a second for each unit of rank and ten joules."""
    accuracy = 65.0 + 0.05 * ranks + 0.2 * number
    return linear_reward(accuracy, 1.0 * ranks, 10.0 * ranks)


def forty_rounds(start):
    state = released_state(100, EXAMPLES, start=start)
    ranks, duals, index = [state.current_ranks], [state.dual], [state.index]
    for number in range(1, 41):
        state = released_round(state, rewards_of(state.current_ranks, number), number)
        ranks.append(state.current_ranks)
        duals.append(state.dual)
        index.append(state.index)
    return np.array(ranks), np.array(duals), index


def test_arms_are_those_below_the_cap_and_the_cap():
    state = released_state(100, EXAMPLES)
    arms = [[8, 16, 17], [8, 16, 24, 32, 33], [8, 16, 24, 32, 40, 48, 50]]
    assert [row[row > 0].tolist() for row in state.ranks] == arms
    assert state.current_ranks.tolist() == [17, 33, 50]
    (row,) = released_state(16, [1]).ranks
    assert row[row > 0].tolist() == [8, 16]


def test_caps_add_up_to_the_budget():
    rng = np.random.default_rng(0)
    for _ in range(100):
        examples, budget = rng.integers(1, 500, rng.integers(1, 12)), int(rng.integers(20, 400))
        assert shares_of(budget, examples).sum() == budget


@pytest.mark.parametrize("start", [0.0, 155.0])
def test_the_price_stays_zero_whatever_happens(start):
    """Arms are capped by shares of the budget, so that their sum never exceeds it."""
    ranks, duals, _ = forty_rounds(start)
    assert (ranks.sum(1) <= 100).all()
    assert (duals == 0).all()


def test_tasks_whose_indices_start_at_zero_never_move():
    ranks, _, _ = forty_rounds(0.0)
    assert (ranks == [17, 33, 50]).all()


def test_a_task_whose_indices_start_above_its_rewards_moves():
    ranks, _, _ = forty_rounds(155.0)
    assert (ranks[-1] < [17, 33, 50]).all()


def test_an_index_never_falls_once_it_was_updated():
    state = released_state(100, EXAMPLES, start=0.0)
    state = released_round(state, np.full(3, 100.0), 1)
    before = state.index.copy()
    for number in range(2, 10):
        state = released_round(state, np.zeros(3), number)
    assert (state.index >= before).all()
    assert (state.current_ranks == [17, 33, 50]).all()


def test_a_vehicle_changes_to_the_arm_beside_its_own_every_third_round_at_most():
    ranks, _, _ = forty_rounds(155.0)
    moved = np.flatnonzero((np.diff(ranks, axis=0) != 0).any(1)) + 1
    assert moved.size
    assert (moved % 3 == 0).all()
    arms = released_state(100, EXAMPLES).ranks
    for vehicle, column in enumerate(ranks.T):
        places = [arms[vehicle].tolist().index(rank) for rank in column]
        assert np.abs(np.diff(places)).max() <= 1


def test_a_budget_that_leaves_nothing_to_a_vehicle_is_refused():
    with pytest.raises(ConfigError, match="a budget of 3 units of rank leaves 0 to a vehicle"):
        released_state(3, [1, 100, 100])
