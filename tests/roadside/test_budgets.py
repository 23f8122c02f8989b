"""Budgets of tasks: they bind, move to those that need them, and follow who drives where in nothing else."""

from dataclasses import replace

import numpy as np
import pytest
from played_rounds import forecast, merged, played
from small_city import ARMS, RANKS, TASKS

from eafl_flower.core.orders import Order
from eafl_flower.ranks.budget import Sharing
from eafl_flower.roadside.parked import Parked
from eafl_flower.roadside.scheduler import RoadsideScheduler


@pytest.mark.parametrize("factor", [1.0, 50.0])
def test_one_job_of_unusual_energy_does_not_switch_the_budget_off(factor):
    """Of 4,000 jobs of 1, 2 or 4 J, in which 18 J are for ten, one of the largest rank takes fifty times as much."""
    scheduler = RoadsideScheduler(
        coverage=Parked(), tasks=("",), hosted=(0,), ranks=replace(RANKS, dual_step=0.3), energy_j=18.0, sharing=None
    )
    state, unusual = scheduler.init(10), 0
    for number in range(1, 401):
        for client in range(10):
            order = scheduler.offer(state, client, forecast(client, server_round=number))
            energy_j, unusual = float(order.rank), unusual + (order.rank == ARMS[-1])
            if unusual == 12 and order.rank == ARMS[-1]:
                energy_j *= factor
            state = scheduler.learn(
                state, merged(client, order, number, energy_j=energy_j, score=0.3 + 0.1 * order.rank)
            )
    assert unusual > 12
    rounds = scheduler.closed(state).rounds
    assert rounds.used_j[200:].mean() == pytest.approx(18.0, rel=0.05)


def test_vehicles_take_their_budget_with_them_unless_it_is_that_of_a_round():
    """One job in odd rounds, three in even ones, each of 4 J: two a round on average, for which 8 J are enough."""
    found = {}
    for kind in ("job", "round"):
        scheduler = RoadsideScheduler(
            coverage=Parked(), tasks=("",), hosted=(0,), ranks=RANKS, energy_j=8.0, budget_of=kind, sharing=None
        )
        state = scheduler.init(3)
        for number in range(1, 201):
            for client in range(1 + 2 * (number % 2 == 0)):
                state = scheduler.learn(state, merged(client, Order(rank=2), number, energy_j=4.0))
        found[kind] = scheduler.closed(state).rounds
    job, per_round = found["job"], found["round"]
    np.testing.assert_allclose(job.budget_j[-20:], job.used_j[-20:], rtol=0.02)
    assert (job.price[10:] == 0).all() and (job.share_j == 8.0).all()
    assert (per_round.budget_j == 8.0).all() and per_round.price.max() > 0


def test_before_budgets_are_shared_anew_a_job_may_take_the_same_in_every_task():
    """Vehicles 0 to 2 are in units of the first task, vehicle 3 in one of the second."""
    where = Parked(units=(0, 0, 0, 1))
    found = {}
    for sharing in (None, Sharing(period=5)):
        scheduler = RoadsideScheduler(
            coverage=where, tasks=TASKS, hosted=(0, 1), ranks=RANKS, energy_j=12.0, sharing=sharing
        )
        rounds = played(scheduler, 12, lambda task, rank: 1.0 + rank, score_of=lambda task, n: 0.4 + 0.4 * task).rounds
        np.testing.assert_allclose(rounds.share_j.sum(1), 12.0, rtol=1e-12)
        np.testing.assert_allclose(rounds.share_j[:5], [[9.0, 3.0]] * 5)
        found[sharing] = rounds.share_j[-1]
    np.testing.assert_allclose(found[None], [9.0, 3.0])
    assert not np.allclose(found[Sharing(period=5)], [9.0, 3.0])


def test_what_exceeds_a_budget_in_sum_is_at_most_what_the_price_has_risen_to():
    scheduler = RoadsideScheduler(
        coverage=Parked(units=(0,)), tasks=("",), hosted=(0,), ranks=RANKS, energy_j=12.0, sharing=None
    )
    state = scheduler.init(4)
    for number in range(1, 61):
        for client in range(4):
            order = scheduler.offer(state, client, forecast(client, server_round=number))
            state = scheduler.learn(
                state, merged(client, order, number, energy_j=1.0 + order.rank, score=0.3 + 0.1 * order.rank)
            )
    state = scheduler.closed(state)
    rounds, most_j = state.rounds, 5.0
    excess = (rounds.used_j - rounds.budget_j)[:, 0].sum() / (4 * most_j)
    (price,) = scheduler.prices(state)
    assert 0 < price < 2 / (12 / 4 / 5 - 2 / 5)
    assert excess <= price / RANKS.dual_step + 1e-9


def test_budgets_move_to_the_hard_task_that_uses_its_share_and_always_add_up():
    scheduler = RoadsideScheduler(
        coverage=Parked(units=(0, 1)),
        tasks=TASKS,
        hosted=(0, 1),
        ranks=RANKS,
        energy_j=40.0,
        sharing=Sharing(period=3),
    )
    state = played(scheduler, 30, lambda task, rank: 1.0 + rank, score_of=lambda task, number: (0.9, 0.2)[task])
    np.testing.assert_allclose(state.rounds.budget_j.sum(1), 40.0, rtol=1e-12)
    assert (state.rounds.budget_j[:3] == 20.0).all() and state.rounds.budget_j[-1, 1] > 22.0
    equal = played(
        RoadsideScheduler(
            coverage=Parked(units=(0, 1)), tasks=TASKS, hosted=(0, 1), ranks=RANKS, energy_j=40.0, sharing=None
        ),
        30,
        lambda task, rank: 1.0 + rank,
    )
    assert (equal.rounds.budget_j == 20.0).all()


def test_budgets_do_not_follow_who_drives_where():
    """Three jobs of one task and one of the other, for three rounds each in turn: all take 4 J and score alike."""
    scheduler = RoadsideScheduler(
        coverage=Parked(),
        tasks=TASKS,
        hosted=(0, 1),
        ranks=RANKS,
        energy_j=20.0,
        sharing=Sharing(period=3),
    )
    state = scheduler.init(4)
    for number in range(1, 61):
        busy = (number // 3) % 2
        for client in range(4):
            order = Order(model=TASKS[busy if client else 1 - busy], rank=2)
            state = scheduler.learn(state, merged(client, order, number, energy_j=4.0, score=0.5))
    rounds = scheduler.closed(state).rounds
    np.testing.assert_allclose(rounds.share_j.sum(1), 20.0, rtol=1e-12)
    np.testing.assert_allclose(rounds.share_j[30:], 10.0, rtol=0.05)
    idle = scheduler.learn(scheduler.closed(state), merged(0, Order(model=TASKS[0], rank=2), 61, energy_j=4.0))
    assert scheduler.closed(idle).shares.used[1] == pytest.approx(state.shares.used[1], rel=0.05)


def of_two_tasks(task_of, rounds):
    """Play rounds of eight jobs of 4 J that score alike, with 40 J for all of them; ``task_of`` by round and job."""
    scheduler = RoadsideScheduler(
        coverage=Parked(), tasks=TASKS, hosted=(0, 1), ranks=RANKS, energy_j=40.0, sharing=Sharing(period=6)
    )
    state = scheduler.init(8)
    for number in range(1, rounds + 1):
        for client in range(8):
            order = Order(model=TASKS[task_of(number, client)], rank=2)
            state = scheduler.learn(state, merged(client, order, number, energy_j=4.0, score=0.5))
    return scheduler.closed(state)


def test_tasks_that_differ_in_nothing_but_traffic_may_take_the_same_for_a_job():
    """Three of eight vehicles are with the first task, then five of them; the means follow slowly."""
    rounds = of_two_tasks(lambda number, client: client >= (3 if number <= 20 else 5), 60).rounds
    mean_jobs = rounds.jobs.cumsum(0) / np.arange(1, 61)[:, None]
    np.testing.assert_allclose(rounds.share_j.sum(1), 40.0, rtol=1e-12)
    np.testing.assert_allclose(rounds.share_j / mean_jobs, 5.0, rtol=1e-9)


def test_between_two_sharings_what_a_job_may_take_stays_whoever_comes():
    """The first task scores worse, so its jobs may take more; vehicles go over to it one by one."""
    scheduler = RoadsideScheduler(
        coverage=Parked(), tasks=TASKS, hosted=(0, 1), ranks=RANKS, energy_j=40.0, sharing=Sharing(period=10)
    )
    state = scheduler.init(8)
    for number in range(1, 41):
        for client in range(8):
            task = int(client >= 1 + number // 7)
            outcome = merged(client, Order(model=TASKS[task], rank=2), number, energy_j=4.0, score=(0.2, 0.9)[task])
            state = scheduler.learn(state, outcome)
    rounds = scheduler.closed(state).rounds
    of_job = rounds.share_j / (rounds.jobs.cumsum(0) / np.arange(1, 41)[:, None])
    ratio = of_job[:, 0] / of_job[:, 1]
    for begin in range(0, 40, 10):  # at the end of a round it is shared anew
        np.testing.assert_allclose(ratio[begin : begin + 10], ratio[begin], rtol=1e-9)
    assert ratio[0] == 1 and ratio[10] > 1.05


@pytest.mark.parametrize("comes", [11, 100])
def test_a_task_to_which_nobody_has_come_yet_gets_nothing_and_its_part_when_they_come(comes):
    state = of_two_tasks(lambda number, client: int(number >= comes and client >= 4), 60)
    share_j, mean_jobs = state.rounds.share_j, state.rounds.mean_jobs
    np.testing.assert_allclose(share_j.sum(1), 40.0, rtol=1e-9)
    np.testing.assert_allclose(share_j[: comes - 1, 1], 0.0, atol=1e-9)
    if comes < 60:
        np.testing.assert_allclose(share_j[-1] / mean_jobs, 40.0 / mean_jobs.sum(), rtol=0.02)


def test_rounds_before_anybody_comes_move_no_budget():
    """The first job of a run is in its ninth round."""
    scheduler = RoadsideScheduler(
        coverage=Parked(), tasks=TASKS, hosted=(0, 1), ranks=RANKS, energy_j=40.0, sharing=Sharing(period=3)
    )
    state = scheduler.learn(scheduler.init(2), merged(0, Order(model=TASKS[0], rank=2), 9, energy_j=4.0))
    np.testing.assert_array_equal(state.rounds.share_j, np.full((8, 2), 20.0))
    np.testing.assert_allclose(scheduler.closed(state).rounds.share_j[-1], [40.0, 0.0])


def test_a_budget_below_the_smallest_ranks_ends_with_the_smallest_rank_and_its_largest_price():
    scheduler = RoadsideScheduler(coverage=Parked(units=(0, 1)), tasks=TASKS, hosted=(0, 1), ranks=RANKS, energy_j=2.0)
    state = played(scheduler, 120, lambda task, rank: 1.0 + rank, score_of=lambda task, number: 0.5)
    assert (state.rounds.used_j[-5:] == 4.0).all()
    np.testing.assert_allclose(state.rounds.budget_j.sum(1), 2.0, rtol=1e-9)
    short = scheduler.short_of_energy(state)
    assert set(short) == set(TASKS) and all(least_j == 4.0 > budget_j for budget_j, least_j in short.values())
    assert RoadsideScheduler(coverage=Parked(), tasks=("",), hosted=(0,)).short_of_energy(state) == {}
