"""The options by which a command line chooses a configuration, and the configuration that they choose."""

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from eafl_flower.errors import ConfigError, EAFLError

if TYPE_CHECKING:
    from eafl_flower.config import RunConfig


class Engine(StrEnum):
    """Where clients compute."""

    INLINE = "inline"
    RAY = "ray"
    FLOWER = "flower"


class Baselines(StrEnum):
    """What stands beside the scores."""

    AUTO = "auto"
    ALL = "all"
    CHEAP = "cheap"
    NONE = "none"


def complete_preset(incomplete: str) -> list[str]:
    """Return the presets whose names begin like this, for the shell."""
    from eafl_flower.config.files import preset_names

    return [name for name in preset_names() if name.startswith(incomplete)]


MAIN_JOB: Final = "radio-map"
"""The preset of the main job."""
FOR_OWN_DATA: Final = "emam"
"""The preset of data of one's own: it is tuned to nothing of the town."""

Preset = Annotated[
    str | None,
    typer.Argument(
        help="Name of a preset (eafl presets lists them), or path of a TOML file.",
        autocompletion=complete_preset,
        show_default=MAIN_JOB,
    ),
]
PresetOrTable = Annotated[
    str | None,
    typer.Argument(
        help="Name of a preset (eafl presets lists them), or path of a TOML file. A CSV file is taken as --csv.",
        autocompletion=complete_preset,
        show_default=f"{MAIN_JOB}, or {FOR_OWN_DATA} with --csv",
    ),
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE ...", help="Settings to change.", show_default=False)
]
Configs = Annotated[
    list[Path] | None, typer.Option("--config", help="TOML files with settings to change.", show_default=False)
]
Chosen = Annotated[Engine | None, typer.Option("--engine", help="Where clients compute.", show_default="inline")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="A line for each round's worth of merges, and all costs.")
]

OPTIONS: Final = {
    "data.csv.file": "--csv",
    "data.csv.label-column": "--label",
    "data.csv.client-column": "--client",
    "data.csv.time-column": "--time",
    "data.csv.features": "--features",
    "engine.name": "--engine",
    "results.baselines": "--baselines",
    "results.dir": "--out",
    "results.verbose": "--verbose",
    "seed": "--seed",
}
"""The option by which each setting that has one is given."""


def preset_or_table(preset: str | None, csv: Path | None) -> tuple[str | None, Path | None, str]:
    """Return preset, file of the user's own, and what to say: a CSV file in the preset's place is such a file.

    Raises
    ------
    ConfigError
        If there is another by ``--csv``.
    """
    if preset is None or not is_table(preset):
        return preset, csv, ""
    if csv is not None:
        msg = f"{preset} and --csv {csv}: expected one file with data, and in the other's place a preset"
        raise ConfigError(msg)
    taken = f"{preset}: taken as --csv {shlex.quote(preset)}, with the settings of the preset {FOR_OWN_DATA}"
    return FOR_OWN_DATA, Path(preset), taken


def is_table(path: str) -> bool:
    """Whether a path is that of a CSV file, by its ending."""
    return path.lower().endswith((".csv", ".csv.gz"))


def chosen_config(
    preset: str | None,
    configs: Sequence[Path] | None,
    settings: Sequence[str] | None,
    *,
    engine: Engine | None = None,
    seed: int | None = None,
    out: Path | None = None,
    baselines: Baselines | None = None,
    verbose: bool = False,
    own: Mapping[str, str] | None = None,
) -> "RunConfig":
    """Return the configuration of a preset, changed by files, then by settings, then by the options of a command.

    Without a preset it is the main job, or, with data of one's own, the preset that is tuned to nothing of the town.

    Raises
    ------
    ConfigError
        If anything is wrong with it, in the words of the options; ``config.RunConfig`` says the rest.
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
    options = {"engine.name": engine, "results.dir": out, "results.baselines": baselines, "seed": seed}
    given = {key: value if key == "seed" else str(value) for key, value in options.items() if value is not None}
    flat = {**own, **parse_overrides(settings or ()), **given, **({"results.verbose": True} if verbose else {})}
    if flat.get("data.name", config.data.name) != "csv" and (columns := [OPTIONS[key] for key in own]):
        msg = f"{', '.join(columns)}: of which file? it is given by --csv FILE"
        raise ConfigError(msg)
    with in_typed_words(own, given):
        return config.replace(flat, source="the command line")


def own_data(csv: Path | None, *, label: str, client: str, time: str, features: str) -> dict[str, str]:
    """Return the settings that say which file of the user's own holds the data, and what its columns mean.

    Raises
    ------
    ConfigError
        If a column is named for two uses.
    """
    columns = {
        "data.csv.label-column": label,
        "data.csv.client-column": client,
        "data.csv.time-column": time,
        "data.csv.features": features,
    }
    given = {key: value for key, value in columns.items() if value}
    names = [name.strip() for name in (label, client, time, *features.split(",")) if name.strip()]
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        told = ", ".join(f"{OPTIONS[key]} {shlex.quote(value)}" for key, value in given.items())
        msg = f"{told}: {', '.join(twice)} is named for two uses"
        raise ConfigError(msg)
    if csv is None:
        return given
    # Workers may run in another folder. A file that is not here is looked for in the data folder.
    return {"data.name": "csv", "data.csv.file": str(csv.absolute() if csv.is_file() else csv), **given}


@contextmanager
def in_typed_words(own: Mapping[str, str], given: Iterable[str] = ()) -> Iterator[None]:
    """Let errors about settings that were given as options, or could have been beside them, name the options.

    Parameters
    ----------
    own
        The settings of ``own_data``; with a file among them those of its columns are options, too.
    given
        Further settings that were options.
    """
    columns = [key for key in OPTIONS if key.startswith("data.csv.") and ("data.csv.file" in own or key in own)]
    try:
        yield
    except EAFLError as error:
        text = typed_words(str(error), {*columns, *given})
        if "--label: which column" in text and (names := _columns_of(own["data.csv.file"])):
            text += f" {Path(own['data.csv.file']).name} has {names}"
        error.args = (text,)
        raise


def typed_words(text: str, keys: Iterable[str]) -> str:
    """Return a message with ``key = value`` of these settings, and columns and files alone, as options were typed.

    Examples
    --------
    >>> typed_words('data.csv.label-column = "a b": no such column', ["data.csv.label-column"])
    "--label 'a b': no such column"
    >>> typed_words("seed = -1: expected more, see seed", ["seed"])
    '--seed -1: expected more, see seed'
    """
    for key in sorted(keys):

        def option(found: re.Match[str], name: str = OPTIONS[key]) -> str:
            value = str(json.loads(found["value"])) if found["value"] else ""
            return f"{name} {shlex.quote(value)}" if value else name

        value = r' = (?P<value>"(?:[^"\\]|\\.)*"|-?[\d.]+)'
        may_lack_value = "?" if key.startswith("data.csv.") else ""
        text = re.sub(rf"(?<![\w.-]){re.escape(key)}(?:{value}){may_lack_value}(?![\w-])", option, text)
    return text


def _columns_of(csv: str) -> str:
    """Return the names of a file's columns; "" if it cannot be read, which is told when it is."""
    from eafl_flower.core.excerpt import excerpts
    from eafl_flower.data.sets.own_table import find_csv
    from eafl_flower.data.tables.files import read_header

    try:
        return excerpts(read_header(find_csv(csv)), most=30)[1:-1]
    except EAFLError:
        return ""
