"""Reading keys and values against known settings, collecting every mistake before raising.

Which keys there are depends on the parts that are named: a source is read names first, then what it sets.
"""

import json
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Final

from eafl_flower.config.foreign import FOREIGN, unfolded
from eafl_flower.config.parts import GROUPS, make_part, owner_of, part_settings
from eafl_flower.config.renamed import RENAMED
from eafl_flower.config.rules import clashes
from eafl_flower.core.settings import Setting, SettingsError, Value, kebab
from eafl_flower.errors import ConfigError

_MOST_MEANT: Final = 4  # settings of one name in a message
_NAMES: Final = tuple(f"{group}.name" for group in GROUPS)


def checked(
    common: Mapping[str, Setting], given: Mapping[str, object], *, source: str, base: Mapping[str, Any]
) -> dict[str, Any]:
    """Return ``base`` changed by ``given``, in the types of the settings.

    Parameters
    ----------
    common
        The settings that are no part's, by key.
    given
        Values as TOML gives them; keys that are missing keep the value in ``base``. With the name of another part,
        what was set of the one before is dropped.
    source
        The file, or what else the values come from, for the message.
    base
        A value for every common setting; what it lacks of the parts that are named has its default.

    Raises
    ------
    ConfigError
        If any key is unknown or of a part that is not chosen, any value wrong, or values contradict each other.
    """
    problems, wrong = list[str](), set[str]()
    try:
        given = unfolded(given)
    except ValueError as error:
        problems.append(str(error))
        given = {key: value for key, value in given.items() if key != FOREIGN}
    values, parts, missing = _chosen(common, given, base)
    for key, text in missing.items():
        problems.append(f"{key} = {_shown(values[key])}: {text}")
        wrong.add(key)
    unknown = tuple(f"{key.removesuffix('name')}{values[key]}." for key in missing)
    for key, value in given.items():
        if key in _NAMES or key.startswith(unknown):
            continue
        try:
            if (setting := common.get(key) or parts.get(key)) is not None:
                values[key] = setting.read(value)
            else:
                _check_unused(common, key, value, values)
        except KeyError as error:
            problems.append(error.args[0])
        except ValueError as error:
            problems.append(f"{key} = {_shown(value)}: {error}")
            wrong.add(key)
    every = dict(common) | parts
    for clash in clashes(values):
        if wrong.isdisjoint(clash.keys):  # else the contradiction may be made of a value that was not read
            key = clash.keys[0]
            problems.append(f"{key} = {_shown(every[key].write(values[key]))}: {clash.text}")
    for group in GROUPS:
        if not any(key.startswith(f"{group}.") for key in wrong):
            problems += _refusals(group, values, every)
    _raise_if(problems, source)
    return values


def read_texts(common: Mapping[str, Setting], texts: Iterable[str], *, source: str) -> dict[str, Value]:
    """Return ``["key=value", ...]`` as values in TOML's types.

    Raises
    ------
    ConfigError
        If a text has no ``=``, a key is unknown, or a value cannot be of the key's type.
    """
    values: dict[str, Value] = {}
    problems = []
    for text in texts:
        key, equals, value = (part.strip() for part in text.partition("="))
        if not equals:
            problems.append(f'"{text}": expected key=value, as in task.batch-size=8')
            continue
        try:
            setting = setting_of(common, key)
            values[key] = setting.write(setting.read_text(value))
        except KeyError as error:
            problems.append(error.args[0])
        except ValueError as error:
            problems.append(f"{key} = {_shown(value)}: {error}")
    _raise_if(problems, source)
    return values


def setting_of(common: Mapping[str, Setting], key: str) -> Setting:
    """Return the setting of a key, a common one or that of any part that the key names.

    Raises
    ------
    KeyError
        If there is none; its argument is the whole message.
    """
    if key in common:
        return common[key]
    owner = owner_of(key)
    try:
        settings = part_settings(*owner) if owner is not None and key not in RENAMED else {}
    except ConfigError:
        settings = {}
    if key not in settings:
        raise _unknown(common, key)
    return settings[key]


def every_setting(common: Mapping[str, Setting]) -> dict[str, Setting]:
    """Return the common settings and those of all parts of ours, group by group: what Flower is told of."""
    parts: dict[str, Setting] = {}
    for group, table in GROUPS.items():
        for name in table.parts:
            parts |= part_settings(group, name)
    return {**common, **parts}


def _chosen(
    common: Mapping[str, Setting], given: Mapping[str, object], base: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Setting], dict[str, str]]:
    """Return ``base`` with the parts that ``given`` names, their settings, and by key what is wrong with a name."""
    values, parts, missing = dict(base), dict[str, Setting](), dict[str, str]()
    for group, key in zip(GROUPS, _NAMES, strict=True):
        before, name = values[key], given.get(key, values[key])
        if name != before:
            values = {known: value for known, value in values.items() if not known.startswith(f"{group}.{before}.")}
        values[key] = name
        try:
            found = part_settings(group, common[key].read(name))
        except ValueError as error:
            missing[key] = str(error)
        else:
            parts |= found
            values = {known: setting.default for known, setting in found.items()} | values
    return values, parts, missing


def _check_unused(common: Mapping[str, Setting], key: str, value: object, values: Mapping[str, Any]) -> None:
    """Let the default of a part that is not chosen pass; raise ``ValueError`` for another value of it."""
    owner = owner_of(key)
    setting = setting_of(common, key)
    if owner is None:
        return
    group, name = owner
    if setting.read(value) != setting.default:
        msg = f'belongs to {group}.name = "{name}", and that is "{values[f"{group}.name"]}"'
        raise ValueError(msg)


def _refusals(group: str, values: Mapping[str, Any], every: Mapping[str, Setting]) -> list[str]:
    """Return what a chosen part itself says against its settings."""
    name = values[f"{group}.name"]
    try:
        make_part(group, name, values)
    except SettingsError as error:
        keys = {f"{group}.{name}.{kebab(field)}": text for field, text in error.problems.items()}
        return [f"{key} = {_shown(every[key].write(values[key]))}: {text}" for key, text in keys.items()]
    except ValueError as error:
        return [f"{group}.{name}: {error}"]
    return []


def _unknown(common: Mapping[str, Setting], key: str) -> KeyError:
    if key in RENAMED:
        return KeyError(f"{key}: is now {RENAMED[key]}")
    known = every_setting(common)
    if (owner := owner_of(key)) is not None:
        group, name = owner
        try:
            known |= part_settings(group, name)
        except ConfigError as error:
            return KeyError(f"{key}: {group}.{name}: {error}")
    near = _meant(key.replace("_", "-"), known)
    group = key.partition(".")[0]
    inside = [one for one in known if one.startswith(f"{group}.")]
    hint = f"did you mean {' or '.join(near)}?" if near else f"{group}. has {', '.join(inside)}" if inside else ""
    hint = hint or f"there are {', '.join(dict.fromkeys(one.partition('.')[0] for one in known))}"
    return KeyError(f"{key}: no such setting; {hint}")


def _meant(key: str, known: Mapping[str, Setting]) -> list[str]:
    """Return which settings were meant: those that end like a key without a group, or the nearest."""
    if "." not in key:
        last = {one: one.rpartition(".")[2] for one in known}
        for ending in (key, *get_close_matches(key, [*dict.fromkeys(last.values())], n=1, cutoff=0.8)):
            if ends := [one for one, its in last.items() if its == ending]:
                least = min(one.count(".") for one in ends)  # rather a setting of all parts than of one
                return [one for one in ends if one.count(".") == least][:_MOST_MEANT]
    return get_close_matches(key, known, n=1, cutoff=0.7)


def _shown(value: object) -> str:
    return json.dumps(value, default=str, ensure_ascii=False)


def _raise_if(problems: list[str], source: str) -> None:
    if problems:
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''} in {source}:"
        raise ConfigError("\n  ".join([count, *problems]))
