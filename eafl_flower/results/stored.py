"""What is read back from a run's files, checked before anything is calculated from it.

Somebody may have edited, cut or exchanged a file. Then it is called damaged, with the field, what was expected and
what is there; nothing is guessed.
"""

import json
import math
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from eafl_flower.core.words import shown

LARGEST = 2**63  # no count, time or energy of a run is as large
_MOST_SHOWN = 60
Check = Callable[[Any], str]  # returns what was expected, nothing if the value is that


def read_file(path: Path) -> bytes:
    """Return the content of a regular file; a pipe or a device may never end.

    Raises
    ------
    OSError
        If there is none, or it cannot be read.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            msg = f"{path} is not a regular file"
            raise OSError(msg)
        return file.read()


def parse_json(text: str | bytes) -> Any:
    """Return what a JSON text says.

    Raises
    ------
    ValueError
        If it is not JSON (NaN and infinity are not), or nested too deeply.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as error:
        msg = "nested too deeply"
        raise ValueError(msg) from error


def number(value: Any) -> str:
    """Check a finite number of a size that runs have."""
    fits = isinstance(value, int | float) and not isinstance(value, bool) and -LARGEST < value < LARGEST
    return "" if fits else "a number between -2^63 and 2^63"


def count(value: Any) -> str:
    """Check a whole number of at least 0."""
    fits = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < LARGEST
    return "" if fits else "a whole number of at least 0"


def flag(value: Any) -> str:
    """Check true or false."""
    return "" if isinstance(value, bool) else "true or false"


def share(value: Any) -> str:
    """Check an accuracy."""
    fits = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
    return "" if fits else "a number from 0 to 1"


def text(value: Any) -> str:
    """Check a text."""
    return "" if isinstance(value, str) else "a text"


def optional(check: Check) -> Check:
    """Return a check that takes null, too."""
    return lambda value: "" if value is None else (expected := check(value)) and f"{expected}, or null"


def mapping(check: Check) -> Check:
    """Return a check of an object whose values pass ``check``."""

    def whole(values: Any) -> str:
        if not isinstance(values, dict):
            return "an object"
        for value in values.values():
            if expected := check(value):
                return f"an object with {expected} for each name"
        return ""

    return whole


def record(required: Mapping[str, Check], known: Mapping[str, Check] | None = None) -> Check:
    """Return a check of an object with some fields; see ``check_fields``."""

    def whole(value: Any) -> str:
        if not isinstance(value, dict):
            return "an object"
        try:
            check_fields(value, required, known or {})
        except ValueError as error:
            return f"other fields: {error}"
        return ""

    return whole


def list_of(check: Check) -> Check:
    """Return a check of a list whose items pass ``check``."""

    def whole(value: Any) -> str:
        if not isinstance(value, list):
            return "a list"
        return next((f"a list, each of it {expected}" for item in value if (expected := check(item))), "")

    return whole


texts = list_of(text)
counts = list_of(count)


def numbers(value: Any) -> str:
    """Check a list of finite numbers, of any size a float has."""
    fits = isinstance(value, list) and all(
        isinstance(item, int | float) and not isinstance(item, bool) and is_finite(item) for item in value
    )
    return "" if fits else "a list of finite numbers"


def check_settings(settings: Mapping[str, Any]) -> None:
    """Check that each value of a configuration is of a kind that settings are.

    Raises
    ------
    ValueError
        At the first that is not.
    """
    for key, value in settings.items():
        if not isinstance(value, str | int | float):
            msg = f"{shown(key)} is a {type(value).__name__}: expected a text, a number or true or false"
            raise ValueError(msg)


def check_fields(values: Mapping[str, Any], required: Mapping[str, Check], known: Mapping[str, Check]) -> None:
    """Check an object's fields: those that must be there, and those that may be; others pass.

    Raises
    ------
    ValueError
        At the first field that is missing or wrong.
    """
    for name, check in {**required, **known}.items():
        if name not in values:
            if name in required:
                msg = f"it lacks {name}"
                raise ValueError(msg)
        elif expected := check(values[name]):
            msg = f"{name} = {shown(_written(values[name]), _MOST_SHOWN)}: expected {expected}"
            raise ValueError(msg)


def is_finite(value: float) -> bool:
    """Whether a number is finite as a float: a whole number may be too large for one."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _written(value: Any) -> str:
    try:
        return json.dumps(value)
    except (ValueError, RecursionError):
        return "a value that cannot be written"


def _refuse_constant(name: str) -> NoReturn:
    msg = f"{name} is no JSON"
    raise ValueError(msg)
