"""The command line ``eafl``: run, status, sweep, compare, report, predict, and groups of commands beside them.

Nothing heavy is imported before a command needs it, so that ``eafl --help`` answers at once.
"""

import logging
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eafl_flower.cli.chosen import Baselines, Beside, Chosen, Configs, Preset, Settings, chosen_config, own_data
from eafl_flower.cli.credentials import credentials_app
from eafl_flower.cli.data import Client, Csv, Debug, Features, Label, Time, data_app
from eafl_flower.cli.encoder import encoder_app
from eafl_flower.cli.latents import latents_app
from eafl_flower.cli.mobility import mobility
from eafl_flower.cli.node import node
from eafl_flower.cli.results import compare, predict, report
from eafl_flower.cli.shared import exit_status, is_given, reported, start, tell
from eafl_flower.cli.status import status
from eafl_flower.cli.sweep import sweep
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
app.add_typer(encoder_app, name="encoder")
app.add_typer(latents_app, name="latents")
app.add_typer(credentials_app, name="credentials")


@app.command()
@reported
def run(
    ctx: typer.Context,
    preset: Preset = None,
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
    are a file of your own, with all clients that the file has (or 20 that share the rows), a fifth of them unseen;
    the preset is then emam, if none is named.
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
        config = chosen_config(
            preset,
            configs,
            settings,
            engine=engine,
            seed=seed,
            out=out,
            baselines=baselines,
            own=own_data(csv, label=label, client=client, time=time, features=features),
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


for command in (status, sweep, compare, report, predict, mobility, node):
    app.command()(command)


@app.command()
@reported
def calibrate(
    preset: Preset = None,
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

    config = chosen_config(preset, configs, settings, engine=None, seed=None, out=None, baselines=None)
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
    from eafl_flower.results.ownership import owned

    try:
        with owned(
            run_dir.path, wait_s=0
        ):  # before the imports, which take seconds: whoever looks sees that it goes on
            try:
                from eafl_flower.app.experiment import run_experiment
                from eafl_flower.app.resolving import resolve
                from eafl_flower.app.telling import Teller
                from eafl_flower.runs.options import NO_PRIVACY

                logging.getLogger("flwr").setLevel(logging.WARNING)  # its settings and rounds would bury our lines
                teller = Teller(config, run_dir, new_console())
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
    teller.results(summary)


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
