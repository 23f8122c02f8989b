"""What is read off the grid: accuracies within budgets, gaps, and whether a claim holds."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from experiments.cells import Store
from experiments.claims import claims_table
from experiments.eafl_alp.statistics import Mean
from experiments.emq import costs, equal_rounds, failures, figures, grid, local_work, replay, settings, tails, trade_off
from experiments.emq.recording import Recording
from experiments.emq.replay import Replay, Replays

SCOPE = grid.Scope(["digits-iid"], (1, 2), quick=True, command="-")
ROUNDS, DROPS = 6, 4


def recording_of(accuracy):
    return Recording(
        accuracy=np.array(accuracy),
        loss=np.ones(ROUNDS),
        error=np.zeros(ROUNDS),
        wire=np.full((ROUNDS, 20), 8),
        paper=np.full((ROUNDS, 20), 4),
        epochs=np.full((ROUNDS, 20), 2),
        samples=np.full(20, 50),
        parameters=2,
    )


class Prescribed:
    """Recordings and replays by rule: float32 costs ten times as much, and drop 2 of full power is not certified."""

    def recording(self, cell):
        return recording_of(np.arange(ROUNDS + 1) / 10 + 0.01 * cell.config.seed)

    def of(self, cell, allocator, count="wire"):
        energy_j, latency_s = grid.unit_of("digits-iid")
        factor = (10.0 if cell.config.codec.name == "float32" else 1.0) * np.arange(1, DROPS + 1)[:, None]
        uncertified = np.zeros(DROPS, int)
        uncertified[2] = allocator == "full power" and cell.config.codec.name == "laq"
        return Replay(
            factor * np.full((DROPS, ROUNDS), energy_j),
            np.full((DROPS, ROUNDS), latency_s),
            uncertified,
            np.zeros(DROPS),
            DROPS,
        )


@pytest.fixture
def prescribed():
    return grid.Grid(SCOPE, Prescribed(), "wire")


def test_a_drop_with_an_uncertified_allocation_is_left_out_for_all_combinations(prescribed):
    assert prescribed.certified("digits-iid", 1).tolist() == [True, True, False, True]
    _, rounds = prescribed.within("digits-iid", "EMQ", "SQP", (3.5, 100.0))
    assert rounds == [(3 + 1 + 0) / 3] * 2  # drops 0, 1 and 3 take 1, 2 and 4 units a round


def test_the_accuracy_within_a_budget_is_that_after_the_rounds_made_in_each_drop(prescribed):
    accuracies, _ = prescribed.within("digits-iid", "EMQ", "SQP", (3.5, 100.0))
    assert accuracies == pytest.approx([(0.3 + 0.1 + 0.0) / 3 + 0.01 * seed for seed in SCOPE.seeds])


def test_without_a_round_it_is_that_of_the_initial_model(prescribed):
    assert prescribed.within("digits-iid", "float32", "SQP", (1.0, 1.0)) == ([0.01, 0.02], [0.0, 0.0])


def test_gaps_are_paired_over_all_budgets_and_zero_between_equals(prescribed):
    equal = prescribed.gaps("digits-iid", "EMQ - AQUILA")
    assert set(equal) == set(product(grid.BUDGETS, ("SQP", "Dinkelbach", "max-sum-rate")))
    assert all(gap == Mean(0.0, 0.0, 2) for gap in equal.values())
    cheaper = prescribed.gaps("digits-iid", "EMQ - float32")
    assert max(gap.mean for gap in cheaper.values()) > 0
    assert all(gap.sd == pytest.approx(0.0, abs=1e-12) for gap in cheaper.values())  # seeds differ by what cancels


def test_a_claim_holds_if_its_gap_is_reached_and_the_median_does_not_speak_against_it():
    assert grid.judged(Mean(0.08, 0.01, 3), 0.0, 0.07) == "yes"
    assert grid.judged(Mean(0.08, 0.01, 3), -0.01, 0.07) == "partly"
    assert grid.judged(Mean(0.05, 0.01, 3), 0.02, 0.07) == "partly"
    assert grid.judged(Mean(0.05, 0.01, 3), 0.0, 0.07) == "no"  # somewhere better, mostly not
    assert grid.judged(Mean(0.05, 0.05, 3), 0.02, 0.07) == "no"  # within two standard errors
    assert grid.judged(Mean(0.0, 0.0, 3), 0.0, 0.07) == "no"


def test_a_unit_is_a_round_that_half_of_the_drops_can_afford():
    energy_j, latency_s = grid.unit_of("digits-iid")
    config = settings.configured("digits-iid", 1, settings.ALLOCATORS["SQP"])
    rounds = costs.Rounds(
        bits=np.full((1, 20), 32.0 * settings.parameters_of(config)),
        epochs=np.full((1, 20), 2),
        samples=np.full(20, settings.mean_samples(config)),
        processor=settings.processor_of(config),
    )
    found = replay.over_drops(rounds, config.radio.part, settings.DROPS)
    assert sum(c.energy_j[0] <= energy_j for c in found) == len(settings.DROPS) / 2
    assert sum(c.latency_s[0] <= latency_s for c in found) == len(settings.DROPS) / 2


def test_budgets_span_nobody_to_everybody():
    assert len(set(settings.BUDGETS)) == len(settings.BUDGETS) >= 4
    assert len(settings.DROPS) >= 20
    assert min(settings.BUDGETS) == (1, 1)


def test_a_curve_over_budgets_is_the_mean_over_drops_of_the_accuracy_each_buys():
    found = figures.accuracy_within(
        recording_of(np.arange(ROUNDS + 1) / 10),
        np.array([[1.0] * ROUNDS, [2.0] * ROUNDS]),
        np.array([0.5, 2.0, 100.0]),
    )
    assert found == pytest.approx([0.0, (0.2 + 0.1) / 2, 0.6])


def test_a_finer_target_is_reached_with_no_fewer_bits_and_base_2_has_more_to_choose_from():
    points = list(tails.sweep())
    for (tail, variant), targets in product(product(tails.TAILS, tails.BASES), [sorted(tails.TARGETS, reverse=True)]):
        found = [p for p in points if (p.tail, p.variant) == (tail, variant)]
        assert [p.target for p in found] == targets
        for values in ([p.wire for p in found], [p.paper for p in found], [-p.squared_error for p in found]):
            assert values == sorted(values)
        if variant == "binary":
            assert all(p.squared_error <= p.target for p in found)
    distinct = {v: len({(p.tail, p.digits) for p in points if p.variant == v}) for v in tails.BASES}
    assert distinct["binary"] > distinct["auto"]


@pytest.fixture
def small(monkeypatch):
    """Make recordings of three rounds of five clients, and replays over two drops."""
    for module in (grid, replay, trade_off):
        monkeypatch.setattr(module, "DROPS", settings.DROPS[:2])
    few = {**settings.WORKLOADS["digits-iid"].settings, "task.cnn.hidden": 8, "data.clients": 5}
    workload = replace(settings.WORKLOADS["digits-iid"], rounds=3, settings=few)
    monkeypatch.setitem(settings.WORKLOADS, "digits-iid", workload)
    monkeypatch.setattr(equal_rounds, "AT", (1, 2, 3))
    monkeypatch.setattr(local_work, "AT", (1, 2, 3))
    monkeypatch.setattr(figures, "DPI", 30)
    for cached in (grid.unit_of, grid.recorded):
        cached.cache_clear()
    yield
    for cached in (grid.unit_of, grid.recorded):
        cached.cache_clear()


@pytest.mark.slow
def test_all_questions_are_asked_and_answered(small, tmp_path):
    scope = replace(SCOPE, seeds=(1,))
    store = Store(tmp_path / "cells.jsonl")
    store.run(equal_rounds.recordings(scope), jobs=1)
    for question in (grid, local_work, failures):
        store.run(question.recordings(scope), jobs=1)
        store.run(question.replays_of(scope, store), jobs=1)
    made = len(store.results)
    replays = Replays(Store(tmp_path / "cells.jsonl"))  # what was kept is all that is needed
    claims = equal_rounds.claims(scope, replays)
    for count in grid.COUNTS:
        found = grid.Grid(scope, replays, count)
        claims += grid.gap_claims(found)
        assert len(found.table("digits-iid")) == len(settings.QUANTISERS) * len(settings.ALLOCATORS)
        assert [line[-1] for line in found.allocation_table("digits-iid")] == ["0"] * len(settings.ALLOCATORS)
        assert len(found.gap_table("digits-iid")) == len(grid.COMPARED)
    assert {claim.holds for claim in claims} <= {"yes", "no", "partly"}
    assert len(claims) == 2 * 3 + 2 * 4
    lines = equal_rounds.table(scope, replays, "digits-iid")
    others = (settings.CANONICAL, settings.BASE_2, settings.OF_UPDATES)
    assert [line[0] for line in lines] == [*settings.QUANTISERS, *(name for other in others for name in other)]
    assert claims_table(claims)
    assert len(failures.table(scope, replays)) == len(failures.ROWS)
    assert len(local_work.optimizer_table(scope, replays)) >= 2
    assert len(local_work.schedule_table(scope, replays)) >= 2
    assert local_work.anchor_table(scope, replays) == []
    drawn = figures.draw(scope, replays, tmp_path, ("grid", "local-work"), [])
    assert all((tmp_path / f"{name}.png").stat().st_size > 1000 for name in drawn)
    assert len(replays.store.results) == made
