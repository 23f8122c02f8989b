"""The options by which a command line chooses a configuration, and the configuration that they choose."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from eafl_flower.config import RunConfig


class Engine(StrEnum):
    """Where clients compute."""

    INLINE = "inline"
    RAY = "ray"
    FLOWER = "flower"


class Baselines(StrEnum):
    """What stands beside the scores."""

    ALL = "all"
    CHEAP = "cheap"
    NONE = "none"


MAIN_JOB: Final = "radio-map"
FOR_OWN_DATA: Final = "emam"

Preset = Annotated[
    str | None,
    typer.Argument(help=f"Name of a preset, or path of a TOML file; {FOR_OWN_DATA} with --csv.", show_default=MAIN_JOB),
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE ...", help="Settings to change.", show_default=False)
]
Configs = Annotated[
    list[Path] | None, typer.Option("--config", help="TOML files with settings to change.", show_default=False)
]
Chosen = Annotated[Engine | None, typer.Option("--engine", help="Where clients compute.", show_default="inline")]
Beside = Annotated[
    Baselines | None,
    typer.Option("--baselines", help="What stands beside the scores (all if nothing is given).", show_default=False),
]


def chosen_config(
    preset: str | None,
    configs: Sequence[Path] | None,
    settings: Sequence[str] | None,
    *,
    engine: Engine | None,
    seed: int | None,
    out: Path | None,
    baselines: Baselines | None,
    own: Mapping[str, str] | None = None,
) -> "RunConfig":
    """Return the configuration of a preset, changed by files, then by settings, then by the options of a command.

    Without a preset it is that of the main job, or, for data of one's own, one in which all vehicles are alike.
    """
    from eafl_flower.config import RunConfig, parse_overrides
    from eafl_flower.config.files import read_toml

    own = own or {}
    config = RunConfig.from_toml(preset or (FOR_OWN_DATA if "data.csv.file" in own else MAIN_JOB))
    if "data.csv.file" in own:  # all its clients, however many the preset's data have
        config = config.replace({"data.clients": 0, "data.unseen": -1})
    for path in configs or ():
        flat, source = read_toml(path)
        config = config.replace(flat, source=source)
    options = {"engine.name": engine, "results.dir": out, "results.baselines": baselines}
    given = {key: str(value) for key, value in options.items() if value is not None}
    flat = {**own, **parse_overrides(settings or ()), **given}
    return config.replace(flat | ({} if seed is None else {"seed": seed}), source="the command line")


def own_data(csv: Path | None, *, label: str, client: str, time: str, features: str) -> dict[str, str]:
    """Return the settings that say which file of the user's own holds the data, and what its columns mean."""
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
