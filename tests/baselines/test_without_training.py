from other_tasks import MSE, PERPLEXITY

from eafl_flower.baselines.without_training import left_out, without_training
from eafl_flower.core.scores import ACCURACY
from eafl_flower.data.lookup import lookup_scores, majority_scores


def test_both_are_the_same_before_and_after_training(toy_source):
    found = without_training(toy_source)
    for name, scores in (("majority", majority_scores(toy_source)), ("lookup", lookup_scores(toy_source)[1])):
        assert found[name] == {
            "accuracy-before": scores["seen"], "accuracy-after": scores["seen"],
            "accuracy-unlabelled": scores["unlabelled"], "accuracy-unseen": scores["unseen"],
        }  # fmt: skip


def test_they_stand_beside_an_accuracy_and_nothing_else():
    assert left_out((PERPLEXITY, ACCURACY)) == ""
    assert "no accuracy" in left_out((MSE,))
