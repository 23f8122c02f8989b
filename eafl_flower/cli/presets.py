"""The command ``eafl presets``: which experiments come along."""

import json
from typing import Annotated, Any

import typer

from eafl_flower.cli.data import Debug
from eafl_flower.cli.shared import reported
from eafl_flower.results.views.terminal import new_console, say

_LEAST = {"needs": 16, "what it shows": 40}  # columns to which these may be folded


@reported
def presets(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False, debug: Debug = False
) -> None:
    """List the presets: system, data, what they need, about how long they take, and what they show.

    Times are of one core, with the baselines that `eafl run` adds by itself.
    """
    from rich.text import Text

    from eafl_flower.app.preset_list import preset_list
    from eafl_flower.results.views.fitting import Column, fitted

    console = new_console()
    found = preset_list()
    if as_json:
        say(console, json.dumps([_record(info) for info in found], indent=2))
        return
    rows = [
        {
            "preset": info.name,
            "system": info.system,
            "data": info.data,
            "needs": ", ".join(title if there else f"{title} (missing)" for title, there in info.needs) or "-",
            "about": _about(info.about_s),
            "what it shows": info.shows,
        }
        for info in found
    ]
    first, *others = [
        Column(
            title=Text(title),
            cells=[Text(row[title]) for row in rows],
            least=_LEAST.get(title),
            is_text=title != "about",
        )
        for title in rows[0]
    ]
    console.print(fitted(first, others, width=console.width))
    say(console, "\nThe data folder is EAFL_DATA_DIR, or --set data.dir=...; docs/data.md says which files it holds.")
    say(console, "Next: eafl run PRESET")


def _record(info: Any) -> dict[str, Any]:
    return {**vars(info), "needs": [{"what": title, "is_there": there} for title, there in info.needs]}


def _about(time_s: float) -> str:
    """Return a time as it is estimated.

    Examples
    --------
    >>> _about(12.3), _about(47), _about(100), _about(1234)
    ('10 s', '50 s', '2 min', '21 min')
    """
    return f"{round(time_s, -1):.0f} s" if time_s < 75 else f"{time_s / 60:.0f} min"
