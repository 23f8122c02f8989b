"""Figures of a run over a cell-free radio: where everybody is and how loud, and bits a value."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from eafl_flower.config.parts import make_part, part_settings
from eafl_flower.core.events import Event
from eafl_flower.errors import ConfigError
from eafl_flower.power.cell_free_radio import CellFreeRadio
from eafl_flower.results.report.drawn import Entry, axes_of, finished, series, whole
from eafl_flower.results.report.page import Html, joined
from eafl_flower.results.report.terms import term
from eafl_flower.results.views.drawing import INK

_MOST_NAMES = 40  # clients whose numbers a map can hold
_LARGEST_DOT = 200.0  # points^2
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


def mean_powers_w(events: Sequence[Event]) -> dict[int, float]:
    """Return the mean power of each client while it sent [W]."""
    energy_j: defaultdict[int, float] = defaultdict(float)
    time_s: defaultdict[int, float] = defaultdict(float)
    for event in events:
        if event.get("uplink_time_s"):
            energy_j[event["client"]] += event["uplink_energy_j"]
            time_s[event["client"]] += event["uplink_time_s"]
    return {client: energy_j[client] / time_s[client] for client in sorted(time_s)}


def map_figure(radio: CellFreeRadio, events: Sequence[Event]) -> Html:
    """Draw access points and, where they were at the end, users: the area of each is its mean power while it sent."""
    power_w = mean_powers_w(events)
    clients = [*power_w]
    side_m = radio.network.side_m
    with axes_of(4.9, x="x [m]", y="y [m]", grid="both") as (figure, axes):
        axes.scatter(radio.aps_m[:, 0], radio.aps_m[:, 1], marker="^", s=60, c=series(1), zorder=3)
        largest_w = max(power_w.values(), default=0.0)
        legend = [Entry("access point", 1, "triangle")]
        if clients:
            end_s = max(event["time_s"] for event in events)
            users_m = radio.users_m(clients, end_s)
            area = _LARGEST_DOT * np.array([*power_w.values()]) / max(largest_w, 1e-300) + 6
            look: dict[str, Any] = {"c": series(0), "alpha": 0.55, "linewidths": 0, "zorder": 2}
            axes.scatter(users_m[:, 0], users_m[:, 1], s=area, **look)
            if len(clients) <= _MOST_NAMES:
                for client, (x, y) in zip(clients, users_m, strict=True):
                    axes.annotate(str(client), (x, y), (5, 4), textcoords="offset points", fontsize=9, color=INK)
            legend.append(Entry("user, the largest dot", 0, "dot", value=_watts(largest_w)))
        axes.set_xlim(0, side_m)
        axes.set_ylim(0, side_m)
        axes.set_aspect("equal")
        moves = "Where users were at the end of the run." if radio.network.speed_m_s else "Users do not move."
        told = f"Map of {len(radio.aps_m)} access points and {len(clients)} users with their mean power"
        return finished(
            figure,
            "map",
            title=joined("Who sends how loudly: ", term("cell-free")),
            note=f"{moves} The area of a dot is its mean power while it sent.",
            description=f"{told}, at most {_watts(largest_w)}" if clients else told,
            entries=legend,
        )


def powers_figure(events: Sequence[Event]) -> Html:
    """Draw the mean power of each client while it sent."""
    power_w = mean_powers_w(events)
    if not power_w:
        return Html()
    with axes_of(2.5, x="client", y="mW") as (figure, axes):
        axes.bar([*power_w], [1000 * power for power in power_w.values()], color=series(0), width=0.72)
        whole(axes.xaxis)
        least, most = min(power_w.values()), max(power_w.values())
        return finished(
            figure,
            "powers",
            title="Mean power of each client while it sent",
            description=f"Mean power of each client while it sent, from {_watts(least)} to {_watts(most)}",
        )


def bits_figure(events: Sequence[Event]) -> Html:
    """Draw bits a value of merged uploads over merges: those sent, and those that the codec's paper would count.

    Nothing where all uploads took as many: then one number says it.
    """
    merged = [event for event in events if event["event"] == "merge" and event.get("num_values")]
    sizes = {round(8 * event["uplink_bytes"] / event["num_values"], 2) for event in merged}
    if len(sizes) < 2:
        return Html()
    by_merge: defaultdict[int, list[Event]] = defaultdict(list)
    for event in merged:
        by_merge[event["merge"]].append(event)
    legend, told = [], []
    with axes_of(2.5, x="merge", y="bits a value, uplink") as (figure, axes):
        for index, (name, factor, title) in enumerate(
            (("uplink_bytes", 8, "sent"), ("bits_paper", 1, term("bits-paper")))
        ):
            points = []
            for part in np.array_split(np.array(sorted(by_merge)), min(_MOST_POINTS, len(by_merge))):
                known = [event for merge in part for event in by_merge[merge] if name in event]
                if known:
                    bits = factor * sum(e[name] for e in known) / sum(e["num_values"] for e in known)
                    points.append((known[-1]["merge"], bits))
            if points:
                axes.plot(*zip(*points, strict=True), color=series(index))
                legend.append(Entry(title, index, value=f"{points[-1][1]:.3g}"))
                told.append(
                    f"{points[-1][1]:.3g} {'as sent' if name == 'uplink_bytes' else 'by the count of its paper'}"
                )
        axes.set_ylim(bottom=0)
        axes.set_xlim(left=0)
        return finished(
            figure,
            "bits",
            title=joined("What a number of the model takes: ", term("bits")),
            description=f"Bits a value over merges: {', '.join(told)} at the end",
            entries=legend,
        )


def _watts(power_w: float) -> str:
    return f"{1000 * power_w:.3g} mW" if power_w < 1 else f"{power_w:.3g} W"
