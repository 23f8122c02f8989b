import json
import math

import pytest

from eafl_flower.core.scores import ACCURACY, Score, weighted_mean
from eafl_flower.runs.scoring.means import robust_means
from eafl_flower.wire.notes import Notes
from eafl_flower.wire.reported import MOST_METRICS, MOST_NAME, bounded_scores


def means(*reports, kinds=None, scores=()):
    """Means of (examples, metrics) of clients 0, 1, ..., and what was told."""
    notes = Notes()
    given = [(client, {"num-examples": count, **metrics}) for client, (count, metrics) in enumerate(reports)]
    return robust_means(given, notes, kinds=kinds, scores=scores), dict(notes.counts)


def test_the_mean_is_weighted_by_examples():
    assert means((1, {"accuracy": 1.0, "x": -3.0}), (3, {"accuracy": 0.0})) == ({"accuracy": 0.25, "x": -3.0}, {})


def test_no_client_weighs_more_than_a_hundred_of_the_median(flower_log):
    given, told = means((2**53, {"accuracy": 1.0}), (10, {"accuracy": 0.0}), (10, {"accuracy": 0.0}))
    assert given == {"accuracy": pytest.approx(1000 / 1020)}
    assert told == {"weight": 1}
    assert "the evaluation of client 0 counts 9007199254740992 examples, 100 times the median" in flower_log.text
    assert means((999, {"a": 1.0}), (10, {"a": 0.0}))[0] == {"a": 999 / 1009}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_narrows_the_mean_and_is_told(value, flower_log):
    assert means((1, {"loss": 0.5}), (1, {"loss": value}), (1, {"loss": 0.5})) == ({"loss": 0.5}, {"not finite": 1})
    assert f'"loss" of client 1 is {value:g}, expected a finite number: 1 of 3 clients' in flower_log.text


@pytest.mark.parametrize(
    ("name", "usual", "wrong", "right"),
    [
        ("accuracy", 0.5, 1e308, 1.0),
        ("accuracy-after", 0.5, -1e300, 0.0),
        ("eval_acc", 0.5, 1.5, 1.0 + 1e-7),
        ("accuracy", 97.5, 101.0, 100.0),  # in percent
        ("eval_loss", 2.0, -0.1, 1e6),
    ],
)
def test_a_score_outside_its_range_is_left_out_and_told(name, usual, wrong, right):
    assert means((1, {name: wrong}), (1, {name: usual}), (1, {name: usual})) == ({name: usual}, {"out of range": 1})
    given, told = means((1, {name: right}), (1, {name: usual}), (1, {name: usual}))
    assert given == {name: pytest.approx((right + 2 * usual) / 3)}
    assert not told


def test_a_range_that_the_median_client_leaves_is_not_known():
    assert means((1, {"loss": -3.0}), (1, {"loss": -5.0}), (1, {"loss": 2.0})) == ({"loss": -2.0}, {})
    assert means((1, {"accuracy-gain": -0.1}), (1, {"accuracy-gain": 0.3})) == (
        {"accuracy-gain": pytest.approx(0.1)},
        {},
    )


def test_the_mean_of_the_largest_numbers_is_finite():
    most = 1.7e308
    assert weighted_mean([(2**53, most), (2**53, most), (1.0, most)]) == most
    assert weighted_mean([(2**53, most), (2**53, -most)]) == 0.0
    assert weighted_mean([(1.0, 0.1)] * 3) == 0.1
    json.dumps(means((2**53, {"x": most}), (2**53, {"x": most}))[0], allow_nan=False)


def test_where_no_client_has_examples_all_weigh_alike_and_it_is_told():
    assert means((0, {"a": 1.0}), (0, {"a": 0.0})) == ({"a": 0.5}, {"no examples": 1})
    assert means((0, {"a": 1.0}), (5, {"a": 0.0})) == ({"a": 0.0}, {"without examples": 1})


def test_a_metric_that_a_client_of_the_same_kind_lacks_is_told(flower_log):
    reports = (1, {"before": 0.5}), (1, {"before": 0.7, "loss": 1.0}), (1, {"unseen": 0.3})
    given, told = means(*reports, kinds={0: True, 1: True, 2: False})
    assert given == {"before": 0.6, "loss": 1.0, "unseen": 0.3}
    assert told == {"missing": 1}
    assert '"loss" is not in the evaluation of 1 of 2 clients, the first client 0' in flower_log.text


def test_the_metrics_that_most_clients_report_are_kept():
    flood = {f"x{i}": 1.0 for i in range(MOST_METRICS)}
    given, told = means((1, flood), (1, {"loss": 0.5}), (1, {"loss": 0.5}))
    assert len(given) == MOST_METRICS
    assert given["loss"] == 0.5
    assert told == {"metric": 1}


def test_a_reply_of_many_or_long_metrics_is_cut_and_lists_are_told(flower_log):
    notes = Notes()
    many = {f"{'k' * 1000}{i}": 1.0 for i in range(50)} | {f"x{i}": 1.0 for i in range(300)} | {"hist": [1.0, 2.0]}
    many["num-examples"] = 7  # the last, and the one that is needed
    kept = bounded_scores(many, "the reply of client 3", notes)
    assert len(kept) == MOST_METRICS
    assert kept["num-examples"] == 7
    assert all(len(name) <= MOST_NAME for name in kept)
    assert notes.counts == {"name": 251, "list": 1}
    bounded_scores(many, "the reply of client 4", notes)
    assert notes.counts == {"name": 502, "list": 2}
    assert 'the reply of client 3 holds 1 lists, the first "hist"' in flower_log.text
    assert "client 4" not in flower_log.text
    assert len(flower_log.text) < 2000


MSE = Score(name="mse", title="mse", higher_is_better=False, least=0.0)
ALIKE = Score(name="gain", title="gain", higher_is_better=True, weighting="clients")
PERPLEXITY = Score(name="perplexity", title="perplexity", higher_is_better=False, mean="geometric", least=1.0)


def test_a_declared_score_is_averaged_and_bounded_as_it_says():
    scores = (MSE, ALIKE, PERPLEXITY)
    reports = (
        (1, {"mse-before": 1.0, "gain-before": 1.0, "perplexity-before": math.exp(1.0)}),
        (3, {"mse-before": 5.0, "gain-before": 2.0, "perplexity-before": math.exp(5.0)}),
        (3, {"mse-before": -0.1, "gain-before": -6.0, "perplexity-before": 0.9}),
    )
    given, told = means(*reports, scores=scores)
    assert given == {
        "mse-before": 4.0,
        "gain-before": -1.0,
        "perplexity-before": pytest.approx(math.exp(4.0)),
    }
    assert told == {"out of range": 2}


def test_of_a_declared_accuracy_nothing_is_guessed():
    reports = [(1, {"accuracy-before": 97.5})] * 3
    assert means(*reports) == ({"accuracy-before": 97.5}, {})
    assert means(*reports, scores=(ACCURACY,)) == ({}, {"out of range": 3})
