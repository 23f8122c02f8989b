"""States as flat, storable values: the arrays apart, everything else as JSON scalars.

``flatten`` and ``restore`` know frozen dataclasses, tuples, dictionaries with string or integer keys,
numpy arrays, numbers, strings, booleans and None. ``restore`` is driven by the flat values alone for
tuples and dictionaries, and by the template's type for dataclasses, so a template is any value of
the same classes (for example ``codec.init(layout)``). A key that a template's dictionary does not have is
restored like the first it has.
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import numpy as np

from eafl_flower.errors import CheckpointError
from eafl_flower.types import Array

T = TypeVar("T")
Tree = Any


def flatten(value: Any) -> tuple[dict[str, Array], Tree]:
    """Split ``value`` into named arrays and a JSON tree that refers to them.

    Returns
    -------
    tuple
        ``(arrays, tree)``; ``restore(template, arrays, tree)`` gives an equal value back.
    """
    arrays: dict[str, Array] = {}
    return arrays, _flatten(value, "", arrays)


def changed_fields(state: Any, fresh: Any) -> dict[str, Any]:
    """Return the fields of a dataclass that hold something else than those of ``fresh``: all there is to store."""
    values = {f.name: getattr(state, f.name) for f in fields(state)}
    return {name: value for name, value in values.items() if value is not getattr(fresh, name)}


def _flatten(value: Any, path: str, arrays: dict[str, Array]) -> Tree:
    if isinstance(value, np.ndarray):
        arrays[path] = value
        return {"array": path}
    if is_dataclass(value) and not isinstance(value, type):
        return {"fields": {f.name: _flatten(getattr(value, f.name), f"{path}/{f.name}", arrays) for f in fields(value)}}
    if isinstance(value, tuple | list):
        return {"items": [_flatten(v, f"{path}/{i}", arrays) for i, v in enumerate(value)]}
    if isinstance(value, Mapping):
        return {"pairs": [[k, _flatten(v, f"{path}/{k}", arrays)] for k, v in value.items()]}
    if value is None or isinstance(value, bool | int | float | str):
        return {"value": value}
    if isinstance(value, np.generic):
        return {"value": value.item()}
    msg = f"a state holds a {type(value).__name__} at {path or '/'}: expected arrays, numbers, strings or containers"
    raise TypeError(msg)


def restore(template: T, arrays: Mapping[str, Array], tree: Tree) -> T:
    """Rebuild a value flattened by ``flatten``; dataclasses take their type from ``template``.

    Raises
    ------
    CheckpointError
        If the stored value does not have the shape of the template.
    """
    result: T = _restore(template, arrays, tree, "")
    return result


def _restore(template: Any, arrays: Mapping[str, Array], tree: Tree, path: str) -> Any:
    try:
        if "array" in tree:
            return arrays[tree["array"]]
        if "value" in tree:
            return tree["value"]
        if "fields" in tree:
            kinds = {f.name for f in fields(template)}
            if kinds != set(tree["fields"]):
                msg = f"stored state at {path or '/'} has fields {sorted(tree['fields'])}, expected {sorted(kinds)}"
                raise CheckpointError(msg)
            values = {
                name: _restore(getattr(template, name), arrays, sub, f"{path}/{name}")
                for name, sub in tree["fields"].items()
            }
            return type(template)(**values)
        if "items" in tree:
            inner = template if isinstance(template, tuple | list) else ()
            items = [
                _restore(inner[min(i, len(inner) - 1)] if inner else None, arrays, sub, f"{path}/{i}")
                for i, sub in enumerate(tree["items"])
            ]
            return list(items) if isinstance(template, list) else tuple(items)
        known = template if isinstance(template, Mapping) else {}
        value = next(iter(known.values()), None)
        return {k: _restore(known.get(k, value), arrays, sub, f"{path}/{k}") for k, sub in tree["pairs"]}
    except (KeyError, TypeError) as error:
        msg = f"stored state is damaged at {path or '/'}: {error!r}"
        raise CheckpointError(msg) from error
