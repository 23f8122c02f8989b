"""What came out of a run or a sweep, in sentences: what federation brought, what it is worth, what the codec cost.

Every sentence on a run is computed from ``summary.json``. Differences below ``MARGIN`` have no number: one run does not
show them. The main score of the task decides, on clients that train before their local training, and on unseen ones.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, variance
from typing import Any, Final

from eafl_flower.core.scores import Score
from eafl_flower.core.words import shown
from eafl_flower.results.scores import stored_scores
from eafl_flower.results.summary import on_the_wall
from eafl_flower.results.views.differences import MARGIN, counts, difference_text, gain, spread_text
from eafl_flower.results.views.quantities import bytes_text, energy_text, percent_text, time_text
from eafl_flower.results.views.score_words import SHORT_TITLES

_WHOM: Final = {
    "before": "seen clients before training",
    "after": "seen clients after training",
    "unlabelled": "unseen clients without a label",
    "unseen": "unseen clients",
}
_ELSEWHERE: Final = {"after": "after local training", "unseen": "on unseen clients"}
_WITHOUT_TRAINING: Final = {"lookup": "A look-up of one feature", "majority": "The majority class"}


def verdict(summary: Mapping[str, Any], codec: str = "") -> list[str]:
    """Return sentences about a finished run, the most important first; pages have ``long_verdict``.

    Parameters
    ----------
    summary
        The content of ``summary.json``. Names of it are not escaped for a page.
    codec
        What its codec is called; "" if nobody knows.
    """
    score, own = main_score(summary)
    if score is None:
        return ["No score could be measured."]
    view = _View(score=score, own=own, baselines=summary["baselines"])
    sentences = (
        _federation(view),
        _without_training(view),
        _in_one_place(view),
        _codec(view, summary, codec),
        _not_measured(summary),
    )
    return [sentence for sentence in sentences if sentence]


def long_verdict(summary: Mapping[str, Any], codec: str = "", first: Mapping[str, float] | None = None) -> list[str]:
    """Return ``verdict`` with what was sent, spent and lost; where federation is not measured, what was reached.

    Parameters
    ----------
    summary, codec
        As for ``verdict``.
    first
        What the main score was before the first merge, by phase, if it was measured.
    """
    score, own = main_score(summary)
    reached = []
    if score is not None and not _federation(_View(score=score, own=own, baselines=summary["baselines"])):
        reached = [_reached(score, own, first or {}), _why_not_measured(summary)]
    told = (*reached, *verdict(summary, codec), _spent(summary), _trouble(summary))
    return [sentence for sentence in told if sentence]


def sweep_verdict(score: Score, phase: str, cells: Sequence[tuple[str, Sequence[float]]]) -> str:
    """Return in a sentence which combination of a sweep is best, and whether chance alone could be the reason.

    Parameters
    ----------
    score, phase
        What is compared.
    cells
        Title of each combination and its values, one a seed.
    """
    found = [(title, list(values)) for title, values in cells if values]
    if not found:
        return ""
    found.sort(key=lambda cell: gain(score, fmean(cell[1]), 0.0), reverse=True)
    (best, top), (last, bottom) = found[0], found[-1]
    if len(found) == 1:
        return f"{_named(score)} for {_whom(phase)}: {spread_text(score, top)}."
    difference, ends = gain(score, fmean(top), fmean(bottom)), [spread_text(score, values) for values in (top, bottom)]
    if not counts(score, difference, fmean(bottom)):
        return f"For {_whom(phase)} the combinations do not differ by what counts: {' to '.join(dict.fromkeys(ends))}."
    told = f"For {_whom(phase)} {best} is best with {ends[0]}, {last} last with {ends[1]}"
    if len(top) < 2 or len(bottom) < 2:
        return f"{told}. With one seed nobody knows what is chance."
    error = math.sqrt(sum(variance(values) / len(values) for values in (top, bottom)))
    if difference <= 2 * error:
        return f"{told}: less than two standard errors apart, so it may be chance."
    return f"{told}: more than two standard errors apart."


def main_score(summary: Mapping[str, Any]) -> tuple[Score | None, dict[str, float]]:
    """Return the first score of a run that has values, and these by phase; None and nothing if there is none."""
    found = stored_scores(summary)
    if not found:
        return None, {}
    score = found[0].score
    return score, {one.phase: one.value for one in found if one.score == score}


@dataclass(frozen=True, kw_only=True)
class _View:
    """The main score of a run by phase, and its baselines."""

    score: Score
    own: Mapping[str, float]
    baselines: Mapping[str, Mapping[str, float] | None]

    @property
    def main(self) -> str:
        """The phase that is spoken of first."""
        return "before" if "before" in self.own else next(iter(self.own))

    @property
    def least(self) -> str:
        """The margin in words."""
        return "a point" if self.score.unit == "%" else f"{100 * MARGIN:g} %"

    def of(self, baseline: str, phase: str) -> float | None:
        """Return what a baseline has in a phase."""
        return (self.baselines.get(baseline) or {}).get(self.score.key(phase))

    def has(self, baseline: str, phase: str) -> bool:
        """Whether run and baseline can be compared in a phase."""
        return phase in self.own and self.of(baseline, phase) is not None

    def gain(self, baseline: str, phase: str) -> float:
        """Return by how much the run is better than a baseline that it can be compared with."""
        return gain(self.score, self.own[phase], self.of(baseline, phase) or 0.0)

    def size(self, baseline: str, phase: str) -> int:
        """Return 1 for a gain that counts, -1 for a loss, 0 for less than the margin."""
        found = self.gain(baseline, phase)
        return 0 if not counts(self.score, found, self.of(baseline, phase) or 0.0) else 1 if found > 0 else -1

    def amount(self, baseline: str, phase: str) -> str:
        """Return the difference from a baseline as it is printed: ``7.5 points``."""
        return difference_text(self.score, self.gain(baseline, phase))

    def value(self, baseline: str, phase: str) -> str:
        """Return what a baseline has as it is printed."""
        return shown(self.score.text(self.of(baseline, phase)))


def _federation(view: _View) -> str:
    name, phase = "no_communication", view.main
    if not view.has(name, phase):
        return ""
    alone, amount, size = view.value(name, phase), view.amount(name, phase), view.size(name, phase)
    parts = [
        {
            1: f"Federation brought {amount} (alone: {alone})",
            0: f"Federation brought less than {view.least} (alone: {alone})",
            -1: f"Federation brought nothing: training alone is {amount} better ({alone})",
        }[size]
    ]
    for other, where in _ELSEWHERE.items():
        if other == phase or not view.has(name, other) or (other == "after" and view.size(name, other) == size):
            continue
        amount, size_there = view.amount(name, other), view.size(name, other)
        if size == size_there == 1:
            parts[0] += f", {amount} {where}"
            continue
        whom = {1: f"it brought {amount}", 0: f"less than {view.least}", -1: f"training alone is {amount} better"}
        parts.append(f"{where} {whom[size_there]}")
    return f"{'; '.join(parts)}."


def _without_training(view: _View) -> str:
    main = view.main
    best = _best(view, main)
    if best is None:
        return ""
    size, values, further = view.size(best, main), [view.value(best, main)], []
    for phase, where in _ELSEWHERE.items():
        other = None if phase == main else _best(view, phase)
        if other is None:
            continue
        size_there, value = view.size(other, phase), view.value(other, phase)
        if phase == "unseen" and best == other and size == size_there == 0:
            values.append(f"unseen {value}")
        elif phase == "unseen" or size_there != size:
            named = _WITHOUT_TRAINING[other]
            who = "" if best == other else f"{named[:1].lower()}{named[1:]} is "
            further.append(f"{where} {who}{_against(view, other, phase)} ({value})")
    told = f"{_WITHOUT_TRAINING[best]} is {_against(view, best, main)} without training ({', '.join(values)})"
    return f"{'; '.join([told, *further])}."


def _best(view: _View, phase: str) -> str | None:
    """Return which baseline without training is the best in a phase; None if there is none."""
    there = [name for name in _WITHOUT_TRAINING if view.has(name, phase)]
    return min(there, key=lambda name: view.gain(name, phase), default=None)


def _against(view: _View, baseline: str, phase: str) -> str:
    """Return how good a baseline is beside the run."""
    amount = view.amount(baseline, phase)
    return {1: f"{amount} worse", 0: "as good", -1: f"{amount} better"}[view.size(baseline, phase)]


def _in_one_place(view: _View) -> str:
    name, phase = "pooled", view.main
    if not view.has(name, phase) or view.size(name, phase) >= 0:
        return ""
    return f"All rows in one place would bring {view.amount(name, phase)} more ({view.value(name, phase)})."


def _codec(view: _View, summary: Mapping[str, Any], codec: str) -> str:
    saved, both = summary["uplink_saved"], summary.get("both_ways_saved")
    if codec in ("none", "float32") or saved is None:
        return ""
    name = shown(codec) if codec else "The codec"
    bytes_saved = (
        f"saved {percent_text(saved)} of the upload" if saved >= 0 else f"added {percent_text(-saved)} to the upload"
    )
    if saved >= 0 and both is not None and both > 0:
        bytes_saved += f", {percent_text(both)} of both ways"
    return f"{name} {_cost(view)} and {bytes_saved}." if view.has("exact", view.main) else f"{name} {bytes_saved}."


def _cost(view: _View) -> str:
    name, phase = "exact", view.main
    is_printed = view.value(name, phase) != shown(view.score.text(view.own[phase]))
    if view.size(name, phase) < 0:
        cost = f"cost {view.amount(name, phase)}"
    elif view.gain(name, phase) < 0 and is_printed:
        cost = f"cost less than {view.least}"
    else:
        cost = "cost nothing"
    if phase != "unseen" and view.has(name, "unseen") and view.size(name, "unseen") < 0:
        cost += f" ({view.amount(name, 'unseen')} on unseen clients)"
    return cost


def _not_measured(summary: Mapping[str, Any]) -> str:
    if summary["baselines"].get("no_communication") or _why_not_measured(summary) or not summary["merges"]:
        return ""
    alone, *others = [SHORT_TITLES[name] for name in ("no_communication", "exact", "pooled")]
    return f"What federation brought is not measured: --baselines all adds {alone}, {' and '.join(others)}."


def _why_not_measured(summary: Mapping[str, Any]) -> str:
    reason = summary.get("baselines_left_out", {}).get("no_communication")
    return f"What federation brought is not measured here: {reason}." if reason else ""


def _reached(score: Score, own: Mapping[str, float], first: Mapping[str, float]) -> str:
    """Say what a run has reached, and where it began."""
    parts = []
    for phase, value in own.items():
        began = f" (at the start {score.text(first[phase])})" if phase in first else ""
        whom = "" if list(own) == ["before"] else f" for {_whom(phase)}"  # alone it is of all who take part
        parts.append(f"{score.text(value)}{whom}{began}")
    return f"{_named(score)} is {_and(parts)}."


def _spent(summary: Mapping[str, Any]) -> str:
    jobs = f"{summary['merges']:,} merges took {energy_text(summary['energy_j'])}"
    time = (
        time_text(summary["wall_s"])
        if on_the_wall(summary)
        else f"{time_text(summary['virtual_time_s'])} of virtual time"
    )
    up, down = bytes_text(summary["uplink_bytes"]), bytes_text(summary["downlink_bytes"])
    return f"{jobs} and {time}; clients sent {up} and were sent {down}."


def _trouble(summary: Mapping[str, Any]) -> str:
    words = {"lost": "lost", "refused": "refused", "timeouts": "given up", "errors": "failed"}
    found = [f"{summary[key]:,} {word}" for key, word in words.items() if summary.get(key)]
    told = f"Of the jobs, {_and(found)}." if found else ""
    if "merges made" in (reason := summary["stopped"]):
        return told
    return f"{told} It ended because: {reason}.".strip()


def _whom(phase: str) -> str:
    return _WHOM.get(phase, shown(phase) or "all clients")


def _named(score: Score) -> str:
    return f"{score.title[:1].upper()}{score.title[1:]}"


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
