"""The command line: ``eafl run | sweep | compare | report | predict | data check | calibrate``.

Nothing heavy is imported before a command needs it, so that ``eafl --help`` answers at once.
"""

import logging
import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eafl_flower.cli.data import Client, Csv, Debug, Features, Label, Time, data_app
from eafl_flower.cli.results import compare, predict, report
from eafl_flower.cli.shared import exit_status, is_given, reported, start, tell
from eafl_flower.core.words import shown
from eafl_flower.results.views.terminal import new_console, say

if TYPE_CHECKING:
    from eafl_flower.config import RunConfig
    from eafl_flower.results.run_directory import RunDirectory

app = typer.Typer(
    help="Asynchronous, personalised, energy-aware federated learning on Flower.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(data_app, name="data")


class Engine(StrEnum):
    """Where clients compute."""

    INLINE = "inline"
    RAY = "ray"
    FLOWER = "flower"


class Baselines(StrEnum):
    """What stands beside the accuracies."""

    ALL = "all"
    CHEAP = "cheap"
    NONE = "none"


Preset = Annotated[str, typer.Argument(help="Name of a preset, or path of a TOML file.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE ...", help="Settings to change.", show_default=False)
]
Configs = Annotated[
    list[Path] | None, typer.Option("--config", help="TOML files with settings to change.", show_default=False)
]
Chosen = Annotated[Engine | None, typer.Option("--engine", help="Where clients compute.", show_default="inline")]
Beside = Annotated[
    Baselines | None,
    typer.Option(
        "--baselines", help="What stands beside the accuracies (all if nothing is given).", show_default=False
    ),
]


@app.command()
@reported
def run(
    ctx: typer.Context,
    preset: Preset = "emam",
    settings: Settings = None,
    configs: Configs = None,
    engine: Chosen = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the run.", show_default="1")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run's directory.", show_default="runs")] = None,
    resume: Annotated[Path | None, typer.Option(help="Directory of a run to be continued.", show_default=False)] = None,
    ray_address: Annotated[
        str | None, typer.Option(help="Ray cluster to use, instead of this machine.", show_default=False)
    ] = None,
    baselines: Beside = None,
    csv: Csv = None,
    label: Label = "",
    client: Client = "",
    time: Time = "",
    features: Features = "",
    directory: Annotated[Path | None, typer.Option(hidden=True)] = None,
    debug: Debug = False,
) -> None:
    """Run one experiment.

    PRESET is the name of a preset or the path of a TOML file; --config changes it, then --set. With --csv its data
    are a file of your own, with all clients that the file has (or 20 that share the rows), a fifth of them unseen.
    """
    from eafl_flower.results.run_directory import RunDirectory

    if resume is not None:
        _refuse_beside_resume(ctx)
        run_dir = RunDirectory.open(resume)
        run_dir.check_has_checkpoint()
        config = _stored_config(run_dir)
        config = config.replace({"results.baselines": str(baselines or config.results.baselines)})
    else:
        if baselines is None and not _anything_given(ctx):
            baselines = Baselines.ALL
        config = _config(
            preset,
            configs,
            settings,
            engine=engine,
            seed=seed,
            out=out,
            baselines=baselines,
            own=_own_data(csv, label=label, client=client, time=time, features=features),
        )
        if directory is not None:
            run_dir = RunDirectory.create_at(directory)
        else:
            run_dir = RunDirectory.create(config.results.dir, config.name)
        run_dir.write_config(config.to_toml())
    _execute(
        config,
        run_dir,
        engine=str(engine or config.engine.name),
        resume=resume is not None,
        ray_address=ray_address,
        again=ctx.command_path,
    )


@app.command()
@reported
def sweep(
    ctx: typer.Context,
    preset: Preset = "emam",
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
    from eafl_flower.app.resolving import resolve
    from eafl_flower.app.resuming import changes_since
    from eafl_flower.results.scores import stored_scores
    from eafl_flower.results.views.tables import sweep_table

    own = _own_data(csv, label=label, client=client, time=time, features=features)
    config = _config(preset, configs, None, engine=engine, seed=None, out=None, baselines=baselines, own=own)
    points = sweeps.points_of(config, settings or [], sweeps.parse_seeds(seeds))
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


for command in (compare, report, predict):
    app.command()(command)


@app.command()
@reported
def calibrate(
    preset: Preset = "emam",
    settings: Settings = None,
    configs: Configs = None,
    out: Annotated[Path, typer.Option(help="The file to write, for --config.")] = Path("calibration.toml"),
    repeats: Annotated[int, typer.Option(min=1, help="Passes over the rows that count.")] = 50,
    debug: Debug = False,
) -> None:
    """Measure what a training step of the configured task costs on this machine.

    The seconds become cycles per sample at the configured frequency: settings of the energy model.
    """
    from eafl_flower.app.calibration import calibrate as measure
    from eafl_flower.app.resolving import resolve
    from eafl_flower.core.durable import open_unlinked
    from eafl_flower.core.rng import generator
    from eafl_flower.core.threads import one_thread
    from eafl_flower.results.views.quantities import time_text

    config = _config(preset, configs, settings, engine=None, seed=None, out=None, baselines=None)
    workload = resolve(config).workload
    rows, arrays = workload.source.partition(0), workload.initial(config.seed)
    one_thread()

    def train() -> None:
        workload.task.train(arrays, rows, generator(config.seed, "calibrate"), epochs=1)

    result = measure(
        train,
        task=f"{config.task.name} on {config.data.name}",
        num_examples=len(rows.y_train),
        steps=-(-len(rows.y_train) // config.task.batch_size),
        frequency_hz=config.energy.frequency_hz,
        repeats=repeats,
    )
    with open_unlinked(out, "w") as file:
        file.write(result.to_toml())
    say(
        new_console(),
        f"{time_text(result.seconds_per_step)} a step, {time_text(result.seconds_per_sample)} a sample: "
        f"{result.cycles_per_sample:,.0f} cycles a sample at {config.energy.frequency_hz / 1e9:g} GHz\n"
        f"Settings: {out} (use it by --config {out})",
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``eafl``; the exit status is 0, 1 (failed), 2 (wrong usage), 130 (Ctrl-C), 143 (SIGTERM) or 129 (SIGHUP)."""
    start(app, "eafl", arguments)


def run_simulation(arguments: Sequence[str] | None = None) -> None:
    """Run ``eafl run`` under the name of the script ``run_simulation.py``."""
    alone = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    alone.command()(run)
    start(alone, "python run_simulation.py", arguments)


def _execute(
    config: "RunConfig", run_dir: "RunDirectory", *, engine: str, resume: bool, ray_address: str | None, again: str
) -> None:
    from eafl_flower.app.experiment import run_experiment
    from eafl_flower.app.resolving import resolve
    from eafl_flower.core.events import Fanout, Spectator
    from eafl_flower.results.ownership import owned
    from eafl_flower.results.views.console import ConsoleObserver
    from eafl_flower.results.views.tables import print_results
    from eafl_flower.runs.options import NO_PRIVACY

    logging.getLogger("flwr").setLevel(logging.WARNING)  # its settings and rounds would bury our lines
    console = new_console()
    if config.codec.name != "none":
        say(console, NO_PRIVACY)
    try:
        with owned(run_dir.path, wait_s=0):
            try:
                experiment = resolve(config)
                for note in experiment.source.notes:
                    say(console, note)
                beside = Spectator(ConsoleObserver(console, config.name, experiment.task.scores))
                with closing(Fanout([run_dir.log, beside])) as observer:
                    summary = run_experiment(
                        experiment,
                        run_dir=run_dir,
                        observer=observer,
                        engine=engine,
                        resume=resume,
                        ray_address=ray_address,
                    )
            except BaseException:
                if not resume:
                    run_dir.remove_if_unused()  # a start that failed leaves no run that others would stumble over
                raise
    except KeyboardInterrupt as stop:
        why = str(stop) or "interrupted"
        if run_dir.has_checkpoint:
            text = f"{why}; go on with: {again} --resume {shlex.quote(str(run_dir.path))}"
        elif not run_dir.path.exists():
            text = f"{why} before the start"
        else:
            text = f"{why} before the first checkpoint; what there is is in {run_dir.path}"
        tell(text)
        raise typer.Exit(exit_status(stop)) from stop
    print_results(console, summary, run_dir.path)


def _config(
    preset: str,
    configs: Sequence[Path] | None,
    settings: Sequence[str] | None,
    *,
    engine: Engine | None,
    seed: int | None,
    out: Path | None,
    baselines: Baselines | None,
    own: Mapping[str, str] | None = None,
) -> "RunConfig":
    from eafl_flower.config import RunConfig, parse_overrides
    from eafl_flower.config.files import read_toml

    config = RunConfig.from_toml(preset)
    own = own or {}
    if "data.csv.file" in own:  # all its clients, however many the preset's data have
        config = config.replace({"data.clients": 0, "data.unseen": -1})
    for path in configs or ():
        flat, source = read_toml(path)
        config = config.replace(flat, source=source)
    options = {"engine.name": engine, "results.dir": out, "results.baselines": baselines}
    given = {key: str(value) for key, value in options.items() if value is not None}
    flat = {**own, **parse_overrides(settings or ()), **given}
    return config.replace(flat | ({} if seed is None else {"seed": seed}), source="the command line")


def _own_data(csv: Path | None, *, label: str, client: str, time: str, features: str) -> dict[str, str]:
    columns = {
        "data.csv.label-column": label,
        "data.csv.client-column": client,
        "data.csv.time-column": time,
        "data.csv.features": features,
    }
    given = {key: value for key, value in columns.items() if value}
    if csv is None:
        return given
    # Workers may run in another folder. A file that is not here is looked for in the data folder.
    return {"data.name": "csv", "data.csv.file": str(csv.absolute() if csv.is_file() else csv), **given}


def _stored_config(run_dir: "RunDirectory") -> "RunConfig":
    from eafl_flower.config import RunConfig

    return RunConfig.from_toml(run_dir.config_path)


def _anything_given(ctx: typer.Context) -> bool:
    return any(is_given(ctx, name) for name in ctx.params)


def _refuse_beside_resume(ctx: typer.Context) -> None:
    for name, flag in (
        ("preset", "PRESET"), ("settings", "--set"), ("configs", "--config"), ("seed", "--seed"), ("out", "--out"),
        ("csv", "--csv"), ("label", "--label"), ("client", "--client"), ("time", "--time"), ("features", "--features"),
    ):  # fmt: skip
        if is_given(ctx, name):
            msg = f"{flag} does not go with --resume: a run goes on with the settings it was started with"
            raise typer.BadParameter(msg)


if __name__ == "__main__":
    main()
