import math

import pytest
from flwr.app import MetricRecord
from toy_federation import arrays_of_run, run_toy, same_for_all, toy_app

from eafl_flower.core.scores import ACCURACY, Score
from eafl_flower.errors import ConfigError
from eafl_flower.strategies import EMAM, StopRule


def test_a_run_stops_when_its_clients_have_spent_the_energy():
    stop = StopRule(energy_j=1.0)  # 0.19 J a job
    run, recorder = run_toy(4, 100, **same_for_all(), stop=stop, evaluate_clients=False)
    assert run.version == 6
    assert run.stop_reason == "1.14 J spent, budget 1 J"
    assert recorder.events[-1]["reason"] == run.stop_reason


def test_a_run_stops_when_its_payloads_have_reached_the_size():
    # 36 bytes each way; the first six merges are the first 432 bytes
    run, _ = run_toy(4, 100, **same_for_all(), stop=StopRule(payload_bytes=400), evaluate_clients=False)
    assert (run.version, run.stop_reason) == (6, "432 bytes sent, budget 400 bytes")


def test_a_run_stops_at_a_virtual_time():
    run, recorder = run_toy(4, 100, **same_for_all(), stop=StopRule(time_s=4.0))
    assert 4.0 <= run.time_s <= 4.5
    assert run.version == 8  # two rounds of four; in the third, uploads start at 4.1 s
    assert "budget 4 s" in recorder.events[-1]["reason"]


def test_a_run_stops_at_a_time_also_if_nothing_is_merged():
    run, _ = run_toy(4, 100, **same_for_all(), deadline_s=0.5, stop=StopRule(time_s=10.0))
    assert run.version == 0
    assert 10.0 <= run.time_s <= 10.5


def test_a_round_is_finished_before_a_budget_ends_the_run():
    run, _ = run_toy(4, 100, strategy=EMAM, **same_for_all(), stop=StopRule(energy_j=1.0))
    assert run.version == 2
    assert run.tally.updates == 8


def test_a_run_stops_when_an_evaluation_reaches_the_target():
    run, recorder = run_toy(4, 1000, evaluate_every=10, stop=StopRule(metric="mean", target=5.0))
    assert run.version % 10 == 0
    assert run.client_scores[run.version]["mean"] >= 5.0 > run.client_scores[run.version - 10]["mean"]
    assert float(arrays_of_run(run)[0].mean()) == pytest.approx(run.client_scores[run.version]["mean"], rel=1e-6)
    assert recorder.events[-1]["reason"].startswith("mean reached ")


def test_a_target_that_no_evaluation_reports_is_told(flower_log):
    run_toy(2, 10, evaluate_every=5, stop=StopRule(metric="acuracy", target=0.5))
    assert "no evaluation reports acuracy, which the run is to stop at: there are ['mean', 'jobs']" in flower_log.text


def test_a_run_ends_with_an_evaluation_of_what_it_returns():
    run, recorder = run_toy(4, 7, evaluate_every=5)
    assert sorted(run.client_scores) == [5, 7]
    assert [e["event"] for e in recorder.events if e["event"] != "unfinished"][-2:] == ["evaluate", "stop"]
    assert recorder.events[-1]["reason"] == "7 merges made"


def test_jobs_that_are_open_at_the_end_are_charged_until_then():
    run, recorder = run_toy(4, 7)
    unfinished = recorder.of("unfinished")
    assert {e["client"] for e in unfinished} == {0, 1, 2, 3} - {recorder.of("merge")[-1]["client"]}
    assert run.ledger.total().energy_j == pytest.approx(sum(e.get("energy_j", 0.0) for e in recorder.events))
    assert all(e["downlink_bytes"] > 0 for e in unfinished)


def test_without_evaluation_nothing_is_asked():
    def evaluated(client, counter, reply):
        raise AssertionError

    run, recorder = run_toy(2, 5, app=toy_app(), evaluate_clients=False)
    assert recorder.of("evaluate") == []
    assert run.ledger.total("evaluate").payload_bytes == 0


def test_a_run_stops_when_what_is_better_low_has_fallen_to_the_target():
    def mean_of(number, arrays):
        return MetricRecord({"distance": 10.0 - number})

    stop = StopRule(metric="distance", target=5.0, higher_is_better=False)
    run, _ = run_toy(4, 1000, evaluate_every=1, stop=stop, evaluate_fn=mean_of, unit="merges")
    assert (run.version, run.stop_reason) == (5, "distance reached 5, target 5")


def test_the_declared_score_says_which_way_is_better():
    mse = Score(name="mse", title="mse", higher_is_better=False, least=0.0)
    rule = StopRule(metric="mse-after", target=0.5, energy_j=3.0).on((ACCURACY, mse))
    assert rule == StopRule(metric="mse-after", target=0.5, energy_j=3.0, higher_is_better=False)
    assert rule.reached({"mse-after": 0.5})
    assert not rule.reached({"mse-after": 0.51})
    assert not rule.reached({"mse-after": math.nan})
    assert StopRule(energy_j=3.0).on((mse,)) == StopRule(energy_j=3.0)


@pytest.mark.parametrize(
    ("metric", "target", "message"),
    [
        (
            "acuracy-before",
            0.5,
            r'"acuracy-before": the task has no such score, there are accuracy-before',
        ),
        ("accuracy-before", 50.0, r"stop\.target = 50: expected 0 to 1, as accuracy-before can be"),
    ],
)
def test_a_metric_or_a_target_that_cannot_be_reached_is_refused(metric, target, message):
    with pytest.raises(ConfigError, match=message):
        StopRule(metric=metric, target=target).on((ACCURACY,))
