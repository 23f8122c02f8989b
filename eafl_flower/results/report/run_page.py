"""One run as an HTML page."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from eafl_flower.core.events import Event
from eafl_flower.core.scores import Score, measured
from eafl_flower.results.report import page, sections
from eafl_flower.results.report.figures import (
    Curve,
    axis_title,
    baseline_term,
    curves_of,
    phase_term,
    score_figure,
    score_term,
    standing_figure,
)
from eafl_flower.results.report.settings_section import facts, identity_section, settings_section
from eafl_flower.results.report.terms import term, terms_section
from eafl_flower.results.run_directory import RunDirectory
from eafl_flower.results.scores import declared_scores, scores_of_events, stored_scores
from eafl_flower.results.summary import on_the_wall
from eafl_flower.results.views.comparison import changed_configs
from eafl_flower.results.views.quantities import bytes_text, energy_text, percent_text, time_text
from eafl_flower.results.views.score_words import BASELINE_TITLES, direction, left_out
from eafl_flower.results.views.verdict import long_verdict, main_score

_LEVELS: Final = ("pooled", "no_communication", "lookup")  # of each kind one: four lines in a figure are enough

_UNFINISHED: Final = "This run has not finished: it is shown as far as it went."
_UNSUMMED: Final = "This run has ended without a summary: it is shown by its events alone."


def run_page(run: RunDirectory) -> str:
    """Return the HTML report of one run; it may still be going on or have failed.

    Raises
    ------
    CheckpointError
        If the directory is damaged.
    ImportError
        If Matplotlib is missing.
    """
    events, settings = run.events(), run.settings()
    summary = run.summary() if run.finished else None
    scores = declared_scores(summary) if summary else scores_of_events(events)
    curves = curves_of(events, scores)
    clock = _clock(summary, events)
    parts: list[str] = []
    if summary:
        parts.append(page.tiles(_tiles(summary, clock)))
        changed = [page.paragraph(line, "warning") for line in changed_configs([run])]
        parts += [*changed, _results(summary)]
    else:
        parts.append(page.paragraph(_UNSUMMED if has_ended(events) else _UNFINISHED, "warning"))
    parts.append(_learning(curves, summary, clock))
    parts += sections.of_run(events, settings, summary, curves, clock)
    parts += [settings_section(settings), identity_section(summary)]
    made_of = facts(settings, summary, events)
    return page.page(
        summary["name"] if summary else run.path.name,
        [part for part in (*parts, terms_section([made_of, *parts]), _footer()) if part],
        kind="Report of a run",
        facts=made_of,
        verdict=long_verdict(summary, str(settings.get("codec.name", "")), _first(summary, events)) if summary else (),
    )


def has_ended(events: Iterable[Event]) -> bool:
    """Whether a run has come to its end, though it may have no summary: the strategy of somebody's own app."""
    return any(event["event"] == "stop" for event in events)


def _clock(summary: Mapping[str, Any] | None, events: Sequence[Event]) -> str:
    """Return what the times of a run are of: in deployments real, and a status is told now and then."""
    real = on_the_wall(summary) if summary else any(event["event"] == "status" for event in events)
    return "time" if real else "virtual time"


def _first(summary: Mapping[str, Any], events: Sequence[Event]) -> dict[str, float]:
    """Return the main score before the first merge by phase; nothing if it was not measured then."""
    score, _ = main_score(summary)
    first = next((e for e in events if e["event"] == "evaluate"), None)
    if score is None or first is None or first["merge"]:
        return {}
    return {found.phase: found.value for found in measured(first["metrics"], [score])}


def _tiles(summary: Mapping[str, Any], clock: str) -> list[tuple[object, object, object]]:
    score, own = main_score(summary)
    shown: list[tuple[object, object, object]] = []
    if score is not None:
        for phase in list(own)[:4]:
            name = page.joined(score.title, ", ", phase_term(phase)) if phase else score.title
            shown.append((name, score.text(own[phase]), ""))
    up, down = summary["uplink_saved"], summary["downlink_saved"]
    shown.append(("sent up", bytes_text(summary["uplink_bytes"]), f"{percent_text(up)} saved" if up else ""))
    shown.append(("sent down", bytes_text(summary["downlink_bytes"]), f"{percent_text(down)} saved" if down else ""))
    shown.append(("energy of all clients", energy_text(summary["energy_j"]), ""))
    real = time_text(summary["wall_s"])
    if on_the_wall(summary):
        shown.append(("time", real, ""))
    else:
        shown.append((term("virtual-time"), time_text(summary["virtual_time_s"]), f"computed in {real}"))
    return shown


def _results(summary: Mapping[str, Any]) -> str:
    """Return where the run stands beside its baselines: of each score a figure and a table."""
    baselines = {name: summary["baselines"].get(name) or {} for name in BASELINE_TITLES}
    by_score: dict[Score, dict[str, float]] = {}
    for found in stored_scores(summary):
        by_score.setdefault(found.score, {})[found.phase] = found.value
    drawn: list[str] = []
    for score, own in by_score.items():
        of_phase = {
            name: {phase: values[score.key(phase)] for phase in own if score.key(phase) in values}
            for name, values in baselines.items()
        }
        beside = {name: values for name, values in of_phase.items() if values}
        if beside:
            drawn.append(standing_figure(score, list(own), own, beside))
        drawn.append(_score_table(summary["name"], score, own, beside))
    note = "; ".join(left_out(summary))
    return page.section("What came out", page.figures(*drawn), note=note)


def _score_table(name: str, score: Score, own: Mapping[str, float], beside: Mapping[str, Mapping[str, float]]) -> str:
    corner = ", ".join(filter(None, (axis_title(score), direction(score))))
    rows: list[tuple[object, ...]] = [(name, *(score.number(value) for value in own.values()))]
    for baseline, values in beside.items():
        cells = (score.number(values[phase]) if phase in values else "-" for phase in own)
        rows.append((baseline_term(baseline), *cells))
    return page.table((corner, *(phase_term(phase, short=True) for phase in own)), rows, own=0)


def _learning(curves: Mapping[tuple[Score, str], Curve], summary: Mapping[str, Any] | None, clock: str) -> str:
    """Return how scores moved: each over time, and all of a score over bytes."""
    if not curves:
        return ""
    baselines: Mapping[str, Any] = summary["baselines"] if summary else {}
    drawn: list[str] = []
    for score in dict.fromkeys(score for score, _ in curves):
        own = {phase: curve for (of, phase), curve in curves.items() if of == score}
        for phase, curve in own.items():
            key = score.key(phase)
            levels = {name: (baselines.get(name) or {}).get(key) for name in _LEVELS}
            lines = [replace(curve, title=summary["name"] if summary else "this run")]
            title = page.joined(score_term(score), ", ", phase_term(phase)) if phase else score_term(score)
            drawn.append(
                score_figure(
                    lines,
                    score=score,
                    against="time",
                    name=key,
                    title=title,
                    clock=clock,
                    levels=levels,
                    note=direction(score),
                )
            )
        if any(curve.uplink_bytes and curve.uplink_bytes[-1] for curve in own.values()):
            drawn.append(
                score_figure(
                    [*own.values()],
                    score=score,
                    against="bytes",
                    name=score.name,
                    title=page.joined(score_term(score), " for what was sent"),
                    note=direction(score),
                    named=phase_term,
                )
            )
    return page.section("How it learnt", page.figures(*drawn))


def _footer() -> page.Html:
    return page.Html(
        "<footer>Made by <code>eafl report</code> from the files of the run. The page is complete in itself: it loads "
        "nothing and runs no script.</footer>"
    )
