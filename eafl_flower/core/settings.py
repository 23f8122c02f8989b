"""Settings: fields of a frozen dataclass, whose annotations say everything.

A field is a setting if its type is ``int``, ``float``, ``bool``, ``str``, a ``Literal`` of texts or a tuple of these
(``tuple[int, ...]``, written ``"4,8,16"``). ``Annotated`` adds a ``Range`` or ``FILE``. Fields of other types are no
settings. The configuration reads settings from here; ``check_settings`` holds those who construct such a dataclass in
Python to the same ranges.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from numbers import Integral, Real
from typing import Annotated, Any, Final, Literal, get_args, get_origin, get_type_hints

from eafl_flower.errors import ConfigError

_TOO_LARGE = 2**63  # for an integer of TOML and of Flower's run configuration
Value = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Range:
    """Allowed numbers, from ``low`` to ``high``; ``above`` leaves out ``low`` itself, ``below`` leaves out ``high``."""

    low: float
    high: float = math.inf
    above: bool = False
    below: bool = False

    def __contains__(self, number: float) -> bool:
        """Whether ``number`` is allowed."""
        return (self.low < number if self.above else self.low <= number) and (
            number < self.high if self.below else number <= self.high
        )

    def __str__(self) -> str:
        if math.isinf(self.high):
            return f"above {self.low}" if self.above else f"of at least {self.low}"
        if self.above or self.below:
            low, high = "above" if self.above else "of at least", "below" if self.below else "at most"
            return f"{low} {self.low} and {high} {self.high}"
        return f"from {self.low} to {self.high}"


Count = Annotated[int, Range(0)]
CountFromOne = Annotated[int, Range(1)]
NotNegative = Annotated[float, Range(0)]
Positive = Annotated[float, Range(0, above=True)]
Share = Annotated[float, Range(0, 1)]

NOT_A_SETTING: Final = {"setting": False}
"""Metadata of a field that the run or a caller gives, although its type is that of a setting."""
FILE: Final = "file"
"""Marks a text that is the path of a file: what the file holds counts, not where it lies."""
File = Annotated[str, FILE]


@dataclass(frozen=True, slots=True)
class Setting:
    """The type of a setting, its default, and the numbers or words it allows; ``default`` is MISSING if it has none."""

    kind: type
    default: Any
    range: Range | None = None
    choices: tuple[str, ...] = ()
    is_list: bool = False
    is_file: bool = False

    @property
    def expected(self) -> str:
        """What a value must be, in words that complete "expected ..."."""
        if self.choices:
            *others, last = (json.dumps(choice) for choice in self.choices)
            words = f"{', '.join(others)} or {last}" if others else last
            return (
                f'{words}, several separated by commas, as in "{",".join(self.choices[:2])}"' if self.is_list else words
            )
        one = {bool: "true or false", int: "an integer", float: "a number", str: "text in Unicode"}[self.kind]
        many = {int: "integers", float: "numbers"}.get(self.kind, one)
        example = "a,b" if self.kind is str else "4,8,16"
        return f"{many if self.is_list else one}{f' {self.range}' if self.range else ''}" + (
            f' separated by commas, as in "{example}"' if self.is_list else ""
        )

    def read(self, value: object) -> Any:
        """Return ``value``, as TOML gives it, in the type of the field.

        Raises
        ------
        ValueError
            If the type is wrong (an integer passes for a number, nothing else for anything else), or
            the value is not in the allowed range; the text completes "key = value: ...".
        """
        if self.is_list:
            if not isinstance(value, str):
                msg = f"expected {self.expected}"
                raise ValueError(msg)
            return tuple(self._number(part.strip()) for part in value.split(",")) if value.strip() else ()
        if self.kind is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) < _TOO_LARGE:
            value = float(value)
        if type(value) is not self.kind or not self._allows(value):
            endless = self.range is None or math.isinf(self.range.high)
            large = endless and type(value) is self.kind is int and abs(value) >= _TOO_LARGE
            msg = f"expected {self.expected}{' and below 2^63' if large else ''}"
            raise ValueError(msg)
        return value

    def read_text(self, text: str) -> Any:
        """Return what ``text`` of a command line means in the type of the field; raises as ``read``."""
        if self.is_list or self.kind is str:
            return self.read(text)
        if self.kind is bool:
            return self.read({"true": True, "false": False}.get(text.lower(), text))
        try:
            value = self.kind(text)
        except ValueError as error:
            msg = f"expected {self.expected}"
            raise ValueError(msg) from error
        return self.read(value)

    def write(self, value: Any) -> Value:
        """Return the value of the field as TOML and Flower's run configuration hold it."""
        if self.is_list:
            return ",".join(v if isinstance(v, str) else str(v).removesuffix(".0") for v in value)
        if self.kind is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        return value  # type: ignore[no-any-return]  # a scalar of a checked tree

    def holds(self, value: object) -> bool:
        """Whether a field may have ``value``: one of Python, in which numbers of numpy are numbers, too."""
        if self.is_list:
            return isinstance(value, tuple) and all(self._is_one(part) for part in value)
        return self._is_one(value)

    def _is_one(self, value: object) -> bool:
        kinds = {int: Integral, float: Real}.get(self.kind, self.kind)
        is_kind = isinstance(value, kinds) and isinstance(value, bool) == (self.kind is bool)
        return is_kind and self._allows(value)

    def _number(self, text: str) -> int | float | str:
        if self.kind is str:
            if self._allows(text):
                return text
            msg = f"expected {self.expected}"
            raise ValueError(msg)
        try:
            number: int | float = self.kind(text)
        except ValueError as error:
            msg = f'"{text}" is not {"an integer" if self.kind is int else "a number"}'
            raise ValueError(msg) from error
        if not self._allows(number):
            msg = f"expected {self.expected}"
            raise ValueError(msg)
        return number

    def _allows(self, value: Any) -> bool:
        if self.choices:
            return value in self.choices
        if self.kind is float and not math.isfinite(value):
            return False
        if self.kind is int and abs(value) >= _TOO_LARGE:
            return False
        if self.kind is str and not _is_writable(value):
            return False
        return self.range is None or value in self.range


class SettingsError(ConfigError):
    """Settings of one dataclass are wrong: ``problems`` says of each field in words what is."""

    def __init__(self, owner: str, values: Mapping[str, object], problems: Mapping[str, str]) -> None:
        self.problems = dict(problems)
        told = (f"{name} = {values[name]!r}: {text}" for name, text in problems.items())
        super().__init__(f"{owner}: {'; '.join(told)}")


def check_settings(part: Any, **further: str) -> None:
    """Hold the fields of a dataclass against their annotations; made to be called in its ``__post_init__``.

    Parameters
    ----------
    part
        The instance.
    **further
        By name of a field what else is wrong with it, in words; "" if nothing is.

    Raises
    ------
    SettingsError
        If a value is of the wrong type or out of its range, or something else is wrong.
    """
    values = vars(part)
    wrong = {
        name: f"expected {setting.expected}"
        for name, setting in fields_of(type(part)).items()
        if not setting.holds(values[name])
    }
    wrong = {name: text for name, text in further.items() if text} | wrong
    if wrong:
        raise SettingsError(type(part).__name__, values, wrong)


def fields_of(owner: Any) -> dict[str, Setting]:
    """Return the settings of a dataclass by the name of their field, in order of definition."""
    return _fields_of(owner)


@cache
def _fields_of(owner: Any) -> dict[str, Setting]:
    hints = get_type_hints(owner, include_extras=True)
    found: dict[str, Setting] = {}
    for field in fields(owner):
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        may_be = field.init and field.metadata.get("setting", True)
        setting = _setting(hints[field.name], default) if may_be else None
        if setting is not None:
            found[field.name] = setting
    return found


def settings_of(owner: type, prefix: str = "") -> dict[str, Setting]:
    """Return the settings of a dataclass by key: ``prefix`` and the field's name in kebab case."""
    return {prefix + kebab(name): setting for name, setting in fields_of(owner).items()}


def kebab(name: str) -> str:
    """Return the key of a field."""
    return name.replace("_", "-")


def _setting(kind: Any, default: Any) -> Setting | None:
    """Return the setting that an annotation describes, None if it is that of another field."""
    limits: Range | None = None
    is_file = False
    if is_list := get_origin(kind) is tuple:
        kind, *rest = get_args(kind)
        if rest != [Ellipsis]:
            return None
    if get_origin(kind) is Annotated:
        kind, *notes = get_args(kind)
        limits = next((note for note in notes if isinstance(note, Range)), None)
        is_file = FILE in notes
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    if kind not in (bool, int, float, str) and not (choices and all(isinstance(choice, str) for choice in choices)):
        return None
    return Setting(str if choices else kind, default, limits, choices, is_list, is_file)


def _is_writable(text: str) -> bool:
    """Whether a text can be part of a file and of a path: no half characters, no end of a C string."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
