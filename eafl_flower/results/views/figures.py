"""Figures of runs: scores, staleness, uploads, clients."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eafl_flower.core.events import Event
from eafl_flower.core.scores import Score, measured
from eafl_flower.results.views.drawing import FAINT, SERIES, figure_of, id_of, label_of, svg_of
from eafl_flower.results.views.score_words import heading

_LINES: tuple[Any, ...] = ((0, (8, 2, 1, 2, 1, 2)), "--", "-", "-.", ":")
_MARKERS = ("o", "s", "^", "D", "v", "P")
_MANY_DOTS = 20_000  # beyond, dots are drawn as one image: an SVG element each would stall the browser


_FATES = {"merge": "merged", "lost": "lost"} | dict.fromkeys(("refused", "timeout", "error"), "refused or failed")
# Colour, shape, area [points^2], width of the strokes [points].
_DOTS = {
    "merged": (SERIES[0], "o", 7.0, 0.0),
    "lost": (SERIES[1], "x", 16.0, 1.2),
    "refused or failed": (SERIES[2], "^", 14.0, 0.0),
}


@dataclass(frozen=True)
class _Marks:
    time_s: list[float]
    client: list[int]


@dataclass(frozen=True)
class Curve:
    """One score in one phase over the course of one run."""

    title: str
    time_s: Sequence[float]
    uplink_bytes: Sequence[float]
    values: Sequence[float]


def curves_of(events: Sequence[Event], scores: Sequence[Score]) -> dict[tuple[Score, str], Curve]:
    """Return the curves of a run by score and phase, from its evaluations."""
    points: dict[tuple[Score, str], list[tuple[float, float, float]]] = {}
    uplink = 0
    for event in events:
        uplink += event.get("uplink_bytes", 0)
        if event["event"] == "evaluate":
            for found in measured(event["metrics"], scores):
                points.setdefault((found.score, found.phase), []).append((event["time_s"], uplink, found.value))
    return {
        (score, phase): Curve(phase, *(list(column) for column in zip(*rows, strict=True)))
        for (score, phase), rows in points.items()
    }


def score_figure(
    curves: Sequence[Curve],
    *,
    score: Score,
    against: str,
    name: str,
    levels: Mapping[str, float | None] | None = None,
) -> str:
    """Draw a score against virtual time or uplink bytes.

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
    levels
        Horizontal lines with a name: the baselines. One that is None is left out, and the others keep
        their style.
    """
    with figure_of(7.2, 4.0) as (figure, axes):
        scale, label = _axis(curves, against)
        for index, curve in enumerate(curves):
            xs = [x / scale for x in (curve.time_s if against == "time" else curve.uplink_bytes)]
            ys = [score.factor * y for y in curve.values]
            colour, marker = SERIES[index % len(SERIES)], _MARKERS[index % len(_MARKERS)]
            style = "-" if index < len(SERIES) else ":"  # colours come round again
            axes.plot(
                xs, ys, style, color=colour, marker=marker, markersize=4, linewidth=1.8, label=label_of(curve.title)
            )
        for index, (title, level) in enumerate((levels or {}).items()):
            if level is not None:
                style = _LINES[index % len(_LINES)]
                axes.axhline(score.factor * level, color=FAINT, linestyle=style, linewidth=1.4, label=label_of(title))
        axes.set_xlabel(label)
        axes.set_ylabel(label_of(f"{score.title} [{score.unit}]" if score.unit else score.title))
        axes.set_xlim(left=0)
        long = max((len(label_of(curve.title)) for curve in curves), default=0) > 24
        figure.legend(loc="outside lower left" if long else "outside right center", frameon=False)
        return svg_of(figure, f"{id_of(name)}-{against}", f"{label_of(heading(score, ''))} against {label}")


def staleness_figure(events: Sequence[Event]) -> str:
    """Draw how many uploads had which staleness."""
    from matplotlib.ticker import MaxNLocator

    staleness = [event["staleness"] for event in events if event["event"] == "merge"]
    with figure_of(7.2, 3.0) as (figure, axes):
        top = max(staleness, default=0)
        width = max(1, -(-(top + 1) // 60))
        bins = [edge - 0.5 for edge in range(0, int(top) + width + 1, width)]
        axes.hist(staleness, bins=bins, color=SERIES[0], rwidth=0.9)
        axes.set_xlabel("staleness [merges since the client got its model]")
        axes.set_ylabel("uploads")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        return svg_of(figure, "staleness", "Histogram of staleness")


def clients_figure(events: Sequence[Event], field: str, label: str) -> str:
    """Draw a sum over each client's uploads, for example of ``uplink_bytes`` or ``energy_j``."""
    from matplotlib.ticker import MaxNLocator, ScalarFormatter, StrMethodFormatter

    sums: dict[int, float] = {}
    for event in events:
        if "client" in event and field in event:
            sums[event["client"]] = sums.get(event["client"], 0) + event[field]
    with figure_of(7.2, 2.8) as (figure, axes):
        axes.bar(list(sums), list(sums.values()), color=SERIES[1], width=0.8)
        axes.set_xlabel("client")
        axes.set_ylabel(label)
        axes.yaxis.set_major_formatter(
            StrMethodFormatter("{x:,.0f}") if max(sums.values(), default=0) >= 100 else ScalarFormatter()
        )
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        return svg_of(figure, f"clients-{field}", f"{label} by client")


def merges_figure(events: Sequence[Event]) -> str:
    """Draw a dot for each upload, client against time; other marks for what was not merged."""
    from matplotlib.ticker import MaxNLocator

    marks: dict[str, _Marks] = {}
    for event in events:
        if (title := _FATES.get(event["event"])) and "client" in event:
            mark = marks.setdefault(title, _Marks([], []))
            mark.time_s.append(event["time_s"])
            mark.client.append(event["client"])
    highest = max((max(mark.client) for mark in marks.values()), default=1)
    with figure_of(7.2, min(8.0, 2.0 + 0.08 * highest)) as (figure, axes):
        for title, mark in marks.items():
            colour, marker, size, width = _DOTS[title]
            raster = len(mark.client) > _MANY_DOTS
            colour = "#6f8fa8" if raster else colour  # pixels cannot follow the theme: a tone that suits both
            axes.scatter(
                mark.time_s,
                mark.client,
                s=size,
                c=colour,
                marker=marker,
                linewidths=width,
                label=title,
                rasterized=raster,
            )
        axes.set_xlabel("virtual time [s]")
        axes.set_ylabel("client")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        if len(marks) > 1:
            axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3, frameon=False)
        return svg_of(figure, "merges", "Uploads of each client over time")


def _axis(curves: Sequence[Curve], against: str) -> tuple[float, str]:
    if against == "time":
        top = max((max(curve.time_s) for curve in curves), default=0)
        return (3600, "virtual time [h]") if top > 7200 else (1, "virtual time [s]")
    top = max((max(curve.uplink_bytes) for curve in curves), default=0)
    for scale, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if top >= scale:
            return scale, f"uplink, all clients together [{unit}]"
    return 1, "uplink, all clients together [B]"
