import json
import math
from dataclasses import replace

import numpy as np
import pytest

from eafl_flower.core.state import flatten, restore
from eafl_flower.errors import ConfigError
from eafl_flower.ranks.ucb_dual import (
    BanditState,
    Choosing,
    begin,
    dual_step,
    first_state,
    grown,
    largest_dual,
    observe,
    select,
)


def by_formula(state, available, choosing):
    """Return what ``select`` says, one vehicle and one arm at a time; everybody chooses."""
    flying, chosen = state.in_flight.copy(), []
    for v in range(state.num_vehicles):
        row = v % len(state.counts)
        price = state.dual[v if state.dual_per_vehicle else 0]
        n, open_ = state.counts[row], flying[row]
        arms = [k for k in range(state.num_arms) if available[v, k]]
        now = state.current[v]
        if now in arms and state.jobs[v] % choosing.period:
            arms = [now]
        elif choosing.neighbours_only and now >= 0:
            arms = [k for k in arms if abs(k - now) <= 1] or arms
        new = [k for k in arms if n[k] == 0 and open_[k] == 0]
        known = [k for k in arms if n[k] > 0]
        width = choosing.bonus * (1 + price if choosing.bonus_grows else 1)
        if arms == [now]:
            best = now
        elif new:
            best = new[0]
        elif known:
            total = 1 + n.sum()
            index = [
                (state.rewards[row, k] - price * state.energies[row, k]) / n[k]
                + width * math.sqrt(2 * math.log(total) / (n[k] + open_[k]))
                for k in known
            ]
            best = known[int(np.argmax(index))]
        else:
            best = min(arms, key=lambda k: open_[k], default=-1)
        chosen.append(best)
        if state.pooled and best >= 0:
            flying[row, best] += 1
    return np.array(chosen)


def any_state(rng, *, pools, dual_per_vehicle):
    vehicles, arms = int(rng.integers(1, 9)), int(rng.integers(1, 7))
    state = first_state(vehicles, arms, pools=pools, dual_per_vehicle=dual_per_vehicle)
    counts = rng.integers(0, 6, state.counts.shape).astype(float)
    return replace(
        state,
        counts=counts,
        rewards=counts * rng.random(counts.shape),
        energies=counts * rng.random(counts.shape),
        in_flight=rng.integers(0, 3, counts.shape).astype(float),
        dual=rng.random(state.dual.shape),
        current=rng.integers(-1, arms, vehicles),
        jobs=rng.integers(0, 5, vehicles),
    )


@pytest.mark.parametrize("pools", [0, 1, 3])
@pytest.mark.parametrize("dual_per_vehicle", [False, True])
def test_the_compiled_choice_is_that_of_the_formula(pools, dual_per_vehicle):
    rng = np.random.default_rng(0)
    for _ in range(200):
        state = any_state(rng, pools=pools, dual_per_vehicle=dual_per_vehicle)
        available = rng.random((state.num_vehicles, state.num_arms)) < 0.7
        choosing = Choosing(
            bonus=float(rng.choice([0.0, 0.2, 1.0])),
            bonus_grows=bool(rng.integers(2)),
            period=int(rng.integers(1, 4)),
            neighbours_only=bool(rng.integers(2)),
        )
        arms = select(state, available, choosing)
        assert arms.tolist() == by_formula(state, available, choosing).tolist()
        assert all(available[v, arm] for v, arm in enumerate(arms) if arm >= 0)
        assert (arms < 0).tolist() == (~available.any(1)).tolist()


@pytest.mark.parametrize("pools", [0, 1, 3])
def test_choosing_at_once_is_choosing_one_after_the_other(pools):
    rng = np.random.default_rng(1)
    for _ in range(50):
        state = any_state(rng, pools=pools, dual_per_vehicle=False)
        available = rng.random((state.num_vehicles, state.num_arms)) < 0.8
        together, after = select(state, available, Choosing()), state
        for v in range(state.num_vehicles):
            one = np.array([v])
            arm = select(after, available[one], Choosing(), vehicles=one)
            assert arm == together[v]
            after = begin(after, one, arm)
        at_once = begin(state, np.arange(state.num_vehicles), together)
        assert_same(after, at_once)


def assert_same(a, b):
    for name, value in vars(a).items():
        assert np.array_equal(value, getattr(b, name)), name


def rounds(state, seed, count, *, discount=1.0):
    rng, everybody = np.random.default_rng(seed), np.arange(state.num_vehicles)
    for _ in range(count):
        available = rng.random((state.num_vehicles, state.num_arms)) < 0.8
        arms = select(state, available, Choosing())
        state = begin(state, everybody, arms)
        who = everybody[arms >= 0]
        energy = rng.random(who.size)
        state = observe(state, who, arms[who], rng.random(who.size), energy, discount=discount)
        dual = dual_step(state.dual, energy.mean(), 0.4, step=0.3, most=3.0)
        state = replace(state, dual=dual)
    return state


@pytest.mark.parametrize("pools", [0, 1, 3])
def test_a_stored_state_goes_on_as_if_it_had_never_been_stored(pools):
    half = rounds(first_state(5, 4, pools=pools), 1, 20, discount=0.9)
    arrays, tree = flatten(half)
    for array in arrays.values():
        array.flags.writeable = False
    again = restore(first_state(1, 1), arrays, json.loads(json.dumps(tree)))
    assert isinstance(again, BanditState)
    assert_same(rounds(again, 2, 20, discount=0.9), rounds(half, 2, 20, discount=0.9))


def test_every_arm_is_played_once_before_any_is_played_again():
    state, everybody = first_state(3, 4), np.arange(3)
    available = np.ones((3, 4), bool)
    available[1, 0] = False
    seen = []
    for _ in range(4):
        arms = select(state, available, Choosing())
        seen.append(arms.tolist())
        state = observe(begin(state, everybody, arms), everybody, arms, np.full(3, 0.5), np.full(3, 0.5))
    assert np.array(seen)[:, 0].tolist() == np.array(seen)[:, 2].tolist() == [0, 1, 2, 3]
    assert np.array(seen)[:3, 1].tolist() == [1, 2, 3]


def test_with_optimism_an_arm_that_disappoints_hands_over_to_one_that_has_not_yet():
    state, one, available = first_state(1, 3, optimism=1.0), np.array([0]), np.ones((1, 3), bool)
    seen = []
    for _ in range(3):
        arms = select(state, available, Choosing(bonus=0.0))
        seen.append(int(arms[0]))
        state = observe(state, one, arms, np.array([0.1]), np.array([0.1]))
    assert seen == [0, 1, 2]


def test_pooled_statistics_are_the_sums_of_own_ones():
    rng, everybody = np.random.default_rng(3), np.arange(6)
    own, pooled = first_state(6, 3), first_state(6, 3, pools=1)
    for _ in range(10):
        arms, reward, energy = rng.integers(0, 3, 6), rng.random(6), rng.random(6)
        own = observe(own, everybody, arms, reward, energy)
        pooled = observe(pooled, everybody, arms, reward, energy)
    for name in ("counts", "rewards", "energies"):
        np.testing.assert_allclose(getattr(own, name).sum(0), getattr(pooled, name)[0], rtol=1e-12)


def test_vehicles_of_a_kind_learn_from_each_other_and_from_nobody_else():
    rng, everybody, available = np.random.default_rng(4), np.arange(6), np.ones((6, 3), bool)
    together, alone = first_state(6, 3, pools=3), [first_state(2, 3, pools=1) for _ in range(3)]
    for _ in range(10):
        arms, reward, energy = select(together, available, Choosing()), rng.random(6), rng.random(6)
        for kind in range(3):
            mine, two = everybody[kind::3], np.arange(2)
            assert select(alone[kind], available[:2], Choosing()).tolist() == arms[mine].tolist()
            alone[kind] = observe(alone[kind], two, arms[mine], reward[mine], energy[mine], discount=0.9)
        together = observe(together, everybody, arms, reward, energy, discount=0.9)
    for kind in range(3):
        np.testing.assert_allclose(together.rewards[kind], alone[kind].rewards[0], rtol=1e-12)


def test_plays_under_way_narrow_the_bonus_and_nothing_else():
    state = replace(first_state(4, 2, pools=1), counts=np.array([[9.0, 9.0]]), rewards=np.array([[4.5, 4.5]]))
    available = np.ones((4, 2), bool)
    assert select(state, available, Choosing(bonus=1.0)).tolist() == [0, 1, 0, 1]
    assert select(state, available, Choosing(bonus=0.0)).tolist() == [0] * 4
    assert (state.in_flight == 0).all()


def test_a_pool_without_experience_sends_its_vehicles_to_different_arms():
    state, available = first_state(7, 3, pools=1), np.ones((7, 3), bool)
    assert select(state, available, Choosing()).tolist() == [0, 1, 2, 0, 1, 2, 0]


def test_a_failed_play_is_worth_nothing_and_costs_its_energy():
    state = first_state(2, 1)
    two = np.arange(2)
    state = observe(
        state, two, np.zeros(2, int), np.array([0.9, 0.9]), np.array([0.5, 0.7]), completed=np.array([True, False])
    )
    assert state.counts[:, 0].tolist() == [1.0, 1.0]
    assert state.rewards[:, 0].tolist() == [0.9, 0.0]
    assert state.energies[:, 0].tolist() == [0.5, 0.7]


@pytest.mark.parametrize("pools", [0, 1, 3])
def test_a_round_of_plays_discounts_as_much_whether_they_end_together_or_apart(pools):
    state = rounds(first_state(4, 2, pools=pools), 0, 5)
    everybody, arms, half = np.arange(4), np.zeros(4, int), np.full(4, 0.5)
    before = state.counts[:, 1].copy()
    together = observe(state, everybody, arms, half, half, discount=0.9)
    for v in range(4):
        state = observe(state, everybody[v : v + 1], arms[:1], half[:1], half[:1], discount=0.9)
    np.testing.assert_allclose(together.counts[:, 1], 0.9 * before, rtol=1e-12)
    np.testing.assert_allclose(state.counts[:, 1], 0.9 * before, rtol=1e-12)


def test_an_arm_that_turned_bad_is_left_sooner_with_a_discount():
    def plays_until_left(discount):
        state, one, available = first_state(1, 2), np.array([0]), np.ones((1, 2), bool)
        for m in range(1000):
            arms = select(state, available, Choosing())
            if m > 60 and arms[0] == 0:
                return m
            worth = np.array([0.5, 0.9 if m < 60 else 0.1])[arms]
            state = observe(state, one, arms, worth, np.zeros(1), discount=discount)
        return 1000

    assert plays_until_left(0.9) < plays_until_left(1.0) < 1000


def test_the_price_of_energy_moves_when_and_only_when_what_is_used_differs_from_the_budget():
    dual = np.array([0.5])
    assert dual_step(dual, 0.4, 0.4, step=0.1, most=2.0) == dual
    assert dual_step(dual, 0.5, 0.4, step=0.1, most=2.0) > dual > dual_step(dual, 0.3, 0.4, step=0.1, most=2.0)
    assert dual_step(np.zeros(1), 0.3, 0.4, step=0.1, most=2.0) == 0.0
    assert dual_step(np.array([2.0]), 0.9, 0.4, step=0.1, most=2.0) == 2.0


@pytest.mark.parametrize("start", [0.0, 0.02, 0.5, 1.97, 2.0])
@pytest.mark.parametrize("energy", [0.0, 0.3, 0.4, 0.9])
def test_as_many_plays_of_one_energy_as_vehicles_move_the_price_as_one_round_does(start, energy):
    vehicles, start = 9, np.array([start])
    round_ = dual_step(start, energy, 0.4, step=0.3, most=2.0)
    dual = start
    for _ in range(vehicles):
        dual = dual_step(dual, energy, 0.4, step=0.3 / vehicles, most=2.0)
    # nine roundings of numbers below 2
    np.testing.assert_allclose(dual, round_, rtol=0, atol=9 * 2 * np.finfo(float).eps)


def test_a_vehicle_with_a_price_of_its_own_answers_to_its_own_energy():
    dual = dual_step(np.full(3, 0.5), np.array([0.1, 0.4, 0.9]), 0.4, step=1.0, most=2.0)
    np.testing.assert_allclose(dual, [0.2, 0.5, 1.0])
    counts = np.ones((3, 2))
    state = replace(
        first_state(3, 2, dual_per_vehicle=True),
        counts=counts,
        rewards=np.tile([0.4, 0.8], (3, 1)),
        energies=np.tile([0.0, 0.6], (3, 1)),
        dual=dual,
    )
    # the larger arm is worth 0.4 more and costs 0.6 more: up to a price of 2/3
    assert select(state, np.ones((3, 2), bool), Choosing()).tolist() == [1, 1, 0]


def test_new_vehicles_know_nothing_and_change_nothing_for_the_others():
    for pools in (0, 1, 3):
        for count in (1, 5):
            state = rounds(first_state(count, 4, pools=pools), 1, 12)
            more = grown(state, 8)
            available = np.ones((8, 4), bool)
            few = np.arange(count)
            again = select(more, available[:count], Choosing(), vehicles=few)
            assert again.tolist() == select(state, available[:count], Choosing()).tolist()
            assert more.jobs[count:].tolist() == [0] * (8 - count)
            assert (len(more.counts), more.num_vehicles) == (pools or 8, 8)
            assert grown(more, 3) is more


def test_the_largest_price_is_twice_what_any_optimal_one_can_be():
    assert largest_dual(0.75, 0.25) == 4.0
    assert largest_dual(0.2, 0.25) == largest_dual(0.25, 0.25) == 40.0


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigError, match="there are no arms"):
        first_state(3, 0)
    with pytest.raises(ConfigError, match=r"available has shape \(3, 2\): expected \(3, 4\)"):
        select(first_state(3, 4), np.ones((3, 2), bool), Choosing())
    with pytest.raises(ConfigError, match="bonus = -1"):
        Choosing(bonus=-1.0)
    with pytest.raises(ConfigError, match="optimism = nan"):
        first_state(3, 2, optimism=math.nan)
