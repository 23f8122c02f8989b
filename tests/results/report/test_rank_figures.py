"""Figures of runs that choose ranks, and what such runs tell for them."""

import re

import pytest
from city_run import UNITS_M, city_run
from self_contained import assert_self_contained

from eafl_flower.results.report.rank_figures import city_figure, jobs_of, leaving_counts, price_figure, violation_figure
from eafl_flower.results.report.run_page import run_page

pytest.importorskip("matplotlib", reason="figures need Matplotlib: pip install 'eafl-flower[report]'")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return city_run(tmp_path_factory.mktemp("city") / "run", vehicles=5, num_rounds=10)


def test_a_job_tells_where_it_ended_and_what_energy_cost(run):
    jobs = jobs_of(run.events())
    assert len(jobs) > 20
    for job in jobs:
        assert [job["unit_x_m"], job["unit_y_m"]] == UNITS_M[job["unit"] - 1]
        assert abs(job["x_m"]) < 1500
        assert job["price"] >= 0
        assert job["budget_j"] > 0
        assert job["model"] in ("questions", "reviews")


def test_the_page_shows_map_ranks_price_and_violation(run):
    text = run_page(run)
    assert_self_contained(text)
    assert "ended without a summary" in text
    for label in ("Map of 4 roadside units", "Rank of each job over time", "Jobs of each rank", "price λ over time"):
        assert f'aria-label="{label}' in text
    assert {"ucb-dual", "lambda", "violation", "unit"} <= set(re.findall(r'href="#term-([^"]*)"', text))


def test_the_violation_is_that_of_all_jobs_so_far():
    jobs = [
        {"event": "merge", "rank": 4, "time_s": float(k), "energy_j": energy_j, "budget_j": 2.0, "model": ""}
        for k, energy_j in enumerate((4.0, 1.0))
    ]
    assert "<b>25</b>" in violation_figure(jobs, "virtual time")  # 5 J where 4 J are allowed


def test_what_was_not_recorded_is_not_drawn():
    jobs = [{"event": "merge", "rank": 4, "time_s": 1.0, "energy_j": 1.0, "model": ""}]
    assert city_figure(jobs) == price_figure(jobs, "time") == violation_figure(jobs, "time") == ""


def test_what_leaving_vehicles_did_is_counted():
    jobs = [{"event": "merge", "leaving": "early"}, {"event": "lost"}, {"event": "lost", "leaving": "early"}]
    assert leaving_counts(jobs) == [("stayed", 0, 1), ("uploaded early", 1, 1)]
