"""Scores as a run's files have them: declared once, values by phase.

``summary.json`` holds the declarations of ``core/scores.py`` under ``scores``, each with its ``values`` by phase, so
that a finished run can be read without its task. In ``accuracy`` and in each of the ``baselines`` a value goes by its
key: the phase alone for the accuracy (``before``), the metric's full name for any other score (``mse-before``).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from eafl_flower.core.events import Event
from eafl_flower.core.scores import ACCURACY, Measured, Score, declared, guessed, measured
from eafl_flower.core.words import shown
from eafl_flower.errors import ConfigError
from eafl_flower.results import stored

SCORE_FIELDS = {
    **dict.fromkeys(("name", "title", "unit", "weighting", "mean", "form"), stored.text),
    **dict.fromkeys(("least", "most"), stored.optional(stored.number)),
    "higher_is_better": stored.flag,
    "factor": stored.number,
    "values": stored.mapping(stored.number),
}


def keyed(metrics: Mapping[str, float | None], scores: Sequence[Score]) -> dict[str, float]:
    """Return the values of declared scores by key: ``accuracy-before`` becomes ``before``, ``loss`` is none."""
    return {found.key: found.value for found in measured(metrics, scores)}


def scores_to_store(metrics: Mapping[str, float | None], scores: Sequence[Score]) -> list[dict[str, Any]]:
    """Return the declarations with their values by phase, as ``summary.json`` has them."""
    found = measured(metrics, scores)
    return [score.to_record() | {"values": {m.phase: m.value for m in found if m.score is score}} for score in scores]


def stored_scores(summary: Mapping[str, Any]) -> list[Measured]:
    """Return the scores of a finished run; one of an earlier version has accuracies only."""
    if "scores" not in summary:
        return [Measured(ACCURACY, "" if p == ACCURACY.name else p, v) for p, v in summary["accuracy"].items()]
    return [
        Measured(score, phase, value)
        for record in summary["scores"]
        for score in [Score.from_record(record)]
        for phase, value in record["values"].items()
    ]


def declared_scores(summary: Mapping[str, Any]) -> tuple[Score, ...]:
    """Return the scores that a finished run declares, the main one first."""
    return tuple(Score.from_record(record) for record in summary.get("scores", ())) or (ACCURACY,)


def scores_of_events(events: Iterable[Event]) -> tuple[Score, ...]:
    """Return what can be told of the scores from the events alone: of a run that has not ended."""
    return guessed({metric for event in events if event["event"] == "evaluate" for metric in event["metrics"]})


def check_scores(summary: Mapping[str, Any]) -> None:
    """Check the declarations of a summary whose fields are checked, and that all values lie in their range.

    Raises
    ------
    ValueError
        At the first that is wrong.
    """
    try:
        found, scores = stored_scores(summary), declared_scores(summary)
    except ConfigError as error:
        raise ValueError(str(error)) from error
    for values in filter(None, summary["baselines"].values()):
        found += [Measured(declared(key, scores) or ACCURACY, key, value) for key, value in values.items()]
    for score, phase, value in found:
        if not score.allows(value):
            msg = f"{score.name} {shown(phase)} = {value}: expected {score.range_text}"
            raise ValueError(msg)
