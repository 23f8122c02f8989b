"""A picture of moving vehicles: where they drive and what units reach, how many are served, and when they change units.

Needs Matplotlib (extra ``report``).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eafl_flower.core.durable import open_unlinked
from eafl_flower.mobility.coverage import Coverage
from eafl_flower.mobility.handovers import HandoverStatistics
from eafl_flower.mobility.traces import Array, Traces
from eafl_flower.results.views.drawing import figure_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours (2008), made for colour-blind readers.
_DRIVES, _UNITS, _SERVED, _HANDOVERS = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
_INK, _FAINT = "#222222", "#8c8c8c"
_TAIL = 0.005  # of the samples on each side that do not stretch the map
_MOST_POINTS = 400_000
_MOST_NUMBERS = 60  # units whose numbers a map can hold
_BARS = 96


def write_picture(path: Path, coverage: Coverage, statistics: HandoverStatistics) -> None:
    """Write the picture as PNG; raises ``ImportError`` if Matplotlib is missing."""
    with figure_of(13.0, 7.2) as (figure, first):
        first.remove()
        figure.set_facecolor("white")
        places = figure.add_gridspec(2, 2, width_ratios=(1.15, 1.0))
        left, above = figure.add_subplot(places[:, 0]), figure.add_subplot(places[0, 1])
        below = figure.add_subplot(places[1, 1], sharex=above)
        _map(left, coverage)
        _served(above, coverage)
        _handovers(below, coverage, statistics)
        _plain([left, above, below])
        with open_unlinked(path, "wb") as file:
            figure.savefig(file, format="png", dpi=130, metadata={"Software": None})


def _plain(axes: "Sequence[Axes]") -> None:
    """Give the colours of paper to axes whose style is that of a page."""
    for one in axes:
        one.tick_params(colors=_FAINT, labelcolor=_INK)
        one.grid(color=_FAINT, alpha=0.25)
        for text in (one.xaxis.label, one.yaxis.label, one.title):
            text.set_color(_INK)
        for spine in one.spines.values():
            spine.set_edgecolor(_FAINT)
        if legend := one.get_legend():
            for text in legend.get_texts():
                text.set_color(_INK)


def _map(axes: "Axes", coverage: Coverage) -> None:
    from matplotlib.collections import EllipseCollection
    from matplotlib.patheffects import withStroke

    frame_m, radius_m = _frame_m(coverage), coverage.rule.radius_m
    scale_m, unit = (1000.0, "km") if np.ptp(frame_m, axis=1).max() > 5000 else (1.0, "m")
    units, (x_m, y_m) = coverage.units_m / scale_m, _lines_m(coverage.traces)
    look: dict[str, Any] = {"linewidth": 0.4 if len(x_m) > 20_000 else 1.0, "alpha": _opacity(len(x_m)), "zorder": 1}
    axes.plot(x_m / scale_m, y_m / scale_m, color=_DRIVES, label="drives", **look)
    size = np.full(len(units), 2 * radius_m / scale_m)
    look = {"facecolors": "#d55e0022", "edgecolors": _UNITS, "linewidths": 1.0, "zorder": 2}
    discs = EllipseCollection(
        size, size, np.zeros(len(size)), units="xy", offsets=units, transOffset=axes.transData, **look
    )
    axes.add_collection(discs)
    axes.plot(units[:, 0], units[:, 1], "^", color=_UNITS, markersize=5, label=f"units, {radius_m:,g} m", zorder=3)
    if len(units) <= _MOST_NUMBERS:
        for number, place in enumerate(units):
            text = axes.annotate(
                str(number), place, (4, 4), textcoords="offset points", fontsize=7, color=_INK, zorder=4
            )
            text.set_path_effects([withStroke(linewidth=2, foreground="white")])
    axes.set_xlim(*(frame_m[0] / scale_m))
    axes.set_ylim(*(frame_m[1] / scale_m))
    axes.set_aspect("equal")
    axes.set_xlabel(f"x [{unit}]")
    axes.set_ylabel(f"y [{unit}]")
    legend = axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, frameon=False)
    for line in legend.get_lines():
        line.set_alpha(1.0)
        line.set_linewidth(1.5)


def _served(axes: "Axes", coverage: Coverage) -> None:
    time, _, _ = _axis(coverage)
    rows = slice(None, -1, max(1, len(time) // 2000))  # at the last time everybody is gone
    axes.fill_between(time[rows], coverage.num_present[rows], color=_FAINT, alpha=0.25, linewidth=0, label="there")
    axes.plot(time[rows], coverage.num_served[rows], color=_SERVED, linewidth=1.4, label="served")
    axes.set_ylabel("vehicles")
    axes.tick_params(labelbottom=False)
    axes.set_ylim(bottom=0)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, frameon=False)


def _handovers(axes: "Axes", coverage: Coverage, statistics: HandoverStatistics) -> None:
    from matplotlib.ticker import MaxNLocator

    time, scale_s, label = _axis(coverage)
    edges = np.linspace(time[0], time[-1], _BARS + 1)
    start_s = coverage.grid_s[0]
    axes.hist((statistics.handover_s - start_s) / scale_s, bins=edges.tolist(), color=_HANDOVERS)
    axes.set_xlim(time[0], time[-1])
    axes.set_xlabel(label)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    width_s = (coverage.grid_s[-1] - start_s) / _BARS
    axes.set_ylabel(f"hand-overs in {width_s / 60:.3g} min" if width_s >= 60 else f"hand-overs in {width_s:.3g} s")


def _axis(coverage: Coverage) -> tuple[Array, float, str]:
    """Return times of the grid from its start, their unit in seconds, and a label."""
    elapsed_s = coverage.grid_s - coverage.grid_s[0]
    scale_s, unit = next((one for one in ((3600.0, "h"), (60.0, "min")) if elapsed_s[-1] > 3 * one[0]), (1.0, "s"))
    return elapsed_s / scale_s, scale_s, f"time since the first sample [{unit}]"


def _lines_m(traces: Traces) -> tuple[Array, Array]:
    """Return the drives as one line with breaks (NaN) where a vehicle is not there; of very many, the first ones."""
    vehicles = max(1, int(np.searchsorted(traces.offsets, _MOST_POINTS, side="right")) - 1)
    stop = int(traces.offsets[min(vehicles, len(traces))])
    breaks = np.diff(traces.time_s[:stop]) > traces.longest_gap_s
    breaks[traces.offsets[1:vehicles] - 1] = True
    at = np.flatnonzero(breaks) + 1
    return np.insert(traces.x_m[:stop], at, np.nan), np.insert(traces.y_m[:stop], at, np.nan)


def _opacity(points: int) -> float:
    return float(np.clip(80_000 / points, 0.25, 0.8))


def _frame_m(coverage: Coverage) -> Array:
    frame = []
    for axis, values in enumerate((coverage.traces.x_m, coverage.traces.y_m)):
        low, high = np.quantile(values, (_TAIL, 1 - _TAIL))
        units_m, radius_m = coverage.units_m[:, axis], coverage.rule.radius_m
        low, high = min(low, units_m.min() - radius_m), max(high, units_m.max() + radius_m)
        frame.append((low - 0.03 * (high - low), high + 0.03 * (high - low)))
    return np.array(frame)
