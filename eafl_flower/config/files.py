"""TOML files of a run: where they are and what keys they hold.

A preset is a path, or the name of a file in ``eafl_flower/presets`` (also from an installed wheel).
"""

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any

from eafl_flower.errors import ConfigError


def preset_names() -> list[str]:
    """Names of the presets in the package, sorted."""
    folder = files("eafl_flower") / "presets"
    if not folder.is_dir():
        return []
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def preset_text(name: str) -> str:
    """Return a preset of the package as its file has it, with its comments."""
    return (files("eafl_flower") / "presets" / f"{name}.toml").read_text(encoding="utf-8")


def read_toml(path_or_name: str | Path) -> tuple[dict[str, Any], str]:
    """Read a TOML file and return its keys, flat with dots, and the name to show in messages.

    Raises
    ------
    ConfigError
        If there is no such file or preset, or the file is not TOML.
    """
    content, source = _content(path_or_name)
    try:
        return parse_toml(content), source
    except ValueError as error:
        msg = f"{source} is not TOML: {error}"
        raise ConfigError(msg) from error


def parse_toml(content: bytes) -> dict[str, Any]:
    """Return the keys of a TOML file, flat with dots.

    Raises
    ------
    ValueError
        If it is not TOML in UTF-8, or nested too deeply.
    """
    try:
        return flat(tomllib.loads(content.decode("utf-8")))
    except UnicodeDecodeError as error:
        msg = f"it is not a text in UTF-8 (byte {error.start})"
        raise ValueError(msg) from error
    except RecursionError as error:
        msg = "it is nested too deeply"
        raise ValueError(msg) from error


def _content(path_or_name: str | Path) -> tuple[bytes, str]:
    path, name = Path(path_or_name), str(path_or_name)
    if path.suffix == ".toml" or len(path.parts) != 1:
        if not path.is_file():
            msg = f"no file {path}; presets known by name: {', '.join(preset_names())}"
            raise ConfigError(msg)
        try:
            return path.read_bytes(), name
        except OSError as error:
            msg = f"{path} cannot be read: {error.strerror or error}"
            raise ConfigError(msg) from error
    if name not in preset_names():
        near = get_close_matches(name, preset_names(), n=1)
        meant = f'did you mean "{near[0]}"? ' if near else ""
        msg = f'no preset "{name}"; {meant}there are {", ".join(preset_names())}; a file is given by its path'
        raise ConfigError(msg)
    return (files("eafl_flower") / "presets" / f"{name}.toml").read_bytes(), f"preset {name}"


def flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested tables with dots in their keys."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return found


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return flat keys as nested tables, the inverse of ``flat``."""
    tables: dict[str, Any] = {}
    for key, value in values.items():
        *groups, name = key.split(".")
        table = tables
        for group in groups:
            table = table.setdefault(group, {})
        table[name] = value
    return tables
