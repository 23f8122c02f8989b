"""Figures of what a run has reached: scores over time and bytes, and where it stands beside its baselines."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from eafl_flower.core.events import Event
from eafl_flower.core.scores import Score, measured
from eafl_flower.results.report.drawn import (
    LINES,
    Entry,
    axes_of,
    bytes_scale,
    finished,
    from_to,
    label,
    mark,
    series,
    through,
    time_scale,
)
from eafl_flower.results.report.page import Html
from eafl_flower.results.report.terms import term
from eafl_flower.results.views.drawing import FAINT, SERIES, id_of
from eafl_flower.results.views.score_words import BASELINE_TITLES, PHASE_TITLES, direction, heading, phase_text

BASELINE_TERMS: Final = {name: name.replace("_", "-") for name in BASELINE_TITLES}


@dataclass(frozen=True)
class Curve:
    """One score in one phase over the course of one run."""

    title: str
    time_s: Sequence[float]
    uplink_bytes: Sequence[float]
    values: Sequence[float]
    merges: Sequence[int] = ()


def curves_of(events: Sequence[Event], scores: Sequence[Score]) -> dict[tuple[Score, str], Curve]:
    """Return the curves of a run by score and phase, from its evaluations."""
    points: dict[tuple[Score, str], list[tuple[float, float, float, int]]] = {}
    uplink = 0
    for event in events:
        uplink += event.get("uplink_bytes", 0)
        if event["event"] == "evaluate":
            for found in measured(event["metrics"], scores):
                point = (event["time_s"], uplink, found.value, event["merge"])
                points.setdefault((found.score, found.phase), []).append(point)
    return {
        (score, phase): Curve(phase, *(list(column) for column in zip(*rows, strict=True)))
        for (score, phase), rows in points.items()
    }


def phase_term(phase: str, *, short: bool = False) -> str | Html:
    """Return a phase with its definition, if it is one that we know; ``short`` for the head of a table."""
    return term(phase, _short(phase) if short else "") if phase in PHASE_TITLES else phase_text(phase)


def score_term(score: Score) -> str | Html:
    """Return what a score is called, with its definition if it is one that we know."""
    return term(score.name, heading(score, "")) if score.name in ("mse", "objective") else heading(score, "")


def baseline_term(name: str) -> Html:
    """Return a baseline with its definition."""
    return term(BASELINE_TERMS[name])


def score_figure(
    curves: Sequence[Curve],
    *,
    score: Score,
    against: str,
    name: str,
    title: object,
    clock: str = "virtual time",
    levels: Mapping[str, float | None] | None = None,
    note: object = "",
    named: Callable[[str], str | Html] = str,
) -> Html:
    """Draw a score against time or uplink bytes.

    Parameters
    ----------
    curves
        One line each.
    score
        What is drawn.
    against
        ``"time"`` or ``"bytes"``.
    name
        Score and phase; with ``against`` it makes the figure's ids unique on the page.
    title, note
        Caption of the figure.
    clock
        What times are of.
    levels
        Horizontal lines: baselines by their name in a summary. One that is None is left out, and the others keep
        their style.
    named
        What the legend calls a curve, by its title.
    """
    scale, x_label = _axis(curves, against, clock)
    legend = []
    with axes_of(x=x_label, y=axis_title(score)) as (figure, axes):
        for place, (baseline, level) in enumerate((levels or {}).items()):
            if level is not None:
                axes.axhline(score.factor * level, color=FAINT, linestyle=LINES[place % len(LINES)], linewidth=1.3)
                legend.append(Entry(baseline_term(baseline), "--faint", "dashes", place, score.text(level)))
        for index, curve in enumerate(curves):
            xs = [x / scale for x in (curve.time_s if against == "time" else curve.uplink_bytes)]
            ys = [score.factor * y for y in curve.values]
            beyond = index >= len(SERIES)  # colours come round again
            through(axes, xs, ys, series(index), linestyle=":" if beyond else "-", marker=mark(index))
            end = score.text(curve.values[-1]) if len(curve.values) else ""
            legend.insert(index, Entry(named(curve.title), index, value=end))
        axes.set_xlim(left=0)
        axes.margins(y=0.12)
        what = f"{label(heading(score, ''))} against {x_label}"
        ways = [f"{label(curve.title or 'score')} {from_to(curve.values, score.text)}" for curve in curves[:8]]
        told = f"{what}: {'; '.join(ways)}" if curves else what
        return finished(figure, f"{id_of(name)}-{against}", title=title, description=told, note=note, entries=legend)


def added_figure(curves: Mapping[str, Curve], score: Score, clock: str) -> Html:
    """Draw how much better a score is after training on a client's own rows, over the course of a run.

    ``curves`` are those of the score by phase; nothing where no phase has its counterpart.
    """
    pairs = [
        (one, other) for one, other in (("before", "after"), ("unlabelled", "unseen")) if {one, other} <= {*curves}
    ]
    lines: list[tuple[str, list[float], list[float]]] = []
    for one, other in pairs:
        first, then = curves[one], dict(zip(curves[other].merges, curves[other].values, strict=True))
        found = [
            (time_s, then[merge] - value if score.higher_is_better else value - then[merge])
            for time_s, merge, value in zip(first.time_s, first.merges, first.values, strict=True)
            if merge in then
        ]
        if found:
            lines.append((other, [time_s for time_s, _ in found], [better for _, better in found]))
    if not lines:
        return Html()
    scale, unit = time_scale(max(xs[-1] for _, xs, _ in lines))
    entries, told = [], []
    with axes_of(2.5, x=f"{clock} [{unit}]", y=f"{score.title}, better by") as (figure, axes):
        for index, (other, xs, ys) in enumerate(lines):
            through(axes, [x / scale for x in xs], [score.factor * y for y in ys], series(index), marker=mark(index))
            end = f"{score.factor * ys[-1]:+.3g}"
            whom = "seen clients, a job more" if other == "after" else "unseen clients, adapted to their rows"
            entries.append(Entry(whom, index, value=end))
            told.append(f"{whom} {end} at the end")
        axes.axhline(0, color=FAINT, linewidth=0.9)
        axes.set_xlim(left=0)
        return finished(
            figure,
            f"{id_of(score.name)}-added",
            title="What training on their own rows adds",
            note="Above 0 it helps, below it harms.",
            description=f"What training on a client's own rows adds to {label(score.title)}: {'; '.join(told)}",
            entries=entries,
        )


def standing_figure(
    score: Score, phases: Sequence[str], own: Mapping[str, float], baselines: Mapping[str, Mapping[str, float]]
) -> Html:
    """Draw where a run ended beside its baselines, a row for each phase.

    ``own`` are the values of the run by phase, ``baselines`` those of each baseline by its name in a summary and phase.
    """
    rows = [phase for phase in phases if phase in own]
    legend = [Entry("this run", 0, "dot")]
    with axes_of(0.85 + 0.52 * len(rows), x=axis_title(score), grid="both") as (figure, axes):
        for place, (name, values) in enumerate(baselines.items(), start=1):
            points = [(score.factor * values[phase], row) for row, phase in enumerate(rows) if phase in values]
            if points:
                xs, ys = zip(*points, strict=True)
                axes.scatter(xs, ys, s=42, facecolors="none", edgecolors=series(place), marker="o", linewidths=1.6)
                legend.append(Entry(baseline_term(name), place, "ring"))
        axes.scatter([score.factor * own[phase] for phase in rows], range(len(rows)), s=78, c=series(0), zorder=3)
        axes.set_yticks(range(len(rows)), [label(_short(phase), 14) for phase in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.margins(x=0.08)
        told = "; ".join(
            f"{label(phase_text(phase) or score.title)}: {score.text(own[phase])}, "
            + ", ".join(f"{BASELINE_TITLES[n]} {score.text(v[phase])}" for n, v in baselines.items() if phase in v)
            for phase in rows
        )
        return finished(
            figure,
            f"{id_of(score.name)}-standing",
            title=f"{heading(score, '')}: the run beside its baselines",
            note=direction(score),
            description=f"{label(heading(score, ''))} at the end. {told}",
            entries=legend,
        )


def axis_title(score: Score) -> str:
    """Return what stands at an axis of a score."""
    return f"{score.title} [{score.unit}]" if score.unit else score.title


def _short(phase: str) -> str:
    return {"before": "before", "after": "after", "unlabelled": "no label", "unseen": "unseen"}.get(phase, phase or "-")


def _axis(curves: Sequence[Curve], against: str, clock: str) -> tuple[float, str]:
    if against == "time":
        scale, unit = time_scale(max((max(curve.time_s, default=0) for curve in curves), default=0))
        return scale, f"{clock} [{unit}]"
    scale, unit = bytes_scale(max((max(curve.uplink_bytes, default=0) for curve in curves), default=0))
    return scale, f"uplink of all clients together [{unit}]"
