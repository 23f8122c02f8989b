"""Rows of a benchmark: printed as a table, written as JSON."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"


def row(
    name: str,
    value: float,
    unit: str,
    *,
    peer: str = "",
    peer_value: float | None = None,
    ratio: float | None = None,
    cores: int = 1,
    aim: float | None = None,
) -> dict[str, Any]:
    """Return one row. ``ratio`` above 1 means better than the peer; ``aim`` is the least ratio wanted."""
    holds = None if aim is None or ratio is None else ratio >= aim
    return {
        "name": name,
        "value": value,
        "unit": unit,
        "peer": peer,
        "peer_value": peer_value,
        "ratio": ratio,
        "cores": cores,
        "aim": aim,
        "holds": holds,
    }


def write_rows(name: str, rows: list[dict[str, Any]]) -> Path:
    """Print ``rows`` as a table and write them to ``results/<name>.json``; an aim that is missed says so."""
    table = Table(title=f"benchmark {name}")
    for column in ("name", "value", "unit", "peer", "peer value", "ratio", "cores", "aim", ""):
        table.add_column(column, justify="left" if column in ("name", "unit", "peer", "") else "right")
    for r in rows:
        verdict = {None: "", True: "[green]holds[/green]", False: "[bold red]MISSED[/bold red]"}[r["holds"]]
        numbers = [_number(r[key]) for key in ("peer_value", "ratio", "cores")]
        aim = "" if r["aim"] is None else f">= {_number(r['aim'])}"
        table.add_row(r["name"], _number(r["value"]), r["unit"], r["peer"], *numbers, aim, verdict)
    console = Console()
    if not console.is_terminal:
        console = Console(width=180)  # piped: never cut a column
    console.print(table)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(rows, indent=1) + "\n")
    console.print(f"written: {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")
    return path


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.3g}"
