"""What came of a run, in sentences: what federation brought, what the codec cost, what was sent and spent.

A verdict says what one run can show and no more: differences below ``MARGIN`` are called none.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev, variance
from typing import Any, Final

from eafl_flower.core.scores import Score
from eafl_flower.results.scores import stored_scores
from eafl_flower.results.summary import on_the_wall
from eafl_flower.results.views.quantities import bytes_text, energy_text, percent_text, time_text

MARGIN: Final = 0.01
"""Below it a difference is none: of a score in percent a point, of another one so large a share of it."""

_WHOM: Final = {
    "before": "seen clients before training",
    "after": "seen clients after training",
    "unlabelled": "unseen clients without a label",
    "unseen": "unseen clients",
}
_SIMPLE: Final = {"lookup": "a look-up of one feature", "majority": "always naming the most frequent class"}
Values = Mapping[str, float]


def verdict(summary: Mapping[str, Any], first: Mapping[str, float] | None = None) -> list[str]:
    """Return what came of a finished run, the most important sentence first.

    Parameters
    ----------
    summary
        That of ``summary.json``. Names in the sentences may come from a run: they are not escaped.
    first
        What the main score was before the first merge, by phase, if it was measured.
    """
    score, own = main_score(summary)
    sentences = []
    if score is not None:
        alone = _values(summary, "no_communication", score)
        if alone:
            sentences.append(_federation(score, own, alone))
        else:
            sentences += [_reached(score, own, first or {}), _not_known(summary)]
        sentences.append(_without_training(score, own, {name: _values(summary, name, score) for name in _SIMPLE}))
        sentences.append(_pooled(score, own, _values(summary, "pooled", score)))
        sentences.append(_codec(score, own, _values(summary, "exact", score)))
    sentences += [_sent(summary), _spent(summary), _trouble(summary)]
    return [sentence for sentence in sentences if sentence]


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
    if not is_clear(score, difference, fmean(bottom)):
        return f"For {_whom(phase)} the combinations do not differ by what counts: {' to '.join(dict.fromkeys(ends))}."
    told = f"For {_whom(phase)} {best} is best with {ends[0]}, {last} last with {ends[1]}"
    if len(top) < 2 or len(bottom) < 2:
        return f"{told}. With one seed nobody knows what is chance."
    error = math.sqrt(sum(variance(values) / len(values) for values in (top, bottom)))
    if difference <= 2 * error:
        return f"{told}: less than two standard errors apart, so it may be chance."
    return f"{told}: more than two standard errors apart."


def spread_text(score: Score, values: Sequence[float]) -> str:
    """Return mean and standard deviation in words, and over how many seeds.

    Examples
    --------
    >>> from eafl_flower.core.scores import ACCURACY
    >>> spread_text(ACCURACY, [0.7, 0.72]), spread_text(ACCURACY, [0.7])
    ('71.0 ± 1.4 % (2 seeds)', '70.0 % (one seed)')
    """
    if len(values) == 1:
        return f"{score.text(values[0])} (one seed)"
    mean = f"{score.number(fmean(values))} ± {score.number(stdev(values))} {score.unit}".rstrip()
    return f"{mean} ({len(values)} seeds)"


def main_score(summary: Mapping[str, Any]) -> tuple[Score | None, dict[str, float]]:
    """Return the first score of a run that has values, and these by phase; None and nothing if there is none."""
    found = stored_scores(summary)
    if not found:
        return None, {}
    score = found[0].score
    return score, {one.phase: one.value for one in found if one.score == score}


def difference_text(score: Score, better: float) -> str:
    """Return a difference in words, whichever way is better: points of a percentage, else the number.

    Examples
    --------
    >>> from eafl_flower.core.scores import ACCURACY
    >>> difference_text(ACCURACY, 0.075), difference_text(ACCURACY, 0.01)
    ('7.5 points', '1.0 points')
    """
    if score.unit == "%":
        return f"{score.factor * better:.1f} points"
    return f"{score.factor * better:.3g} {score.unit}".rstrip()


def is_clear(score: Score, difference: float, beside: float) -> bool:
    """Return whether a difference is one that counts, beside this value."""
    if score.unit == "%":
        return abs(score.factor * difference) >= 100 * MARGIN
    return abs(difference) >= MARGIN * abs(beside) and difference != 0


def gain(score: Score, own: float, other: float) -> float:
    """Return by how much ``own`` is better than ``other``; negative if it is worse."""
    return own - other if score.higher_is_better else other - own


def _reached(score: Score, own: Values, first: Values) -> str:
    """Say what a run has reached, and where it began."""
    parts = []
    for phase, value in own.items():
        began = f" (at the start {score.text(first[phase])})" if phase in first else ""
        whom = "" if list(own) == ["before"] else f" for {_whom(phase)}"  # alone it is of all who take part
        parts.append(f"{score.text(value)}{whom}{began}")
    return f"{_named(score)} is {_and(parts)}."


def _not_known(summary: Mapping[str, Any]) -> str:
    if reason := summary.get("baselines_left_out", {}).get("no_communication"):
        return f"What federation brought is not measured here: {reason}."
    return 'What federation brought is not known: the run was made without the baseline "no communication".'


def _federation(score: Score, own: Values, alone: Values) -> str:
    phases = [phase for phase in own if phase in alone]
    told: dict[str, list[str]] = {"brought": [], "cost": [], "nothing": []}
    for phase in phases:
        better = gain(score, own[phase], alone[phase])
        if not is_clear(score, better, alone[phase]):
            told["nothing"].append(f"for {_whom(phase)}")
        else:
            told["brought" if better > 0 else "cost"].append(
                f"{difference_text(score, abs(better))} for {_whom(phase)}"
            )
    parts = [f"{verb} {_and(told[verb])}" for verb in ("brought", "cost") if told[verb]]
    if told["nothing"]:
        parts.append(f"brought nothing that counts {_and(told['nothing'])}")
    of = "" if score.unit == "%" else f" of {score.title}"
    return f"Beside each client alone, federation {_and(parts)}{of}."


def _without_training(score: Score, own: Values, simple: Mapping[str, Values | None]) -> str:
    """Compare with the better of what needs no training, where that is closest to the run or ahead of it."""
    found = [
        (gain(score, own[phase], values[phase]), phase, name)
        for name, values in simple.items()
        if values is not None
        for phase in own
        if phase in values
    ]
    if not found:
        return ""
    least, phase, name = min(found)
    value = (simple[name] or {})[phase]
    words = f"Without any training {_SIMPLE[name]} reaches {score.text(value)} for {_whom(phase)}"
    if not is_clear(score, least, value):
        return f"{words}: as much as the trained network."
    if least < 0:
        return f"{words}: {difference_text(score, -least)} more than the trained network."
    return f"{words}, {difference_text(score, least)} less than the trained network."


def _pooled(score: Score, own: Values, pooled: Values | None) -> str:
    phases = [phase for phase in own if pooled is not None and phase in pooled]
    if pooled is None or not phases:
        return ""
    worst = min(phases, key=lambda phase: gain(score, own[phase], pooled[phase]))
    behind = -gain(score, own[worst], pooled[worst])
    if behind <= 0 or not is_clear(score, behind, pooled[worst]):
        return "Beside the same network trained on all rows in one place, nothing that counts is lost."
    return (
        f"Beside the same network trained on all rows in one place, up to {difference_text(score, behind)} are lost, "
        f"for {_whom(worst)}."
    )


def _codec(score: Score, own: Values, exact: Values | None) -> str:
    phases = [phase for phase in own if exact is not None and phase in exact]
    if exact is None or not phases:
        return ""
    worst = min(phases, key=lambda phase: gain(score, own[phase], exact[phase]))
    cost = -gain(score, own[worst], exact[worst])
    if cost <= 0 or not is_clear(score, cost, exact[worst]):
        return "Coding the updates cost nothing that counts, against the same run with exact ones."
    return f"Coding the updates cost up to {difference_text(score, cost)}, for {_whom(worst)}."


def _sent(summary: Mapping[str, Any]) -> str:
    up, down = summary["uplink_saved"], summary["downlink_saved"]
    sent = f"Clients sent {bytes_text(summary['uplink_bytes'])} and were sent {bytes_text(summary['downlink_bytes'])}"
    shares = {"on the way up": up, "on the way down": down}
    saved = [f"{percent_text(share)} {way}" for way, share in shares.items() if share is not None and share >= 0.0005]
    if not saved:
        return f"{sent}; nothing was saved by coding." if up is not None else f"{sent}."
    if up is not None and up == down:
        saved = [f"{percent_text(up)} in either direction"]
    return f"{sent}. Beside float32 that saves {_and(saved)}."


def _spent(summary: Mapping[str, Any]) -> str:
    jobs = f"{summary['merges']:,} merges took {energy_text(summary['energy_j'])}"
    if on_the_wall(summary):
        return f"{jobs} and {time_text(summary['wall_s'])}."
    return f"{jobs} and {time_text(summary['virtual_time_s'])} of virtual time."


def _trouble(summary: Mapping[str, Any]) -> str:
    words = {"lost": "lost", "refused": "refused", "timeouts": "given up", "errors": "failed"}
    found = [f"{summary[key]:,} {word}" for key, word in words.items() if summary.get(key)]
    told = f"Of the jobs, {_and(found)}." if found else ""
    if "merges made" in (reason := summary["stopped"]):
        return told
    return f"{told} It ended because: {reason}.".strip()


def _values(summary: Mapping[str, Any], name: str, score: Score) -> dict[str, float] | None:
    """Return a baseline by phase, None if it was not run."""
    stored = summary["baselines"].get(name)
    if stored is None:
        return None
    phases = [found.phase for found in stored_scores(summary) if found.score == score]
    return {phase: stored[score.key(phase)] for phase in phases if score.key(phase) in stored}


def _whom(phase: str) -> str:
    return _WHOM.get(phase, phase or "all clients")


def _named(score: Score) -> str:
    return f"{score.title[:1].upper()}{score.title[1:]}"


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
