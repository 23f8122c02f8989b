import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def step() -> Any:
    folder = str(Path(__file__).parents[2] / "benchmarks")
    sys.path.insert(0, folder)
    try:
        return importlib.import_module("step")
    finally:
        sys.path.remove(folder)


def row(step: Any, ours: list[float], fedavg: list[float], *, higher_is_better: bool = True) -> Any:
    runs = {
        ("t", "10", name, 1, len(ours)): {"scores": scores, "higher_is_better": higher_is_better}
        for name, scores in (("rule", ours), (step.FEDAVG, fedavg))
    }
    return step.judged("t", "10", "rule", runs, [1], len(ours))


def test_a_rule_that_does_as_fedavg_passes(step: Any) -> None:
    scores = list(np.linspace(0.1, 0.9, 30))
    assert row(step, scores, scores)["passes"]


def test_two_points_below_once_in_the_second_half_fail_and_in_the_first_half_do_not(step: Any) -> None:
    fedavg = [0.8] * 20
    late, early = fedavg.copy(), fedavg.copy()
    late[15], early[5] = 0.78, 0.78
    assert row(step, late, fedavg)["gap"] == pytest.approx(2)
    assert not row(step, late, fedavg)["passes"]
    assert row(step, early, fedavg)["passes"]


def test_a_fall_fails_anywhere_unless_fedavg_falls_as_far(step: Any) -> None:
    level, falls = [0.8] * 20, [0.8] * 2 + [0.72] + [0.8] * 17
    assert row(step, falls, level)["fall"] == pytest.approx(8)
    assert not row(step, falls, level)["passes"]
    assert row(step, falls, falls)["passes"]


def test_for_a_loss_points_are_per_cent_and_count_double(step: Any) -> None:
    fedavg = [0.5] * 20
    assert row(step, [0.509] * 20, fedavg, higher_is_better=False)["passes"]
    assert not row(step, [0.511] * 20, fedavg, higher_is_better=False)["passes"]


def test_a_run_that_ends_early_or_is_not_finite_fails(step: Any) -> None:
    assert not row(step, [0.8] * 19 + [float("nan")], [0.8] * 20)["passes"]


def test_ten_evaluations_of_the_second_half_count_and_the_last_is_one(step: Any) -> None:
    for rounds in (20, 30, 40):
        seen = [
            r
            for r in range(rounds)
            if max(step.gaps([[-float(i == r) for i in range(rounds)]], [[0.0] * rounds], higher_is_better=True))
        ]
        assert len(seen) == 10
        assert seen[0] >= rounds / 2
        assert seen[-1] == rounds - 1


def test_a_run_of_a_row_repeats(step: Any) -> None:
    first, second = (step.run_row("softmax-0.5", 2, 2, 1, step.RULES["default"], 2) for _ in range(2))
    assert first["error"] is None
    assert first["scores"] == second["scores"]
    assert len(first["scores"]) == 2


def test_fedavg_again_is_the_same_task_with_other_batches(step: Any) -> None:
    first, same, again = (step.run_row("mlp-0.5", 2, 2, 1, rounds=2, first_job=job) for job in (1, 1, step.OTHER_JOBS))
    assert first["initial"] == again["initial"]
    assert first["scores"] == same["scores"] != again["scores"]
