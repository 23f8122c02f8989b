import math

import pytest
from other_tasks import MSE, PERPLEXITY

from eafl_flower.core.scores import ACCURACY
from eafl_flower.errors import CheckpointError
from eafl_flower.results.report.run_page import run_page
from eafl_flower.results.scores import declared_scores, keyed, scores_of_events, scores_to_store, stored_scores

METRICS = {"accuracy-before": 0.7, "accuracy-unseen": 0.6, "mse-before": 2.5, "mse-after": None, "loss": 2.0}


def test_the_key_of_an_accuracy_is_its_phase_and_that_of_another_score_its_name():
    assert keyed(METRICS, (ACCURACY, MSE)) == {"before": 0.7, "unseen": 0.6, "mse-before": 2.5}


def test_what_is_stored_is_read_back_without_the_task():
    summary = {"scores": scores_to_store(METRICS, (MSE, ACCURACY)), "accuracy": {}}
    assert declared_scores(summary) == (MSE, ACCURACY)
    assert [(m.metric, m.value) for m in stored_scores(summary)] == [
        ("mse-before", 2.5), ("accuracy-before", 0.7), ("accuracy-unseen", 0.6)
    ]  # fmt: skip


def test_a_run_of_an_earlier_version_has_accuracies_and_no_pooled_rows(make_run):
    run = make_run()
    summary = run.summary()
    old = {key: value for key, value in summary.items() if key not in ("scores", "baselines_left_out")}
    old["baselines"] = {key: value for key, value in summary["baselines"].items() if key != "pooled"}
    run.write_summary(old)
    assert stored_scores(run.summary()) == stored_scores(summary)
    assert "exact updates" in run_page(run)


def test_of_a_run_that_has_not_ended_the_events_tell_the_names():
    events = [{"event": "merge"}, {"event": "evaluate", "metrics": METRICS}]
    assert [score.name for score in scores_of_events(events)] == ["accuracy", "mse"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"name": "MSE"}, "lower case"),
        ({"least": "0"}, "expected a number between .*, or null"),
        ({"higher_is_better": 1}, "expected true or false"),
        ({"form": ".99f"}, "a format such as"),
        ({"values": {"before": -1.0}}, "mse before = -1.0: expected at least 0"),
        ({"values": {"before": None}}, "expected an object with a number"),
    ],
)
def test_a_declaration_that_somebody_has_changed_is_damage(make_run, changed, message):
    run = make_run()
    run.write_summary(run.summary() | {"scores": [MSE.to_record() | {"values": {}} | changed]})
    with pytest.raises(CheckpointError, match=f"summary.json is damaged: .*{message}"):
        run.summary()


@pytest.mark.parametrize("value", [1.5, -0.1])
def test_an_accuracy_of_a_baseline_is_a_share(make_run, value):
    run = make_run()
    summary = run.summary()
    run.write_summary(summary | {"baselines": {**summary["baselines"], "exact": {"before": value}}})
    with pytest.raises(CheckpointError, match=r"expected 0 to 1"):
        run.summary()


def test_a_perplexity_of_a_baseline_may_be_any_number_from_one(make_run):
    run = make_run()
    summary = run.summary()
    scores = scores_to_store({"perplexity-before": math.e}, (PERPLEXITY,))
    baselines = {**summary["baselines"], "exact": {"perplexity-before": 40.0}}
    run.write_summary(summary | {"scores": scores, "accuracy": {}, "baselines": baselines})
    assert run.summary()["baselines"]["exact"] == {"perplexity-before": 40.0}
