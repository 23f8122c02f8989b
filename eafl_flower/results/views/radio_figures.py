"""Figures of a run over a radio: where everybody is and how loud, bits a value, and what is left of budgets."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from eafl_flower.config.parts import make_part, part_settings
from eafl_flower.core.events import Event
from eafl_flower.errors import ConfigError
from eafl_flower.power.cell_free_radio import CellFreeRadio
from eafl_flower.results.views.drawing import FAINT, INK, SERIES, figure_of, svg_of

_MOST_NAMES = 60  # clients whose numbers a map can hold
_LARGEST_DOT = 220.0  # points^2
_MOST_POINTS = 40


def radio_of(settings: Mapping[str, Any]) -> CellFreeRadio | None:
    """Return the cell-free network of a run from its settings; None if it had another radio, or cannot be told.

    The settings may be those of another version.
    """
    if settings.get("radio.name") != "cell-free":
        return None
    try:
        known = part_settings("radio", "cell-free")
        values = {key: setting.read(settings[key]) for key, setting in known.items() if key in settings}
        defaults = {key: setting.default for key, setting in known.items()}
        return CellFreeRadio(network=make_part("radio", "cell-free", defaults | values), seed=int(settings["seed"]))
    except (ConfigError, KeyError, TypeError, ValueError):
        return None


def map_figure(radio: CellFreeRadio, events: Sequence[Event]) -> str:
    """Draw access points and, where they were at the end, users: the area of each is its mean power while it sent."""
    energy_j: defaultdict[int, float] = defaultdict(float)
    time_s: defaultdict[int, float] = defaultdict(float)
    for event in events:
        if event.get("uplink_time_s"):
            energy_j[event["client"]] += event["uplink_energy_j"]
            time_s[event["client"]] += event["uplink_time_s"]
    clients = sorted(time_s)
    power_w = np.array([energy_j[client] / time_s[client] for client in clients])
    side_m = radio.network.side_m
    with figure_of(7.2, 6.4) as (figure, axes):
        axes.scatter(
            radio.aps_m[:, 0], radio.aps_m[:, 1], marker="^", s=70, c=SERIES[1], label="access point", zorder=3
        )
        if clients:
            end_s = max(event["time_s"] for event in events)
            users_m = radio.users_m(clients, end_s)
            largest_w = max(float(power_w.max()), 1e-300)
            area = _LARGEST_DOT * power_w / largest_w + 4
            look: dict[str, Any] = {"c": SERIES[0], "alpha": 0.6, "linewidths": 0, "zorder": 2}
            axes.scatter(users_m[:, 0], users_m[:, 1], s=area, label=_watts(largest_w), **look)
            if len(clients) <= _MOST_NAMES:
                for client, (x, y) in zip(clients, users_m, strict=True):
                    axes.annotate(str(client), (x, y), (5, 4), textcoords="offset points", fontsize=8, color=INK)
        axes.set_xlim(0, side_m)
        axes.set_ylim(0, side_m)
        axes.set_aspect("equal")
        axes.set_xlabel("x [m]")
        axes.set_ylabel("y [m]")
        figure.legend(loc="outside upper left", ncols=2, frameon=False)
        return svg_of(figure, "map", "Map of access points and users with their mean power")


def bits_figure(events: Sequence[Event]) -> str:
    """Draw bits a value of merged uploads over merges: those sent, and those that the codec's paper would count."""
    merged = [event for event in events if event["event"] == "merge" and event.get("num_values")]
    parts = np.array_split(np.arange(len(merged)), min(_MOST_POINTS, len(merged)))
    with figure_of(7.2, 3.2) as (figure, axes):
        for field, factor, title, colour in (
            ("uplink_bytes", 8, "sent", SERIES[0]),
            ("bits_paper", 1, "counted by the codec's paper", SERIES[1]),
        ):
            points = []
            for part in parts:
                told = [merged[k] for k in part if field in merged[k]]
                if told:
                    bits = factor * sum(e[field] for e in told) / sum(e["num_values"] for e in told)
                    points.append((told[-1]["merge"], bits))
            if points:
                axes.plot(*zip(*points, strict=True), color=colour, linewidth=1.8, label=title)
        axes.set_xlabel("merge")
        axes.set_ylabel("bits a value, uplink")
        axes.set_ylim(bottom=0)
        axes.set_xlim(left=0)
        figure.legend(loc="outside upper left", ncols=2, frameon=False)
        return svg_of(figure, "bits", "Bits a value over merges")


def budget_figure(events: Sequence[Event], quantity: str, budget: float) -> str:
    """Draw what has been spent over merges, ``"energy"`` [J] or ``"time"`` [s], and the budget if there is one."""
    spending = [event for event in events if "energy_j" in event]
    merges = list(accumulate((event.get("merge", 0) for event in spending), max))
    if quantity == "energy":
        spent, label = list(accumulate(event["energy_j"] for event in spending)), "energy of all clients [J]"
    else:
        spent, label = [event["time_s"] for event in spending], "virtual time [s]"
    with figure_of(7.2, 2.8) as (figure, axes):
        axes.plot(merges, spent, color=SERIES[0], linewidth=1.8, drawstyle="steps-post", label="spent")
        if budget:
            axes.axhline(budget, color=FAINT, linestyle="--", linewidth=1.4, label="budget")
        axes.set_xlabel("merge")
        axes.set_ylabel(label)
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        if budget:
            figure.legend(loc="outside upper left", ncols=2, frameon=False)
        return svg_of(figure, f"budget-{quantity}", f"{label} over merges")


def _watts(power_w: float) -> str:
    return f"user; the largest dot: {1000 * power_w:.3g} mW on average while it sent"
