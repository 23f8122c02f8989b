"""The sections of a run's page on what was sent and spent, on its clients, and on what only some systems have."""

from collections.abc import Mapping, Sequence
from typing import Any

from eafl_flower.core.events import Event
from eafl_flower.core.scores import Score
from eafl_flower.results.report import activity_figures as activity
from eafl_flower.results.report import page
from eafl_flower.results.report import radio_figures as radio
from eafl_flower.results.report import rank_figures as ranks
from eafl_flower.results.report.figures import Curve, added_figure
from eafl_flower.results.report.page import Html, joined
from eafl_flower.results.report.terms import term
from eafl_flower.results.stored import is_finite
from eafl_flower.results.summary import on_the_wall
from eafl_flower.results.views.quantities import energy_text, percent_text, time_text

_KEPT = {
    "private": "Each client keeps a head of its own.",
    "both": "Each client keeps a head of its own, and another one travels for those who come later.",
}
_ABOUT_HEADS = (
    ("head-parameters", "parameters of a head, mean over clients", "{:,.0f}"),
    ("adapted", "unseen clients that went by a head adapted to their rows", "{:.0%}"),
    ("unjudged", "unseen clients with too few labelled rows to judge one", "{:.0%}"),
)


def of_run(
    events: Sequence[Event],
    settings: Mapping[str, Any],
    summary: Mapping[str, Any] | None,
    curves: Mapping[tuple[Score, str], Curve],
    clock: str,
) -> list[str]:
    """Return the sections that this run has something for; ``clock`` is what its times are of."""
    merged = any(event["event"] == "merge" for event in events)
    found = [_costs(events, settings, summary, clock)]
    if merged:
        found.append(_clients(events, clock))
    found += [_heads(events, settings, curves, clock), _radio(events, settings), _ranks(events, clock)]
    return [one for one in found if one]


def _costs(events: Sequence[Event], settings: Mapping[str, Any], summary: Mapping[str, Any] | None, clock: str) -> Html:
    """Return what was sent and spent."""
    drawn: list[str] = []
    budgets = {"energy": _number(settings.get("stop.energy-j")), "time": _number(settings.get("stop.virtual-time-s"))}
    if summary is not None:
        drawn.append(activity.bytes_figure(summary, events))
    if any("energy_j" in event for event in events):
        drawn.append(activity.spending_figure(events, "energy", budgets["energy"], clock))
        if budgets["time"] or settings.get("radio.name") == "cell-free":
            drawn.append(activity.spending_figure(events, "time", budgets["time"], clock))
    if any(event["event"] == "merge" and event.get("num_values") for event in events):
        drawn.append(radio.bits_figure(events))
    rows = [] if summary is None else [(page.noted(name, remark), value) for name, value, remark in _cost_rows(summary)]
    if rows:
        drawn.append(page.table(("", ""), rows))
    return page.section("What it cost", page.figures(*drawn)) if drawn else Html()


def _cost_rows(summary: Mapping[str, Any]) -> list[tuple[object, object, object]]:
    staleness, measured = summary["staleness"], summary.get("rates_measured")
    up, down = (_saved(summary[f"{way}link_saved"]) for way in ("up", "down"))
    rows: list[tuple[object, object, object]] = [
        ("uplink [bytes]", f"{summary['uplink_bytes']:,}", up),
        (joined("uplink with ", term("framing"), " [bytes]"), f"{summary['uplink_framed_bytes']:,}", ""),
        ("downlink [bytes]", f"{summary['downlink_bytes']:,}", down),
    ]
    if (both := summary.get("both_ways_saved")) is not None:
        framed = summary["uplink_framed_bytes"] + summary["downlink_framed_bytes"]
        rows.append((joined(term("both-ways"), ", framed [bytes]"), f"{framed:,}", _saved(both)))
    if (sent := summary.get("bits_per_value")) is not None:
        counted, error = summary.get("bits_per_value_paper"), summary.get("codec_error")
        told: object = ""
        if counted is not None and error is not None:
            told = joined(f"{counted:.3g} ", term("bits-paper"), ", ", term("codec-error"), f" {error:.3g}")
        rows.append((joined("uplink [", term("bits"), "]"), f"{sent:.3g}", told))
    rows.append(("energy of all clients", energy_text(summary["energy_j"]), ""))
    if measured is not None:
        rows.append(("merges at a measured rate", f"{measured:,}", "the others by the model"))
    if not on_the_wall(summary):
        rows.append((term("virtual-time"), time_text(summary["virtual_time_s"]), ""))
    rows.append(("real time", time_text(summary["wall_s"]), ""))
    fate = joined(f"{summary['lost']:,} ", term("lost"), f", {summary['refused']:,} ", term("refused"))
    rows.append((joined(term("merge", "merges")), f"{summary['merges']:,}", fate))
    if staleness["median"] is not None:
        worst = f"95 % at most {staleness['p95']:g}, the largest {staleness['max']:g}"
        rows.append((joined(term("staleness"), ", median"), f"{staleness['median']:g}", worst))
    if states := summary.get("client_states_lost"):
        rows.append(("client states lost", f"{states:,}", "their clients started afresh, private heads too"))
    if uncertified := summary.get("uncertified_powers"):
        rows.append(("allocations of power not proven best", f"{uncertified:,}", "they are feasible"))
    return rows


def _saved(share: float | None) -> Html:
    """Return what coding has saved, in words; more than float32 is said to be more."""
    if share is None:
        return Html()
    if abs(share) < 0.0005:
        return joined("nothing ", term("saved"))
    if share < 0:
        return joined(f"{percent_text(-share)} more than float32 without framing")
    return joined(f"{percent_text(share)} ", term("saved"))


def _clients(events: Sequence[Event], clock: str) -> Html:
    """Return who sent when, and how much each."""
    drawn = [activity.merges_figure(events, clock)]
    if any(event["event"] == "merge" and event["staleness"] for event in events):
        drawn += [activity.staleness_figure(events), activity.weights_figure(events)]
    drawn += [activity.clients_figure(events, "uplink_bytes"), activity.clients_figure(events, "energy_j")]
    return page.section("What clients did", page.figures(*drawn))


def _heads(
    events: Sequence[Event], settings: Mapping[str, Any], curves: Mapping[tuple[Score, str], Curve], clock: str
) -> Html:
    """Return what is known of personal heads, for tasks that have some."""
    task = settings.get("task.name")
    kept = settings.get(f"task.{task}.head") if isinstance(task, str) else None
    newest: Mapping[str, Any] = next((e["metrics"] for e in reversed(events) if e["event"] == "evaluate"), {})
    score = next((score for score, _ in curves), None)
    if score is None or (kept not in _KEPT and "head-parameters" not in newest):
        return Html()
    of_score = {phase: curve for (of, phase), curve in curves.items() if of == score}
    rows: list[tuple[object, object]] = [
        (words, form.format(newest[name]))
        for name, words, form in _ABOUT_HEADS
        if isinstance(newest.get(name), int | float)
    ]
    where = _KEPT.get(str(kept), "")
    return page.section(
        joined(term("personal-head", "Personal heads")),
        page.figures(added_figure(of_score, score, clock)),
        page.table(("", ""), rows) if rows else "",
        note=f"{where} Scores are means over clients: a run records none of a single one.".strip(),
    )


def _radio(events: Sequence[Event], settings: Mapping[str, Any]) -> Html:
    """Return where users are and how loudly they send, over a cell-free network."""
    network = radio.radio_of(settings)
    if network is None:
        return Html()
    return page.section("Radio", page.figures(radio.map_figure(network, events), radio.powers_figure(events)))


def _ranks(events: Sequence[Event], clock: str) -> Html:
    """Return places, ranks, the price of energy and what leaving vehicles did."""
    jobs = ranks.jobs_of(events)
    if not jobs:
        return Html()
    drawn = [
        ranks.city_figure(jobs),
        ranks.ranks_figure(jobs, clock),
        ranks.rank_counts_figure(jobs),
        ranks.price_figure(jobs, clock),
        ranks.violation_figure(jobs, clock),
    ]
    rows = [(str(rank), f"{count:,}", energy) for rank, count, energy in ranks.mean_energies(jobs)]
    tables = [page.part("Energy by rank", page.table((term("rank"), "jobs", "energy of a job, mean"), rows))]
    if any(event.get("leaving") for event in jobs):
        left = [(words, f"{merged:,}", f"{other:,}") for words, merged, other in ranks.leaving_counts(jobs)]
        head = (term("leaving", "what vehicles did"), "merged", "not merged")
        tables.append(page.part("Vehicles that left their unit", page.table(head, left)))
    return page.section(joined("Ranks: ", term("ucb-dual")), page.figures(*drawn), *tables)


def _number(setting: Any) -> float:
    return float(setting) if isinstance(setting, int | float) and is_finite(setting) else 0.0
