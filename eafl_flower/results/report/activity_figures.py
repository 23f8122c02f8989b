"""Figures of what clients did: uploads over time, staleness, weights, and what was sent and spent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Final

from eafl_flower.core.events import Event
from eafl_flower.results.report.drawn import (
    Entry,
    axes_of,
    bytes_scale,
    energy_scale,
    finished,
    series,
    time_scale,
    whole,
)
from eafl_flower.results.report.page import Html, joined
from eafl_flower.results.report.terms import term
from eafl_flower.results.views.drawing import FAINT, PALE
from eafl_flower.results.views.quantities import bytes_text, energy_text, percent_text, time_text

_MANY_DOTS: Final = 5_000  # beyond, dots are drawn as one image: the page would grow by 30 bytes with each
_MOST_BARS: Final = 400
_RASTER: Final = "#6f8fa8"  # pixels cannot follow the theme: a tone that suits both
_FATES = {"merge": "merged", "lost": "lost"} | dict.fromkeys(("refused", "timeout", "error"), "refused or failed")
_KINDS = {"merged": (0, "dot"), "lost": (1, "cross"), "refused or failed": (2, "triangle")}


@dataclass
class _Marks:
    time_s: list[float] = field(default_factory=list)
    client: list[int] = field(default_factory=list)


def merges_figure(events: Sequence[Event], clock: str) -> Html:
    """Draw a dot for each upload, client against time; other marks for what was not merged."""
    marks: dict[str, _Marks] = {}
    for event in events:
        if (title := _FATES.get(event["event"])) and "client" in event:
            found = marks.setdefault(title, _Marks())
            found.time_s.append(event["time_s"])
            found.client.append(event["client"])
    scale, unit = time_scale(max((max(found.time_s) for found in marks.values()), default=0.0))
    highest = max((max(found.client) for found in marks.values()), default=1)
    with axes_of(min(6.0, 2.3 + 0.03 * highest), x=f"{clock} [{unit}]", y="client") as (figure, axes):
        for title, found in marks.items():
            xs = [time_s / scale for time_s in found.time_s]
            _dots(axes, xs, found.client, title)
        axes.set_xlim(left=0)
        axes.set_ylim(-0.7, highest + 0.7)
        whole(axes.yaxis)
        counts = ", ".join(f"{len(found.client):,} {title}" for title, found in marks.items())
        legend = [Entry(title, *_KINDS[title], value=f"{len(found.client):,}") for title, found in marks.items()]
        return finished(
            figure,
            "merges",
            title="Uploads over time",
            note="A dot for each upload, at the moment it was merged.",
            description=f"Uploads of each client over time: {counts or 'none'}",
            entries=legend if len(legend) > 1 else (),
        )


def _dots(axes: Any, xs: Sequence[float], ys: Sequence[int], title: str) -> None:
    colour, kind = _KINDS[title]
    if kind != "dot":
        look: dict[str, Any] = {"marker": "x", "linewidths": 1.4} if kind == "cross" else {"marker": "^"}
        axes.scatter(xs, ys, s=20, c=series(colour), rasterized=len(xs) > _MANY_DOTS, **look)
    elif len(xs) > _MANY_DOTS:
        axes.scatter(xs, ys, s=4, c=_RASTER, linewidths=0, rasterized=True)
    else:  # one path for all: a stroke without length and with round ends is a dot
        from matplotlib.patches import PathPatch
        from matplotlib.path import Path

        places = [(x, y) for x, y in zip(xs, ys, strict=True) for _ in range(2)]
        path = Path(places, [Path.MOVETO, Path.LINETO] * len(xs))
        path.should_simplify = False
        axes.add_patch(PathPatch(path, fill=False, edgecolor=series(colour), linewidth=2.8, capstyle="round"))
        axes.set_xlim(0, max(xs) * 1.02 or 1)


def staleness_figure(events: Sequence[Event]) -> Html:
    """Draw how many uploads had which staleness."""
    staleness = [event["staleness"] for event in events if event["event"] == "merge"]
    top = max(staleness, default=0)
    width = max(1, -(-(top + 1) // 60))
    with axes_of(2.5, x="merges since the client got its model", y="uploads") as (figure, axes):
        bins = [edge - 0.5 for edge in range(0, int(top) + width + 1, width)]
        axes.hist(staleness, bins=bins, color=series(0), rwidth=0.82)
        whole(axes.xaxis)
        whole(axes.yaxis)
        common = max(set(staleness), key=staleness.count) if staleness else 0
        return finished(
            figure,
            "staleness",
            title=joined("How old updates were: ", term("staleness")),
            description=f"Histogram of staleness of {len(staleness):,} uploads: most often {common:g}, at most {top:g}",
        )


def weights_figure(events: Sequence[Event]) -> Html:
    """Draw what an update of each staleness weighed on average; nothing unless weights fall with staleness."""
    weights: dict[float, list[float]] = {}
    for event in events:
        if event["event"] == "merge" and event.get("weight") is not None:
            weights.setdefault(event["staleness"], []).append(event["weight"])
    means = {stale: sum(found) / len(found) for stale, found in sorted(weights.items())}
    if len(means) < 2 or max(means.values()) - min(means.values()) < 0.01:
        return Html()
    with axes_of(2.5, x="merges since the client got its model", y="weight, mean") as (figure, axes):
        axes.plot([*means], [*means.values()], color=series(0), marker="o", markersize=3.4)
        axes.set_ylim(bottom=0)
        whole(axes.xaxis)
        first, last = next(iter(means.values())), next(reversed(means.values()))
        return finished(
            figure,
            "weights",
            title=joined("What age costs: ", term("weight")),
            description=f"Mean weight of an update by its staleness, from {first:.2g} to {last:.2g}",
        )


def clients_figure(events: Sequence[Event], quantity: str) -> Html:
    """Draw what each client has sent (``"uplink_bytes"``) or spent (``"energy_j"``) over all its jobs."""
    sums: dict[int, float] = {}
    for event in events:
        if "client" in event and quantity in event:
            sums[event["client"]] = sums.get(event["client"], 0) + event[quantity]
    largest, total = max(sums.values(), default=0.0), sum(sums.values())
    is_bytes = quantity == "uplink_bytes"
    scale, unit = (bytes_scale if is_bytes else energy_scale)(largest)
    words = bytes_text if is_bytes else energy_text
    with axes_of(2.3, x="client", y=unit) as (figure, axes):
        clients = sorted(sums)
        values = [sums[client] / scale for client in clients]
        if len(clients) > _MOST_BARS:
            axes.fill_between(clients, values, color=series(0), alpha=0.7, linewidth=0)
        else:
            axes.bar(clients, values, color=series(0), width=0.72)
        whole(axes.xaxis)
        what = "Uplink of each client" if is_bytes else "Energy of each client"
        least = min(sums.values(), default=0.0)
        return finished(
            figure,
            f"clients-{quantity.replace('_', '-')}",
            title=what,
            note=f"From {words(least)} to {words(largest)}; {words(total)} in all.",
            description=f"{what}: from {words(least)} to {words(largest)} over {len(sums):,} clients",
        )


def bytes_figure(summary: Mapping[str, Any], events: Sequence[Event]) -> Html:
    """Draw the bytes of merged uploads and of their downloads beside those of the same arrays as float32."""
    sums = dict.fromkeys(("raw_up", "up", "raw_down", "down"), 0)
    for event in events:
        if event["event"] == "merge":
            sums["raw_up"] += event["raw_bytes"]
            sums["raw_down"] += event.get("raw_downlink_bytes", event["raw_bytes"])
            sums["up"] += event["uplink_bytes"]
            sums["down"] += event["downlink_bytes"]
    if not sums["raw_up"]:
        return Html()
    scale, unit = bytes_scale(max(sums.values()))
    with axes_of(1.75, x=unit, grid="x") as (figure, axes):
        for row, (raw, sent) in enumerate((("raw_up", "up"), ("raw_down", "down"))):
            axes.barh(row, sums[raw] / scale, height=0.62, color=PALE)
            axes.barh(row, sums[sent] / scale, height=0.62, color=series(0))
        axes.set_yticks([0, 1], ["up", "down"])
        axes.invert_yaxis()
        saved = [percent_text(summary[f"{way}link_saved"]) for way in ("up", "down")]
        return finished(
            figure,
            "bytes",
            title="Bytes sent, and what float32 would take",
            note="Of merged uploads and of their downloads; payloads alone.",
            description=f"Bytes of merged jobs: up {bytes_text(sums['up'])} of {bytes_text(sums['raw_up'])}, "
            f"down {bytes_text(sums['down'])} of {bytes_text(sums['raw_down'])}",
            entries=[
                Entry("sent", 0, "bar"),
                Entry("as float32", "--pale", "bar"),
                Entry(joined(term("saved"), " up and down"), kind="none", value=" and ".join(saved)),
            ],
        )


def spending_figure(events: Sequence[Event], quantity: str, budget: float, clock: str = "virtual time") -> Html:
    """Draw what has been spent over merges, ``"energy"`` [J] or ``"time"`` [s], and the budget if there is one."""
    spending = [event for event in events if "energy_j" in event]
    merges = list(accumulate((event.get("merge", 0) for event in spending), max))
    is_energy = quantity == "energy"
    if is_energy:
        spent = list(accumulate(event["energy_j"] for event in spending))
    else:
        spent = [event["time_s"] for event in spending]
    end = spent[-1] if spent else 0.0
    scale, unit = (energy_scale if is_energy else time_scale)(max(end, budget))
    merges, spent = _thinned(merges, [value / scale for value in spent])
    words = energy_text if is_energy else time_text
    with axes_of(2.5, x="merge", y=unit) as (figure, axes):
        axes.plot(merges, spent, color=series(0), drawstyle="steps-post")
        legend = [Entry("spent", 0, value=words(end))]
        if budget:
            axes.axhline(budget / scale, color=FAINT, linestyle=(0, (6, 3)), linewidth=1.4)
            legend.append(Entry(term("budget"), "--faint", "dashes", value=words(budget)))
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        what = "Energy of all clients" if is_energy else clock[:1].upper() + clock[1:]
        told = f"{what} over merges: {words(end)} at the end"
        return finished(
            figure,
            f"spent-{quantity}",
            title=f"{what}, as it was spent",
            description=f"{told}, budget {words(budget)}" if budget else told,
            entries=legend,
        )


def _thinned(xs: list[Any], ys: list[float], most: int = 600) -> tuple[list[Any], list[float]]:
    """Return a curve at so many points at most, the last one among them."""
    step = -(-len(xs) // most) or 1
    rest = (len(xs) - 1) % step if xs else 0
    return xs[rest::step], ys[rest::step]
