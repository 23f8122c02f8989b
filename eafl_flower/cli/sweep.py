"""The command ``eafl sweep``: every combination of values and seeds."""

import shlex
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from eafl_flower.cli.chosen import Beside, Chosen, Configs, Preset, chosen_config, own_data
from eafl_flower.cli.data import Client, Csv, Debug, Features, Label, Time
from eafl_flower.cli.shared import exit_status, reported, tell
from eafl_flower.core.words import shown
from eafl_flower.results.views.terminal import new_console, say


@reported
def sweep(
    ctx: typer.Context,
    preset: Preset = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=V1,V2 ...",
            help="Values to combine; those of a list setting are separated by semicolons.",
            show_default=False,
        ),
    ] = None,
    configs: Configs = None,
    seeds: Annotated[str, typer.Option(metavar="1,2,3", help="Seeds of every combination.")] = "1",
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time.")] = 1,
    engine: Chosen = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the sweep; finished runs in it are skipped.", show_default=False)
    ] = None,
    baselines: Beside = None,
    csv: Csv = None,
    label: Label = "",
    client: Client = "",
    time: Time = "",
    features: Features = "",
    debug: Debug = False,
) -> None:
    """Run every combination of values and seeds.

    The same command again skips the runs that are finished and resumes the others. What was made from other data
    than there are now is run again.
    """
    from eafl_flower.app import sweep as sweeps
    from eafl_flower.app.resolving import check_stop_rules, resolve
    from eafl_flower.app.resuming import changes_since
    from eafl_flower.results.scores import stored_scores
    from eafl_flower.results.views.tables import sweep_table

    own = own_data(csv, label=label, client=client, time=time, features=features)
    config = chosen_config(preset, configs, None, engine=engine, seed=None, out=None, baselines=baselines, own=own)
    points = sweeps.points_of(config, settings or [], sweeps.parse_seeds(seeds))
    check_stop_rules(point.config for point in points)
    folder = out or Path(config.results.dir) / f"sweep-{config.name}"
    console = new_console()
    say(console, f"{len(points)} runs, {jobs} at a time, in {folder}")
    width = len(str(len(points)))
    settled = 0

    def report(result: sweeps.Result) -> None:
        nonlocal settled
        settled += 1
        text = result.reason
        if result.finished:
            scores = stored_scores(result.run.summary())
            text = "  ".join([*(shown(f"{m.key} {m.score.text(m.value)}") for m in scores), result.reason]).rstrip()
        line = f"{settled:{width}}/{len(points)} {result.status:10}  {result.point.title}  {text}"
        with suppress(OSError):  # nobody reads it any more; the results are in the folder
            say(console, line, "" if result.finished else "red")

    try:
        results = sweeps.run_sweep(
            points,
            folder,
            jobs=jobs,
            command=sweeps.child_command,
            changes=lambda run, config: changes_since(run, resolve(config)),
            report=report,
        )
    except KeyboardInterrupt as stop:
        tell(f"{str(stop) or 'interrupted'}; the same command goes on: {shlex.join(['eafl', *sys.argv[1:]])}")
        raise typer.Exit(exit_status(stop)) from stop
    rows = [(result.point.values, result.run.summary()) for result in results if result.finished]
    if rows:
        console.print()
        console.print(sweep_table(rows, width=console.width))
    if lacking := [result for result in results if result.status == "skipped" and result.reason]:
        say(
            console,
            f"\n{len(lacking)} skipped runs were made with fewer baselines than now asked for "
            f"({config.results.baselines}); to have them, remove those runs' folders or give another --out, "
            "and repeat the command",
            "yellow",
        )
    say(console, f"\nResults: {folder / 'results.csv'}")
    if len(rows) < len(points):
        raise typer.Exit(1)
