import json
import math
from dataclasses import replace

import numpy as np
import pytest

from eafl_flower.core.forecasts import Forecast, Outcome
from eafl_flower.core.orders import NO_ORDER, Order
from eafl_flower.core.state import flatten, restore
from eafl_flower.errors import ConfigError
from eafl_flower.ranks.scheduler import UCBDualScheduler
from eafl_flower.ranks.ucb_dual import dual_step
from eafl_flower.types import Phase

ARMS = (4, 8, 16)
CALIBRATED = {"arms": ARMS, "least_energy_j": 1.0, "most_energy_j": 4.0}


def forecast(*, stay_s=math.inf, epoch_s=0.1, server_round=1, jobs=0):
    return Forecast(
        time_s=100.0,
        ends_s=100.0 + stay_s,
        num_examples=5,
        epoch=Phase(time_s=epoch_s, energy_j=1.0),
        jobs=jobs,
        server_round=server_round,
    )


def outcome(kind, client, rank, *, took_s=1.0, energy_j=1.0, server_round=1, **metrics):
    return Outcome(
        client=client,
        order=Order(rank=rank),
        kind=kind,
        began_s=0.0,
        time_s=took_s,
        server_round=server_round,
        energy_j=energy_j,
        num_examples=3.0,
        metrics=metrics,
    )


def job(scheduler, state, client, rank, kind="merged", **known):
    state = scheduler.learn(state, outcome("begun", client, rank, energy_j=0.0))
    return scheduler.learn(state, outcome(kind, client, rank, **known))


def run(scheduler, state, jobs, seed, *, clients=4, flying=2):
    """Jobs of random clients, several under way, whose rank sets their time, energy and loss."""
    rng, ranks, open_ = np.random.default_rng(seed), [], []
    for number in range(jobs):
        idle = [client for client in range(clients) if client not in [o[0] for o in open_]]
        client = int(rng.choice(idle))
        told = forecast(server_round=1 + number // clients, jobs=number)
        order = scheduler.offer(state, client, told)
        assert order == scheduler.offer(state, client, told)
        ranks.append(order.rank)
        state = scheduler.learn(state, outcome("begun", client, order.rank, energy_j=0.0))
        open_.append((client, order.rank))
        if len(open_) == flying:
            client, rank = open_.pop(int(rng.integers(flying)))
            known = {"took_s": 1 + rank / 16, "energy_j": 1 + rank * (1 + client / 8) / 4, "loss": 2 - rank / 32}
            kind = "merged" if rng.random() < 0.9 else "lost"
            state = scheduler.learn(state, outcome(kind, client, rank, server_round=told.server_round, **known))
    return ranks, state


@pytest.mark.parametrize("settings", [{}, {"share_statistics": True}, {"dual_scope": "vehicle", "discount": 0.9}])
def test_a_stored_state_goes_on_as_if_it_had_never_been_stored(settings):
    scheduler = UCBDualScheduler(arms=ARMS, **settings)
    _, state = run(scheduler, scheduler.init(4), 60, 1)
    arrays, tree = flatten(state)
    for array in arrays.values():
        array.flags.writeable = False
    again = restore(scheduler.init(2), arrays, json.loads(json.dumps(tree)))
    ranks, later = run(scheduler, state, 60, 2)
    assert run(scheduler, again, 60, 2)[0] == ranks
    assert len(set(ranks)) > 1
    assert flatten(later)[1] == flatten(run(scheduler, again, 60, 2)[1])[1]


def test_ranks_whose_job_does_not_fit_the_stay_are_not_ordered():
    scheduler = UCBDualScheduler(arms=ARMS)
    state = scheduler.init(2)
    for rank, took_s in ((4, 10.0), (8, 20.0), (16, 40.0)):
        state = job(scheduler, state, 0, rank, took_s=took_s, loss=1.0 / rank)
    ordered = {}
    for stay_s in (11.0, 12.0, 22.3, 44.5, math.inf):
        order = scheduler.offer(state, 0, forecast(stay_s=stay_s))
        ordered[stay_s] = order and order.rank
    assert ordered[11.0] is None
    assert ordered[12.0] == 4
    assert ordered[22.3] <= 8
    # a client of whom nothing is known has a first job of the smallest rank if its computation fits, and then none
    # that would not fit the others
    computes_s = forecast(stay_s=11.0).epoch.time_s
    assert scheduler.offer(state, 1, forecast(stay_s=11.0)) == Order(rank=4)
    assert scheduler.offer(state, 1, forecast(stay_s=0.9 * computes_s)) is None
    lost = scheduler.learn(
        state, Outcome(client=1, order=Order(rank=4), kind="lost", began_s=0.0, time_s=11.0, energy_j=1.0)
    )
    assert scheduler.offer(lost, 1, forecast(stay_s=11.0)) is None
    assert scheduler.offer(lost, 1, forecast(stay_s=12.0)) is not None


def test_a_slow_client_gets_smaller_ranks_for_the_same_stay():
    scheduler = UCBDualScheduler(arms=ARMS)
    state = scheduler.init(2)
    for rank in ARMS:
        state = job(scheduler, state, 0, rank, took_s=1.0 * rank, loss=1.0)
        state = job(scheduler, state, 1, rank, took_s=3.0 * rank, loss=1.0)
    stay = forecast(stay_s=12.0)
    assert scheduler.offer(state, 0, stay) is not None
    assert scheduler.offer(state, 1, stay) is None


def test_before_the_first_job_a_stay_must_hold_the_computation_alone():
    scheduler = UCBDualScheduler(arms=ARMS)
    assert scheduler.offer(scheduler.init(2), 0, forecast(stay_s=1.0, epoch_s=0.95)) is None
    assert scheduler.offer(scheduler.init(2), 0, forecast(stay_s=1.0, epoch_s=0.85)) == Order(rank=4)


def test_no_client_trains_more_than_its_memory_holds():
    scheduler = UCBDualScheduler(arms=ARMS, most_rank=(4, 8, 0))
    ranks, state = {0: set(), 1: set(), 2: set()}, scheduler.init(3)
    for number in range(60):
        client = number % 3
        rank = scheduler.offer(state, client, forecast()).rank
        ranks[client].add(rank)
        state = job(scheduler, state, client, rank, energy_j=rank, loss=1.0 / rank)
    assert ranks == {0: {4}, 1: {4, 8}, 2: {4, 8, 16}}


def test_every_ended_job_moves_the_price_by_its_energy_over_the_number_of_clients():
    scheduler = UCBDualScheduler(**CALIBRATED, budget_j=2.0, dual_step=0.3)
    state, dual = scheduler.init(3), np.zeros(1)
    for client, kind, energy_j in ((0, "merged", 4.0), (1, "lost", 3.0), (2, "refused", 1.0), (0, "error", 0.0)):
        state = job(scheduler, state, client, 8, kind, energy_j=energy_j, loss=1.0)
        dual = dual_step(dual, energy_j / 4, 0.5, step=0.1, most=8.0)
        assert state.bandit.dual == pytest.approx(dual)
    assert state.bandit.dual > 0


def test_as_many_jobs_of_one_energy_as_clients_move_the_price_as_one_round_does():
    scheduler = UCBDualScheduler(**CALIBRATED, budget_j=2.0, dual_step=0.3)
    state = scheduler.init(7)
    for client in range(7):
        state = job(scheduler, state, client, 8, energy_j=3.0, loss=1.0)
    assert state.bandit.dual == pytest.approx(dual_step(np.zeros(1), 0.75, 0.5, step=0.3, most=8.0), rel=1e-12)


def test_a_failed_job_is_worth_nothing_and_costs_its_energy():
    scheduler = UCBDualScheduler(arms=ARMS)
    state = job(scheduler, scheduler.init(2), 1, 8, "timeout", energy_j=2.5, loss=0.1)
    bandit = state.bandit
    assert (bandit.counts[1, 1], bandit.rewards[1, 1], bandit.energies[1, 1], bandit.in_flight.sum()) == (1, 0, 2.5, 0)


@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize("known", [True, False])
def test_where_the_budget_binds_jobs_keep_it_on_average(share, known):
    """The larger rank is always better, and takes more than there is."""
    energy_j = {4: 1.0, 8: 2.0, 16: 4.0}
    settings = CALIBRATED if known else {"arms": ARMS}
    scheduler = UCBDualScheduler(**settings, budget_j=2.5, share_statistics=share, dual_step=0.3)
    state, spent = scheduler.init(5), []
    for number in range(1000):
        client = number % 5
        rank = scheduler.offer(state, client, forecast(server_round=1 + number // 5)).rank
        spent.append(energy_j[rank])
        known_ = {"energy_j": energy_j[rank], "loss": 1 / rank, "took_s": 1.0}
        state = job(scheduler, state, client, rank, server_round=1 + number // 5, **known_)
    assert np.mean(spent[500:]) == pytest.approx(2.5, rel=0.02)
    assert state.bandit.dual > 0


def test_without_a_step_energy_is_free():
    scheduler = UCBDualScheduler(arms=ARMS, budget_j=1.0, dual_step=0.0)
    ranks, state = [], scheduler.init(1)
    for number in range(50):
        ranks.append(scheduler.offer(state, 0, forecast(server_round=number + 1)).rank)
        loss = 1.0 - 0.02 * ranks[-1]
        state = job(scheduler, state, 0, ranks[-1], energy_j=ranks[-1], loss=loss, server_round=number + 1)
    assert state.bandit.dual == 0
    assert ranks[-1] == 16


def test_the_budget_that_is_not_given_lies_between_what_the_ranks_take():
    scheduler = UCBDualScheduler(arms=ARMS)
    state = scheduler.init(1)
    state = job(scheduler, state, 0, 4, energy_j=1.0, loss=1.0)
    assert scheduler._prices(state).budget is None
    assert state.bandit.dual == 0
    state = job(scheduler, state, 0, 16, energy_j=4.0, loss=1.0)
    known = scheduler._prices(state)
    assert (known.unit_j, known.budget) == (4.0, pytest.approx((0.6 * 4 + 0.4 * 1) / 4))
    assert known.largest_dual == pytest.approx(2 / (known.budget - 0.25))


def test_clients_that_come_later_find_a_place():
    for settings in ({}, {"share_statistics": True}, {"dual_scope": "vehicle"}):
        scheduler = UCBDualScheduler(arms=ARMS, **settings)
        state = job(scheduler, scheduler.init(1), 6, 4, energy_j=1.0, loss=1.0)
        assert state.bandit.num_vehicles == 7
        assert scheduler.offer(state, 9, forecast()).rank in ARMS


def test_a_state_is_not_changed_by_what_is_learnt_after_it():
    scheduler = UCBDualScheduler(arms=ARMS)
    _, state = run(scheduler, scheduler.init(4), 40, 3)
    before = {name: array.copy() for name, array in flatten(state)[0].items()}
    run(scheduler, state, 40, 4)
    assert all(np.array_equal(array, before[name]) for name, array in flatten(state)[0].items())


def test_jobs_of_other_orders_are_nobodys_business():
    scheduler = UCBDualScheduler(arms=ARMS)
    state = scheduler.init(1)
    assert scheduler.learn(state, replace(outcome("merged", 0, 4), order=NO_ORDER)) is state


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"arms": ()}, "arms = .*there is no rank to choose from"),
        ({"arms": (8, 4)}, "expected ranks that increase: 4 is not above 8"),
        ({"arms": 8}, "expected integers of at least 1"),
        ({"arms": ARMS, "most_rank": (8,)}, r"rank 16 is above the limit of every client \(8\)"),
        ({"arms": ARMS, "most_rank": (2, 16)}, "a client of limit 2 can train none of the ranks from 4 on"),
        ({"arms": ARMS, "most_rank": ()}, "expected one limit at least"),
        ({**CALIBRATED, "budget_j": 0.5}, r"budget_j = 0.5: is below what a job of the smallest rank takes, 1.0 J"),
        ({"arms": ARMS, "least_energy_j": 1.0}, "expected both energies"),
        ({**CALIBRATED, "least_energy_j": 5.0}, "expected a number above least_energy_j = 5.0"),
        ({"quality": "raw"}, 'expected "centred" where lower is better'),
        ({"quality_weight": 0.0, "time_weight": 0.0}, "expected a number above 0, or one of time_weight"),
        ({"discount": 0.0}, "discount = 0"),
        ({"budget_j": math.nan}, "budget_j = nan"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(wrong, match):
    with pytest.raises(ConfigError, match=match) as told:
        UCBDualScheduler(**wrong)
    assert "\n" not in str(told.value)
