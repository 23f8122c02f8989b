"""The figures: accuracy and bits by rounds, accuracy by latency and energy, local work, powers, and error targets."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.drawing import label_ends
from experiments.emq import local_work, trade_off
from experiments.emq.equal_rounds import found_of
from experiments.emq.grid import Grid, Scope, recorded, unit_of
from experiments.emq.recording import Recording
from experiments.emq.replay import Replays
from experiments.emq.settings import ALLOCATORS, ENERGY_WEIGHTS, QUANTISERS, WORKLOADS
from experiments.emq.tails import DEFAULT, Point

Array = NDArray[np.float64]
COLUMNS = 3
# Lines that lie upon each other stay visible: the later ones are the wider, and drawn below.
STYLES: Mapping[str, Mapping[str, Any]] = {
    "EMQ": {"color": "C3", "linewidth": 1.3, "zorder": 5},
    "AQUILA": {"color": "C0", "linewidth": 1.3, "zorder": 4},
    "LAQ": {"color": "C2", "linewidth": 3.0, "zorder": 3, "alpha": 0.7},
    "float32": {"color": "0.55", "linewidth": 5.0, "zorder": 2},
}
DPI = 130


def draw(scope: Scope, replays: Replays, folder: Path, questions: Iterable[str], swept: Sequence[Point]) -> list[str]:
    """Draw the figures of the questions that were asked; return their names."""
    import matplotlib

    matplotlib.use("Agg")
    drawn: dict[str, Any] = {}
    if "grid" in questions:
        drawn["rounds"] = _by_rounds(scope, replays)
        drawn["bits"] = _bits(scope, replays)
        for workload in scope.workloads:
            drawn[f"budgets-{workload}"] = _by_budgets(scope, replays, workload)
        drawn["trade-off"] = _trade_off(scope, replays)
    if "local-work" in questions:
        drawn["optimizers"] = _optimizers(scope, replays)
        drawn["epochs"] = _epochs(scope, replays)
    if "tails" in questions:
        drawn["tails"] = _tails(swept)
    for name, figure in drawn.items():
        figure.savefig(folder / f"{name}.png", dpi=DPI, bbox_inches="tight")
    return list(drawn)


def _panels(scope: Scope, height: float = 3.0) -> tuple[Any, list[Any]]:
    """Return a figure with a panel for each workload, titled."""
    from matplotlib.figure import Figure

    columns = min(COLUMNS, len(scope.workloads))
    rows = -(-len(scope.workloads) // columns)
    figure = Figure(figsize=(4.6 * columns, height * rows), layout="constrained")
    panels = [figure.add_subplot(rows, columns, i + 1) for i in range(len(scope.workloads))]
    for axes, workload in zip(panels, scope.workloads, strict=True):
        axes.set_title(WORKLOADS[workload].title, fontsize=10)
        axes.grid(alpha=0.25)
    return figure, panels


def _mean(recordings: Sequence[Recording]) -> Array:
    mean: Array = 100 * np.mean([found.accuracy for found in recordings], axis=0)
    return mean


def _by_rounds(scope: Scope, replays: Replays) -> Any:
    figure, panels = _panels(scope)
    for axes, workload in zip(panels, scope.workloads, strict=True):
        ends = []
        for quantiser in QUANTISERS:
            values = _mean(found_of(scope, replays, workload, quantiser))
            axes.plot(values, **STYLES[quantiser])
            ends.append((len(values) - 1, values[-1], quantiser, STYLES[quantiser]["color"]))
        axes.set_xlim(0, 1.18 * (len(values) - 1))
        axes.set_ylim(0, 100)
        axes.set_xlabel("round")
        axes.set_ylabel("test accuracy [%]")
        label_ends(axes, ends)
    return figure


def _bits(scope: Scope, replays: Replays) -> Any:
    figure, panels = _panels(scope)
    for axes, workload in zip(panels, scope.workloads, strict=True):
        axes.set_yscale("log", base=2)
        axes.set_ylim(0.7, 48)
        ends = []
        for quantiser in QUANTISERS:
            found = found_of(scope, replays, workload, quantiser)
            for count, style in (("wire", "-"), ("paper", ":")):
                values = np.mean([r.bits_per_value(count) for r in found], axis=0)
                rounds = np.arange(1, len(values) + 1)
                axes.plot(rounds, values, color=STYLES[quantiser]["color"], linestyle=style, linewidth=1.6)
                if count == "wire":
                    ends.append((rounds[-1], values[-1], quantiser, STYLES[quantiser]["color"]))
        axes.set_xlim(0, 1.18 * len(values))
        axes.set_yticks([1, 2, 4, 8, 16, 32], ["1", "2", "4", "8", "16", "32"])
        axes.set_xlabel("round")
        axes.set_ylabel("uplink [bit / value]")
        axes.text(0.02, 0.04, "solid: as sent; dotted: as the source counts", transform=axes.transAxes, fontsize=8)
        label_ends(axes, ends)
    return figure


def accuracy_within(recording: Recording, costs: Array, budgets: Array) -> Array:
    """Return the accuracy that each budget buys, the mean over drops, ``(num_budgets,)``.

    ``costs`` are those of each round, ``(num_drops, num_rounds)``.
    """
    spent = np.cumsum(costs, axis=1)
    made = np.array([np.searchsorted(row, budgets, side="right") for row in spent])
    found: Array = recording.accuracy[made].mean(axis=0)
    return found


def _by_budgets(scope: Scope, replays: Replays, workload: str) -> Any:
    """Draw accuracy by cumulated latency and by cumulated energy, a column for each allocation of power."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.3 * len(ALLOCATORS), 5.6), layout="constrained")
    panels = figure.subplots(2, len(ALLOCATORS), sharey=True, sharex="row")
    grid = Grid(scope, replays, "wire")
    kinds = (("latency_s", "cumulated latency [s]", 1), ("energy_j", "cumulated energy [J]", 0))
    for row, (what, label, place) in enumerate(kinds):
        unit = unit_of(workload)[place]
        budgets = np.geomspace(unit / 50, unit * 1000, 160)
        for column, allocator in enumerate(ALLOCATORS):
            axes = panels[row, column]
            for quantiser in QUANTISERS:
                curves = []
                for seed in scope.seeds:
                    cell = recorded(workload, quantiser, seed)
                    costs = getattr(replays.of(cell, allocator), what)[grid.certified(workload, seed)]
                    curves.append(accuracy_within(replays.recording(cell), costs, budgets))
                axes.plot(budgets, 100 * np.mean(curves, axis=0), color=STYLES[quantiser]["color"], label=quantiser)
            axes.set_xscale("log")
            axes.grid(alpha=0.25)
            axes.set_xlabel(label)
            if row == 0:
                axes.set_title(allocator, fontsize=10)
            if column == 0:
                axes.set_ylabel("test accuracy [%]")
    panels[0, 0].legend(fontsize=8, loc="lower right")
    figure.suptitle(f"{WORKLOADS[workload].title}: mean over {len(scope.seeds)} seeds and the drops", fontsize=11)
    return figure


def _trade_off(scope: Scope, replays: Replays) -> Any:
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    workload = local_work.workload_of(scope)
    found = trade_off.points(scope, replays, workload)
    figure = Figure(figsize=(9.6, 3.9), layout="constrained")
    weights = [f"{weight:g}" for weight in ENERGY_WEIGHTS]
    for column, (quantiser, points) in enumerate(found.items()):
        axes = figure.add_subplot(1, len(found), column + 1)
        curve = 1e3 * np.array([points[weight][:2] for weight in weights])
        axes.loglog(curve[:, 0], curve[:, 1], "o-", color="C3", markersize=4)
        for weight, (energy, latency) in zip(weights, curve, strict=True):
            axes.annotate(weight, (energy, latency), (-13, -9), textcoords="offset points", fontsize=7, color="C3")
        named = "SQP, by the\nweight of energy"
        axes.annotate(named, curve[-1], (6, 4), textcoords="offset points", fontsize=8, color="C3")
        for name, (energy_j, latency_s, _) in points.items():
            if name not in weights:
                axes.plot(1e3 * energy_j, 1e3 * latency_s, "s", color="C0", markersize=5)
                offset = (8, -9) if name == "least latency" else (6, 5)
                place = (1e3 * energy_j, 1e3 * latency_s)
                axes.annotate(name, place, offset, textcoords="offset points", fontsize=8, color="C0")
        axes.margins(0.2, 0.15)
        axes.set_xlim(right=2.5 * axes.get_xlim()[1])
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter(NullFormatter())
        axes.grid(alpha=0.25, which="both")
        axes.set_xlabel("energy of a round, all clients [mJ]")
        axes.set_ylabel("latency of a round [ms]")
        axes.set_title(f"{WORKLOADS[workload].title}, {quantiser}: median over drops", fontsize=10)
    return figure


def _curves(curves: Mapping[str, Array], *, label: str, first: int = 0) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0, 3.6), layout="constrained")
    axes = figure.add_subplot()
    ends = []
    for number, (name, values) in enumerate(curves.items()):
        rounds = np.arange(first, first + len(values))
        axes.plot(rounds, values, color=f"C{number}", linewidth=1.6)
        ends.append((rounds[-1], values[-1], name, f"C{number}"))
    axes.set_xlim(first, first + 1.35 * (len(rounds) - 1))
    axes.grid(alpha=0.25)
    axes.set_xlabel("round")
    axes.set_ylabel(label)
    label_ends(axes, ends)
    return figure


def _optimizers(scope: Scope, replays: Replays) -> Any:
    curves = {
        name: _mean([replays.recording(cell) for cell in local_work.optimizer_cells(scope, name, settings)])
        for name, settings in local_work.optimizers(scope).items()
    }
    figure = _curves(curves, label="test accuracy [%]")
    figure.axes[0].set_title(f"{WORKLOADS[local_work.workload_of(scope)].title}, exact updates", fontsize=10)
    return figure


def _epochs(scope: Scope, replays: Replays) -> Any:
    curves = {
        name: np.mean(
            [replays.recording(cell).epochs.mean(axis=1) for cell in local_work.schedule_cells(scope, name)], axis=0
        )
        for name in local_work.schedules(scope)
    }
    figure = _curves(curves, label="local epochs, mean over clients", first=1)
    figure.axes[0].set_title(f"{WORKLOADS[local_work.scheduled_of(scope)].title}, EMQ", fontsize=10)
    figure.axes[0].set_ylim(bottom=0)
    return figure


def _tails(points: Sequence[Point]) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.5, 4.2), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    by_variant = groupby(sorted(points, key=lambda p: p.variant), key=lambda p: p.variant)
    for axes, (variant, its) in zip(panels, by_variant, strict=True):
        by_tail = groupby(its, key=lambda p: p.tail)
        for number, (tail, line) in enumerate(by_tail):
            values = np.array([(p.wire, p.squared_error) for p in line])
            axes.plot(values[:, 0], values[:, 1], "o-", color=f"C{number}", markersize=3.5, linewidth=1.2, label=tail)
        bits = np.linspace(0.2, 8.5, 50)
        axes.plot(bits, 4.0**-bits, ":", color="black", linewidth=1, label="least possible, Gaussian")
        axes.axhline(DEFAULT, color="grey", linewidth=0.8, linestyle="--")
        axes.text(9.8, DEFAULT * 1.2, "the default target", fontsize=8, color="grey", ha="right")
        axes.set_yscale("log")
        axes.set_xlim(0, 10)
        axes.grid(alpha=0.25)
        axes.set_xlabel("bits a value, as sent")
        axes.set_title("base 10" if variant == "auto" else "base 2", fontsize=10)
    panels[0].set_ylabel("squared error reached, relative")
    figure.legend(*panels[1].get_legend_handles_labels(), fontsize=8, loc="outside lower center", ncols=6)
    return figure
