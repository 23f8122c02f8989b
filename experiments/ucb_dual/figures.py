"""The figures: accuracy, costs, prices, ranks and budgets by rounds, sweeps, and a map."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from eafl_flower.mobility.coverage import Coverage
from experiments.drawing import label_ends
from experiments.eafl_alp.statistics import smoothed
from experiments.ucb_dual.city import coverage_of
from experiments.ucb_dual.measures import Floats, Recording, of_all, price_share, violation
from experiments.ucb_dual.questions import OURS, Runs, Scope, title
from experiments.ucb_dual.record import ROUND_S, city_of, hosted_by
from experiments.ucb_dual.settings import ARMS, MEMORY, task_title

STYLES: Final[Mapping[str, Mapping[str, Any]]] = {
    "ucb-dual": {"color": "C3", "linewidth": 2.2, "zorder": 5},
    "homolora": {"color": "C0", "linewidth": 1.3},
    "hetlora": {"color": "C2", "linewidth": 1.3},
    "flexlora": {"color": "C4", "linewidth": 1.3},
    "fedra": {"color": "C1", "linewidth": 1.3},
    "smallest": {"color": "0.65", "linewidth": 1.3, "linestyle": "--"},
    "largest": {"color": "0.35", "linewidth": 1.3, "linestyle": "--"},
}
OF_TASKS: Final = ("C0", "C1", "C2", "C4", "C5", "C6")
DPI = 130
SMOOTHED: Final = 5  # rounds


def draw(scope: Scope, runs: Runs, folder: Path, questions: Iterable[str]) -> list[str]:
    """Draw the figures of the questions that were asked; return their names."""
    import matplotlib

    matplotlib.use("Agg")
    drawn: dict[str, Any] = {}
    if "compared" in questions:
        by_method = {method: runs.of(replace(scope.base, method=method)) for method in scope.compared}
        ours, tasks = by_method[OURS], scope.base.tasks
        drawn["accuracy"] = accuracies(by_method, tasks)
        drawn["costs"] = costs(by_method)
        drawn["energy"] = energies(ours, tasks)
        drawn["ranks"] = ranks(ours[0], scope.base.vehicles)
        coverage = coverage_of(city_of(scope.base))
        drawn["map"] = city_map(coverage, hosted_by(scope.base.columns, len(tasks)), tasks, scope.base.rounds * ROUND_S)
    if "budgets" in questions:
        drawn["budgets"] = budgets({b: runs.of(replace(scope.base, budget=b)) for b in scope.budgets})
    if "ranks" in questions:
        drawn["rank-sweep"] = rank_sweep({r: runs.of(replace(scope.alone, rank=r)) for r in scope.ranks})
    for name, figure in drawn.items():
        figure.savefig(folder / f"{name}.png", dpi=DPI, bbox_inches="tight")
    return list(drawn)


def accuracies(by_method: Mapping[str, Sequence[Recording]], tasks: Sequence[str]) -> Any:
    """Draw the accuracy of each task by rounds, means over seeds."""
    figure, panels = _row(len(tasks))
    for axes, task in zip(panels, tasks, strict=True):
        ends = []
        for method, found in by_method.items():
            at, values = found[0].evaluated, 100 * _mean([f.curve(task) for f in found])
            axes.plot(at, values, **STYLES[method])
            ends.append((at[-1], values[-1], title(method), STYLES[method]["color"]))
        axes.set_title(task_title(task), fontsize=10)
        axes.set_xlim(0, 1.55 * at[-1])
        axes.set_xticks([tick for tick in axes.get_xticks() if tick <= at[-1]])
        axes.set_xlabel("round")
        _from_first(axes)
        axes.set_ylabel("test accuracy [%]")
        label_ends(axes, ends)
    return figure


def costs(by_method: Mapping[str, Sequence[Recording]]) -> Any:
    """Draw latency by rounds, and mean accuracy by cumulated latency and energy, means over seeds."""
    figure, panels = _row(3, width=4.8)
    for method, found in by_method.items():
        style = STYLES[method]
        latency_s = smoothed(_mean([f.latency_s for f in found]).tolist(), SMOOTHED)
        panels[0].plot(np.arange(1, len(latency_s) + 1), latency_s, label=title(method), **style)
        accuracy = 100 * _mean([mean_curve(f) for f in found])
        for axes, what in ((panels[1], "latency_s"), (panels[2], "used_j")):
            spent = _mean([spent_at(getattr(f, what), f.evaluated) for f in found])
            axes.plot(spent / (1.0 if what == "latency_s" else 1e3), accuracy, **style)
    panels[0].set_xlabel("round")
    panels[0].set_ylabel(f"latency of a round [s], mean of {SMOOTHED}")
    panels[0].set_ylim(bottom=0)
    panels[1].set_xlabel("cumulated latency [s]")
    panels[2].set_xlabel("cumulated energy [kJ]")
    for axes in panels[1:]:
        axes.set_ylabel("test accuracy, mean of tasks [%]")
        _from_first(axes)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", fontsize=8, ncols=len(by_method))
    return figure


def mean_curve(found: Recording) -> Floats:
    """Return the mean accuracy over tasks at each evaluation."""
    tasks = [task for task in found.found["scores"][0] if task != "round"]
    return _mean([found.curve(task) for task in tasks])


def spent_at(values: Floats, evaluated: Sequence[int]) -> Floats:
    """Return the sum of ``values`` of the rounds before each evaluation."""
    return np.concatenate([[0.0], np.cumsum(values)])[list(evaluated)]


def energies(found: Sequence[Recording], tasks: Sequence[str]) -> Any:
    """Draw energy and budget of each task by rounds, and the price below: the first seed, the others pale."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.4 * len(tasks), 4.6), layout="constrained")
    panels = figure.subplots(2, len(tasks), sharex=True, sharey="row", height_ratios=(3, 2), squeeze=False)
    for column, task in enumerate(tasks):
        above, below = panels[:, column]
        for number, run in enumerate(found):
            rounds = np.arange(1, run.rounds + 1)
            budget_j, used_j, price = (run.by_round(name)[:, column] for name in ("budget_j", "used_j", "price"))
            pale = {"alpha": 1.0 if number == 0 else 0.25, "linewidth": 1.4 if number == 0 else 1.0}
            label = number == 0
            above.step(rounds, budget_j, where="mid", color="black", label="budget" if label else None, **pale)
            above.plot(rounds, used_j, "o", markersize=2.5, color="C0", alpha=0.8 * pale["alpha"])
            mean = smoothed(used_j.tolist(), SMOOTHED)
            above.plot(rounds, mean, color="C0", label=f"used, mean of {SMOOTHED} rounds" if label else None, **pale)
            below.step(rounds, price, where="mid", color="C3", **pale)
        above.set_title(task_title(task), fontsize=10)
        below.set_xlabel("round")
        for axes in (above, below):
            axes.grid(alpha=0.25)
    for axes in panels[:, 0]:
        axes.set_ylim(bottom=0)  # once all is drawn: it ends the scaling of the row
    panels[0, 0].set_ylabel("energy of a round [J]")
    panels[1, 0].set_ylabel("price λ")
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", fontsize=8, ncols=2)
    return figure


def ranks(found: Recording, vehicles: int) -> Any:
    """Draw the rank of each vehicle in each round, by the memory that it has, and the mean rank of each memory."""
    from matplotlib import colormaps
    from matplotlib.colors import BoundaryNorm
    from matplotlib.figure import Figure

    memory = np.array([MEMORY[vehicle % len(MEMORY)] for vehicle in range(vehicles)])
    order = np.argsort(memory, kind="stable")
    values = found.ranks(vehicles)[order]
    places = np.full(values.shape, np.nan)
    for place, rank in enumerate(ARMS):
        places[values == rank] = place
    figure = Figure(figsize=(9.5, 1.6 + 0.16 * vehicles + 1.6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(0.16 * vehicles + 0.5, 1.6))
    edges = np.arange(len(ARMS) + 1) - 0.5
    colours = colormaps["viridis"].resampled(len(ARMS))
    mesh = above.pcolormesh(
        np.arange(values.shape[1] + 1) + 0.5, np.arange(vehicles + 1) - 0.5, places, cmap=colours,
        norm=BoundaryNorm(edges, len(ARMS)), edgecolors="white", linewidth=0.5,
    )  # fmt: skip
    above.set_yticks(np.arange(vehicles), [str(vehicle) for vehicle in order], fontsize=7)
    above.invert_yaxis()
    above.set_ylabel("vehicle")
    border = int((memory == memory.min()).sum())
    if 0 < border < vehicles:
        above.axhline(border - 0.5, color="black", linewidth=1)
    bar = figure.colorbar(mesh, ax=above, ticks=np.arange(len(ARMS)), label="rank (white: no job)", pad=0.01)
    bar.set_ticklabels([str(rank) for rank in ARMS])
    for number, most in enumerate(sorted(set(memory.tolist()))):
        chosen = found.ranks(vehicles)[memory == most]
        there = ~np.isnan(chosen)
        mean = np.nansum(chosen, axis=0) / np.maximum(1, there.sum(axis=0))
        below.plot(np.arange(1, found.rounds + 1), mean, color=f"C{number}", label=f"memory for rank {most}")
    below.set_xlabel("round")
    below.set_ylabel("mean rank")
    below.set_ylim(0, max(ARMS))
    below.grid(alpha=0.25)
    below.legend(fontsize=8, ncols=2, loc="upper right")
    return figure


def budgets(by_budget: Mapping[float, Sequence[Recording]]) -> Any:
    """Draw how the default budget moves between tasks, and what each budget leads to."""
    figure, panels = _row(4, width=4.0)
    moves, priced, over, learnt = panels
    middle = min(by_budget, key=lambda budget: abs(budget - 1))
    tasks = [task for task in by_budget[middle][0].found["scores"][0] if task != "round"]
    ends = []
    for column, task in enumerate(tasks):
        shares = [f.by_round("budget_j")[:, column] / f.budget_j for f in by_budget[middle]]
        mean, rounds = 100 * _mean(shares), np.arange(1, len(shares[0]) + 1)
        moves.step(rounds, mean, where="mid", color=OF_TASKS[column], linewidth=1.6)
        ends.append((rounds[-1], mean[-1], task_title(task), OF_TASKS[column]))
    moves.set_xlim(1, 1.3 * rounds[-1])
    moves.set_ylim(0, 73)
    moves.set_xticks([tick for tick in moves.get_xticks() if 1 <= tick <= rounds[-1]])
    moves.set_xlabel("round")
    moves.set_ylabel("share of the budget [%]")
    moves.set_title(f"room {middle:g}", fontsize=10)
    label_ends(moves, ends)
    at = sorted(by_budget)
    prices = 100 * np.array([_mean([price_share(f.by_round("price")) for f in by_budget[b]]) for b in at])
    excess = 100 * np.array([_mean([_violation(f) for f in by_budget[b]]) for b in at])
    for column, task in enumerate(tasks):
        priced.plot(at, prices[:, column], "o-", color=OF_TASKS[column], markersize=4, label=task_title(task))
        over.plot(at, excess[:, column], "o-", color=OF_TASKS[column], markersize=4)
    of_all_j = [100 * float(np.mean([violation(*of_all(f))[0] for f in by_budget[b]])) for b in at]
    over.plot(at, of_all_j, "s--", color="black", markersize=4, label="all tasks together")
    over.axhline(2, color="0.5", linewidth=0.8, linestyle=":")
    over.legend(fontsize=8)
    means = [[100 * f.mean_accuracy() for f in by_budget[b]] for b in at]
    learnt.errorbar(at, [np.mean(m) for m in means], [np.std(m, ddof=1) if len(m) > 1 else 0.0 for m in means],
                    fmt="o-", color="C3", markersize=4, capsize=3)  # fmt: skip
    priced.axhspan(20, 95, color="0.93", zorder=0)
    priced.set_ylim(-3, 103)
    priced.legend(fontsize=8)
    labels = ("rounds in which energy has a price [%]", "over budget [%]", "test accuracy, mean of tasks [%]")
    for axes, label in zip(panels[1:], labels, strict=True):
        axes.set_xscale("log")
        axes.set_xticks(at, [f"{budget:g}" for budget in at])
        axes.minorticks_off()
        axes.set_xlabel("room above rank 4, in units of the default")
        axes.set_ylabel(label)
    return figure


def rank_sweep(by_rank: Mapping[int, Sequence[Recording]]) -> Any:
    """Draw accuracy, latency and energy of fixed ranks, mean and standard deviation over seeds."""
    figure, panels = _row(3, width=4.0)
    at = sorted(by_rank)
    values: list[tuple[str, list[list[float]]]] = [
        ("test accuracy [%]", [[100 * f.mean_accuracy() for f in by_rank[r]] for r in at]),
        ("latency of a round [s]", [[float(f.latency_s.mean()) for f in by_rank[r]] for r in at]),
        ("energy of a round [J]", [[float(f.used_j.mean()) for f in by_rank[r]] for r in at]),
    ]
    for axes, (label, found) in zip(panels, values, strict=True):
        sd = [float(np.std(v, ddof=1)) if len(v) > 1 else 0.0 for v in found]
        axes.errorbar(at, [np.mean(v) for v in found], sd, fmt="o-", color="C3", markersize=4, capsize=3)
        axes.set_xscale("log", base=2)
        axes.set_xticks(at, [str(rank) for rank in at])
        axes.set_xlabel("rank of all vehicles")
        axes.set_ylabel(label)
        if label.startswith(("latency", "energy")):
            axes.set_ylim(bottom=0)
    return figure


def city_map(coverage: Coverage, hosted: Sequence[int], tasks: Sequence[str], end_s: float) -> Any:
    """Draw the units with what they host and how far they reach, and the ways of the vehicles during the run."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Circle

    figure = Figure(figsize=(6.6, 6.0), layout="constrained")
    axes = figure.add_subplot()
    units_km = coverage.units_m / 1e3
    middle_km = units_km.mean(axis=0)
    radius_km = coverage.rule.radius_m / 1e3
    times_s = np.arange(0.0, end_s + 1, 15.0)
    found = [coverage.position(time_s) for time_s in times_s]
    ways_km = np.stack([np.where(there[:, None], place / 1e3, np.nan) for place, there in found]) - middle_km
    for unit, (place_km, task) in enumerate(zip(units_km - middle_km, hosted, strict=True)):
        colour = OF_TASKS[task % len(OF_TASKS)]
        axes.add_patch(Circle(place_km, radius_km, facecolor=colour, edgecolor=colour, alpha=0.13))
        axes.plot(*place_km, "^", color=colour, markersize=9, zorder=4)
        axes.annotate(str(unit + 1), place_km, (6, 5), textcoords="offset points", fontsize=8, zorder=5)
    axes.plot(ways_km[:, :, 0], ways_km[:, :, 1], color="0.35", linewidth=0.6, alpha=0.7, zorder=2)
    axes.plot(ways_km[0, :, 0], ways_km[0, :, 1], "o", color="black", markersize=3.5, zorder=3)
    reach = np.abs(units_km - middle_km).max(axis=0) + 1.35 * radius_km
    axes.set_xlim(-reach[0], reach[0])
    axes.set_ylim(-reach[1], reach[1])
    axes.set_aspect("equal")
    axes.set_xlabel("east of the middle of the units [km]")
    axes.set_ylabel("north [km]")
    marks = [
        Line2D([], [], color=OF_TASKS[place], marker="^", linestyle="", label=f"unit of {task_title(task)}")
        for place, task in enumerate(tasks)
    ]
    marks.append(Line2D([], [], color="black", marker="o", markersize=4, linestyle="", label="vehicle, first round"))
    marks.append(Line2D([], [], color="0.35", linewidth=0.8, label="its way during the run"))
    figure.legend(handles=marks, loc="outside lower center", fontsize=8, ncols=3)
    return figure


def _from_first(axes: Any) -> None:
    """Let the scale of accuracies begin at what there is after the first rounds, not before them."""
    values = np.concatenate([line.get_ydata()[1:] for line in axes.get_lines()])
    margin = max(1.0, 0.06 * float(np.ptp(values)))
    axes.set_ylim(values.min() - margin, values.max() + margin)


def _violation(found: Recording) -> Floats:
    return violation(found.by_round("budget_j"), found.by_round("used_j"))


def _row(count: int, *, width: float = 4.6) -> tuple[Any, list[Any]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * count, 3.4), layout="constrained")
    panels = [figure.add_subplot(1, count, place + 1) for place in range(count)]
    for axes in panels:
        axes.grid(alpha=0.25)
    return figure, panels


def _mean(curves: Sequence[Floats]) -> Floats:
    found: Floats = np.mean(curves, axis=0)
    return found
