"""One setting: its key, its type with the allowed range, and how it is read and written.

A setting is a field of a frozen dataclass, and the field's annotation says everything: ``int``, ``float``,
``bool``, ``str``, a ``Literal`` of strings, a tuple of numbers or texts (written ``"4,8,16"``), each with an optional
``Range`` in ``Annotated``.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

_TOO_LARGE = 2**63  # for an integer of TOML and of Flower's run configuration
Value = bool | int | float | str
T = TypeVar("T")


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


@dataclass(frozen=True, slots=True)
class Setting:
    """A key in kebab case with dots, its type, and the numbers or words it allows."""

    key: str
    kind: type
    default: Any
    range: Range | None = None
    choices: tuple[str, ...] = ()
    is_list: bool = False

    @property
    def expected(self) -> str:
        """What a value must be, in words that complete "expected ..."."""
        if self.choices:
            *others, last = (json.dumps(choice) for choice in self.choices)
            return f"{', '.join(others)} or {last}" if others else last
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
            msg = f"expected {self.expected}"
            raise ValueError(msg)
        return value

    def read_text(self, text: str) -> Any:
        """Return what ``text`` of a command line means in the type of the field; raises as ``read``."""
        if self.is_list or self.kind is str:
            return self.read(text)
        if self.kind is bool:
            return self.read({"true": True, "false": False}.get(text.lower(), text))
        try:
            return self.read(self.kind(text))
        except ValueError as error:
            msg = f"expected {self.expected}"
            raise ValueError(msg) from error

    def write(self, value: Any) -> Value:
        """Return the value of the field as TOML and Flower's run configuration hold it."""
        if self.is_list:
            return ",".join(v if isinstance(v, str) else str(v).removesuffix(".0") for v in value)
        if self.kind is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        return value  # type: ignore[no-any-return]  # a scalar of a checked tree

    def _number(self, text: str) -> int | float | str:
        if self.kind is str:
            return text
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


@cache
def settings_of(tree: type) -> dict[str, Setting]:
    """Return every setting of a dataclass and of the dataclasses nested in it, by key, in order of definition."""
    return {setting.key: setting for setting in _walk(tree, "")}


def values_of(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Return the values in a tree of dataclasses, by key."""
    values: dict[str, Any] = {}
    for field in fields(tree):
        key, value = prefix + _kebab(field.name), getattr(tree, field.name)
        values |= values_of(value, f"{key}.") if is_dataclass(value) else {key: value}
    return values


def tree_of(tree: type[T], values: Mapping[str, Any], prefix: str = "") -> T:
    """Return the tree of dataclasses that holds ``values``, the inverse of ``values_of``."""
    hints = get_type_hints(tree)
    made: dict[str, Any] = {}
    for field in fields(tree):  # type: ignore[arg-type]  # a dataclass
        key = prefix + _kebab(field.name)
        is_group = is_dataclass(hints[field.name])
        made[field.name] = tree_of(hints[field.name], values, f"{key}.") if is_group else values[key]
    return tree(**made)


def _walk(tree: type, prefix: str) -> Iterator[Setting]:
    hints = get_type_hints(tree, include_extras=True)
    for field in fields(tree):
        key = prefix + _kebab(field.name)
        if is_dataclass(hints[field.name]):
            yield from _walk(hints[field.name], f"{key}.")
            continue
        kind: Any = hints[field.name]
        limits: Range | None = None
        if is_list := get_origin(kind) is tuple:
            kind = get_args(kind)[0]
        if get_origin(kind) is Annotated:
            kind, limits = get_args(kind)
        choices = get_args(kind) if get_origin(kind) is Literal else ()
        yield Setting(key, str if choices else kind, field.default, limits, choices, is_list)


def _is_writable(text: str) -> bool:
    """Whether a text can be part of a file and of a path: no half characters, no end of a C string."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _kebab(name: str) -> str:
    return name.replace("_", "-")
