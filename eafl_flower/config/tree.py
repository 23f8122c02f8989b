"""The tree of a configuration and its flat form: dataclasses in groups, some of which choose a part."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Any, ClassVar, TypeVar, get_type_hints

from eafl_flower.config.parts import make_part, part_class
from eafl_flower.core.settings import Setting, fields_of, kebab, settings_of
from eafl_flower.errors import ConfigError

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A group of settings that chooses a part by its ``name``; ``part`` is that part, by default with its defaults.

    Raises
    ------
    ConfigError
        If there is no part of that name, or ``part`` is another one.
    """

    group: ClassVar[str]
    name: str
    part: Any = None

    def __post_init__(self) -> None:
        try:
            found = part_class(self.group, self.name)
        except ConfigError as error:
            msg = f'{self.group}.name = "{self.name}": {error}'
            raise ConfigError(msg) from error
        if self.part is None:
            object.__setattr__(self, "part", found())
        if type(self.part) is not found:
            msg = f'{self.group}.part is a {type(self.part).__name__}, but "{self.name}" is {found.__name__}'
            raise ConfigError(msg)


@cache
def common_settings(tree: type) -> dict[str, Setting]:
    """Return every setting of a tree that is no part's, by key, in order of definition."""
    hints, found = get_type_hints(tree), settings_of(tree)
    for field in fields(tree):
        if is_dataclass(hints[field.name]):
            found |= settings_of(hints[field.name], f"{kebab(field.name)}.")
    return found


def values_of(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Return the values in a tree of dataclasses, by key, those of the chosen parts under the parts' names."""
    values: dict[str, Any] = {}
    for field in fields(tree):
        key, value = prefix + kebab(field.name), getattr(tree, field.name)
        if field.name in fields_of(type(tree)):
            values[key] = value
        elif isinstance(tree, Choice):
            part = fields_of(type(value))
            values |= {f"{prefix}{tree.name}.{kebab(name)}": getattr(value, name) for name in part}
        elif is_dataclass(value):
            values |= values_of(value, f"{key}.")
    return values


def tree_of(tree: type[T], values: Mapping[str, Any], prefix: str = "") -> T:
    """Return the tree of dataclasses that holds ``values``, the inverse of ``values_of``."""
    hints = get_type_hints(tree)
    made: dict[str, Any] = {}
    for field in fields(tree):  # type: ignore[arg-type]  # a dataclass
        key = prefix + kebab(field.name)
        if is_dataclass(hints[field.name]):
            made[field.name] = tree_of(hints[field.name], values, f"{key}.")
        elif field.name in fields_of(tree):
            made[field.name] = values[key]
    if issubclass(tree, Choice):
        made["part"] = make_part(tree.group, made["name"], values)
    return tree(**made)
