"""The verdict says what the numbers say: no more than they bear, and what is bad first of all."""

import pytest

from eafl_flower.core.scores import ACCURACY, Score
from eafl_flower.results.scores import scores_to_store
from eafl_flower.results.views.closing import verdict

NONE = dict.fromkeys(("no_communication", "exact", "pooled", "majority", "lookup"))
SAVED = {"uplink_saved": 0.74, "both_ways_saved": 0.7, "merges": 100}


def said(before=0.8, unseen=0.7, codec="int8", score=ACCURACY, left_out=None, **baselines):
    """Return the verdict on these values, and on (before, unseen) of each baseline, as one text."""
    metrics = {score.metric("before"): before, score.metric("unseen"): unseen}
    found = {
        name: {score.key(phase): value for phase, value in zip(("before", "unseen"), values, strict=True)}
        for name, values in baselines.items()
    }
    summary = {"scores": scores_to_store(metrics, (score,)), "baselines": NONE | found, **SAVED}
    return " ".join(verdict(summary | {"baselines_left_out": left_out or {}}, codec))


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
    summary = {"scores": scores_to_store({f"accuracy-{k}": v for k, v in own.items()}, (ACCURACY,)), **SAVED}
    first, second, *_ = verdict(summary | {"baselines": NONE | {"no_communication": alone, "lookup": table}})
    assert first.endswith("training alone is 20.0 points better (80.0 %); after local training less than a point.")
    assert second.endswith(
        "is 10.0 points better without training (70.0 %); after local training 20.0 points worse (70.0 %)."
    )


@pytest.mark.parametrize(
    ("exact", "sentence"),
    [
        ((0.8, 0.7), "int8 cost nothing and saved 74.0 % of the upload, 70.0 % of both ways."),
        ((0.79, 0.7), "int8 cost nothing and saved"),
        ((0.804, 0.7), "int8 cost 0.4 points and saved"),
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
    error = Score(name="mse", title="squared error", unit="m²", higher_is_better=False, least=0.0)
    text = said(before=2.0, unseen=3.0, score=error, no_communication=(2.5, 2.9))
    assert text.startswith(
        "Federation brought 0.5 m² (alone: 2.5 m²); on unseen clients training alone is 0.1 m² better."
    )
    assert "less than 1% (alone: 2.01 m²)" in said(before=2.0, unseen=3.0, score=error, no_communication=(2.01, 4.0))


def test_without_a_score_nothing_is_praised():
    assert verdict({"scores": [], "baselines": NONE, **SAVED}) == ["No score could be measured."]
