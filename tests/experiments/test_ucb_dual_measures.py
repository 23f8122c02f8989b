"""What is read off a recorded run: violations, windows, prices, hand-overs, departures, ranks, rates."""

import numpy as np
import pytest
from invented_rank_runs import recording

from eafl_flower.mobility.coverage import HandoverRule, cover
from eafl_flower.mobility.traces import Traces
from experiments.ucb_dual import measures
from experiments.ucb_dual.city import handovers
from experiments.ucb_dual.measures import Job, Recording
from experiments.ucb_dual.questions import plain
from experiments.ucb_dual.settings import Scenario

SETTINGS = plain(Scenario(rounds=20, vehicles=6))


def test_a_violation_is_the_excess_of_the_mean_after_the_settled_rounds_and_never_negative():
    budget_j = np.full((20, 2), 100.0)
    used_j = np.full((20, 2), 90.0)
    used_j[:10] = 1e6  # the first ten do not count
    used_j[10:, 1] = 104.0
    assert measures.violation(budget_j, used_j) == pytest.approx([0.0, 0.04])


def test_energy_saved_in_one_round_pays_for_another_one():
    used_j = np.full((20, 1), 100.0)
    used_j[12], used_j[17] = 150.0, 50.0
    assert measures.violation(np.full((20, 1), 100.0), used_j) == pytest.approx([0.0])


def test_a_budget_that_moves_counts_as_its_mean():
    budget_j = np.full((20, 1), 100.0)
    budget_j[15:] = 300.0
    assert measures.violation(budget_j, np.full((20, 1), 220.0)) == pytest.approx([0.1])


@pytest.mark.parametrize("worst", [10, 14, 19])
def test_the_worst_window_is_the_worst_mean_of_five_rounds_after_the_settled_ones(worst):
    budget_j, used_j = np.full((20, 1), 100.0), np.full((20, 1), 100.0)
    used_j[3] = 1e6
    used_j[worst] = 160.0
    assert measures.worst_window(budget_j, used_j) == pytest.approx([60 / 500])
    slid = [used_j[start : start + 5].mean() / 100 - 1 for start in range(10, 16)]
    assert measures.worst_window(budget_j, used_j)[0] == pytest.approx(max(slid))


@pytest.mark.parametrize("rounds", [1, 4, 8, 10, 12, 15])
def test_no_window_is_better_than_all_of_it(rounds):
    rng = np.random.default_rng(rounds)
    budget_j, used_j = np.full((rounds, 3), 100.0), rng.uniform(50, 160, (rounds, 3))
    worst = measures.worst_window(budget_j, used_j, over=1)
    assert (worst >= measures.violation(budget_j, used_j) - 1e-12).all()
    assert measures.worst_window(budget_j, used_j, over=rounds) == pytest.approx(measures.violation(budget_j, used_j))


def test_the_share_of_priced_rounds_is_that_of_prices_above_zero_of_each_task():
    price = np.array([[0.0, 0.2], [0.1, 0.3], [0.0, 0.1], [0.0, 0.0]])
    assert measures.price_share(price).tolist() == [0.25, 0.75]


def test_departures_are_counted_by_what_became_of_them():
    def job(event, leaving):
        return Job(0, 0, 0, 4, event, leaving)

    jobs = [
        *(job("merge", "early"), job("merge", "early"), job("merge", "migrate"), job("lost", "abandon")),
        *(job("lost", "migrate"), job("lost", ""), job("timeout", ""), job("merge", "")),
    ]
    assert measures.departures(jobs) == {"early": 2, "migrate": 1, "abandon": 1, "lost": 3}
    found = recording(SETTINGS)
    stayed = sum(job.event == "merge" and not job.leaving for job in found.jobs)
    assert sum(measures.departures(found.jobs).values()) + stayed == len(found.jobs)


def test_jobs_belong_to_the_rounds_that_have_so_many():
    found = recording(SETTINGS, jobs_a_round=4)
    assert [job.number for job in found.jobs] == np.repeat(np.arange(20), 4).tolist()
    ranks = found.ranks(6)
    assert ((~np.isnan(ranks)).sum(axis=0) == 4).all()
    assert all(ranks[job.vehicle, job.number] == job.rank for job in found.jobs)


def test_who_is_covered_has_a_job_or_none():
    found = recording(SETTINGS, jobs_a_round=4)
    assert found.idle == 20 * (6 - 4)


def test_the_least_energy_of_a_round_goes_by_its_jobs():
    found = recording(SETTINGS, jobs_a_round=4)
    assert found.least_used_j == pytest.approx(70.0 * found.by_round("jobs"))
    assert found.least_used_j.sum(axis=1) == pytest.approx([280.0] * 20)


def test_a_recording_whose_rounds_have_other_jobs_is_refused():
    told = dict(recording(SETTINGS).found)
    told["jobs"] = told["jobs"][:-1]
    with pytest.raises(ValueError, match="record it again"):
        _ = Recording(told).jobs


def test_the_latency_of_a_round_is_that_of_its_slowest_task():
    found = recording(SETTINGS)
    assert (found.latency_s == np.max(found.found["rounds"]["latency_s"], axis=1)).all()


def test_the_mean_rank_is_that_of_merged_jobs():
    assert recording({**SETTINGS, "rank": 16}).mean_rank == 16
    found = recording(SETTINGS)
    merged = [job.rank for job in found.jobs if job.event == "merge"]
    assert min(merged) < found.mean_rank == np.mean(merged) < max(merged)


def test_hand_overs_are_told_for_fifteen_rounds_however_long_the_run():
    short, long = dict(recording(SETTINGS).found), dict(recording({**SETTINGS, "rounds": 40}).found)
    short["handovers"], long["handovers"] = [2, 4], [4, 8]
    assert Recording(short).handovers == Recording(long).handovers == 3 * 15 / 20


def test_accuracy_is_the_mean_of_the_last_evaluations_and_of_a_single_one_itself():
    told = dict(recording(SETTINGS).found)
    told["scores"] = [{"round": n, "a": {"test": v}, "b": {"test": v / 2}} for n, v in enumerate([0.1, 0.4, 0.6, 0.8])]
    found = Recording(told)
    assert found.accuracy("a") == pytest.approx(0.6)
    assert found.mean_accuracy() == pytest.approx(0.45)
    told["scores"] = told["scores"][:2]
    assert Recording(told).accuracy("a") == 0.4  # not that of the initial model
    told["scores"] = told["scores"][1:2]
    assert Recording(told).accuracy("a") == 0.4


def test_the_rate_that_scores_best_is_taken_and_the_smaller_of_equals():
    assert measures.best_rate((1e-3, 3e-3, 1e-2), (0.5, 0.7, 0.6)) == 3e-3
    assert measures.best_rate((1e-3, 3e-3, 1e-2), (0.5, 0.7, 0.7)) == 3e-3


def test_a_hand_over_is_from_one_unit_to_another_within_the_run():
    """Vehicle 0 drives along three units, vehicle 1 stands, vehicle 2 leaves all units and comes to another one."""
    time_s = np.array([0.0, 300.0, 0.0, 300.0, 0.0, 100.0, 300.0])
    x_m = np.array([0.0, 3000.0, 0.0, 0.0, 0.0, 0.0, 3000.0])
    y_m = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 5000.0, 0.0])
    traces = Traces(
        names=("a", "b", "c"),
        offsets=np.array([0, 2, 4, 7]),
        time_s=time_s,
        x_m=x_m,
        y_m=y_m,
        longest_gap_s=1e3,
    )
    units_m = np.array([[0.0, 0.0], [1500.0, 0.0], [3000.0, 0.0]])
    coverage = cover(traces, units_m, HandoverRule(radius_m=1000, hysteresis_m=25))
    assert handovers(coverage, 301.0) == [2, 0, 0]
    assert handovers(coverage, 150.0) == [1, 0, 0]
    assert handovers(coverage, 0.0) == [0, 0, 0]
