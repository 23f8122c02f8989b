"""The command ``eafl calibrate``: what a training step costs on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from eafl_flower.cli.chosen import Configs, Preset, Settings, chosen_config, is_table
from eafl_flower.cli.data import Debug
from eafl_flower.cli.shared import reported
from eafl_flower.errors import ConfigError
from eafl_flower.results.views.terminal import new_console, say


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

    if preset is not None and is_table(preset):
        msg = f"{preset} is a file with data: expected a preset or a TOML file"
        raise ConfigError(msg)
    config = chosen_config(preset, configs, settings)
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
