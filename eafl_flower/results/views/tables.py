"""Tables at the end of a run and between runs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from eafl_flower.core.scores import Score
from eafl_flower.core.words import MOST_LINE, shown
from eafl_flower.results.scores import stored_scores
from eafl_flower.results.summary import on_the_wall
from eafl_flower.results.views.fitting import Column, fitted
from eafl_flower.results.views.quantities import bytes_text, energy_text, percent_text, time_text
from eafl_flower.results.views.score_words import (
    PHASE_TITLES,
    SHORT_TITLES,
    Columns,
    baseline_rows,
    columns_of,
    direction,
    left_out,
    row_title,
    score_cells,
)
from eafl_flower.results.views.verdict import verdict

_COSTS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "merges": lambda s: f"{s['merges']:,}",
    "uplink": lambda s: bytes_text(s["uplink_bytes"]),
    "saved": lambda s: percent_text(s["uplink_saved"]),
    "downlink": lambda s: bytes_text(s["downlink_bytes"]),
    "energy": lambda s: energy_text(s["energy_j"]),
    "time": lambda s: time_text(s["virtual_time_s"]),
}
_MEAN_COSTS = {"uplink_bytes": bytes_text, "energy_j": energy_text}
_LEAST_NAME, _LEAST_VALUE = 16, 8  # columns to which names and values may be folded


def print_results(
    console: Console, summary: Mapping[str, Any], path: Path, *, codec: str = "", verbose: bool = False, next_: str = ""
) -> None:
    """Print what came out of a run: scores beside baselines, a verdict in words, costs, and where its results are.

    Parameters
    ----------
    console
        Where to print.
    summary, path
        What came out, and the run's directory.
    codec
        What its codec is called.
    verbose
        Whether baselines have a row each, and costs a line.
    next_
        The command that comes next.
    """
    console.print()
    if verbose:
        for table in score_tables(summary, width=console.width):
            console.print(table)
            console.print()
    else:
        console.print(score_table(summary, width=console.width))
    for text in left_out(summary):
        _line(console, text, "dim")
    for text in verdict(summary, codec):
        _line(console, text)
    if verbose:
        console.print()
        console.print(cost_table(summary))
        console.print()
    else:
        _line(console, cost_text(summary), "dim")
    # never wrapped: people copy it
    console.print(Text.assemble("Results: ", (shown(path, MOST_LINE), "bold")), soft_wrap=True, highlight=False)
    if next_:
        console.print(Text.assemble("Next:    ", (shown(next_, MOST_LINE), "bold")), soft_wrap=True, highlight=False)


def _line(console: Console, text: str, style: str = "") -> None:
    console.print(Text(shown(text, MOST_LINE), style), soft_wrap=not console.is_terminal, highlight=False)


def score_table(summary: Mapping[str, Any], *, width: int) -> Group:
    """Return the scores of a run with one row a phase, beside those of its baselines."""
    columns = columns_of([summary])
    scores = list(dict.fromkeys(score for score, _ in columns.values()))
    titles = [row_title(score, phase, alone=len(scores) == 1) for score, phase in columns.values()]
    above = f"{shown(scores[0].title)} {direction(scores[0])}".rstrip() if len(scores) == 1 else ""
    first = Column(title=Text(above), cells=[_text(title) for title in titles], least=_LEAST_NAME, is_text=True)
    there = {title: summary["baselines"].get(name) for name, title in SHORT_TITLES.items()}
    values = {title: found for title, found in there.items() if found and any(key in found for key in columns)}
    own = [Text(shown(cell), "bold") for cell in score_cells(summary, columns)]
    others = [Column(title=_text(summary["name"]), cells=own)]
    others += [
        Column(title=Text(title), cells=[_text(score.text(found.get(key))) for key, (score, _) in columns.items()])
        for title, found in values.items()
    ]
    return fitted(first, others, width=width, is_ruled=False)


def score_tables(summary: Mapping[str, Any], *, width: int) -> Iterator[Group]:
    """Yield the values of each score of a run, phase by phase, above those of its baselines."""
    columns = columns_of([summary])
    for score in dict.fromkeys(score for score, _ in columns.values()):
        own = {key: column for key, column in columns.items() if column[0] == score}
        rows = [(shown(summary["name"]), score_cells(summary, own)), *baseline_rows(summary, own)]
        title = Text("\n".join(filter(None, (shown(score.title), direction(score)))))
        first = Column(title=title, cells=[Text(name) for name, _ in rows], least=_LEAST_NAME, is_text=True)
        others = [
            Column(title=_phase_title(phase), cells=[_text(cells[place]) for _, cells in rows])
            for place, (_, phase) in enumerate(own.values())
        ]
        yield fitted(first, others, width=width, styles=["bold", *[""] * (len(rows) - 1)])


def cost_text(summary: Mapping[str, Any]) -> str:
    """Return what a run has cost in one line, and what became of the jobs that led to no merge."""
    virtual = "" if on_the_wall(summary) else f"{time_text(summary['virtual_time_s'])} virtual, "
    sizes = f"{bytes_text(summary['uplink_bytes'])} up, {bytes_text(summary['downlink_bytes'])} down"
    parts = [energy_text(summary["energy_j"]), sizes, f"{virtual}{time_text(summary['wall_s'])} real"]
    parts += [f"{summary[key]:,} {key}" for key in ("lost", "refused", "timeouts", "errors") if summary.get(key)]
    parts += [text for _, text in (*_states_lost(summary), *_uncertified(summary))]
    return f"It took {', '.join(parts)}."


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
        *_states_lost(summary),
        *_uncertified(summary),
    ):
        table.add_row(f" {title}", text)
    return table


def comparison_table(runs: Sequence[tuple[str, Mapping[str, Any]]], *, width: int) -> Group:
    """Return a table with one row a run; ``runs`` are titles and summaries, ``width`` the columns there are."""
    scores: Columns = columns_of(summary for _, summary in runs)
    first = Column(title=Text("run"), cells=[_text(title) for title, _ in runs], least=_LEAST_NAME, is_text=True)
    cells = [score_cells(summary, scores) for _, summary in runs]
    columns = [
        Column(title=_text(title), cells=[_text(row[place]) for row in cells]) for place, title in enumerate(scores)
    ]
    columns += [
        Column(title=Text(title), cells=[Text(text(summary)) for _, summary in runs]) for title, text in _COSTS.items()
    ]
    return fitted(first, columns, width=width)


def sweep_table(rows: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], *, width: int) -> Group:
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
    varied = [
        Column(
            title=_text(key.rpartition(".")[2]),
            cells=[_text(combination[place]) for combination in groups],
            least=_LEAST_VALUE,
            is_text=True,
        )
        for place, key in enumerate(keys)
    ]
    seeds = Column(title=Text("seeds"), cells=[Text(str(len(summaries))) for summaries in groups.values()])
    found = [_values(summaries) for summaries in groups.values()]
    columns = [
        Column(title=_text(key), cells=[_text(_mean_sd(values.get(key, ()), score)) for values in found])
        for key, (score, _) in scores.items()
    ]
    columns += [
        Column(
            title=Text(key.removesuffix("_bytes").removesuffix("_j")),
            cells=[Text(text(fmean(summary[key] for summary in summaries))) for summaries in groups.values()],
        )
        for key, text in _MEAN_COSTS.items()
    ]
    columns = [*varied, seeds, *columns]
    return fitted(columns[0], columns[1:], width=width)


def settings_table(titles: Sequence[str], rows: Sequence[tuple[str, Sequence[Any]]], *, width: int) -> Group:
    """Return the settings in which runs differ, one column a run."""
    first = Column(title=Text("setting"), cells=[_text(key) for key, _ in rows], least=_LEAST_NAME, is_text=True)
    columns = [
        Column(
            title=_text(title),
            cells=[_text("-" if values[place] is None else values[place]) for _, values in rows],
            least=_LEAST_NAME,
            is_text=True,
        )
        for place, title in enumerate(titles)
    ]
    return fitted(first, columns, width=width)


def _values(summaries: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for value in (value for summary in summaries for value in stored_scores(summary)):
        found.setdefault(value.key, []).append(value.value)
    return found


def _phase_title(phase: str) -> Text:
    return Text(PHASE_TITLES[phase]) if phase in PHASE_TITLES else _text(phase)


def _text(value: object) -> Text:
    """Return a name for a cell: never markup, and cut where it is endless."""
    return Text(shown(value))


def _mean_sd(values: Sequence[float], score: Score) -> str:
    if len(values) < 2:
        return score.text(values[0] if values else None)
    return f"{score.number(fmean(values))} ± {score.number(stdev(values))} {score.unit}".rstrip()


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


def _states_lost(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    if not (count := summary.get("client_states_lost", 0)):
        return []
    return [("states", f"{count:,} client states were lost: their clients started afresh, private heads too")]


def _uncertified(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    if not (count := summary.get("uncertified_powers", 0)):
        return []
    return [("power", f"{count:,} allocations are feasible, but not proven to be the best")]


def _saved(share: float | None) -> str:
    return "" if share is None else f", {percent_text(share)} saved"
