"""The command ``eafl status``: how a run stands, while it goes on and afterwards."""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from eafl_flower.cli.data import Debug
from eafl_flower.cli.shared import reported, tell
from eafl_flower.core.words import message
from eafl_flower.errors import CheckpointError
from eafl_flower.results.views.terminal import new_console, say

FAILED, UNKNOWN = 1, 2  # exit statuses
POLL_S = 1.0


@reported
def status(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Directory of a run, the same without its time, or a folder of runs.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    watch: Annotated[
        float | None, typer.Option(min=0.2, metavar="SECONDS", help="Print again and again until it ends.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it ends; the exit status says how.")] = False,
    within: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="With --wait: how long a run may take to begin or go on.")
    ] = 60.0,
    clients: Annotated[int, typer.Option(min=0, help="Most clients to show; 0: all.")] = 20,
    debug: Debug = False,
) -> None:
    """Say how a run stands, from its folder alone.

    Of a folder of runs, and of a name without a time, the newest run counts; with --wait one that goes on, or began
    at most --within seconds ago. The exit status is 0 if the run goes on or has finished, 1 if it failed, was stopped
    or is silent, 2 if there is none or its files cannot be read.
    """
    from eafl_flower.app.resumable import updates_in
    from eafl_flower.results.finding import await_run, find_run
    from eafl_flower.results.run_state import GOING_ON, RunWatcher

    console = new_console()
    try:
        watcher = RunWatcher(await_run(run, within_s=within) if wait else find_run(run), updates_in)
        found = watcher.status()
        while (wait or watch is not None) and found["state"] in GOING_ON:
            if watch is not None:
                _show(console, found, clients, as_json=as_json, again=True)
            time.sleep(watch or POLL_S)
            found = watcher.status()
    except CheckpointError as error:
        if debug:
            raise
        typer.secho(message(f"error: {error}"), fg="red", err=True)
        raise typer.Exit(UNKNOWN) from error
    except KeyboardInterrupt:
        if watch is None:
            raise
        raise typer.Exit(0) from None
    _show(console, found, clients, as_json=as_json, again=watch is not None)
    if found["state"] not in (*GOING_ON, "finished"):
        if not as_json:
            _advise(watcher)
        raise typer.Exit(FAILED)


def _show(console: Console, found: dict[str, Any], clients: int, *, as_json: bool, again: bool) -> None:
    from eafl_flower.results.views.status_page import status_page

    if as_json:
        say(console, json.dumps(found, indent=None if again else 2, allow_nan=False))
        return
    if again:
        console.clear()  # of a terminal
    console.print(status_page(found, console, clients))


def _advise(watcher: Any) -> None:
    from eafl_flower.app.resumable import way_on

    if watcher.run.path.exists():
        tell(way_on(watcher.run))
