"""A sweep as an HTML page: its combinations compared, mean and deviation over seeds, curves overlaid."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Final

from eafl_flower.core.scores import Score
from eafl_flower.results.report import page
from eafl_flower.results.report.cells import Cell, Sweep, mean_curve, sweep_of
from eafl_flower.results.report.drawn import (
    Entry,
    axes_of,
    bytes_scale,
    finished,
    label,
    legend,
    mark,
    series,
    time_scale,
)
from eafl_flower.results.report.figures import Curve, axis_title, phase_term
from eafl_flower.results.report.page import Html, joined
from eafl_flower.results.report.terms import term, terms_section
from eafl_flower.results.run_directory import RunDirectory
from eafl_flower.results.views.comparison import changed_configs, data_note
from eafl_flower.results.views.drawing import SERIES, id_of
from eafl_flower.results.views.quantities import bytes_text, energy_text, time_text
from eafl_flower.results.views.score_words import columns_of, direction, heading
from eafl_flower.results.views.verdict import sweep_verdict

_MOST_LINES: Final = 12  # combinations that one figure can hold
_TOLD: Final = ("before", "unseen")  # phases that the verdict is of, where they were measured
_COSTS: Final = {
    "uplink_bytes": ("uplink", bytes_text),
    "energy_j": ("energy", energy_text),
    "virtual_time_s": ("time", time_text),
}


def sweep_page(folder: Path) -> str:
    """Return the HTML report of the folder of a sweep.

    Raises
    ------
    CheckpointError
        If none of its runs has finished, or one is damaged.
    ImportError
        If Matplotlib is missing.
    """
    sweep = sweep_of(folder)
    cells = sweep.cells
    runs = [run for cell in cells for run in cell.runs]
    parts: list[str] = [page.paragraph(line, "warning") for line in _warnings(sweep, runs)]
    parts += [_table(cells), *_learning(cells), _costs(cells), _combinations(cells)]
    seeds = max(len(cell.runs) for cell in cells)
    told = joined(
        f"{len(cells):,} combination{'s' if len(cells) > 1 else ''} · {seeds:,} ",
        term("seed", "seeds" if seeds > 1 else "seed"),
        f" · {len(runs):,} runs",
    )
    return page.page(
        folder.resolve().name,
        [part for part in (*parts, terms_section([told, *parts])) if part],
        kind="Report of a sweep",
        facts=told,
        verdict=_verdict(cells),
    )


def _warnings(sweep: Sweep, runs: Sequence[RunDirectory]) -> list[str]:
    found = changed_configs(runs)
    if sweep.unfinished:
        found.append(f"Left out, for they have not finished: {', '.join(sweep.unfinished)}.")
    if "so do not compare" in (note := data_note(runs)):
        found.append(note)
    return found


def _verdict(cells: Sequence[Cell]) -> list[str]:
    columns = [*columns_of(summary for cell in cells for summary in cell.summaries).values()]
    if not columns:
        return []
    score = columns[0][0]
    phases = [phase for of, phase in columns if of == score]
    told = [phase for phase in phases if phase in _TOLD] or phases[:2]
    found = [sweep_verdict(score, phase, [(cell.title, cell.scores(score, phase)) for cell in cells]) for phase in told]
    return [sentence for sentence in (*found, *_spent(cells)) if sentence]


def _spent(cells: Sequence[Cell]) -> list[str]:
    """Say which combinations take least and most, of each cost or of several at once."""
    found: dict[tuple[str, str], list[str]] = {}
    for quantity, (name, words) in _COSTS.items():
        means = sorted((cell.mean(quantity), place) for place, cell in enumerate(cells))
        (least, first), (most, last) = means[0], means[-1]
        if most > 1.01 * least:
            ends = cells[first].title, cells[last].title
            found.setdefault(ends, []).append(f"{name} {words(least)} and {words(most)}")
    return [f"{first} takes least, {last} most: {', '.join(told)}." for (first, last), told in found.items()]


def _table(cells: Sequence[Cell]) -> Html:
    columns = columns_of(summary for cell in cells for summary in cell.summaries).values()
    several = len({score for score, _ in columns}) > 1
    header: list[object] = ["", term("seed", "seeds")]
    for score, phase in columns:
        name = phase_term(phase, short=True) if phase else score.title
        unit = f" [{score.unit}]" if score.unit else ""
        header.append(joined(f"{score.title}, " if several and phase else "", name, unit))
    header += [name for name, _ in _COSTS.values()]
    rows = [
        (
            f"{_number(place)} {cell.title}",
            len(cell.runs),
            *(_spread(score, cell.scores(score, phase)) for score, phase in columns),
            *(words(cell.mean(quantity)) for quantity, (_, words) in _COSTS.items()),
        )
        for place, cell in enumerate(cells)
    ]
    drawn = [_cells_figure(cells, score, phase) for score, phase in columns]
    note = joined("Means ", term("deviation"), " over ", term("seed", "seeds"), "; costs are means.")
    return page.section("Combinations compared", _key(cells), page.figures(*drawn), page.table(header, rows), note=note)


def _spread(score: Score, values: Sequence[float]) -> str:
    if not values:
        return "-"
    deviation = f" ± {score.number(stdev(values))}" if len(values) > 1 else ""
    return f"{score.number(fmean(values))}{deviation}"


def _cells_figure(cells: Sequence[Cell], score: Score, phase: str) -> Html:
    """Draw of each combination the mean of a score, its deviation, and each run."""
    found = [(place, cell, cell.scores(score, phase)) for place, cell in enumerate(cells)]
    found = [one for one in found if one[2]][:_MOST_LINES]
    with axes_of(0.9 + 0.36 * len(found), x=axis_title(score), grid="both") as (figure, axes):
        for row, (place, _, values) in enumerate(found):
            xs = [score.factor * value for value in values]
            mean = fmean(xs)
            deviation = stdev(xs) if len(xs) > 1 else 0.0
            axes.plot([mean - deviation, mean + deviation], [row, row], color=series(place), linewidth=2.4)
            axes.scatter(xs, [row] * len(xs), s=14, color=series(place), alpha=0.45, linewidths=0)
            axes.scatter([mean], [row], s=64, color=series(place), zorder=3)
        axes.set_yticks(range(len(found)), [_number(place) for place, _, _ in found])
        axes.set_ylim(len(found) - 0.4, -0.6)
        axes.margins(x=0.08)
        told = "; ".join(f"{label(cell.title)} {_spread(score, values)}" for _, cell, values in found)
        return finished(
            figure,
            f"cells-{id_of(score.key(phase) or score.name)}",
            title=joined(heading(score, ""), ", ", phase_term(phase)) if phase else heading(score, ""),
            note=direction(score),
            description=f"{label(heading(score, phase))} of each combination: {told}",
        )


def _learning(cells: Sequence[Cell]) -> list[Html]:
    """Return the curves of all combinations, over time and over bytes."""
    found: dict[tuple[Score, str], list[tuple[int, Curve, list[float], list[float]]]] = {}
    for place, cell in enumerate(cells[:_MOST_LINES]):
        for key, curves in cell.curves().items():
            mean = mean_curve(cell.title, curves)
            if mean[0].values:
                found.setdefault(key, []).append((place, *mean))
    sections = []
    for score in dict.fromkeys(score for score, _ in found):
        drawn = [
            _curves_figure(lines, score, phase, against, cells)
            for (of, phase), lines in found.items()
            if of == score
            for against in (("time", "bytes") if phase in ("", *_TOLD) else ("time",))
        ]
        note = "Lines are means over seeds, shades reach from the least to the largest value."
        title = f"How they learnt: {score.title}"
        sections.append(page.section(title, _key(cells), page.figures(*drawn), note=note))
    return sections


def _curves_figure(
    lines: Sequence[tuple[int, Curve, list[float], list[float]]],
    score: Score,
    phase: str,
    against: str,
    cells: Sequence[Cell],
) -> Html:
    is_time = against == "time"
    largest = max((curve.time_s if is_time else curve.uplink_bytes)[-1] for _, curve, _, _ in lines)
    scale, unit = (time_scale if is_time else bytes_scale)(largest)
    x = f"time [{unit}]" if is_time else f"uplink of all clients together [{unit}]"
    with axes_of(2.9, x=x, y=axis_title(score)) as (figure, axes):
        for place, curve, least, most in lines:
            xs = [value / scale for value in (curve.time_s if is_time else curve.uplink_bytes)]
            low, high = ([score.factor * value for value in values] for values in (least, most))
            axes.fill_between(xs, low, high, color=series(place), alpha=0.16, linewidth=0)
            look: dict[str, Any] = {"marker": mark(place), "markersize": 3.6} if len(xs) <= 24 else {}
            style = "-" if place < len(SERIES) else ":"
            axes.plot(xs, [score.factor * value for value in curve.values], style, color=series(place), **look)
        axes.set_xlim(left=0)
        words = "over time" if is_time else "for what was sent"
        name = phase_term(phase) if phase else score.title
        told = "; ".join(f"{label(curve.title)} ends at {score.text(curve.values[-1])}" for _, curve, _, _ in lines)
        return finished(
            figure,
            f"curves-{id_of(score.key(phase) or score.name)}-{against}",
            title=joined(name, f", {words}"),
            note=direction(score),
            description=f"{label(heading(score, phase))} {words}, mean over seeds: {told}",
        )


def _costs(cells: Sequence[Cell]) -> Html:
    """Return what the main score costs in bytes: a dot for each combination."""
    columns = [*columns_of(summary for cell in cells for summary in cell.summaries).values()]
    if not columns or len({cell.mean("uplink_bytes") for cell in cells}) < 2:
        return Html()
    score = columns[0][0]
    phases = [phase for of, phase in columns if of == score]
    phase = next((phase for phase in reversed(phases) if phase in _TOLD), phases[0])
    found = [(place, cell, cell.scores(score, phase)) for place, cell in enumerate(cells)]
    scale, unit = bytes_scale(max(cell.mean("uplink_bytes") for cell in cells))
    with axes_of(2.9, x=f"uplink of all clients together [{unit}]", y=axis_title(score), grid="both") as (figure, axes):
        for place, cell, values in found:
            if values:
                x, y = cell.mean("uplink_bytes") / scale, score.factor * fmean(values)
                deviation = score.factor * stdev(values) if len(values) > 1 else 0.0
                axes.plot([x, x], [y - deviation, y + deviation], color=series(place), linewidth=1.6)
                axes.scatter([x], [y], s=64, color=series(place), marker=mark(place))
        axes.set_xlim(left=0)
        axes.margins(y=0.2)
        drawn = finished(
            figure,
            "trade-off",
            title=joined(heading(score, ""), ", ", phase_term(phase), " beside bytes")
            if phase
            else "Score beside bytes",
            note=direction(score),
            description=f"{label(heading(score, phase))} of each combination beside the bytes that it sent",
        )
    return page.section("What it cost", _key(cells), page.figures(drawn))


def _combinations(cells: Sequence[Cell]) -> Html:
    """Return the values of each combination with their whole keys."""
    keys = list(cells[0].values)
    if not keys:
        return Html()
    rows = [(_number(place), *(cell.values[key] for key in keys)) for place, cell in enumerate(cells)]
    return page.section("Values", page.table(("", *keys), rows, text_columns=len(keys) + 1))


def _key(cells: Sequence[Cell]) -> Html:
    """Return the legend that all figures of a section share."""
    shown = [Entry(f"{_number(place)} {cell.title}", place) for place, cell in enumerate(cells[:_MOST_LINES])]
    if len(cells) > _MOST_LINES:
        shown.append(Entry(f"and {len(cells) - _MOST_LINES} more, in the table", kind="none"))
    return legend(shown)


def _number(place: int) -> str:
    """Return the letter of a combination: A, B, ..., Z, A1, ...

    Examples
    --------
    >>> _number(0), _number(27)
    ('A', 'B1')
    """
    letter = chr(ord("A") + place % 26)
    return f"{letter}{place // 26}" if place >= 26 else letter
