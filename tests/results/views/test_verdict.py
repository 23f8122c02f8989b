import doctest

import pytest

from eafl_flower.core.scores import ACCURACY, Score
from eafl_flower.results.scores import scores_to_store
from eafl_flower.results.summary import BASELINES
from eafl_flower.results.views import verdict as module
from eafl_flower.results.views.verdict import sweep_verdict, verdict

ERROR = Score(name="mse", title="error", higher_is_better=False)


def summary(own, *, score=ACCURACY, baselines=None, **changed):
    metrics = {score.metric(phase): value for phase, value in own.items()}
    stored = {
        name: {score.key(phase): value for phase, value in (baselines or {}).get(name, {}).items()} or None
        for name in BASELINES
    }
    return {
        **{"scores": scores_to_store(metrics, [score]), "accuracy": {}, "baselines": stored, "baselines_left_out": {}},
        **{"uplink_bytes": 6_412_000, "downlink_bytes": 6_412_000, "uplink_saved": 0.745, "downlink_saved": 0.745},
        **{"energy_j": 11.5, "merges": 4000, "lost": 0, "refused": 0, "stopped": "all merges made"},
        **{"virtual_time_s": 6.34, "wall_s": 8.0, **changed},
    }


def test_the_examples_are_true():
    assert doctest.testmod(module).failed == 0


def test_the_first_sentence_says_what_federation_brought():
    own, alone = {"before": 0.782, "unseen": 0.802}, {"before": 0.707, "unseen": 0.696}
    first, *_ = verdict(summary(own, baselines={"no_communication": alone}))
    assert "brought 7.5 points for seen clients before training and 10.6 points for unseen clients" in first


@pytest.mark.parametrize(
    ("own", "alone", "words"),
    [
        (0.701, 0.700, "brought nothing that counts for seen clients after training"),
        (0.650, 0.700, "cost 5.0 points for seen clients after training"),
    ],
)
def test_that_it_brought_nothing_or_harm_is_said_too(own, alone, words):
    first, *_ = verdict(summary({"after": own}, baselines={"no_communication": {"after": alone}}))
    assert words in first


def test_without_the_baseline_nothing_is_claimed():
    told = " ".join(verdict(summary({"before": 0.8, "unseen": 0.7}), {"before": 0.4}))
    assert "80.0 % for seen clients before training (at the start 40.0 %) and 70.0 % for unseen clients" in told
    assert verdict(summary({"before": 0.8}))[0] == "Accuracy is 80.0 %."
    assert "not known" in told
    assert "brought " not in told.replace("What federation brought", "")
    reason = {"baselines_left_out": {"no_communication": "clients train no model"}}
    assert "clients train no model" in " ".join(verdict(summary({"before": 0.8}, **reason)))


def test_a_table_that_does_as_well_as_the_network_is_named():
    for value, words in ((0.82, "2.0 points more than the trained"), (0.80, "as much as"), (0.7, "10.0 points less")):
        told = verdict(summary({"before": 0.80}, baselines={"lookup": {"before": value}, "majority": {"before": 0.5}}))
        (sentence,) = [line for line in told if "look-up" in line]
        assert words in sentence


def test_what_the_codec_cost_is_said():
    for exact, words in ((0.80, "cost nothing"), (0.85, "cost up to 5.0 points, for seen clients")):
        told = verdict(summary({"before": 0.80}, baselines={"exact": {"before": exact}}))
        assert any(words in line for line in told)


def test_where_lower_is_better_less_is_a_gain():
    first, *_ = verdict(summary({"before": 0.1}, score=ERROR, baselines={"no_communication": {"before": 0.3}}))
    assert "brought 0.2 for seen clients before training of error" in first


def test_bytes_joules_and_trouble_are_told():
    told = " ".join(verdict(summary({}, lost=3, refused=1, stopped="the energy budget is spent")))
    for words in ("6.41 MB", "74.5 % in either direction", "11.5 J", "3 lost and 1 refused", "energy budget is spent"):
        assert words in told
    assert "nothing was saved" in " ".join(verdict(summary({}, uplink_saved=0.0, downlink_saved=0.0)))


CELLS = [("a", [0.80, 0.81, 0.82]), ("b", [0.70, 0.71, 0.69])]


def test_a_sweep_is_judged_by_what_chance_makes_of_it():
    assert "a is best" in (clear := sweep_verdict(ACCURACY, "unseen", CELLS))
    assert "more than two standard errors" in clear
    wide = [("a", [0.6, 0.9]), ("b", [0.5, 0.8])]
    assert "may be chance" in sweep_verdict(ACCURACY, "unseen", wide)
    assert "do not differ" in sweep_verdict(ACCURACY, "", [("a", [0.8]), ("b", [0.801])])
    assert "nobody knows" in sweep_verdict(ACCURACY, "", [("a", [0.8]), ("b", [0.7])])
    assert sweep_verdict(ERROR, "", CELLS).index("b is best") >= 0
    assert sweep_verdict(ACCURACY, "", []) == ""
