"""Whole runs of a small city: what vehicles train, a killed run that goes on alike, settings that cannot be."""

import numpy as np
import pytest
from flwr.app import ArrayRecord
from ordered_app import factory_of
from roadside_paths import Timetable, adapters
from small_city import ARMS, TASKS, city
from toy_federation import Recorder, network

from eafl_flower.aggregation.lora import LoRAAggregator
from eafl_flower.core.orders import Order
from eafl_flower.core.state import flatten
from eafl_flower.engines.inline import InlineGrid
from eafl_flower.errors import ConfigError, RunFailedError
from eafl_flower.ranks.plain import FixedRank, GreedyRank
from eafl_flower.ranks.scheduler import UCBDualScheduler
from eafl_flower.roadside.leaving import Departures
from eafl_flower.roadside.parked import Parked
from eafl_flower.schedulers.same import SameOrder
from eafl_flower.strategies import UCBDual


def test_more_clients_than_vehicles_are_refused():
    class Counted(Timetable):
        def __len__(self):
            return len(self.ways)

    with pytest.raises(ConfigError, match="4 clients, the coverage has 2 vehicles"):
        city(coverage=Counted(ways=(((0, 9.0),), ((1, 9.0),)), units_m=((0, 0), (1, 0))))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"barrier": False}, "barrier: .* always works in rounds"),
        ({"aggregator": LoRAAggregator(head=1), "form": "delta"}, "form is a setting of LoRAAggregator"),
        ({"aggregator": LoRAAggregator(), "head": 1, "max_rank": 4}, "head, max_rank are settings of"),
        ({"tasks": TASKS}, "a unit at least for each task"),  # parked at the only unit
    ],
)
def test_what_contradicts_itself_is_refused(wrong, said):
    with pytest.raises(ConfigError, match=said):
        UCBDual(**wrong)


def test_units_take_the_tasks_in_turn():
    hosts = {units: UCBDual(tasks=TASKS, coverage=Parked(units=units)) for units in ((0, 1), (0, 1, 2), (0, 5))}
    assert [s.options.scheduler.hosted for s in hosts.values()] == [(0, 1), (0, 1, 0), (0, 1, 0, 1, 0, 1)]


ALIKE = SameOrder(order=Order(rank=3))


def test_vehicles_of_a_city_train_two_tasks_at_ranks_of_their_own():
    run, recorder = city(num_rounds=30)
    merges = recorder.of("merge")
    assert {e["model"] for e in merges} == set(TASKS) and {e["rank"] for e in merges} <= set(ARMS)
    assert all(e["metrics"]["columns"] == e["rank"] for e in merges)
    assert all((e["unit"] - 1) % 2 == TASKS.index(e["model"]) for e in merges)
    assert {e["unit"] for e in merges} == {1, 2, 3}
    events = merges + recorder.of("lost")
    assert {e.get("leaving", "") for e in events} >= {"", "early", "migrate"}
    rounds = run.options.scheduler.closed(run.plans).rounds
    assert rounds.jobs.sum() == len(events) and len(rounds.jobs) == 30
    np.testing.assert_allclose(rounds.used_j.sum(), sum(e["energy_j"] for e in events))


@pytest.mark.slow
@pytest.mark.parametrize("share", [True, False])
def test_a_city_that_was_killed_ends_as_if_nothing_had_happened(tmp_path, share):
    ranks = UCBDualScheduler(arms=ARMS, share_statistics=share, dual_scope="task" if share else "vehicle")
    options = {"ranks": ranks, "checkpoint_every": 1, "num_rounds": 10, "energy_j": 1.2 if share else 0.0}
    whole, told = city(checkpoint=tmp_path / "whole", state_dir=tmp_path / "a", **options)
    recorder = Recorder(stop_at=len(told.events) * 2 // 3)
    killed = {"checkpoint": tmp_path / "killed", "state_dir": tmp_path / "b", **options}
    with pytest.raises(KeyboardInterrupt):
        city(recorder, **killed)
    run, recorder = city(recorder, resume=True, **killed)
    assert recorder.told() == told.told() and run.arrays_sha256() == whole.arrays_sha256()
    (arrays, tree), (others, other) = flatten(run.plans), flatten(whole.plans)
    assert tree == other and all(np.array_equal(a, others[name], equal_nan=True) for name, a in arrays.items())


def test_baselines_drive_through_the_same_city():
    run, recorder = city(ranks=ALIKE, departures=Departures(choices=("early",)), energy_j=0.0)
    assert {e["rank"] for e in recorder.of("merge")} == {3}
    assert {e.get("leaving", "") for e in recorder.of("merge") + recorder.of("lost")} <= {"", "early"}
    assert (run.plans.rounds.price == 0).all()


def test_over_a_network_a_run_waits_for_vehicles_that_will_be_covered_and_only_for_these():
    units_m = ((0, 0), (1, 0))
    late = Timetable(ways=tuple(((-1, 0.3), (unit, 900.0)) for unit in (0, 1)), units_m=units_m)
    run, recorder = city(clock="wall", coverage=late, num_rounds=2)
    assert run.version == 2 and min(e["time_s"] for e in recorder.of("merge")) >= 0.3
    never = Timetable(ways=(((-1, float("inf")),),), units_m=units_m)
    with pytest.raises(RunFailedError, match="has no order for any"):
        city(clock="wall", coverage=never)


def test_vehicles_that_come_later_than_slow_ones_have_jobs():
    """Vehicle 0 takes ten times as long as the others may stay, and is there alone for a while."""
    ways = [((0, np.inf),)]
    ways += [tuple(part for i in range(100) for part in ((-1, 40.0 + 30 * i), (0, 65.0 + 30 * i))) for _ in range(2)]
    ways.append(((1, np.inf),))
    coverage = Timetable(ways=tuple(ways), units_m=((0, 0), (1, 0), (2, 0)))
    slow = network(up=2e4, down=1e6, cycles=1e8, slowdown=(20.0, 1.0, 1.0, 1.0))
    _, recorder = city(coverage=coverage, num_rounds=20, **slow)
    counts = [sum(e["client"] == vehicle for e in recorder.of("merge")) for vehicle in range(4)]
    assert min(counts) > 5


@pytest.mark.parametrize("shift", [0.0, -10.0])
def test_scores_below_zero_make_nobody_abandon(shift):
    """Whether a vehicle leaves with an update or without does not depend on where scores begin."""

    def shifted(message, context, call_next):
        reply = call_next(message, context)
        if message.metadata.message_type == "train":
            reply.content["metrics"]["made"] = 0.1 * context.node_config["partition-id"] + 0.5 + shift
        return reply

    app = factory_of(models=TASKS, outer=[shifted])()
    _, recorder = city(grid=InlineGrid(app, 4), num_rounds=20)
    leaving = [e.get("leaving", "") for e in recorder.of("merge") + recorder.of("lost")]
    assert leaving.count("abandon") <= 1 and leaving.count("early") + leaving.count("migrate") > 5


def test_by_default_the_task_of_the_higher_loss_never_has_less():
    strategy = UCBDual(tasks=TASKS, coverage=Parked(units=(0, 1)), energy_j=40.0)
    assert strategy.options.scheduler.sharing.difficulty == "loss"
    of_accuracy = UCBDualScheduler(metric="accuracy", lower_is_better=False)
    strategy = UCBDual(tasks=TASKS, coverage=Parked(units=(0, 1)), energy_j=40.0, ranks=of_accuracy)
    assert strategy.options.scheduler.sharing.difficulty == "accuracy"


@pytest.mark.parametrize("ranks", [FixedRank(rank=2), GreedyRank(arms=ARMS)], ids=lambda ranks: type(ranks).__name__)
def test_ranks_to_compare_with_are_taken_as_they_are_documented(ranks):
    run, recorder = city(ranks=ranks, energy_j=0.0, num_rounds=5)
    assert run.version == 5 and {e["rank"] for e in recorder.of("merge")} <= set(ARMS)


def test_a_rank_that_the_adapters_cannot_have_is_refused_before_any_job():
    with pytest.raises(ConfigError, match=r"the largest of its ranks: .*64"):
        city(ranks=UCBDualScheduler(arms=(1, 2, 64), most_rank=(2, 64), metric="made", lower_is_better=False))


def test_models_that_are_not_the_tasks_are_refused():
    strategy = UCBDual(tasks=("a", "b"), coverage=Parked(units=(0, 1)), head=1)
    with pytest.raises(ConfigError, match='has the models "a", "c": expected one for each of tasks, "a", "b"'):
        strategy.start(None, {"a": adapters("a"), "c": adapters("c")})
    with pytest.raises(ConfigError, match="scheduler is made from"):
        UCBDual(scheduler=SameOrder())


def test_a_budget_that_not_even_the_smallest_ranks_keep_is_told(caplog):
    city(num_rounds=8, energy_j=1e-6)
    told = [r.getMessage() for r in caplog.records if "with the smallest rank" in r.getMessage()]
    assert len(told) == 2 and 'task "questions" has a budget of' in told[0]
    caplog.clear()
    city(num_rounds=8, energy_j=1e6)
    assert not [r for r in caplog.records if "with the smallest rank" in r.getMessage()]


@pytest.mark.parametrize("comes_s", [np.inf, 35.0])
def test_a_task_to_which_nobody_comes_ends_no_run_and_is_told(caplog, comes_s):
    """Budgets are shared after six rounds, of 7 s each: before vehicles come to the second unit, or never do."""
    ways = tuple(((0, comes_s), (v % 2, np.inf)) for v in range(4))
    run, recorder = city(coverage=Timetable(ways=ways, units_m=((0, 0), (1, 0), (2, 0))), num_rounds=20)
    trained = {e["model"] for e in recorder.of("merge")}
    assert run.version == 20 and trained == set(TASKS[: 1 + np.isfinite(comes_s)])
    np.testing.assert_allclose(run.plans.rounds.share_j.sum(1), 1.2)
    told = [r.getMessage() for r in caplog.records if "nobody has trained it" in r.getMessage()]
    assert len(told) == len(TASKS) - len(trained) and all('"reviews"' in line for line in told)


def test_an_answer_of_another_rank_than_was_asked_is_refused_and_nothing_else_is_lost():
    def answer_with_one_column_less(message, context, call_next):
        reply = call_next(message, context)
        if message.metadata.message_type == "train" and context.node_config["partition-id"] == 2:
            arrays = reply.content["arrays"].to_numpy_ndarrays()
            reply.content["arrays"] = ArrayRecord([a[:, 1:] if i == 0 else a for i, a in enumerate(arrays)])
        return reply

    app = factory_of(models=TASKS, outer=[answer_with_one_column_less])()
    run, recorder = city(grid=InlineGrid(app, 4), error_budget=1000)
    refused = recorder.of("refused")
    assert refused and {e["client"] for e in refused} == {2}
    assert all("float32 (8," in e["reason"] for e in refused)
    assert {e["client"] for e in recorder.of("merge")} == {0, 1, 3}
    rounds = run.options.scheduler.closed(run.plans).rounds
    assert rounds.jobs.sum() == sum(len(recorder.of(kind)) for kind in ("merge", "lost", "refused"))
