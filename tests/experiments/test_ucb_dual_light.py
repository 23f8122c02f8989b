"""The light task: its gradients, its shares of the digits, and a run with it; and what stands beside all methods."""

import mmap

import numpy as np
import pytest
from invented_rank_runs import crossing

from eafl_flower.core.rng import generator
from eafl_flower.ranks.scheduler import UCBDualScheduler
from eafl_flower.schedulers.same import SameOrder
from experiments.ucb_dual import apart, light, memory
from experiments.ucb_dual.measures import Recording
from experiments.ucb_dual.questions import LIGHT, plain
from experiments.ucb_dual.settings import ARMS, MEMORY, METHODS, Scenario


def test_gradients_are_those_of_finite_differences():
    rng = np.random.default_rng(1)
    arrays = tuple(rng.normal(size=a.shape) / 5 for a in light.initial(1, "digit", 3))
    rows, labels = rng.uniform(size=(7, light.PIXELS)), rng.integers(10, size=7)
    _, slopes = light.gradients(arrays, rows, labels)
    step = 1e-6
    for place, slope in enumerate(slopes):
        way = rng.normal(size=slope.shape)
        losses = []
        for sign in (1, -1):
            moved = [a + sign * step * way if n == place else a for n, a in enumerate(arrays)]
            losses.append(light.gradients(tuple(moved), rows, labels)[0])
        assert (losses[0] - losses[1]) / (2 * step) == pytest.approx(float((slope * way).sum()), rel=1e-5, abs=1e-7)


def test_adapters_of_every_rank_begin_as_the_same_function():
    rows = np.random.default_rng(2).uniform(size=(5, light.PIXELS))
    labels = np.zeros(5, int)
    losses = [light.gradients(light.initial(1, "parity", rank), rows, labels)[0] for rank in (1, 4, 64)]
    assert losses == pytest.approx([np.log(2)] * 3)  # two classes, a head of zeros


def test_no_row_is_trained_on_and_scored():
    train, validation, test = light._split(1)
    parts = [{row.tobytes() for row in part.rows} for part in (train, validation, test)]
    assert len(train.digits) + len(validation.digits) + len(test.digits) == 1797
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]


def test_tasks_of_the_digits_follow_from_the_digit():
    train, _, _ = light._split(1)
    assert set(light.TASKS) == set(LIGHT.tasks)
    for task, classes in light.TASKS.items():
        assert set(train.labels(task).tolist()) == set(range(classes))
    assert (train.labels("parity") == train.digits % 2).all()


def test_a_light_run_learns_and_can_be_read_as_any_other(monkeypatch):
    monkeypatch.setattr(light, "coverage_of", lambda city: crossing())
    settings = {**plain(LIGHT), "tasks": ["parity"], "columns": 2, "rounds": 3, "evaluate_every": 1, "rate": 0.1}
    monkeypatch.setattr("experiments.ucb_dual.record.hosted_by", lambda columns, tasks: (0, 0))
    found = Recording(light.recorded(settings))
    assert found.rounds == 3 and found.evaluated == [0, 1, 2, 3]
    assert len(found.jobs) == found.by_round("jobs").sum() > 0
    assert len(found.found["covered"]) == 3 and 0 <= found.idle < sum(found.found["covered"])
    assert found.curve("parity", "loss")[-1] < found.curve("parity", "loss")[0]
    again = Recording(light.recorded(settings))
    assert again.found["arrays_sha256"] == found.found["arrays_sha256"]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs_and_keeps_to_what_it_says_of_ranks_and_departures(method, monkeypatch):
    monkeypatch.setattr(light, "coverage_of", lambda city: crossing())
    monkeypatch.setattr("experiments.ucb_dual.record.hosted_by", lambda columns, tasks: (0, 1))
    settings = {**plain(LIGHT), "tasks": ["parity", "digit"], "columns": 2, "rounds": 6, "rate": 0.1, "method": method}
    found = Recording(light.recorded(settings))
    ranks, known = {job.rank for job in found.jobs}, METHODS[method]
    assert {job.leaving for job in found.jobs if job.leaving} <= set(known.departures.choices)
    assert known.budget or not found.by_round("price").any()
    if known.by_memory:
        assert all(job.rank == known.by_memory[job.vehicle % len(known.by_memory)] for job in found.jobs)
    elif isinstance(known.ranks, SameOrder):
        assert ranks == {known.ranks.order.rank}
    elif isinstance(known.ranks, UCBDualScheduler):
        assert all(job.rank <= MEMORY[job.vehicle % len(MEMORY)] for job in found.jobs)
    assert ranks <= set(ARMS)
    if method == "no-dual":
        assert not found.by_round("price").any()
    least_j, most_j = found.found["span_j"]
    assert least_j < found.budget_j < most_j
    if method in ("no-sharing", "no-departures", "ucb-dual"):
        assert found.by_round("share_j").sum(axis=1) == pytest.approx(found.budget_j)


def test_pooled_texts_are_passed_over_as_often_as_vehicles_pass_over_theirs():
    assert apart.passes_of(Scenario(rounds=40, epochs=2, rows=30, vehicles=10, tasks=("a", "b")), 600) == 20
    assert apart.passes_of(Scenario(rounds=1, epochs=1, tasks=("a", "b", "c")), 9000) == 1


@pytest.mark.skipif(not memory._STATUS.exists(), reason="the system does not tell what is resident")
def test_a_peak_is_not_below_what_is_resident_and_can_begin_anew():
    memory.forget_peak()
    before = memory.resident_bytes("VmHWM")
    with mmap.mmap(-1, 32 << 20) as filled:  # pages of its own: an array may get some that the process had before
        for page in range(0, len(filled), mmap.PAGESIZE):
            filled[page] = 1
        there = memory.resident_bytes("VmRSS")
        assert memory.resident_bytes("VmHWM") >= there >= before
    if memory.forget_peak():  # not every system does so
        assert memory.resident_bytes("VmHWM") < there


def test_rows_of_a_vehicle_depend_on_it_alone():
    train, _, _ = light._split(1)
    rng = [generator(1, "light", "rows", vehicle) for vehicle in (0, 0, 1)]
    first, same, other = (r.choice(len(train.digits), 40, replace=False).tolist() for r in rng)
    assert first == same != other
