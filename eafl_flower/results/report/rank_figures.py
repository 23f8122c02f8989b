"""Figures of runs that choose ranks: where vehicles and units are, ranks over time, and the price of energy."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from eafl_flower.core.events import Event
from eafl_flower.results.report.drawn import Entry, axes_of, finished, label, series, time_scale
from eafl_flower.results.report.page import Html, joined
from eafl_flower.results.report.terms import term
from eafl_flower.results.views.drawing import FAINT, INK
from eafl_flower.results.views.quantities import energy_text

_MOST_NAMES: Final = 40
_MOST_TASKS: Final = 6
_LEAVING = {"": "stayed", "early": "uploaded early", "migrate": "migrated", "abandon": "abandoned"}


def jobs_of(events: Sequence[Event]) -> list[Event]:
    """Return the events of ended jobs that had a rank, each with the task of its unit as its ``model``."""
    ends = ("merge", "lost", "refused", "timeout", "error")
    jobs = [event for event in events if event["event"] in ends and event.get("rank")]
    of_unit = {event["unit"]: event["model"] for event in jobs if event.get("unit") and event.get("model")}
    return [{**event, "model": event.get("model") or of_unit.get(event.get("unit"), "")} for event in jobs]


def city_figure(jobs: Sequence[Event]) -> Html:
    """Draw roadside units and where vehicles were when their jobs ended; nothing where no place is known."""
    units = {e["unit"]: (e["unit_x_m"], e["unit_y_m"]) for e in jobs if "unit_x_m" in e and "unit" in e}
    places = [(e["x_m"], e["y_m"], e["unit"]) for e in jobs if "x_m" in e and "unit" in e]
    if not units:
        return Html()
    every = np.array([*units.values(), *(place[:2] for place in places)])
    scale, unit = (1000.0, "km") if np.ptp(every, axis=0).max() > 5000 else (1.0, "m")
    tasks = _tasks(jobs)
    of_unit = {e["unit"]: e.get("model", "") for e in jobs if e.get("unit")}
    with axes_of(4.9, x=f"x [{unit}]", y=f"y [{unit}]", grid="both") as (figure, axes):
        for number, task in enumerate(tasks):
            points = [(x, y) for x, y, at in places if of_unit.get(at) == task]
            if points:
                xs, ys = np.array(points).T / scale
                axes.scatter(xs, ys, s=9, color=series(number), alpha=0.5, linewidths=0, rasterized=len(xs) > 2000)
        for at, (x, y) in units.items():
            number = tasks.index(of_unit[at]) if of_unit[at] in tasks else 0
            axes.scatter([x / scale], [y / scale], marker="^", s=70, color=series(number), zorder=3)
            if len(units) <= _MOST_NAMES:
                axes.annotate(
                    str(at), (x / scale, y / scale), (6, 5), textcoords="offset points", fontsize=9.5, color=INK
                )
        axes.set_aspect("equal", adjustable="datalim")
        axes.margins(0.1)
        names = [f"units and vehicles of {label(task)}" if task else "unit" for task in tasks]
        legend = [Entry(name, index, "triangle") for index, name in enumerate(names)]
        if places:
            legend.append(Entry("vehicle, when its job ended", 0, "dot"))
        where = "Where vehicles were when their jobs ended." if places else "No positions of vehicles were recorded."
        return finished(
            figure,
            "city",
            title=joined("Where they drive: vehicles and ", term("unit", "roadside units")),
            note=where,
            description=f"Map of {len(units)} roadside units and of {len(places):,} places where jobs ended",
            entries=legend,
        )


def ranks_figure(jobs: Sequence[Event], clock: str) -> Html:
    """Draw the rank of each job over time, and its mean over the last jobs of each task."""
    scale, unit = time_scale(max(event["time_s"] for event in jobs))
    tasks = _tasks(jobs)
    legend = []
    with axes_of(2.9, x=f"{clock} [{unit}]", y="rank") as (figure, axes):
        for number, task in enumerate(tasks):
            of_task = [event for event in jobs if event.get("model", "") == task]
            xs = np.array([event["time_s"] for event in of_task]) / scale
            ys = np.array([event["rank"] for event in of_task], float)
            axes.scatter(xs, ys, s=8, color=series(number), alpha=0.35, linewidths=0, rasterized=len(xs) > 2000)
            window = max(1, len(ys) // 20)
            means = np.convolve(np.pad(ys, (window - 1, 0), mode="edge"), np.ones(window) / window, mode="valid")
            axes.plot(xs, means, color=series(number))
            legend.append(Entry(label(task) or "mean of the last jobs", number, value=f"{means[-1]:.3g}"))
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        told = ", ".join(
            f"{label(t) or 'all jobs'}: mean {e.value} at the end" for t, e in zip(tasks, legend, strict=True)
        )
        return finished(
            figure,
            "ranks",
            title=joined("Which ", term("rank"), " was trained"),
            note="A dot for each job; the line is the mean of the last twentieth.",
            description=f"Rank of each job over time. {told}",
            entries=legend,
        )


def rank_counts_figure(jobs: Sequence[Event]) -> Html:
    """Draw how often each rank was trained, merged or not."""
    ranks = sorted({event["rank"] for event in jobs})
    merged = Counter(event["rank"] for event in jobs if event["event"] == "merge")
    failed = Counter(event["rank"] for event in jobs if event["event"] != "merge")
    with axes_of(2.5, x="rank", y="jobs") as (figure, axes):
        axes.bar(range(len(ranks)), [merged[rank] for rank in ranks], color=series(0), width=0.7)
        legend = [Entry("merged", 0, "bar")]
        if failed:
            bottom = [merged[rank] for rank in ranks]
            axes.bar(range(len(ranks)), [failed[r] for r in ranks], bottom=bottom, color=series(1), width=0.7)
            legend.append(Entry("lost, refused or failed", 1, "bar"))
        axes.set_xticks(range(len(ranks)), [str(rank) for rank in ranks])
        told = ", ".join(f"rank {rank}: {merged[rank] + failed[rank]:,}" for rank in ranks[:20])
        return finished(
            figure, "rank-counts", title="How often each rank", description=f"Jobs of each rank. {told}", entries=legend
        )


def price_figure(jobs: Sequence[Event], clock: str) -> Html:
    """Draw the price of energy over time, a line for each task; nothing where energy had none."""
    return _over_time(
        [event for event in jobs if "price" in event],
        clock,
        value=lambda told: np.array([event["price"] for event in told]),
        y="price λ",
        name="price",
        title=joined("What energy costs: ", term("lambda")),
        note="",
    )


def violation_figure(jobs: Sequence[Event], clock: str) -> Html:
    """Draw the mean energy of a job so far over its budget, in percent; nothing where no budget was told."""

    def excess(told: Sequence[Event]) -> Any:
        energy_j, budget_j = (np.array([event[key] for event in told]) for key in ("energy_j", "budget_j"))
        return 100 * (np.cumsum(energy_j) / np.cumsum(budget_j) - 1)

    return _over_time(
        [event for event in jobs if event.get("budget_j") and "energy_j" in event],
        clock,
        value=excess,
        y="energy above the budget [%]",
        name="violation",
        title=joined("Is the budget kept: ", term("violation")),
        note="Energy of all jobs so far beside what they might take. Below 0 the budget is kept.",
    )


def leaving_counts(jobs: Sequence[Event]) -> list[tuple[str, int, int]]:
    """Return what vehicles did with their jobs: in words, how many were merged, and how many were not."""
    counts: dict[str, list[int]] = {}
    for event in jobs:
        pair = counts.setdefault(event.get("leaving", ""), [0, 0])
        pair[event["event"] != "merge"] += 1
    return [(_LEAVING.get(kind, kind), *pair) for kind, pair in sorted(counts.items())]  # type: ignore[misc]


def mean_energies(jobs: Sequence[Event]) -> list[tuple[int, int, str]]:
    """Return of each rank the number of its jobs and their mean energy in words."""
    sums: dict[int, list[float]] = {}
    for event in jobs:
        sums.setdefault(event["rank"], []).append(event.get("energy_j", 0.0))
    return [(rank, len(found), energy_text(sum(found) / len(found))) for rank, found in sorted(sums.items())]


def _over_time(jobs: Sequence[Event], clock: str, *, value: Any, y: str, name: str, title: Html, note: str) -> Html:
    if not jobs:
        return Html()
    scale, unit = time_scale(max(event["time_s"] for event in jobs))
    legend, told = [], []
    with axes_of(2.7, x=f"{clock} [{unit}]", y=y) as (figure, axes):
        for number, task in enumerate(_tasks(jobs)):
            of_task = [event for event in jobs if event.get("model", "") == task]
            ys = value(of_task)
            xs = [event["time_s"] / scale for event in of_task]
            step = -(-len(xs) // 600) or 1
            axes.plot(xs[::step], ys[::step], color=series(number), drawstyle="steps-post")
            legend.append(Entry(label(task) or "at the end", number, value=f"{ys[-1]:.3g}"))
            told.append(f"{label(task) or 'all jobs'} {ys[-1]:.3g} at the end")
        axes.axhline(0, color=FAINT, linewidth=0.9)
        axes.set_xlim(left=0)
        return finished(
            figure, name, title=title, note=note, description=f"{y} over time: {', '.join(told)}", entries=legend
        )


def _tasks(jobs: Sequence[Event]) -> list[str]:
    return [*dict.fromkeys(event.get("model", "") for event in jobs)][:_MOST_TASKS]
