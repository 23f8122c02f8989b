"""Tables at the end of a run and between runs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from eafl_flower.core.scores import Score
from eafl_flower.core.words import MOST_LINE, shown
from eafl_flower.results.scores import stored_scores
from eafl_flower.results.summary import on_the_wall
from eafl_flower.results.views.quantities import bytes_text, energy_text, percent_text, time_text
from eafl_flower.results.views.score_words import (
    PHASE_TITLES,
    Columns,
    baseline_rows,
    columns_of,
    direction,
    left_out,
    score_cells,
)

_MEAN_COSTS = {"uplink_bytes": bytes_text, "energy_j": energy_text}
_WIDE = 100  # columns from which everything has a place


def print_results(console: Console, summary: Mapping[str, Any], path: Path) -> None:
    """Print the final tables of a run and the path of its results."""
    console.print()
    for table in score_tables(summary):
        console.print(table)
        console.print()
    for text in left_out(summary):
        console.print(Text(f" {shown(text)}\n", style="dim"))
    console.print(cost_table(summary))
    console.print()
    # never wrapped: people copy it
    console.print(Text.assemble("Results: ", (shown(path, MOST_LINE), "bold")), soft_wrap=True, highlight=False)


def score_tables(summary: Mapping[str, Any]) -> Iterator[Table]:
    """Yield the values of each score of a run, phase by phase, above those of its baselines."""
    columns = columns_of([summary])
    for score in dict.fromkeys(score for score, _ in columns.values()):
        own = {key: column for key, column in columns.items() if column[0] == score}
        table = _table()
        table.add_column(Text("\n".join(filter(None, (shown(score.title), direction(score))))), vertical="bottom")
        for _, phase in own.values():
            title = Text(PHASE_TITLES[phase]) if phase in PHASE_TITLES else _text(phase)
            table.add_column(title, justify="right", vertical="bottom")
        table.add_row(_text(summary["name"]), *map(_text, score_cells(summary, own)), style="bold")
        for name, cells in baseline_rows(summary, own):
            table.add_row(name, *map(_text, cells))
        yield table


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
        *_bits(summary),
        ("energy", energy_text(summary["energy_j"])),
        *_rates(summary),
        ("time", f"{virtual}{time_text(summary['wall_s'])} real"),
        ("merges", ", ".join(merges)),
        ("staleness", stale),
        *_states_lost(summary.get("client_states_lost", 0)),
        *_uncertified(summary.get("uncertified_powers", 0)),
    ):
        table.add_row(f" {title}", text)
    return table


def comparison_table(runs: Sequence[tuple[str, Mapping[str, Any]]], *, width: int) -> Table:
    """Return a table with one row a run; ``runs`` are titles and summaries, ``width`` the columns there are."""
    scores: Columns = columns_of(summary for _, summary in runs)
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
        scores = _without_unlabelled(scores)
    table = _table()
    table.add_column("run", overflow="fold", min_width=16)
    for title in (*scores, *costs):
        table.add_column(_text(title), justify="right", no_wrap=True)
    for title, summary in runs:
        cells = map(_text, score_cells(summary, scores))
        table.add_row(_text(title), *cells, *(text(summary) for text in costs.values()))
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
    scores: Columns = columns_of(summary for _, summary in rows)
    table = _table()
    for key in keys:
        table.add_column(_text(key.rpartition(".")[2]), overflow="fold", min_width=8)
    costs = ("uplink", "energy") if width >= _WIDE else ()
    scores = scores if width >= _WIDE else _without_unlabelled(scores)
    for title in ("seeds", *scores, *costs):
        table.add_column(_text(title), justify="right", no_wrap=True)
    for combination, summaries in groups.items():
        found: dict[str, list[float]] = {key: [] for key in scores}
        for value in (value for summary in summaries for value in stored_scores(summary)):
            found.get(value.key, []).append(value.value)
        table.add_row(
            *map(_text, combination),
            str(len(summaries)),
            *(_text(_mean_sd(found[key], score)) for key, (score, _) in scores.items()),
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


def _text(value: object) -> Text:
    """Return a name for a cell: never markup, and cut where it is endless."""
    return Text(shown(value))


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, header_style="dim", show_edge=False)


def _mean_sd(values: Sequence[float], score: Score) -> str:
    if len(values) < 2:
        return score.text(values[0] if values else None)
    return f"{score.number(fmean(values))} ± {score.number(stdev(values))} {score.unit}".rstrip()


def _without_unlabelled(columns: Columns) -> Columns:
    return {key: column for key, column in columns.items() if column[1] != "unlabelled"}


def _both_ways(saved: float | None) -> list[tuple[str, str]]:
    if saved is None or saved <= 0:
        return []
    return [("both ways", f"{percent_text(saved)} saved after each client's first job, framing included")]


def _bits(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    if (sent := summary.get("bits_per_value")) is None:
        return []
    counted, error = summary.get("bits_per_value_paper"), summary.get("codec_error")
    told = "" if counted is None or error is None else f", {counted:.3g} by the codec's paper, error {error:.3g}"
    return [("upload", f"{sent:.3g} bits a value{told}")]


def _rates(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    if (count := summary.get("rates_measured")) is None:
        return []
    return [("links", f"{count:,} of {summary['uploads']:,} merges priced at a measured rate, the others by the model")]


def _states_lost(count: int) -> list[tuple[str, str]]:
    if not count:
        return []
    return [("states", f"{count:,} client states were lost: their clients started afresh, private heads too")]


def _uncertified(count: int) -> list[tuple[str, str]]:
    if not count:
        return []
    return [("power", f"{count:,} allocations are feasible, but not proven to be the best")]


def _saved(share: float | None) -> str:
    return "" if share is None else f", {percent_text(share)} saved"
