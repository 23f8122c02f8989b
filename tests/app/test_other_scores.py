"""Whole runs of tasks whose main score is no accuracy: from the stop rule to the sweep."""

import csv
import io
import math
import os
import sys
from pathlib import Path

import pytest
from other_tasks import MSE, PERPLEXITY, REGRESSION, TEXTS
from rich.console import Console

from eafl_flower.app import sweep
from eafl_flower.app.experiment import run_experiment
from eafl_flower.app.resolving import resolve
from eafl_flower.config import RunConfig
from eafl_flower.core.events import Fanout
from eafl_flower.core.scores import PHASES
from eafl_flower.errors import ConfigError
from eafl_flower.results.report.comparison_page import comparison_page
from eafl_flower.results.report.run_page import run_page
from eafl_flower.results.run_directory import RunDirectory
from eafl_flower.results.views.live.console import ConsoleObserver
from eafl_flower.results.views.tables import comparison_table, print_results, sweep_table

TESTS = str(Path(__file__).parents[1])


@pytest.fixture(autouse=True)
def own_cache(empty_cache):
    """Baselines are calculated here."""


@pytest.fixture(params=[REGRESSION, TEXTS], ids=["regression", "texts"])
def settings(request):
    return request.param


def run_in(path, settings, **changed):
    """Make a run; return its directory and what was printed."""
    config = RunConfig.from_flat({**settings, "results.baselines": "all", **changed})
    experiment = resolve(config)
    run = RunDirectory.create_at(path)
    run.write_config(config.to_toml())
    console = Console(file=io.StringIO(), width=120, highlight=False)
    observer = Fanout([run.log, ConsoleObserver(console, config.name, experiment.task.scores, verbose=True)])
    try:
        run_experiment(experiment, run_dir=run, observer=observer, engine="inline")
    finally:
        observer.close()
    print_results(console, run.summary(), run.path, verbose=True)
    return run, console.file.getvalue()


def evaluations(run, metric):
    return [event["metrics"][metric] for event in run.events() if event["event"] == "evaluate"]


def test_a_summary_holds_the_declaration_and_the_values_of_each_score(settings, tmp_path):
    run, _ = run_in(tmp_path / "run", settings)
    summary, task = run.summary(), resolve(RunConfig.from_flat(settings)).task
    assert [record["name"] for record in summary["scores"]] == [score.name for score in task.scores]
    assert all(set(record["values"]) == set(PHASES) for record in summary["scores"])
    main = task.scores[0].name
    assert summary["scores"][0]["values"]["before"] == evaluations(run, f"{main}-before")[-1]
    assert set(summary["accuracy"]) == (set() if settings is REGRESSION else set(PHASES))


def test_training_lowers_what_is_better_low(settings, tmp_path):
    run, _ = run_in(tmp_path / "run", settings)
    curve = evaluations(run, f"{(MSE if settings is REGRESSION else PERPLEXITY).name}-before")
    assert curve[-1] < 0.8 * curve[0]


def test_a_perplexity_is_the_exponential_of_the_mean_loss_a_token(tmp_path):
    run, _ = run_in(tmp_path / "run", TEXTS)
    for event in run.events():
        if event["event"] == "evaluate":
            assert event["metrics"]["perplexity-before"] == pytest.approx(math.exp(event["metrics"]["loss"]))


def test_a_run_stops_when_a_score_has_fallen_to_its_target(tmp_path):
    run, _ = run_in(
        tmp_path / "run", REGRESSION, **{"stop.metric": "mse-before", "stop.target": 3.0, "evaluate.every": 5}
    )
    *before, last = evaluations(run, "mse-before")
    assert run.summary()["merges"] < 40
    assert last <= 3.0 < min(before)
    assert run.summary()["stopped"] == f"mse-before reached {last:.4g}, target 3"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"stop.metric": "accuracy-before"},
            r"no such score, there are mse-before, mse-after, mse-unlabelled, mse-unseen",
        ),
        ({"stop.target": -1.0}, r"stop\.target = -1: expected at least 0, as mse-before"),
    ],
)
def test_a_stop_rule_on_what_the_task_does_not_declare_is_refused(tmp_path, changed, message):
    with pytest.raises(ConfigError, match=message):
        run_in(tmp_path / "run", REGRESSION, **{"stop.metric": "mse-before", "stop.target": 3.0, **changed})


def test_baselines_that_name_classes_are_left_out_of_a_regression_and_said_to_be(tmp_path):
    run, text = run_in(tmp_path / "run", REGRESSION)
    baselines = run.summary()["baselines"]
    assert baselines["majority"] is baselines["lookup"] is None
    phases = {"mse-before", "mse-after", "mse-unseen"}
    assert set(baselines["no_communication"]) == phases
    for name in ("exact", "pooled"):
        assert set(baselines[name]) == phases | {"mse-unlabelled"}
    assert baselines["pooled"]["mse-before"] < baselines["no_communication"]["mse-before"]
    said = "left out: majority class, look-up of one feature (it names classes, and the task has no accuracy)"
    assert set(run.summary()["baselines_left_out"]) == {"majority", "lookup"}
    for shown in (text, run_page(run)):
        assert said in shown


def test_where_an_accuracy_is_declared_too_they_stand_beside_it_alone(tmp_path):
    run, _ = run_in(tmp_path / "run", TEXTS)
    baselines = run.summary()["baselines"]
    assert set(baselines["majority"]) == set(PHASES)
    assert set(baselines["exact"]) == {*PHASES, *(f"perplexity-{phase}" for phase in PHASES)}
    assert run.summary()["baselines_left_out"] == {}


def test_tables_and_lines_print_the_score_with_its_unit_and_its_direction(tmp_path):
    run, text = run_in(tmp_path / "run", REGRESSION)
    value = run.summary()["scores"][0]["values"]["before"]
    assert f"mse-before {value:.4g} m²" in text
    head = text[text.rindex("mean squared error") : text.index("Federation brought")]
    assert "lower is better" in head
    assert [line.split()[:2] for line in head.splitlines() if "m²" in line] == [
        ["emam", f"{value:.4g}"], ["pooled", "rows"], ["exact", "updates"], ["no", "communication"]
    ]  # fmt: skip
    assert "%" not in head
    assert "accuracy" not in text.replace("the task has no accuracy", "")


def test_each_score_of_a_task_has_its_own_table(tmp_path):
    _, text = run_in(tmp_path / "run", TEXTS)
    first, second = text.rindex("\n perplexity "), text.rindex("\n accuracy ")
    assert first < second
    assert "majority class" in text[second:]
    assert "majority class" not in text[first:second]  # it has no perplexity


def test_the_short_table_has_a_row_for_each_score_and_phase(tmp_path):
    for settings, titles in (
        (REGRESSION, ["before training"]),
        (TEXTS, ["perplexity, before training", "accuracy, before training"]),
    ):
        run, _ = run_in(tmp_path / settings["task.name"].rpartition(":")[2], settings)
        console = Console(file=io.StringIO(), width=120, highlight=False)
        print_results(console, run.summary(), run.path)
        text = console.file.getvalue()
        assert all(f" {title} " in text for title in titles)
        assert "lower is better" in text or settings is TEXTS


def test_the_report_of_a_finished_run_needs_no_task(tmp_path, monkeypatch):
    run, _ = run_in(tmp_path / "run", REGRESSION)
    for module in ("other_tasks", "eafl_flower.app.workload"):
        monkeypatch.setitem(sys.modules, module, None)  # importing it fails
    text = run_page(RunDirectory.open(run.path))
    for words in (
        "mean squared error [m²]", "lower is better", "mean squared error [m²], lower is better",
        'aria-label="Mean squared error against virtual time',
    ):  # fmt: skip
        assert words in text
    assert "ccuracy" not in text.replace("the task has no accuracy", "")


def test_a_run_that_has_not_ended_is_drawn_by_its_names(tmp_path):
    run, _ = run_in(tmp_path / "run", REGRESSION)
    run.summary_path.unlink()
    assert 'aria-label="Mse against virtual time' in run_page(run)


def test_runs_are_compared_by_their_own_score(tmp_path):
    runs = [run_in(tmp_path / name, REGRESSION, seed=seed)[0] for name, seed in (("a", 1), ("b", 2))]
    console = Console(file=io.StringIO(), width=160, highlight=False)
    console.print(comparison_table([(run.path.name, run.summary()) for run in runs], width=160))
    head, _, *lines = [line.split() for line in console.file.getvalue().splitlines() if line.strip()]
    assert head[1:5] == ["mse-before", "mse-after", "mse-unlabelled", "mse-unseen"]
    assert all(line[2::2][:4] == ["m²"] * 4 for line in lines)
    page = comparison_page(runs)
    assert "Mean squared error: unseen clients" in page
    assert "ccuracy" not in page


@pytest.mark.slow
def test_a_sweep_collects_and_averages_the_score(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", TESTS, prepend=os.pathsep)
    points = sweep.points_of(RunConfig.from_flat({**REGRESSION, "results.baselines": "all"}), [], [1, 2])

    def make():
        return sweep.run_sweep(
            points, tmp_path / "sweep", jobs=2, command=sweep.child_command,
            changes=lambda run, config: "", report=lambda result: None,
        )  # fmt: skip

    results = make()
    assert [result.status for result in results] == ["done", "done"]
    with (tmp_path / "sweep" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    for result, row in zip(results, rows, strict=True):
        summary = result.run.summary()
        assert float(row["mse-before"]) == summary["scores"][0]["values"]["before"]
        assert float(row["pooled-mse-before"]) == summary["baselines"]["pooled"]["mse-before"]
    console = Console(file=io.StringIO(), width=160, highlight=False)
    console.print(sweep_table([(result.point.values, result.run.summary()) for result in results], width=160))
    assert "mse-before" in console.file.getvalue()
    assert console.file.getvalue().count("m²") == 4
    assert [(result.status, result.reason) for result in make()] == [("skipped", "")] * 2  # nothing is lacking
