"""Reading keys and values against known settings, collecting every mistake before raising."""

import json
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from eafl_flower.config.rules import clashes
from eafl_flower.config.settings import Setting, Value
from eafl_flower.errors import ConfigError


def checked(
    settings: Mapping[str, Setting], given: Mapping[str, object], *, source: str, base: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return ``base`` changed by ``given``, in the types of the settings.

    Parameters
    ----------
    settings
        All settings there are, by key.
    given
        Values as TOML gives them; keys that are missing keep the value in ``base``.
    source
        The file, or what else the values come from, for the message.
    base
        A value for every setting; may be left out when ``given`` is complete.

    Raises
    ------
    ConfigError
        If any key is unknown, any value wrong, or values contradict each other.
    """
    values = dict(base or {key: setting.default for key, setting in settings.items()})
    problems, wrong = [], set()
    for key, value in given.items():
        try:
            values[key] = _known(settings, key).read(value)
        except KeyError as error:
            problems.append(error.args[0])
        except ValueError as error:
            problems.append(f"{key} = {_shown(value)}: {error}")
            wrong.add(key)
    for clash in clashes(values):
        if wrong.isdisjoint(clash.keys):  # else the contradiction may be made of a value that was not read
            key = clash.keys[0]
            problems.append(f"{key} = {_shown(settings[key].write(values[key]))}: {clash.text}")
    _raise_if(problems, source)
    return values


def read_texts(settings: Mapping[str, Setting], texts: Iterable[str], *, source: str) -> dict[str, Value]:
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
            setting = _known(settings, key)
            values[key] = setting.write(setting.read_text(value))
        except KeyError as error:
            problems.append(error.args[0])
        except ValueError as error:
            problems.append(f"{key} = {_shown(value)}: {error}")
    _raise_if(problems, source)
    return values


def _known(settings: Mapping[str, Setting], key: str) -> Setting:
    if key in settings:
        return settings[key]
    near = get_close_matches(key.replace("_", "-"), settings, n=1, cutoff=0.7)
    group = key.partition(".")[0]
    inside = [known for known in settings if known.startswith(f"{group}.")]
    hint = f"did you mean {near[0]}?" if near else f"{group}. has {', '.join(inside)}" if inside else ""
    hint = hint or f"there are {', '.join(dict.fromkeys(known.partition('.')[0] for known in settings))}"
    raise KeyError(f"{key}: no such setting; {hint}")


def _shown(value: object) -> str:
    return json.dumps(value, default=str, ensure_ascii=False)


def _raise_if(problems: list[str], source: str) -> None:
    if problems:
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''} in {source}:"
        raise ConfigError("\n  ".join([count, *problems]))
