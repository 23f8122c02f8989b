"""One run as an HTML page."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from eafl_flower.core.events import Event
from eafl_flower.results.run_directory import RunDirectory
from eafl_flower.results.scores import declared_scores, scores_of_events
from eafl_flower.results.summary import on_the_wall
from eafl_flower.results.views import page
from eafl_flower.results.views.comparison import changed_configs
from eafl_flower.results.views.figures import (
    clients_figure,
    curves_of,
    merges_figure,
    score_figure,
    staleness_figure,
)
from eafl_flower.results.views.quantities import energy_text, percent_text, time_text
from eafl_flower.results.views.radio_figures import bits_figure, budget_figure, map_figure, radio_of
from eafl_flower.results.views.score_words import (
    BASELINE_TITLES,
    baseline_rows,
    columns_of,
    direction,
    heading,
    left_out,
    phase_text,
    score_cells,
)


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
    curves = curves_of(events, declared_scores(summary) if summary else scores_of_events(events))
    parts = [page.paragraph(f"{run.path.resolve()}{'' if summary else ' (not finished: no summary.json)'}")]
    if summary:
        note = "; ".join(left_out(summary))
        parts.append(page.section("Results", *_scores(summary), page.section("Cost", _costs(summary)), note=note))
    baselines: Mapping[str, Any] = summary["baselines"] if summary else {}
    for (score, phase), curve in curves.items():
        key = score.key(phase)
        levels = {title: (baselines.get(name) or {}).get(key) for name, title in BASELINE_TITLES.items()}
        curve = replace(curve, title=summary["name"] if summary else "this run")
        figures = [
            score_figure([curve], score=score, against=axis, levels=levels, name=key) for axis in ("time", "bytes")
        ]
        parts.append(page.section(heading(score, phase), *map(page.figure, figures), note=direction(score)))
    if any(event["event"] == "merge" for event in events):
        parts += [
            page.section(
                "Uploads over time",
                page.figure(merges_figure(events)),
                note="Each dot is an upload at the moment it was merged.",
            ),
            page.section("Staleness", page.figure(staleness_figure(events))),
            page.section(
                "Clients",
                page.figure(clients_figure(events, "uplink_bytes", "uplink [bytes]")),
                page.figure(clients_figure(events, "energy_j", "energy [J]")),
            ),
        ]
        parts += _radio(events, settings)
    table = page.details("all settings", page.table((), list(settings.items()), text_columns=2))
    parts.append(page.section("Configuration", table, note="; ".join(changed_configs([run] if summary else []))))
    if summary:
        parts.append(page.section("Versions and digests", page.table((), _identity(summary), text_columns=2)))
    return page.page(f"Run {summary['name'] if summary else run.path.name}", parts)


def _radio(events: Sequence[Event], settings: Mapping[str, Any]) -> list[str]:
    """Return sections on bits and, over a cell-free network or with budgets, on places, powers and what was spent."""
    sections = []
    if any(event["event"] == "merge" and event.get("num_values") for event in events):
        sections.append(page.section("Bits a value", page.figure(bits_figure(events))))
    radio = radio_of(settings)
    budgets = {"energy": _number(settings.get("stop.energy-j")), "time": _number(settings.get("stop.virtual-time-s"))}
    if radio is not None:
        where = "Where users were at the end of the run." if radio.network.speed_m_s else "Users do not move."
        sections.append(page.section("Radio", page.figure(map_figure(radio, events)), note=where))
    if radio is not None or any(budgets.values()):
        figures = [page.figure(budget_figure(events, quantity, budget)) for quantity, budget in budgets.items()]
        sections.append(page.section("Energy and latency", *figures))
    return sections


def _number(setting: Any) -> float:
    return float(setting) if isinstance(setting, int | float) and math.isfinite(setting) else 0.0


def _scores(summary: Mapping[str, Any]) -> list[str]:
    """Return a table for each score: the run, and its baselines below it."""
    columns, tables = columns_of([summary]), []
    for score in dict.fromkeys(score for score, _ in columns.values()):
        own = {key: column for key, column in columns.items() if column[0] == score}
        rows = [(summary["name"], *score_cells(summary, own))]
        rows += [(title, *cells) for title, cells in baseline_rows(summary, own)]
        corner = ", ".join(filter(None, (score.title, direction(score))))
        tables.append(page.table((corner, *(phase_text(phase) for _, phase in own.values())), rows, own=0))
    return tables


def _costs(summary: Mapping[str, Any]) -> str:
    staleness, measured = summary["staleness"], summary.get("rates_measured")
    rows = [
        ("uplink [bytes]", f"{summary['uplink_bytes']:,}", f"{percent_text(summary['uplink_saved'])} saved"),
        ("uplink, framed [bytes]", f"{summary['uplink_framed_bytes']:,}", ""),
        ("downlink [bytes]", f"{summary['downlink_bytes']:,}", f"{percent_text(summary['downlink_saved'])} saved"),
        *_both_ways(summary),
        *_bits(summary),
        ("energy", energy_text(summary["energy_j"]), ""),
        *([("merges at a measured rate", f"{measured:,}", "the others by the model")] if measured is not None else []),
        *([] if on_the_wall(summary) else [("virtual time", time_text(summary["virtual_time_s"]), "")]),
        ("real time", time_text(summary["wall_s"]), ""),
        ("merges", f"{summary['merges']:,}", f"{summary['lost']:,} lost, {summary['refused']:,} refused"),
        ("staleness, median", staleness["median"], f"p95 {staleness['p95']}, max {staleness['max']}"),
        ("ended because", summary["stopped"], ""),
    ]
    return page.table((), rows)


def _both_ways(summary: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    saved = summary.get("both_ways_saved")
    if saved is None:
        return []
    framed = summary["uplink_framed_bytes"] + summary["downlink_framed_bytes"]
    text = f"{percent_text(saved)} saved after each client's first job"
    return [("both ways, framed [bytes]", f"{framed:,}", text)]


def _bits(summary: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    if (sent := summary.get("bits_per_value")) is None:
        return []
    counted, error = summary.get("bits_per_value_paper"), summary.get("codec_error")
    told = "" if counted is None or error is None else f"{counted:.3g} by the codec's paper, relative error {error:.3g}"
    return [("uplink [bits a value]", f"{sent:.3g}", told)]


def _identity(summary: Mapping[str, Any]) -> list[tuple[str, Any]]:
    keys = ("engine", "seed", "config_sha256", "data_sha256", "order_sha256", "arrays_sha256")
    rows = [(key, summary[key]) for key in keys if key in summary]  # earlier versions noted less
    rows += [(name, f"{count:,}") for name, count in summary.get("data", {}).items()]
    return rows + [(name, version or "not installed") for name, version in summary["versions"].items()]
