"""What came out of a run, in words: what federation brought, what it is worth, what its codec cost.

Every sentence is computed from ``summary.json``. Small differences count as none (``MARGIN``): one run does not show
them. The main score of the task decides, on clients that train before their local training, and on unseen ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from eafl_flower.core.scores import Score
from eafl_flower.core.words import shown
from eafl_flower.results.scores import stored_scores
from eafl_flower.results.views.quantities import percent_text
from eafl_flower.results.views.score_words import BASELINE_TITLES

MARGIN: Final = 0.01
"""Of a score in percent a difference of one point counts, of any other this share of its value."""

_WITHOUT_TRAINING = ("lookup", "majority")
_ELSEWHERE = {"after": "after local training", "unseen": "on unseen clients"}
_NAMED = {"lookup": "A look-up of one feature", "majority": "The majority class"}


def verdict(summary: Mapping[str, Any], codec: str = "") -> list[str]:
    """Return sentences about a finished run, the most important first.

    Parameters
    ----------
    summary
        The content of ``summary.json``.
    codec
        What its codec is called; "" if nobody knows.
    """
    found = stored_scores(summary)
    if not found:
        return ["No score could be measured."]
    score = found[0].score
    own = {m.phase: m.value for m in found if m.score == score}
    view = _View(score=score, own=own, baselines=summary["baselines"])
    sentences = (
        _federation(view),
        _without_training(view),
        _in_one_place(view),
        _codec(view, summary, codec),
        _not_measured(view, summary),
    )
    return [sentence for sentence in sentences if sentence]


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

    def of(self, baseline: str, phase: str) -> float | None:
        """Return what a baseline has in a phase."""
        return (self.baselines.get(baseline) or {}).get(self.score.key(phase))

    def gain(self, baseline: str, phase: str) -> float | None:
        """Return by how much the run is better than a baseline; None if either is not there."""
        other, own = self.of(baseline, phase), self.own.get(phase)
        if other is None or own is None:
            return None
        return own - other if self.score.higher_is_better else other - own

    def size(self, gain: float, phase: str) -> int:
        """Return 1 for a gain, -1 for a loss, 0 for what is less than the margin."""
        margin = 1 / self.score.factor if self._in_percent else MARGIN * abs(self.own[phase])
        return 0 if abs(gain) < margin else 1 if gain > 0 else -1

    @property
    def least(self) -> str:
        """The margin in words."""
        return "a point" if self._in_percent else f"{MARGIN:.0%}"

    def is_seen(self, gain: float) -> bool:
        """Whether a difference is more than zeros where it is printed."""
        return float(self.score.number(abs(gain))) > 0

    def amount(self, gain: float) -> str:
        """Return a difference as it is printed: ``7.5 points``."""
        number = self.score.number(abs(gain))
        return f"{number} points" if self._in_percent else f"{number} {shown(self.score.unit)}".rstrip()

    def value(self, value: float | None) -> str:
        """Return a value as it is printed."""
        return shown(self.score.text(value))

    @property
    def _in_percent(self) -> bool:
        return self.score.unit == "%"


def _federation(view: _View) -> str:
    name, phase = "no_communication", view.main
    gain = view.gain(name, phase)
    if gain is None:
        return ""
    alone, size = view.value(view.of(name, phase)), view.size(gain, phase)
    parts = [
        {
            1: f"Federation brought {view.amount(gain)} (alone: {alone})",
            0: f"Federation brought less than {view.least} (alone: {alone})",
            -1: f"Federation brought nothing: training alone is {view.amount(gain)} better ({alone})",
        }[size]
    ]
    for other, where in _ELSEWHERE.items():
        gain = None if other == phase else view.gain(name, other)
        if gain is None or (other == "after" and view.size(gain, other) == size):
            continue
        amount, size_there = view.amount(gain), view.size(gain, other)
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
    size, values, further = _size(view, best, main), [view.value(view.of(best, main))], []
    for phase, where in _ELSEWHERE.items():
        other = None if phase == main else _best(view, phase)
        if other is None:
            continue
        size_there, value = _size(view, other, phase), view.value(view.of(other, phase))
        if phase == "unseen" and best == other and size == size_there == 0:
            values.append(f"unseen {value}")
        elif phase == "unseen" or size_there != size:
            who = "" if best == other else f"{_NAMED[other][:1].lower()}{_NAMED[other][1:]} is "
            further.append(f"{where} {who}{_against(view, other, phase)} ({value})")
    told = f"{_NAMED[best]} is {_against(view, best, main)} without training ({', '.join(values)})"
    return f"{'; '.join([told, *further])}."


def _size(view: _View, baseline: str, phase: str) -> int:
    """Return 1 where the run is better than a baseline, -1 where it is worse, 0 where it is as good."""
    return view.size(view.gain(baseline, phase) or 0.0, phase)


def _best(view: _View, phase: str) -> str | None:
    """Return which baseline without training is the best in a phase; None if there is none."""
    there = [name for name in _WITHOUT_TRAINING if view.gain(name, phase) is not None]
    return min(there, key=lambda name: view.gain(name, phase) or 0.0, default=None)


def _against(view: _View, baseline: str, phase: str) -> str:
    """Return how good a baseline is beside the run."""
    amount = view.amount(view.gain(baseline, phase) or 0.0)
    return {1: f"{amount} worse", 0: "as good", -1: f"{amount} better"}[_size(view, baseline, phase)]


def _in_one_place(view: _View) -> str:
    gain = view.gain("pooled", view.main)
    if gain is None or view.size(gain, view.main) >= 0:
        return ""
    return f"All rows in one place would bring {view.amount(gain)} more ({view.value(view.of('pooled', view.main))})."


def _codec(view: _View, summary: Mapping[str, Any], codec: str) -> str:
    saved, both = summary["uplink_saved"], summary.get("both_ways_saved")
    if codec in ("none", "float32") or saved is None:
        return ""
    name = shown(codec) if codec else "The codec"
    bytes_text = (
        f"saved {percent_text(saved)} of the upload" if saved >= 0 else f"added {percent_text(-saved)} to the upload"
    )
    if saved >= 0 and both is not None and both > 0:
        bytes_text += f", {percent_text(both)} of both ways"
    gain = view.gain("exact", view.main)
    if gain is None:
        return f"{name} {bytes_text}."
    cost = f"cost {view.amount(gain)}" if gain < 0 and view.is_seen(gain) else "cost nothing"
    unseen = view.gain("exact", "unseen") if view.main != "unseen" else None
    if unseen is not None and view.size(unseen, "unseen") < 0:
        cost += f" ({view.amount(unseen)} on unseen clients)"
    return f"{name} {cost} and {bytes_text}."


def _not_measured(view: _View, summary: Mapping[str, Any]) -> str:
    there, left_out = summary["baselines"], summary.get("baselines_left_out", {})
    if there.get("no_communication") or "no_communication" in left_out or not summary["merges"]:
        return ""
    titles = [BASELINE_TITLES[name] for name in ("no_communication", "exact", "pooled")]
    return f"What federation brought is not measured: --baselines all adds {', '.join(titles)}."
