import doctest
import json
import math

import pytest

from eafl_flower.core import scores
from eafl_flower.core.scores import ACCURACY, Score, declared, guessed, measured, weighted_mean
from eafl_flower.errors import ConfigError

MSE = Score(name="mse", title="mean squared error", unit="m²", higher_is_better=False, least=0.0)
PERPLEXITY = Score(name="perplexity", title="perplexity", higher_is_better=False, mean="geometric", least=1.0)


def test_the_examples_are_true():
    assert doctest.testmod(scores).failed == 0


def test_by_examples_the_mean_is_that_of_all_rows_together():
    clients = [[1.0, 4.0], [9.0]]
    together = [error for rows in clients for error in rows]
    weighed = [(len(rows), sum(rows) / len(rows)) for rows in clients]
    assert MSE.average(weighed) == pytest.approx(sum(together) / len(together))


def test_each_client_alike_is_the_plain_mean_over_those_that_have_rows():
    alike = Score(name="mse", title="mse", higher_is_better=False, weighting="clients")
    assert alike.average([(1, 2.0), (1000, 4.0), (0, 99.0)]) == 3.0


def test_a_perplexity_is_averaged_through_its_logarithm():
    losses = [(10, 0.5), (30, 2.0)]
    weighed = [(count, math.exp(loss)) for count, loss in losses]
    assert PERPLEXITY.average(weighed) == pytest.approx(math.exp(weighted_mean(losses)))
    assert PERPLEXITY.average(weighed) < weighted_mean(weighed)


def test_a_mean_lies_in_the_range_also_after_rounding():
    assert ACCURACY.average([(3, 1.0 + 1e-7), (3, 1.0)]) == 1.0


def test_nothing_is_averaged_without_weight():
    with pytest.raises(ValueError, match="without weight"):
        MSE.average([(0, 1.0)])


@pytest.mark.parametrize(("value", "text"), [(0.7123, "71.2 %"), (None, "-"), (1.0, "100.0 %")])
def test_an_accuracy_is_printed_in_percent(value, text):
    assert ACCURACY.text(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.000123456, "0.0001235 m²"), (1234.5, "1234 m²"), (0.0, "0 m²")])
def test_a_number_of_any_size_is_printed_with_four_digits(value, text):
    assert MSE.text(value) == text


@pytest.mark.parametrize("score", [ACCURACY, MSE, PERPLEXITY])
def test_a_declaration_survives_json(score):
    assert Score.from_record(json.loads(json.dumps(score.to_record(), allow_nan=False))) == score


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"name": "MSE"}, "lower case"),
        ({"name": "mse-before"}, "ends in none of before, after, unlabelled, unseen"),
        ({"title": ""}, "expected a title"),
        ({"unit": "x" * 61}, "at most 60 letters"),
        ({"weighting": "rows"}, 'weighting "examples" or "clients"'),
        ({"mean": "geometric"}, "above 0 for a geometric mean"),
        ({"least": 2.0, "most": 1.0}, "least below most"),
        ({"form": ".99999f"}, "a format such as"),
        ({"factor": 0.0}, "a positive factor"),
    ],
)
def test_a_declaration_that_cannot_be_used_is_refused(changed, message):
    with pytest.raises(ConfigError, match=message):
        Score(**{"name": "mse", "title": "t", "higher_is_better": False, **changed})


def test_a_metric_is_a_score_in_a_phase():
    assert [declared(metric, (MSE, ACCURACY)) for metric in ("mse-after", "accuracy-unseen", "mse", "mse-x")] == [
        MSE, ACCURACY, MSE, None
    ]  # fmt: skip


def test_of_metrics_those_are_read_that_are_scores_the_longest_name_first():
    top = Score(name="accuracy-top5", title="top 5", higher_is_better=True)
    found = measured(
        {"accuracy-top5-before": 0.9, "accuracy-before": 0.7, "loss": 1.0, "mse-after": None}, (ACCURACY, top)
    )
    assert [(m.score.name, m.phase, m.value, m.key) for m in found] == [
        ("accuracy-top5", "before", 0.9, "accuracy-top5-before"), ("accuracy", "before", 0.7, "before")
    ]  # fmt: skip


def test_without_a_declaration_whatever_has_a_phase_is_a_plain_number():
    assert [score.name for score in guessed({"mse-before", "accuracy-after", "loss", "[x]-unseen"})] == [
        "accuracy",
        "mse",
    ]
