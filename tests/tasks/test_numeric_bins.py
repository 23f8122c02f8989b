"""A task that reads its features in bins is the same task on rows that were put in bins before."""

from dataclasses import replace

import numpy as np
import pytest

from eafl_flower.app.resolving import resolve
from eafl_flower.config import RunConfig
from eafl_flower.core.rng import generator
from eafl_flower.data.row_summary import RowSummary, total
from eafl_flower.errors import ConfigError, DataError
from eafl_flower.heads.size import LARGEST, HeadSize
from eafl_flower.models.piecewise import PiecewiseLinear
from eafl_flower.tasks import fractal, tabular
from eafl_flower.tasks.backend import torch_backend
from eafl_flower.tasks.fractal import FractalTask
from eafl_flower.tasks.tabular import TabularTask
from eafl_flower.types import Rows, digest

SMALL = (HeadSize(1, 8),)
TASKS = {
    "tabular": lambda **s: TabularTask(num_classes=3, hidden=(8, 7), **s),
    "tabular, federated": lambda **s: TabularTask(num_classes=3, hidden=(8,), head="federated", optimizer="adamw", **s),
    "tabular, both": lambda **s: TabularTask(num_classes=3, hidden=(8, 7), head="both", **s),
    "tabular, no layer": lambda **s: TabularTask(num_classes=3, hidden=(), head="federated", **s),
    "fractal": lambda **s: FractalTask(num_classes=3, head_sizes=SMALL, learning_rate=0.02, **s),
    "fractal, pruned": lambda **s: FractalTask(num_classes=3, head_sizes=(HeadSize(2, 16),), prune_threshold=1.0, **s),
    "fractal, both": lambda **s: FractalTask(num_classes=3, head="both", head_sizes=SMALL, **s),
    "fractal, federated": lambda **s: FractalTask(num_classes=3, head="federated", **s),
}


@pytest.fixture
def rows(toy_source):
    return toy_source.partition(0)


@pytest.fixture
def table(toy_source):
    return total([RowSummary.of(toy_source.partition(k).x_train) for k in range(4)]).quantiles()


def in_bins(rows, encoding):
    return replace(rows, x_train=encoding.apply(rows.x_train), x_test=encoding.apply(rows.x_test))


def used(task, rows):
    """Everything a task does with rows."""
    model = task.init(generator(1, "init"))
    model = task.personalise(model, rows, generator(1, "personalise", 0), client=0)
    trained = [
        task.train(model, rows, generator(1, "train"), **length)
        for length in ({"epochs": 5}, {"steps": 5}, {"steps": 5, "first_trained": task.num_backbone})
    ]
    scores = [task.evaluate(arrays, rows) for arrays, _ in trained]
    probabilities = [task.predict(arrays, rows.x_test) for arrays, _ in trained]
    return digest(model), [(digest(a), loss) for a, loss in trained], scores, digest(probabilities)


@pytest.mark.parametrize("num_bins", [2, 32])
@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_it_is_the_task_on_rows_that_were_put_in_bins_before(name, num_bins, backend, rows, table, monkeypatch):
    if backend == "torch":  # what runs on a GPU, on torch's CPU
        pytest.importorskip("torch")
        for module in (fractal, tabular):
            monkeypatch.setattr(module, "backend_for", lambda device: torch_backend("cpu"))
    encoding = PiecewiseLinear(table, num_bins)
    given = TASKS[name](num_features=5, numeric_bins=num_bins, quantiles=lambda: table)
    before = TASKS[name](num_features=encoding.num_outputs)
    assert used(given, rows) == used(before, in_bins(rows, encoding))


@pytest.mark.parametrize("name", TASKS)
def test_without_bins_nobody_asks_for_quantiles_and_nothing_changes(name, rows):
    def nobody():
        raise AssertionError

    assert used(TASKS[name](num_features=5, numeric_bins=0, quantiles=nobody), rows) == used(
        TASKS[name](num_features=5), rows
    )


def test_a_head_is_validated_on_bins_and_its_prior_is_that_of_the_features(rows, table, toy_source, monkeypatch):
    x, y = (np.concatenate([getattr(toy_source.partition(k), n) for k in range(4)]) for n in ("x_train", "y_train"))
    rows, encoding = Rows(x_train=x, y_train=y, x_test=x[:0], y_test=y[:0]), PiecewiseLinear(table, 4)
    given = FractalTask(num_features=5, num_classes=3, numeric_bins=4, quantiles=lambda: table)
    assert given.prior_size(rows) == FractalTask(num_features=5, num_classes=3).prior_size(rows)
    monkeypatch.setattr(FractalTask, "prior_size", lambda self, rows: LARGEST)
    models = [
        task.personalise(task.init(generator(1, "init")), given_rows, generator(1, "personalise"), client=0)
        for task, given_rows in (
            (given, rows),
            (FractalTask(num_features=encoding.num_outputs, num_classes=3), in_bins(rows, encoding)),
        )
    ]
    assert digest(models[0]) == digest(models[1])


@pytest.mark.parametrize("name", TASKS)
def test_rows_are_those_of_the_features(name, rows, table):
    task = TASKS[name](num_features=5, numeric_bins=4, quantiles=lambda: table)
    wrong = in_bins(rows, PiecewiseLinear(table, 4))
    model = task.personalise(task.init(generator(1, "init")), rows, generator(1, "personalise"), client=0)
    for use in (
        lambda: task.train(model, wrong, generator(1, "train"), epochs=1),
        lambda: task.evaluate(model, wrong),
        lambda: task.predict(model, wrong.x_test),
    ):
        with pytest.raises(DataError, match=r"expected \(n, 5\) features"):
            use()


@pytest.mark.parametrize("name", ["tabular", "fractal"])
def test_bins_need_quantiles_and_are_a_power_of_two(name, table):
    with pytest.raises(ConfigError, match="numeric_bins = 4: bins are made from the quantiles of the features"):
        TASKS[name](num_features=5, numeric_bins=4)
    for wrong in (1, 3, 64, -2):
        with pytest.raises(ConfigError, match=f"numeric_bins = {wrong}: expected 0, 2, 4, 8, 16 or 32"):
            TASKS[name](num_features=5, numeric_bins=wrong, quantiles=lambda: table)
        with pytest.raises(ConfigError, match=f"task.{name}.numeric-bins = {wrong}: expected 0, 2, 4, 8, 16 or 32"):
            RunConfig.from_flat({"task.name": name, f"task.{name}.numeric-bins": wrong})
    with pytest.raises(ConfigError, match="no client trains"):
        _ = TASKS[name](num_features=5, numeric_bins=4, quantiles=lambda: None).num_inputs
    with pytest.raises(ValueError, match=r"quantiles of shape \(33, 5\), expected \(33, 6\)"):
        _ = TASKS[name](num_features=6, numeric_bins=4, quantiles=lambda: table).num_inputs


@pytest.mark.parametrize("name", ["tabular", "fractal"])
def test_an_experiment_makes_bins_from_the_summaries_of_those_that_train(name):
    config = RunConfig.from_flat(
        {"task.name": name, "data.clients": 5, "data.unseen": 2, f"task.{name}.numeric-bins": 8}
    )
    experiment = resolve(config)
    parts = [experiment.source.partition(client).x_train for client in range(3)]
    summed = total([RowSummary.of(part) for part in parts]).quantiles()
    np.testing.assert_array_equal(experiment.quantiles, summed)
    encoding = PiecewiseLinear(summed, 8)
    assert experiment.task.num_inputs == encoding.num_outputs > experiment.task.num_features
    rows = experiment.source.partition(4)
    np.testing.assert_array_equal(experiment.task.inputs(rows.x_test), encoding.apply(rows.x_test))
