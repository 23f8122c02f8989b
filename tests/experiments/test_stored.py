"""Results that are kept with the experiments belong to what the experiments ask today: nothing is measured again."""

from itertools import product
from pathlib import Path

import pytest

import experiments
from experiments.alignment import questions as alignment
from experiments.alignment.spaces import groups_of
from experiments.cells import Store
from experiments.eafl_alp import asynchrony, federation
from experiments.eafl_alp.methods import DATASETS
from experiments.emq import equal_rounds, failures, grid, local_work
from experiments.emq.settings import FULL
from experiments.emq.settings import SEEDS as EMQ_SEEDS
from experiments.ucb_dual import questions as ucb_dual


def stored(name):
    return Store(Path(experiments.__path__[0]) / name / "results" / "cells.jsonl")


def without(cells, store):
    return [cell.title for cell in cells if cell not in store]


def test_recordings_of_eafl_alp_are_found_under_the_settings_of_today():
    scope = federation.Scope(DATASETS, (1, 2, 3, 4, 5), (1, 2, 3))
    methods = ("exact updates", "LQGCM", "features as they are", "features in 4 bins")
    asked = [federation.row(scope, *of) for of in product(DATASETS, methods, scope.fit_seeds)]
    asked += [federation.pool(scope, *of) for of in product(DATASETS, scope.fit_seeds)]
    assert without(asked, stored("eafl_alp")) == []


@pytest.mark.slow
def test_recordings_of_the_race_are_found_under_the_settings_of_today():
    scope, store = federation.Scope(DATASETS, (1, 2, 3, 4, 5), (1, 2, 3)), stored("eafl_alp")
    asked = [
        *asynchrony.sync_grid_cells(scope),
        *asynchrony.grid_cells(scope, store),
        *asynchrony.race_cells(scope, store),
    ]
    assert len(asked) > 90
    assert without(asked, store) == []


@pytest.mark.parametrize("question", [grid, local_work, failures, equal_rounds], ids=lambda module: module.__name__)
def test_recordings_of_emq_are_found_under_the_settings_of_today(question):
    scope = grid.Scope(FULL, EMQ_SEEDS, quick=False, command="-")
    assert without(question.recordings(scope), stored("emq")) == []


@pytest.mark.slow
def test_recordings_of_alignment_are_found_under_the_settings_of_today():
    scope = alignment.Scope("-", groups=groups_of("cifar10"))
    runs = alignment.Runs(scope, stored("alignment"))
    of_scenarios = [alignment.scenarios(scope, question) for question in alignment.QUESTIONS]
    asked = [*alignment.encoder_cells(scope), *(cell for some in of_scenarios for s in some for cell in runs.cells(s))]
    assert without(asked, runs.store) == []


def test_recordings_of_ucb_dual_are_found_under_the_settings_of_today_and_nothing_else_is_stored():
    scope = ucb_dual.Scope("-")
    runs = ucb_dual.Runs(scope, stored("ucb_dual"))
    asked = [cell for s in ucb_dual.to_choose(scope, ucb_dual.QUESTIONS) for cell in ucb_dual.rate_cells(scope, s)]
    assert without(asked, runs.store) == []
    of_scenarios = [ucb_dual.scenarios(scope, question) for question in ucb_dual.QUESTIONS]
    asked += [cell for some in of_scenarios for s in some for cell in runs.cells(s)]
    asked += [*ucb_dual.memory_cells(scope), ucb_dual.light_cell(scope)]
    assert without(asked, runs.store) == []
    assert {cell.key for cell in asked} == set(runs.store.results)
