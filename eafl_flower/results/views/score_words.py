"""Scores and baselines as tables, figures and pages name them."""

from collections.abc import Iterable, Mapping
from typing import Any

from eafl_flower.core.scores import Score
from eafl_flower.results.scores import stored_scores
from eafl_flower.results.summary import BASELINES

PHASE_TITLES = {
    "before": "seen clients\nbefore training",
    "after": "seen clients\nafter training",
    "unlabelled": "unseen,\nno label",
    "unseen": "unseen\nclients",
}
_PHASE_TEXTS = {
    "before": "seen clients, before local training",
    "after": "seen clients, after local training",
    "unlabelled": "unseen clients, without a labelled row",
    "unseen": "unseen clients",
}
BASELINE_TITLES = {
    "pooled": "pooled rows",
    "exact": "exact updates",
    "no_communication": "no communication",
    "lookup": "look-up of one feature",
    "majority": "majority class",
}
SHORT_TITLES = {
    "pooled": "pooled",
    "exact": "exact",
    "no_communication": "alone",
    "lookup": "look-up",
    "majority": "majority",
}
"""The baselines where a column has little room."""
_ROW_TITLES = {
    "before": "before training",
    "after": "after training",
    "unlabelled": "unseen, no label",
    "unseen": "unseen clients",
}
Columns = Mapping[str, tuple[Score, str]]


def columns_of(summaries: Iterable[Mapping[str, Any]]) -> dict[str, tuple[Score, str]]:
    """Return score and phase by key of all that some finished runs have measured, in order."""
    columns: dict[str, tuple[Score, str]] = {}
    for summary in summaries:
        for found in stored_scores(summary):
            columns.setdefault(found.key, (found.score, found.phase))
    return columns


def score_cells(summary: Mapping[str, Any], columns: Columns) -> list[str]:
    """Return what a finished run has in each column, a dash where it has nothing."""
    values = {found.key: found.value for found in stored_scores(summary)}
    return [score.text(values.get(key)) for key, (score, _) in columns.items()]


def baseline_rows(summary: Mapping[str, Any], columns: Columns) -> list[tuple[str, list[str]]]:
    """Return title and cells of each baseline that has something in one of the columns."""
    found = {title: summary["baselines"].get(name) or {} for name, title in BASELINE_TITLES.items()}
    return [
        (title, [score.text(values.get(key)) for key, (score, _) in columns.items()])
        for title, values in found.items()
        if any(key in values for key in columns)
    ]


def phase_text(phase: str) -> str:
    """Return a phase in words."""
    return _PHASE_TEXTS.get(phase, phase)


def row_title(score: Score, phase: str, *, alone: bool) -> str:
    """Return score and phase as the title of a row; the phase says it all where the score stands alone in its table."""
    told = _ROW_TITLES.get(phase, phase)
    return told if alone and told else f"{score.title}, {told}" if told else score.title


def heading(score: Score, phase: str) -> str:
    """Return the title of a section on one score in one phase."""
    title = f"{score.title[:1].upper()}{score.title[1:]}"
    return f"{title}: {phase_text(phase)}" if phase else title


def direction(score: Score) -> str:
    """Return which way is better where that is not what one expects."""
    return "" if score.higher_is_better else "lower is better"


def left_out(summary: Mapping[str, Any]) -> list[str]:
    """Return why baselines that were asked for are not there, a sentence a reason."""
    reasons: dict[str, list[str]] = {}
    for name in BASELINES:
        if reason := summary.get("baselines_left_out", {}).get(name):
            reasons.setdefault(reason, []).append(BASELINE_TITLES[name])
    return [f"left out: {', '.join(titles)} ({reason})" for reason, titles in reasons.items()]
