"""The verdict says what the numbers say: no more than they bear, and what is bad first of all."""

import doctest

import pytest

from eafl_flower.core.scores import ACCURACY, Score
from eafl_flower.results.scores import scores_to_store
from eafl_flower.results.summary import BASELINES
from eafl_flower.results.views import differences
from eafl_flower.results.views.differences import counts, difference_text
from eafl_flower.results.views.verdict import long_verdict, sweep_verdict, verdict

ERROR = Score(name="mse", title="squared error", unit="m²", higher_is_better=False, least=0.0)


def summary(own, *, score=ACCURACY, baselines=None, **changed):
    metrics = {score.metric(phase): value for phase, value in own.items()}
    stored = {
        name: {score.key(phase): value for phase, value in (baselines or {}).get(name, {}).items()} or None
        for name in BASELINES
    }
    return {
        **{"scores": scores_to_store(metrics, [score]), "accuracy": {}, "baselines": stored, "baselines_left_out": {}},
        **{"uplink_bytes": 6_412_000, "downlink_bytes": 6_413_000, "uplink_saved": 0.74, "both_ways_saved": 0.7},
        **{"energy_j": 11.5, "merges": 4000, "lost": 0, "refused": 0, "stopped": "all merges made"},
        **{"virtual_time_s": 6.34, "wall_s": 8.0, **changed},
    }


def said(before=0.8, unseen=0.7, codec="int8", score=ACCURACY, left_out=None, **baselines):
    """Return the verdict on these values, and on (before, unseen) of each baseline, as one text."""
    stored = {name: dict(zip(("before", "unseen"), values, strict=True)) for name, values in baselines.items()}
    own = {"before": before, "unseen": unseen}
    found = summary(own, score=score, baselines=stored, baselines_left_out=left_out or {})
    return " ".join(verdict(found, codec))


def test_the_examples_are_true():
    assert doctest.testmod(differences).failed == 0


@pytest.mark.parametrize(
    ("alone", "sentence"),
    [
        ((0.687, 0.6), "Federation brought 11.3 points (alone: 68.7 %), 10.0 points on unseen clients."),
        (
            (0.795, 0.6),
            "Federation brought less than a point (alone: 79.5 %); on unseen clients it brought 10.0 points.",
        ),
        ((0.805, 0.7), "Federation brought less than a point (alone: 80.5 %); on unseen clients less than a point."),
        (
            (0.85, 0.75),
            "Federation brought nothing: training alone is 5.0 points better (85.0 %); "
            "on unseen clients training alone is 5.0 points better.",
        ),
    ],
)
def test_it_says_what_federation_brought_also_if_that_is_nothing(alone, sentence):
    assert said(no_communication=alone).startswith(sentence)


@pytest.mark.parametrize(
    ("tables", "sentence"),
    [
        ({"lookup": (0.9, 0.8)}, "A look-up of one feature is 10.0 points better without training (90.0 %); on unseen"),
        ({"lookup": (0.795, 0.705)}, "A look-up of one feature is as good without training (79.5 %, unseen 70.5 %)."),
        (
            {"lookup": (0.5, 0.7), "majority": (0.6, 0.5)},
            "The majority class is 20.0 points worse without training (60.0 %); "
            "on unseen clients a look-up of one feature is as good (70.0 %).",
        ),
    ],
)
def test_what_needs_no_training_is_held_against_it(tables, sentence):
    assert sentence in said(no_communication=(0.7, 0.6), **tables)


def test_what_comes_out_otherwise_after_local_training_is_said():
    own, alone, table = (
        dict(zip(("before", "after"), values, strict=True)) for values in ((0.6, 0.9), (0.8, 0.9), (0.7, 0.7))
    )
    first, second, *_ = verdict(summary(own, baselines={"no_communication": alone, "lookup": table}))
    assert first.endswith("training alone is 20.0 points better (80.0 %); after local training less than a point.")
    assert second.endswith(
        "is 10.0 points better without training (70.0 %); after local training 20.0 points worse (70.0 %)."
    )


@pytest.mark.parametrize(
    ("exact", "sentence"),
    [
        ((0.8, 0.7), "int8 cost nothing and saved 74.0 % of the upload, 70.0 % of both ways."),
        ((0.79, 0.7), "int8 cost nothing and saved"),
        ((0.804, 0.7), "int8 cost less than a point and saved"),
        ((0.80004, 0.7), "int8 cost nothing and saved"),  # both are printed as 80.0 %
        ((0.82, 0.75), "int8 cost 2.0 points (5.0 points on unseen clients) and saved"),
    ],
)
def test_what_the_codec_cost_and_saved_stands_together(exact, sentence):
    assert sentence in said(exact=exact)


def test_plain_arrays_cost_and_save_nothing_that_would_be_told():
    for codec in ("none", "float32"):
        assert "saved" not in said(codec=codec, exact=(0.8, 0.7))


def test_all_rows_in_one_place_are_spoken_of_where_they_would_bring_more():
    assert "All rows in one place would bring 5.0 points more (85.0 %)." in said(pooled=(0.85, 0.7))
    assert "one place" not in said(pooled=(0.805, 0.7))


def test_what_was_not_measured_is_not_claimed():
    text = said(lookup=(0.7, 0.6))
    assert "Federation" not in text.replace("What federation", "")
    assert "What federation brought is not measured: --baselines all adds" in text
    reason = {"no_communication": "they need the rows, which are on the nodes"}
    assert "not measured" not in said(left_out=reason)


def test_a_score_of_which_less_is_better_is_told_in_its_own_numbers():
    text = said(before=2.0, unseen=3.0, score=ERROR, no_communication=(2.5, 2.9))
    assert text.startswith(
        "Federation brought 0.5 m² (alone: 2.5 m²); on unseen clients training alone is 0.1 m² better."
    )
    assert "less than 1 % (alone: 2.01 m²)" in said(before=2.0, unseen=3.0, score=ERROR, no_communication=(2.01, 4.0))


def test_without_a_score_nothing_is_praised():
    assert verdict(summary({})) == ["No score could be measured."]


@pytest.mark.parametrize("baseline", ["no_communication", "exact", "pooled", "lookup"])
def test_what_counts_is_the_same_for_every_baseline(baseline):
    assert "1.0 points" in said(before=0.56, **{baseline: (0.57, 0.7)})  # whose difference is 0.0099999999999999
    assert "points" not in said(before=0.56, **{baseline: (0.569, 0.7)})


def test_a_difference_that_counts_has_a_number_however_it_is_printed():
    assert counts(ERROR, 0.003, 0.0)
    assert not counts(ERROR, 0.0, 0.0)
    coarse = Score(name="delay", title="delay", unit="s", higher_is_better=False, form=".1f")
    assert counts(coarse, -0.003, 0.004)
    assert difference_text(coarse, -0.003) == "0.003 s"


def test_pages_say_what_was_sent_spent_and_lost_after_the_same_sentences():
    found = summary({"before": 0.8}, baselines={"no_communication": {"before": 0.7}, "exact": {"before": 0.8}})
    told = " ".join(long_verdict(found | {"lost": 3, "refused": 1, "stopped": "the energy budget is spent"}, "int8"))
    assert told.startswith(" ".join(verdict(found, "int8")))
    assert "4,000 merges took 11.5 J and 6.34 s of virtual time; clients sent 6.41 MB and were sent 6.41 MB." in told
    assert told.endswith("Of the jobs, 3 lost and 1 refused. It ended because: the energy budget is spent.")


def test_pages_say_what_was_reached_where_federation_is_not_measured():
    told = " ".join(long_verdict(summary({"before": 0.8, "unseen": 0.7}), first={"before": 0.4}))
    assert "80.0 % for seen clients before training (at the start 40.0 %) and 70.0 % for unseen clients" in told
    assert "What federation brought is not measured: --baselines all adds" in told
    reason = {"baselines_left_out": {"no_communication": "clients train no model"}}
    assert long_verdict(summary({"before": 0.8}, **reason))[:2] == [
        "Accuracy is 80.0 %.",
        "What federation brought is not measured here: clients train no model.",
    ]


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
