"""Units hand out jobs of their tasks; prices move by rounds; what cannot be is refused."""

from dataclasses import replace

import numpy as np
import pytest
from played_rounds import forecast, merged, played
from roadside_paths import Surprised, Timetable
from small_city import ARMS, RANKS, TASKS

from eafl_flower.core.orders import Order
from eafl_flower.errors import ConfigError
from eafl_flower.ranks.budget import Sharing
from eafl_flower.ranks.scheduler import UCBDualScheduler
from eafl_flower.roadside.leaving import Departures
from eafl_flower.roadside.parked import Parked
from eafl_flower.roadside.scheduler import RoadsideScheduler
from eafl_flower.schedulers.same import SameOrder
from eafl_flower.types import Phase


def test_a_vehicle_trains_the_task_of_the_unit_that_serves_it():
    coverage = Timetable(ways=(((0, 10.0), (2, 20.0), (1, 30.0), (-1, 40.0)),))
    scheduler = RoadsideScheduler(coverage=coverage, tasks=TASKS, hosted=(0, 1, 0), ranks=RANKS)
    state = scheduler.init(1)
    offers = [scheduler.offer(state, 0, forecast(time_s=t)) for t in (0.0, 12.0, 22.0, 35.0)]
    assert [order and (order.model, order.unit, order.rank, order.epochs) for order in offers] == [
        ("questions", 1, 1, 1),
        ("questions", 3, 1, 1),
        ("reviews", 2, 1, 1),
        None,
    ]
    assert [order.until_s for order in offers[:3]] == [10.0, 20.0, 30.0]


def test_statistics_go_with_the_vehicle_and_are_those_of_the_task():
    own = UCBDualScheduler(arms=ARMS, metric="accuracy", lower_is_better=False)
    scheduler = RoadsideScheduler(coverage=Parked(units=(0, 1)), tasks=TASKS, hosted=(0, 1), ranks=own)
    state = scheduler.learn(scheduler.init(3), merged(2, Order(model="reviews", rank=2), 1, energy_j=1.0))
    assert state.tasks[0].bandit.counts.sum() == 0
    assert state.tasks[1].bandit.counts.tolist() == [[0, 0, 0], [0, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize(("energy_j", "binds"), [(100.0, False), (12.0, True)])
def test_the_price_of_a_task_moves_when_and_only_when_its_budget_binds(energy_j, binds):
    scheduler = RoadsideScheduler(
        coverage=Parked(units=(0, 1)), tasks=TASKS, hosted=(0, 1), ranks=RANKS, energy_j=energy_j, sharing=None
    )
    state = played(scheduler, 30, lambda task, rank: (1.0 + rank) * (1 + task))
    # Two jobs of each task a round: with the largest rank they take 10 J and 20 J, with the smallest 4 J and 8 J.
    assert (max(scheduler.prices(state)) > 0) == binds
    rounds = state.rounds
    assert rounds.used_j.shape == (30, 2) and (rounds.jobs == 2).all()
    np.testing.assert_allclose(rounds.budget_j, energy_j / 2)
    if binds:
        assert (rounds.price[-10:, 1] > 0).all()  # the price of the task that has too little
    else:
        assert (rounds.price == 0).all()


def test_prices_of_single_vehicles_move_by_their_jobs_only():
    own = replace(RANKS, dual_scope="vehicle", budget_j=2.0)
    scheduler = RoadsideScheduler(coverage=Parked(), tasks=("",), hosted=(0,), ranks=own)
    state = scheduler.init(2)
    for _ in range(3):
        for rank in (1, 4):
            state = scheduler.learn(state, merged(0, Order(rank=rank), 1, energy_j=1.0 + rank))
    before, after = state.tasks[0].bandit.dual, scheduler.closed(state).tasks[0].bandit.dual
    assert before[0] > 0 and before[1] == 0 and after.tolist() == before.tolist()


def test_a_budget_of_jobs_that_rounds_would_ignore_is_refused():
    with pytest.raises(ConfigError, match=r"ranks\.budget_j = 2\.0: .* give energy_j"):
        RoadsideScheduler(coverage=Parked(), tasks=("",), hosted=(0,), ranks=replace(RANKS, budget_j=2.0))


def test_a_budget_that_prices_of_single_vehicles_would_ignore_is_refused():
    with pytest.raises(ConfigError, match=r"energy_j = 1\.0: expected 0, .* give ranks\.budget_j"):
        RoadsideScheduler(
            coverage=Parked(), tasks=("",), hosted=(0,), ranks=replace(RANKS, dual_scope="vehicle"), energy_j=1.0
        )


def test_difficulties_by_a_score_that_is_better_the_other_way_are_refused():
    one = {"coverage": Parked(), "tasks": ("",), "hosted": (0,), "ranks": RANKS}
    with pytest.raises(
        ConfigError, match=r'sharing.difficulty = "accuracy": lower is better of "loss", expected "loss"'
    ):
        RoadsideScheduler(**one, energy_j=1.0, metric="loss", lower_is_better=True)
    with pytest.raises(ConfigError, match=r'"loss": higher is better of "accuracy", expected "accuracy"'):
        RoadsideScheduler(**one, energy_j=1.0, sharing=Sharing(difficulty="loss"))
    RoadsideScheduler(**one, metric="loss", lower_is_better=True)  # without a budget there is nothing to share


def test_a_vehicle_that_leaves_uploads_early_and_weighs_less():
    coverage = Timetable(ways=(((0, 4.5), (-1, 99.0)),))
    scheduler = RoadsideScheduler(
        coverage=coverage, tasks=("",), hosted=(0,), ranks=SameOrder(order=Order(rank=2)), epochs=4
    )
    state = scheduler.learn(scheduler.init(1), merged(0, Order(rank=2, epochs=4), 1, energy_j=4.0, time_s=9.0))
    order = scheduler.offer(state, 0, forecast(time_s=0.0, server_round=2))  # 2 s an epoch, 1 s up
    assert (order.leaving, order.epochs, order.share, order.until_s) == ("early", 1, 0.25, 4.5)


def test_a_part_of_a_job_that_was_abandoned_never_comes_in_as_a_whole_one():
    """A vehicle that is faster than all before it could have uploaded its first epoch by then."""
    coverage = Surprised(ways=(((0, 14.0), (-1, 99.0)),))
    scheduler = RoadsideScheduler(
        coverage=coverage,
        tasks=("",),
        hosted=(0,),
        ranks=SameOrder(order=Order(rank=2)),
        epochs=4,
        departures=Departures(choices=("abandon",)),
    )
    slow = merged(1, Order(rank=2, epochs=1), 1, energy_j=4.0)
    slow = replace(slow, time_s=16.0, upload=Phase(time_s=6.0, energy_j=1.0))  # 10 s an epoch
    state = scheduler.learn(scheduler.init(2), slow)
    order = scheduler.offer(state, 0, forecast(time_s=0.0, server_round=2))
    assert (order.leaving, order.until_s) == ("abandon", 10.0)
    assert order.epochs == 4 or order.share < 1


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"hosted": (0,)}, "a unit at least for each task"),
        ({"hosted": (0, 2)}, "from 0 to 1"),
        ({"tasks": ("a", "a")}, "each once"),
        ({"coverage": Parked(units=(0, 2))}, "expected one task for each of 3 units"),
        ({"coverage": Timetable(ways=(), units_m=((0, 0),) * 3)}, "expected one task for each of 3 units"),
        ({"epochs": 0}, "epochs"),
        ({"energy_j": -1.0}, "energy_j"),
    ],
)
def test_units_and_tasks_that_do_not_fit_are_refused(wrong, said):
    with pytest.raises(ConfigError, match=said):
        RoadsideScheduler(**{"coverage": Parked(), "tasks": TASKS, "hosted": (0, 1), **wrong})


def test_what_a_coverage_shows_only_on_the_way_is_told_when_it_is_met():
    scheduler = RoadsideScheduler(coverage=Timetable(ways=(((2, 9.0),),)), tasks=TASKS, hosted=(0, 1), ranks=RANKS)
    with pytest.raises(ConfigError, match="unit 2 serves vehicle 0, hosted has the tasks of 2 units"):
        scheduler.offer(scheduler.init(1), 0, forecast())
