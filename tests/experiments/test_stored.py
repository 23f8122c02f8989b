"""Results that are kept with the experiments belong to what the experiments ask today: nothing is measured again."""

from itertools import product
from pathlib import Path

import pytest

import experiments
from experiments.cells import Store
from experiments.eafl_alp import federation
from experiments.eafl_alp.methods import DATASETS
from experiments.emq import equal_rounds, failures, grid, local_work
from experiments.emq.settings import FULL
from experiments.emq.settings import SEEDS as EMQ_SEEDS


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


@pytest.mark.parametrize("question", [grid, local_work, failures, equal_rounds], ids=lambda module: module.__name__)
def test_recordings_of_emq_are_found_under_the_settings_of_today(question):
    scope = grid.Scope(FULL, EMQ_SEEDS, quick=False, command="-")
    assert without(question.recordings(scope), stored("emq")) == []
