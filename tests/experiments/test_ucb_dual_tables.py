"""Which runs are asked for, at which rate, and what tables, claims and figures say of invented recordings."""

from dataclasses import replace

import numpy as np
import pytest
from invented_rank_runs import crossing, invented, recording, store

from experiments.cells import Cell
from experiments.eafl_alp.statistics import Mean
from experiments.ucb_dual import claimed, figures, questions, tables
from experiments.ucb_dual.measures import Recording
from experiments.ucb_dual.questions import OURS, QUESTIONS, Runs, Scope, plain, quick_scope
from experiments.ucb_dual.run import measure
from experiments.ucb_dual.settings import METHODS, RATES, TASKS, Scenario

SCOPE = quick_scope("-")
HEADLINE = plain(SCOPE.base)


@pytest.fixture
def runs(tmp_path):
    return Runs(SCOPE, store(tmp_path))


def put(runs, cell, **changed):
    """Let a cell have a recording of its own."""
    runs.store.results[cell.key] = invented(dict(cell.config), **changed)


def test_each_method_is_run_at_the_rate_that_is_best_on_validation_texts(runs):
    for place, method in enumerate(SCOPE.compared):
        cells = questions.rate_cells(SCOPE, replace(SCOPE.base, method=method))
        for number, cell in enumerate(cells):
            put(runs, cell, accuracy=0.9 if number == place else 0.5)
    for place, method in enumerate(SCOPE.compared):
        scenario = replace(SCOPE.base, method=method)
        assert runs.rate(scenario) == SCOPE.rates[place]
        assert [(c.config["rate"], c.config["seed"]) for c in runs.cells(scenario)] == [
            (SCOPE.rates[place], s) for s in (1, 2)
        ]
    assert [line[-1] for line in tables.rates(SCOPE, runs)[1]] == [f"{rate:g}" for rate in SCOPE.rates]


def test_test_texts_have_no_say_in_the_rate(runs):
    scenario = SCOPE.base
    for number, cell in enumerate(questions.rate_cells(SCOPE, scenario)):
        put(runs, cell)
        for score in runs.store.results[cell.key]["scores"]:
            for task in scenario.tasks:
                score[task] = {"test": 1.0 - 0.1 * number, "validation": 0.1 * number, "loss": 1.0}
    assert runs.rate(scenario) == SCOPE.rates[-1]


def test_all_methods_have_the_same_rates_rounds_and_seed_to_choose_from():
    def shared(cell):
        return {name: value for name, value in cell.config.items() if name != "method"}

    first, *others = (
        questions.rate_cells(Scope("-"), s) for s in questions.to_choose(Scope("-"), ("compared", "apart"))
    )
    assert [cell.config["rate"] for cell in first] == list(RATES)
    for cells in others:
        assert [shared(cell) for cell in cells] == [shared(cell) for cell in first]


def test_variants_of_ours_have_its_rate_and_each_rank_its_own():
    scope = Scope("-")
    assert {s.method for s in questions.to_choose(scope, ("ablations", "budgets"))} == {OURS}
    assert {s.rank for s in questions.to_choose(scope, ("ranks",))} == set(scope.ranks)
    assert all(len(s.tasks) == 1 for s in questions.to_choose(scope, ("ranks",)))


def test_the_full_form_is_what_was_asked():
    scope = Scope("-")
    assert (scope.base.rounds, len(scope.base.tasks), len(scope.seeds), len(scope.budgets)) == (40, 3, 3, 5)
    assert set(scope.compared) == {OURS, "homolora", "hetlora", "flexlora", "fedra", "smallest", "largest"}
    assert {"no-dual", "no-sharing", "no-departures"} <= set(scope.ablations)
    assert (min(scope.fleets), max(scope.fleets)) == (9, 60)
    assert set(scope.compared) | set(scope.ablations) <= set(METHODS)


def test_rates_are_chosen_first_and_no_cell_is_asked_for_twice_over(runs):
    measure(SCOPE, runs, list(QUESTIONS), jobs=1)
    asked = runs.store.asked
    chosen = [cell for s in questions.to_choose(SCOPE, QUESTIONS) for cell in questions.rate_cells(SCOPE, s)]
    assert asked[: len(chosen)] == chosen
    functions = {cell.function.partition(":")[0].rpartition(".")[2] for cell in asked}
    assert functions == {"record", "apart", "memory", "light"}
    assert len({cell.key for cell in asked}) < len(asked)  # ours is in several questions, and calculated once
    assert all(isinstance(cell, Cell) for cell in asked)


def test_seeds_are_paired_in_what_is_saved_and_gained():
    def run(latency_s, accuracy, seed):
        return recording({**HEADLINE, "seed": seed}, latency_s=latency_s, accuracy=accuracy)

    ours = [run(6.0, 0.70, 1), run(12.0, 0.60, 2)]
    theirs = [run(10.0, 0.65, 1), run(20.0, 0.55, 2)]
    for first, second in zip(ours, theirs, strict=True):
        assert (first.latency_s > 0).all() and (second.latency_s > 0).all()
    saved, gap = claimed.latency_saved(ours, theirs), claimed.points_above(ours, theirs)
    assert (saved.mean, saved.sd) == (pytest.approx(0.4), pytest.approx(0.0, abs=1e-12))
    assert (gap.mean, gap.sd) == (pytest.approx(0.05), pytest.approx(0.0, abs=1e-12))


def test_a_claim_holds_if_its_gap_is_reached_and_partly_if_it_is_beyond_chance():
    assert claimed.judged(Mean(0.25, 0.30, 3), 0.24) == "yes"
    assert claimed.judged(Mean(0.10, 0.01, 3), 0.24) == "partly"
    assert claimed.judged(Mean(0.10, 0.20, 3), 0.24) == "no"
    assert claimed.judged(Mean(-0.10, 0.01, 3), 0.24) == "no"
    assert [claimed.all_or_mean(v, 0.02) for v in ([0.02, 0.0], [0.03, 0.0], [0.05, 0.0])] == ["yes", "partly", "no"]


def test_claims_name_each_baseline_that_was_run_and_say_when_they_do_not_hold(runs):
    scope = replace(Scope("-"), seeds=(1, 2))
    runs = Runs(scope, runs.store)
    found = claimed.claims(scope, runs)
    assert {c.baseline for c in found} >= {METHODS[method].title for method in claimed.BASELINES}
    assert {c.holds for c in found} <= {"yes", "no", "partly"} and {c.seeds for c in found} == {2}
    equal = [c for c in found if c.claim.startswith("mean accuracy above")]
    assert len(equal) == len(claimed.BASELINES)
    assert {c.holds for c in equal} == {"no"}  # all learn alike here
    few = replace(scope, compared=(OURS, "smallest"))
    assert not [c for c in claimed.claims(few, runs) if c.baseline != "-"]


def test_a_budget_is_kept_only_if_every_task_of_every_seed_keeps_it(runs):
    scope = replace(Scope("-"), compared=(OURS,), seeds=(1, 2))
    runs = Runs(scope, runs.store)
    cells = runs.cells(scope.base)

    def holds(over):
        for cell, share in zip(cells, over, strict=True):
            put(runs, cell)
            rounds = runs.store.results[cell.key]["rounds"]
            used_j = np.array(rounds["budget_j"])
            used_j[:, 1] *= 1 + share
            rounds["used_j"] = used_j.tolist()
        found = claimed.claims(scope, runs)
        return [claim.holds for claim in found if "within the budget" in claim.claim]

    assert holds((0.0, 0.0)) == ["yes", "yes"]
    assert holds((0.0, 0.05)) == ["partly", "yes"]
    assert holds((0.5, 0.5)) == ["no", "no"]


def test_the_headline_table_has_a_line_a_method_and_its_figures_are_those_of_the_recordings(runs):
    header, lines = tables.compared(SCOPE, runs, [*SCOPE.compared, *SCOPE.apart])
    assert [line[0] for line in lines] == [questions.title(m) for m in (*SCOPE.compared, *SCOPE.apart)]
    assert all(len(line) == len(header) for line in lines)
    found = runs.of(SCOPE.base)
    line = dict(zip(header, lines[0], strict=True))
    assert line["latency of a round [s]"] == tables.number([float(f.latency_s.mean()) for f in found])
    assert line["accuracy, mean"].startswith(f"{100 * np.mean([f.mean_accuracy() for f in found]):.1f} ±")
    assert {value for line in lines[-3:] for value in line[-len(tables.COSTS) :]} == {tables.NONE}
    assert lines[-1][1] == tables.NONE  # the most frequent class has no learning rate


def test_only_methods_with_budgets_are_held_to_them_task_by_task(runs):
    header, lines = tables.machinery(SCOPE, runs, (OURS, "homolora"))
    first = header.index("priced rounds [%]")
    at = range(first, header.index("hand-overs in 15 rounds"))
    assert all(lines[0][place] != tables.NONE and lines[1][place] == tables.NONE for place in at)


def test_the_size_of_an_upload_is_that_of_merged_jobs_alone():
    found = recording(HEADLINE)
    assert tables.payload_bytes(found) == 300_000


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_question_has_a_table_without_gaps(runs, question):
    text = tables.written(SCOPE, runs, question)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) > 2
    assert not any("nan" in row or "||" in row.replace("---|", "") or "|  |" in row for row in rows)


def test_all_figures_are_drawn(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "coverage_of", lambda city: crossing())
    monkeypatch.setattr(figures, "hosted_by", lambda columns, tasks: (0, 1))
    monkeypatch.setattr(figures, "DPI", 30)
    drawn = figures.draw(SCOPE, runs, tmp_path, QUESTIONS)
    assert all((tmp_path / f"{name}.png").stat().st_size > 1000 for name in drawn)
    assert {"accuracy", "costs", "energy", "ranks", "map", "budgets", "rank-sweep"} == set(drawn)


def test_what_was_spent_at_an_evaluation_is_the_sum_of_the_rounds_before():
    assert figures.spent_at(np.array([1.0, 2.0, 3.0, 4.0]), [0, 1, 4]).tolist() == [0.0, 1.0, 10.0]


def test_a_scenario_comes_back_from_the_settings_of_its_cell():
    from experiments.ucb_dual.record import scenario_of

    scenario = Scenario(method="fedra", seed=3, tasks=TASKS[:2])
    assert scenario_of(plain(scenario)) == scenario


def test_a_recording_needs_no_rounds_to_tell_accuracies():
    found = Recording({"scores": [{"round": 8, "trec": {"test": 0.5, "validation": 0.4, "loss": 1.0}}]})
    assert (found.mean_accuracy(), found.mean_accuracy("validation")) == (0.5, 0.4)
