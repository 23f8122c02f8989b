import math

import numpy as np
import pytest

from eafl_flower.core.forecasts import Forecast, Outcome
from eafl_flower.core.orders import Order
from eafl_flower.errors import ConfigError
from eafl_flower.ranks.baselines import at_random, by_data, fixed, greedy
from eafl_flower.ranks.plain import ByDataRank, FixedRank, GreedyRank, RandomRank
from eafl_flower.ranks.ucb_dual import first_state, observe
from eafl_flower.types import Phase

RANKS = (4, 8, 16, 32)


def forecast(num_examples=10, jobs=0):
    return Forecast(
        time_s=0.0,
        ends_s=math.inf,
        num_examples=num_examples,
        epoch=Phase(time_s=1.0, energy_j=1.0),
        jobs=jobs,
        server_round=1,
    )


def test_masks_are_obeyed_by_all():
    rng = np.random.default_rng(0)
    available = rng.random((500, 4)) < 0.4
    state = first_state(500, 4)
    for _ in range(3):
        arms = rng.integers(0, 4, 500)
        state = observe(state, np.arange(500), arms, rng.random(500), rng.random(500))
    found = {
        "fixed": fixed(available, 2),
        "random": at_random(available, rng),
        "by data": by_data(available, RANKS, rng.integers(1, 99, 500), mean_rank=16.0),
        "greedy": greedy(state, available),
    }
    for arms in found.values():
        assert all(available[v, arm] for v, arm in enumerate(arms) if arm >= 0)
    for name in ("random", "by data", "greedy"):
        assert ((found[name] < 0) == ~available.any(1)).all()
    assert ((found["fixed"] == 2) == available[:, 2]).all()


def test_random_arms_are_alike_probable_among_those_available():
    available = np.tile([True, False, True, True], (30000, 1))
    counts = np.bincount(at_random(available, np.random.default_rng(1)), minlength=4)
    error = math.sqrt(30000 * (1 / 3) * (2 / 3))
    assert counts[1] == 0
    assert np.abs(counts[[0, 2, 3]] - 10000).max() < 5 * error


def test_ranks_by_data_are_within_the_share_of_each():
    available = np.ones((4, 4), bool)
    assert by_data(available, RANKS, [1, 10, 19, 50], mean_rank=16.0).tolist() == [0, 1, 1, 3]
    assert by_data(available, RANKS, [7, 7, 7, 7], mean_rank=16.0).tolist() == [2, 2, 2, 2]


def test_greed_takes_the_best_reward_whatever_it_costs():
    state = first_state(1, 2)
    for arm, reward, energy in ((0, 0.5, 0.1), (1, 0.6, 1.0)):
        state = observe(state, np.array([0]), np.array([arm]), np.array([reward]), np.array([energy]))
    state.dual[:] = 5.0
    assert greedy(state, np.ones((1, 2), bool)).tolist() == [1]
    assert state.dual.tolist() == [5.0]


def test_a_fixed_rank_is_the_same_for_all():
    scheduler = FixedRank(rank=16).make()
    assert {scheduler.offer(None, client, forecast()) for client in range(5)} == {Order(rank=16)}


def test_a_random_rank_depends_on_seed_client_and_job_alone():
    scheduler = RandomRank(arms=RANKS, seed=3)
    places = [(client, jobs) for client in range(20) for jobs in range(20)]
    ranks = [scheduler.offer(None, client, forecast(jobs=jobs)).rank for client, jobs in places]
    again = [scheduler.offer(None, client, forecast(jobs=jobs)).rank for client, jobs in reversed(places)]
    assert ranks == again[::-1]
    assert set(ranks) == set(RANKS)
    other = [scheduler.offer(None, c, forecast(jobs=0)).rank for c in range(20)]
    assert other != [RandomRank(arms=RANKS, seed=4).offer(None, c, forecast(jobs=0)).rank for c in range(20)]


def test_a_rank_by_data_follows_the_examples_of_those_that_have_merged():
    scheduler = ByDataRank(arms=RANKS, mean_rank=16.0)
    state = scheduler.init(3)
    assert scheduler.offer(state, 0, forecast(num_examples=50)) == Order(rank=16)
    for client, examples in ((0, 10.0), (1, 30.0), (5, 20.0)):
        ended = {"began_s": 0.0, "time_s": 1.0, "order": Order(rank=4), "num_examples": examples}
        state = scheduler.learn(state, Outcome(client=client, kind="merged", **ended))
        assert scheduler.learn(state, Outcome(client=client, kind="lost", **ended)) is state
    assert scheduler.offer(state, 0, forecast(num_examples=10)) == Order(rank=8)
    assert scheduler.offer(state, 1, forecast(num_examples=30)) == Order(rank=16)
    assert scheduler.offer(state, 4, forecast(num_examples=180)) == Order(rank=32)


def test_greed_is_ucb_dual_without_bonus_and_price():
    scheduler = GreedyRank(arms=RANKS, share_statistics=True).make()
    assert (scheduler.bonus, scheduler.dual_step, scheduler.arms, scheduler.share_statistics) == (0, 0, RANKS, True)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: FixedRank(rank=0), "rank = 0"),
        (lambda: RandomRank(arms=()), "there is no rank to choose from"),
        (lambda: ByDataRank(arms=(8, 8)), "8 is not above 8"),
        (lambda: ByDataRank(mean_rank=0.0), "mean_rank = 0"),
        (lambda: GreedyRank(arms=(8, 64), most_rank=(32,)), "rank 64 is above the limit of every client"),
    ],
)
def test_what_cannot_be_is_refused(make, match):
    with pytest.raises(ConfigError, match=match):
        make()
