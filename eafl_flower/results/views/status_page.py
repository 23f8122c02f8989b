"""How a run stands, as a person reads it: a few lines and a table of its clients, in trouble first."""

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from eafl_flower.core.scores import guessed, measured
from eafl_flower.core.words import MOST_LINE, shown
from eafl_flower.results.run_state import GOING_ON, QUIET_S
from eafl_flower.results.views.quantities import bytes_text, energy_text, time_text
from eafl_flower.results.watch import TROUBLE

_STYLES = {"finished": "green", "running": "cyan", "starting": "cyan", "finishing": "cyan"}
_WIDE = 80  # columns from which a client's trouble has a column of its own


def status_page(status: Mapping[str, Any], console: Console, most_clients: int) -> Group:
    """Return the page for a console; at most so many clients, 0 for all."""
    parts: list[Any] = [_title(status), *([_figures(status)] if status["events"] else [])]
    clients = status["clients"][: most_clients or None]
    if clients:
        parts += [Text(), _table(clients, wide=not console.is_terminal or console.width >= _WIDE)]
    if more := len(status["clients"]) - len(clients):
        parts.append(Text(f" {more:,} more clients: --clients 0 shows all", "dim"))
    return Group(*parts)


def state_text(status: Mapping[str, Any]) -> str:
    """Return the state in one line: ``running, silent for 75 s``.

    Examples
    --------
    >>> state_text({"state": "running", "silent_s": 75.0, "reason": "", "pid": 7})
    'running (pid 7), silent for 75 s'
    """
    state, silent_s = status["state"], status["silent_s"]
    pid = f" (pid {status['pid']})" if status["pid"] is not None else ""
    if state in GOING_ON and silent_s >= QUIET_S:
        return f"{state}{pid}, silent for {time_text(silent_s)}"
    if state == "silent":
        return f"silent for {time_text(silent_s)}: {status['reason']}"
    reason = f": {shown(status['reason'], MOST_LINE)}" if status["reason"] else ""
    return f"{state}{pid}{reason}"


def _title(status: Mapping[str, Any]) -> Text:
    style = _STYLES.get(status["state"], "yellow")
    return Text.assemble((shown(status["run"]), "bold"), "  ", (state_text(status), style))


def _figures(status: Mapping[str, Any]) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for title, text in (
        ("merges", _merges(status)),
        ("in flight", _in_flight(status)),
        ("staleness", _staleness(status["staleness"])),
        ("not merged", jobs_text(status) or "nothing"),
        ("energy", energy_text(status["energy_j"])),
        ("bytes", f"{bytes_text(status['uplink_bytes'])} up, {bytes_text(status['downlink_bytes'])} down"),
        ("time", f"{time_text(status['time_s'])}{' virtual' if status['clock'] == 'virtual' else ''}"),
        ("scores", _scores(status)),
        ("last event", f"{time_text(_whole(status['silent_s']))} ago"),
        ("checkpoint", _checkpoint(status["checkpoint"])),
    ):
        if text:
            grid.add_row(f" {title}", Text(text))
    return grid


def _merges(status: Mapping[str, Any]) -> str:
    made, planned, rate = status["merges"], status["merges_planned"], status["rate_merges_s"]
    text = f"{made:,} of {planned:,}" if planned else f"{made:,}"
    if status["updates"] != made:
        text += f" of {status['updates']:,} updates"
    if rate:
        text += f", {rate_text(rate)}"
        if planned > made:
            text += f", {time_text(_whole((planned - made) / rate))} left at that rate"
    return text


def _in_flight(status: Mapping[str, Any]) -> str:
    if status["state"] not in GOING_ON:
        return ""
    if (nodes := status["nodes"]) is None:
        return f"at most {status['in_flight']:,}"
    return f"{status['in_flight']:,}, {nodes['there']:,} nodes there, {nodes['away']:,} away"


def _staleness(staleness: Mapping[str, Any]) -> str:
    if staleness["median"] is None:
        return ""
    return "median {median:g}, p95 {p95:g}, max {max:g}".format(**staleness)


def jobs_text(counts: Mapping[str, Any]) -> str:
    """Return how jobs ended that led to no merge: ``2 lost, 1 failed``; "" if none did so."""
    return ", ".join(f"{counts[kind]:,} {word}" for kind, word in TROUBLE.items() if counts.get(kind))


def rate_text(merges_s: float) -> str:
    """Return a rate of merges, in the unit in which it has digits before the point.

    Examples
    --------
    >>> rate_text(12.34), rate_text(0.31), rate_text(0.004)
    ('12.3 merges/s', '18.6 merges/min', '14.4 merges/h')
    """
    for seconds, unit in ((1, "s"), (60, "min"), (3600, "h")):
        if merges_s * seconds >= 1 or unit == "h":
            return f"{merges_s * seconds:.3g} merges/{unit}"
    raise AssertionError


def _scores(status: Mapping[str, Any]) -> str:
    found = measured(status["scores"], guessed(status["scores"]))
    if not found:
        return ""
    values = "  ".join(f"{shown(m.key, 60)} {m.score.text(m.value)}" for m in found)
    return f"{values}  (after merge {status['scored_at']:,})"


def _checkpoint(checkpoint: Mapping[str, Any] | None) -> str:
    if checkpoint is None:
        return "none yet"
    text = f"{time_text(_whole(checkpoint['age_s']))} old, {bytes_text(checkpoint['bytes'])}"
    if "problem" in checkpoint:
        return f"{text}: {shown(checkpoint['problem'], MOST_LINE)}"
    return f"{text}, {checkpoint['updates']:,} updates"


def _table(clients: list[Mapping[str, Any]], *, wide: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="dim", show_edge=False)
    for title in ("client", "merges", "last seen"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("not merged", overflow="fold")
    if wide:
        table.add_column("newest trouble", overflow="fold")
    for client in clients:
        seen = "away" if client["away"] else "-" if client["seen_ago_s"] is None else time_text(client["seen_ago_s"])
        trouble = ""
        if client["trouble"]:
            trouble = f"{time_text(client['trouble_ago_s'])} ago, {shown(client['trouble'], MOST_LINE)}"
        cells = [str(client["client"]), f"{client['merges']:,}", seen, jobs_text(client)]
        if wide:
            cells.append(trouble)
        elif trouble:
            cells[-1] += f"\n{trouble}"
        table.add_row(*map(Text, cells))
    return table


def _whole(seconds: float) -> float:
    """Return a time that passes while it is read, without the digits that do."""
    return float(round(seconds)) if seconds >= 10 else round(seconds, 1)
