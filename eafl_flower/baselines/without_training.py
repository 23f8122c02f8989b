"""The baselines without training: the commonest class, and a table of the one best feature.

Both name classes, so they stand beside an accuracy and nothing else.
"""

from collections.abc import Sequence

from eafl_flower.core.scores import ACCURACY, Score
from eafl_flower.data.lookup import lookup_scores, majority_scores
from eafl_flower.protocols import DataSource

NAMES = ("majority", "lookup")


def left_out(scores: Sequence[Score]) -> str:
    """Return why a task with these scores has no such baselines; "" if it has."""
    if any(score.name == ACCURACY.name for score in scores):
        return ""
    return "it names classes, and the task has no accuracy"


def without_training(source: DataSource) -> dict[str, dict[str, float]]:
    """Return the accuracies of both, named as those they stand beside: the same before and after training."""
    return {"majority": _by_metric(majority_scores(source)), "lookup": _by_metric(lookup_scores(source)[1])}


def _by_metric(scores: dict[str, float | None]) -> dict[str, float]:
    named = {"before": scores["seen"], "after": scores["seen"], **{k: scores[k] for k in ("unlabelled", "unseen")}}
    return {f"{ACCURACY.name}-{phase}": score for phase, score in named.items() if score is not None}
