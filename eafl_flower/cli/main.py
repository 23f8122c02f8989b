"""The command line ``eafl``: run, status, sweep, compare, report, predict, and groups of commands beside them.

Nothing heavy is imported before a command needs it, so that ``eafl --help`` answers at once.
"""

import logging
import shlex
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eafl_flower.cli.calibrate import calibrate
from eafl_flower.cli.chosen import (
    Baselines,
    Chosen,
    Configs,
    PresetOrTable,
    Settings,
    Verbose,
    chosen_config,
    in_typed_words,
    own_data,
    preset_or_table,
)
from eafl_flower.cli.credentials import credentials_app
from eafl_flower.cli.data import Client, Csv, Debug, Features, Label, Time, data_app
from eafl_flower.cli.documented import HELP_OPTIONS, documented
from eafl_flower.cli.encoder import encoder_app
from eafl_flower.cli.latents import latents_app
from eafl_flower.cli.mobility import mobility
from eafl_flower.cli.new import new
from eafl_flower.cli.node import node
from eafl_flower.cli.presets import presets
from eafl_flower.cli.results import compare, predict, report
from eafl_flower.cli.shared import exit_status, is_given, reported, start, tell
from eafl_flower.cli.status import status
from eafl_flower.cli.sweep import sweep
from eafl_flower.results.views.terminal import new_console

if TYPE_CHECKING:
    from eafl_flower.config import RunConfig
    from eafl_flower.results.run_directory import RunDirectory

app = typer.Typer(
    help="Asynchronous, personalised, energy-aware federated learning on Flower.",
    epilog="The first steps:\n\neafl presets\n\neafl run\n\neafl run --csv mine.csv --label kind",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings=HELP_OPTIONS,
)
RUN_EXAMPLES = (
    "eafl run",
    "eafl run async-v2x --seed 2 --set strategy.merges=500 task.batch-size=8",
    "eafl run --csv mine.csv --label kind --client vehicle --time when",
    "eafl run --resume runs/radio-map-20261129T161931Z",
)


def _tell_version(wanted: bool) -> None:
    if not wanted:
        return
    import platform
    from importlib.metadata import version

    from eafl_flower.wire.agreement import VERSION

    typer.echo(f"eafl-flower {VERSION}, flwr {version('flwr')}, Python {platform.python_version()}")
    raise typer.Exit


@app.callback()
def _about(
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Show versions and exit.")
    ] = False,
) -> None:
    """Stand before every command."""


@documented(app, *RUN_EXAMPLES)
@reported
def run(
    ctx: typer.Context,
    preset: PresetOrTable = None,
    settings: Settings = None,
    configs: Configs = None,
    engine: Chosen = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the run.", show_default="1")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run's directory.", show_default="runs")] = None,
    resume: Annotated[Path | None, typer.Option(help="Directory of a run to be continued.", show_default=False)] = None,
    ray_address: Annotated[
        str | None, typer.Option(help="Ray cluster to use, instead of this machine.", show_default=False)
    ] = None,
    baselines: Annotated[
        Baselines | None,
        typer.Option(
            help="What stands beside the scores; auto: all that cost no more than the run.", show_default="auto"
        ),
    ] = None,
    csv: Csv = None,
    label: Label = "",
    client: Client = "",
    time: Time = "",
    features: Features = "",
    verbose: Verbose = False,
    directory: Annotated[Path | None, typer.Option(hidden=True, help="The run's own directory, for sweeps.")] = None,
    debug: Debug = False,
) -> None:
    """Run one experiment.

    PRESET is the name of a preset or the path of a TOML file; --config changes it, then --set. With --csv its data
    are a file of your own, with all clients that the file has (or 20 that share the rows), a fifth of them unseen;
    the preset is then emam, if none is named. Without any, it is radio-map, the main job, beside all its baselines.
    """
    from eafl_flower.results.run_directory import RunDirectory

    own: dict[str, str] = {}
    note = ""
    if resume is not None:
        _refuse_beside_resume(ctx)
        run_dir = RunDirectory.open(resume)
        config = _stored_config(run_dir)
        told = {"results.baselines": str(baselines or config.results.baselines)}
        config = config.replace({**told, "results.verbose": verbose or config.results.verbose})
    else:
        if baselines is None and not _anything_given(ctx):
            baselines = Baselines.ALL
        preset, csv, note = preset_or_table(preset, csv)
        own = own_data(csv, label=label, client=client, time=time, features=features)
        config = chosen_config(
            preset,
            configs,
            settings,
            engine=engine,
            seed=seed,
            out=out,
            baselines=baselines,
            verbose=verbose,
            own=own,
        )
        if directory is not None:
            run_dir = RunDirectory.create_at(directory)
        else:
            run_dir = RunDirectory.create(config.results.dir, config.name)
        run_dir.write_config(config.to_toml())
    with in_typed_words(own) if own else nullcontext():
        _execute(
            config,
            run_dir,
            engine=str(engine or config.engine.name),
            resume=resume is not None,
            ray_address=ray_address,
            again=ctx.command_path,
            note=note,
        )


for command, *examples in (
    (presets, "eafl presets"),
    (
        status,
        "eafl status radio-map",
        "eafl status runs/radio-map-20261129T161931Z --json",
        "eafl status radio-map --wait",
    ),
    (
        sweep,
        "eafl sweep --seeds 1,2,3 --jobs 2",
        "eafl sweep ngsim --set codec.name=int8,lqgcm strategy.emam.alpha=0.4,0.8 --seeds 1,2,3",
    ),
    (compare, "eafl compare runs/radio-map-*", "eafl compare runs/sweep-radio-map --html sweep.html"),
    (report, "eafl report runs/radio-map-20261129T161931Z"),
    (
        predict,
        "eafl predict runs/radio-map-20261129T161931Z rows.csv --client 3 --output classes.csv",
        "eafl predict runs/radio-map-20261129T161931Z rows.csv --name v7 --label kind",
    ),
    (
        mobility,
        "eafl mobility taxis.csv --units 9 --picture taxis.png",
        "eafl mobility traces.csv --vehicle id --time t --x east --y north",
    ),
    (new, "eafl new my-app", "eafl new my-app --framework sklearn --publisher me"),
    (calibrate, "eafl calibrate", "eafl calibrate unsw --out unsw-here.toml"),
    (
        node,
        'eafl node --insecure --superlink 127.0.0.1:9092 --node-config "partition-id=0 num-partitions=2"',
    ),
):
    documented(app, *examples)(command)


app.add_typer(data_app, name="data")
app.add_typer(encoder_app, name="encoder")
app.add_typer(latents_app, name="latents")
app.add_typer(credentials_app, name="credentials")


def main(arguments: Sequence[str] | None = None, *, program: str = "eafl") -> None:
    """Run ``eafl``; the exit status is 0, 1 (failed), 2 (wrong usage), 130 (Ctrl-C), 143 (SIGTERM) or 129 (SIGHUP)."""
    start(app, program, arguments)


def run_simulation(arguments: Sequence[str] | None = None) -> None:
    """Run ``eafl run`` under the name of the script ``run_simulation.py``."""
    alone = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    documented(alone, *(text.replace("eafl run", "python run_simulation.py", 1) for text in RUN_EXAMPLES))(run)
    start(alone, "python run_simulation.py", arguments)


def _execute(
    config: "RunConfig",
    run_dir: "RunDirectory",
    *,
    engine: str,
    resume: bool,
    ray_address: str | None,
    again: str,
    note: str,
) -> None:
    from eafl_flower.results.ownership import owned

    try:
        with owned(
            run_dir.path, wait_s=0
        ):  # before the imports, which take seconds: whoever looks sees that it goes on
            try:
                if resume:
                    run_dir.check_has_checkpoint()
                from eafl_flower.app.experiment import run_experiment
                from eafl_flower.app.resolving import resolve
                from eafl_flower.app.telling import Teller
                from eafl_flower.runs.options import NO_PRIVACY

                logging.getLogger("flwr").setLevel(logging.WARNING)  # its settings and rounds would bury our lines
                teller = Teller(config, run_dir, new_console(), own_log=True)
                if note:
                    teller.say(note)
                if config.codec.name != "none":
                    teller.say(NO_PRIVACY)
                experiment = resolve(config)
                for note in experiment.source.notes:
                    teller.say(note)
                with teller.observing(experiment.task.scores) as observer:
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
    program = again.removesuffix(" run")
    teller.results(summary, "eafl" if program == again else program)


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
