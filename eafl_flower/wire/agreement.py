"""What both halves of a run must have alike: a node states its own at the first contact, the server compares.

A statement is a flat mapping, as ``core.provenance.plain_settings`` makes it: ``codec`` is the class of the codec and
``codec.block_size`` one of its settings, ``package`` the version of eafl-flower, ``task`` what is trained, ``layout``
a digest of the model's shapes and dtypes. What only one side states is not compared.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any, Final

from flwr.app import ConfigRecord

from eafl_flower import __version__
from eafl_flower.core.excerpt import excerpt
from eafl_flower.core.provenance import Plain, plain_settings
from eafl_flower.errors import ConfigError
from eafl_flower.protocols import Codec
from eafl_flower.types import Layout

VERSION: Final = __version__
AGREED: Final = "agreed"  # key of a statement in a ConfigRecord

Statement = Mapping[str, Plain]
_MOST_TEXT: Final = 20_000  # letters of a statement
_MOST_TOLD: Final = 3  # differences within a section
_MOST_VALUE: Final = 100  # letters
_REMEDIES: Final = {
    "package": "install the same version of eafl-flower on both sides",
    "kind": "use a ClientApp and a strategy of the same method",
    "task": "give both sides the same task with the same settings",
    "codec": "give compression_mod of the ClientApp and the strategy the same codec with the same settings",
    "layout": "start both sides from the same model, for data with the same columns",
}
_UNREADABLE: Final = "unreadable"


def statement(
    *, codec: Codec[Any] | None = None, layout: Layout | None = None, kind: str = "", further: Statement | None = None
) -> dict[str, Plain]:
    """Return what one side states of itself; None and "" are not stated.

    Raises
    ------
    ConfigError
        If ``further`` does not hold plain values by name.
    """
    if not (further is None or (isinstance(further, Mapping) and all(map(_is_plain, [*further, *further.values()])))):
        msg = f"agreed = {excerpt(str(further))}: expected texts, numbers, true, false or None by name"
        raise ConfigError(msg)
    stated: dict[str, Plain] = {**(further or {}), "package": VERSION, **({"kind": kind} if kind else {})}
    if codec is not None:
        stated |= plain_settings("codec", codec)
    if layout is not None:
        stated["layout"] = layout_in_words(layout)
    return stated


def layout_in_words(layout: Layout) -> str:
    """Return numbers and a digest that tell layouts apart.

    Examples
    --------
    >>> from eafl_flower.types import ArraySpec
    >>> layout_in_words((ArraySpec((2, 3), "float32"),))
    '1 array of 6 values, becb9013'
    """
    text = ";".join(f"{spec.dtype}{spec.shape}" for spec in layout)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    arrays = "1 array" if len(layout) == 1 else f"{len(layout):,} arrays"
    return f"{arrays} of {sum(spec.size for spec in layout):,} values, {digest}"


def to_text(stated: Statement) -> str:
    """Return a statement as it travels."""
    return json.dumps(dict(stated), separators=(",", ":"))


def stated_in(record: ConfigRecord | None) -> dict[str, Plain]:
    """Return the statement in a record of the other side, {} if it has none; one that is none disagrees with all."""
    text = None if record is None else record.get(AGREED)
    if text is None:
        return {}
    try:
        found = json.loads(text) if isinstance(text, str) and len(text) <= _MOST_TEXT else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(_is_plain(value) for value in found.values()):
        return {"package": f"{_UNREADABLE}: {excerpt(text, _MOST_VALUE)}"}
    return found


def with_codec(record: ConfigRecord, codec: Codec[Any]) -> ConfigRecord:
    """Return a record in which its side states its codec, too."""
    stated = {**statement(codec=codec), **stated_in(record)}
    return ConfigRecord({**record, AGREED: to_text(stated)})


def disagreement(run: Statement, node: Statement) -> str:
    """Return in one line what is not alike, both values and what to do; "" if nothing is.

    A node that states its version and no codec has none.

    Examples
    --------
    >>> disagreement({"codec": "Int8Codec", "codec.bits": 4}, {"codec": "Int8Codec", "codec.bits": 8})[:52]
    'codec.bits is 8 on the node and 4 in the run: give c'
    """
    told, remedies = [], []
    for section in dict.fromkeys(key.partition(".")[0] for key in run):
        ours, theirs = _section(run, section), _section(node, section)
        if section == "codec" and not theirs and "package" in node:
            theirs = {"codec": "none"}
        if not theirs:
            continue
        if differs := _differences(section, ours, theirs):
            told += differs
            remedies.append(_REMEDIES.get(section, f"make {section} the same on both sides"))
    return f"{'; '.join(told)}: {', and '.join(remedies)}" if told else ""


def _section(stated: Statement, section: str) -> dict[str, Plain]:
    return {key: value for key, value in stated.items() if key == section or key.startswith(f"{section}.")}


def _differences(section: str, ours: Statement, theirs: Statement) -> list[str]:
    """Return the differences in words: of another class or name only that."""
    changed = [key for key in {**ours, **theirs} if not _alike(ours.get(key), theirs.get(key))]
    changed = [section] if section in changed else changed
    told = [
        f"{excerpt(key, _MOST_VALUE)} is {_shown(theirs.get(key))} on the node and {_shown(ours.get(key))} in the run"
        for key in changed[:_MOST_TOLD]
    ]
    more = len(changed) - _MOST_TOLD
    return [*told, f"{more} more settings of {section} differ"] if more > 0 else told


def _alike(ours: Plain, theirs: Plain) -> bool:
    both_nan = isinstance(ours, float) and isinstance(theirs, float) and math.isnan(ours) and math.isnan(theirs)
    return both_nan or ours == theirs


def _shown(value: Plain) -> str:
    return "not set" if value is None else excerpt(value, _MOST_VALUE)


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, str | int | float | bool)
