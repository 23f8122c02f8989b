"""Tables at the end of a run and between runs."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from eafl_flower.core.words import MOST_LINE, shown
from eafl_flower.results.summary import on_the_wall
from eafl_flower.results.views.quantities import bytes_text, energy_text, percent_text, time_text

_MEAN_COSTS = {"uplink_bytes": bytes_text, "energy_j": energy_text}
_WIDE = 100  # columns from which every cost has a place
SCORE_TITLES = {
    "before": "seen clients\nbefore training",
    "after": "seen clients\nafter training",
    "unseen": "unseen\nclients",
}
SCORE_TEXTS = {
    "before": "seen clients, before local training",
    "after": "seen clients, after local training",
    "unseen": "unseen clients",
}
BASELINE_TITLES = {
    "exact": "exact updates",
    "no_communication": "no communication",
    "lookup": "look-up of one feature",
    "majority": "majority class",
}


def score_title(score: str) -> Text:
    """Return the column title of a score, in two lines where it is long."""
    return Text(SCORE_TITLES[score]) if score in SCORE_TITLES else _text(score)


def print_results(console: Console, summary: Mapping[str, Any], path: Path) -> None:
    """Print the final tables of a run and the path of its results."""
    console.print()
    if summary["accuracy"]:
        console.print(accuracy_table(summary))
        console.print()
    console.print(cost_table(summary))
    console.print()
    # never wrapped: people copy it
    console.print(Text.assemble("Results: ", (shown(path, MOST_LINE), "bold")), soft_wrap=True, highlight=False)


def accuracy_table(summary: Mapping[str, Any]) -> Table:
    """Return the accuracies of a run, score by score, above its baselines."""
    table = _table()
    table.add_column("accuracy", vertical="bottom")
    for score in summary["accuracy"]:
        table.add_column(score_title(score), justify="right", vertical="bottom")
    table.add_row(*_accuracies(summary["name"], summary["accuracy"], summary["accuracy"]), style="bold")
    for baseline, title in BASELINE_TITLES.items():
        if (scores := summary["baselines"].get(baseline)) is not None:
            table.add_row(*_accuracies(title, scores, summary["accuracy"]))
    return table


def cost_table(summary: Mapping[str, Any]) -> Table:
    """Return what a run has cost: bytes, joules, seconds, and what became of its jobs."""
    staleness = summary["staleness"]
    stale = "-" if staleness["median"] is None else "median {median:g}, p95 {p95:g}, max {max:g}".format(**staleness)
    merges = [f"{summary['merges']:,}", *(f"{summary[key]:,} {key}" for key in ("lost", "refused"))]
    merges += [f"{summary[key]:,} {key}" for key in ("timeouts", "errors") if summary.get(key)]
    virtual = "" if on_the_wall(summary) else f"{time_text(summary['virtual_time_s'])} virtual, "
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column()
    for title, text in (
        ("uplink", f"{summary['uplink_bytes']:,} bytes{_saved(summary['uplink_saved'])}"),
        ("downlink", f"{summary['downlink_bytes']:,} bytes{_saved(summary['downlink_saved'])}"),
        *_both_ways(summary.get("both_ways_saved")),
        ("energy", energy_text(summary["energy_j"])),
        ("time", f"{virtual}{time_text(summary['wall_s'])} real"),
        ("merges", ", ".join(merges)),
        ("staleness", stale),
        *_states_lost(summary.get("client_states_lost", 0)),
    ):
        table.add_row(f" {title}", text)
    return table


def comparison_table(runs: Sequence[tuple[str, Mapping[str, Any]]], *, width: int) -> Table:
    """Return a table with one row a run; ``runs`` are titles and summaries, ``width`` the columns there are."""
    scores = _scores(summary for _, summary in runs)
    costs: dict[str, Callable[[Mapping[str, Any]], str]] = {
        "merges": lambda s: f"{s['merges']:,}",
        "uplink": lambda s: bytes_text(s["uplink_bytes"]),
        "saved": lambda s: percent_text(s["uplink_saved"]),
        "downlink": lambda s: bytes_text(s["downlink_bytes"]),
        "energy": lambda s: energy_text(s["energy_j"]),
        "time": lambda s: time_text(s["virtual_time_s"]),
    }
    if width < _WIDE:
        del costs["saved"], costs["downlink"]
    table = _table()
    table.add_column("run", overflow="fold", min_width=16)
    for title in (*scores, *costs):
        table.add_column(_text(title), justify="right", no_wrap=True)
    for title, summary in runs:
        accuracies = [percent_text(summary["accuracy"].get(score)) for score in scores]
        table.add_row(_text(title), *accuracies, *(text(summary) for text in costs.values()))
    return table


def sweep_table(rows: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], *, width: int) -> Table:
    """Return mean and standard deviation over the seeds of each combination of the values that vary.

    ``rows`` are the values of a run (the seed among them) and its summary, ``width`` the columns there are.
    """
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    keys = [
        key
        for key, first in (rows[0][0] if rows else {}).items()
        if key != "seed" and any(values[key] != first for values, _ in rows)
    ]
    for values, summary in rows:
        groups.setdefault(tuple(values[key] for key in keys), []).append(summary)
    scores = _scores(summary for _, summary in rows)
    table = _table()
    for key in keys:
        table.add_column(_text(key.rpartition(".")[2]), overflow="fold", min_width=8)
    costs = ("uplink", "energy") if width >= _WIDE else ()
    for title in ("seeds", *scores, *costs):
        table.add_column(_text(title), justify="right", no_wrap=True)
    for combination, summaries in groups.items():
        found = [[s["accuracy"][score] for s in summaries if score in s["accuracy"]] for score in scores]
        table.add_row(
            *map(_text, combination),
            str(len(summaries)),
            *(_mean_sd(values) for values in found),
            *(text(fmean(s[key] for s in summaries)) for key, text in _MEAN_COSTS.items() if costs),
        )
    return table


def settings_table(titles: Sequence[str], rows: Sequence[tuple[str, Sequence[Any]]]) -> Table:
    """Return the settings in which runs differ, one column a run."""
    table = _table()
    table.add_column("setting", overflow="fold")
    for title in titles:
        table.add_column(_text(title), overflow="fold")
    for key, values in rows:
        table.add_row(_text(key), *(_text("-" if value is None else value) for value in values))
    return table


def _scores(summaries: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(score for summary in summaries for score in summary["accuracy"]))


def _text(value: object) -> Text:
    """Return a name for a cell: never markup, and cut where it is endless."""
    return Text(shown(value))


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, header_style="dim", show_edge=False)


def _accuracies(title: str, scores: Mapping[str, float], columns: Mapping[str, float]) -> list[Text | str]:
    return [_text(title), *(percent_text(scores.get(score)) for score in columns)]


def _mean_sd(values: Sequence[float]) -> str:
    if len(values) < 2:
        return percent_text(values[0] if values else None)
    return f"{100 * fmean(values):.1f} ± {100 * stdev(values):.1f} %"


def _both_ways(saved: float | None) -> list[tuple[str, str]]:
    if saved is None or saved <= 0:
        return []
    return [("both ways", f"{percent_text(saved)} saved after each client's first job, framing included")]


def _states_lost(count: int) -> list[tuple[str, str]]:
    if not count:
        return []
    return [("states", f"{count:,} client states were lost: their clients started afresh, private heads too")]


def _saved(share: float | None) -> str:
    return "" if share is None else f", {percent_text(share)} saved"
