"""What a run was made from: the settings that change its results, and the content of its data.

Two runs with equal provenance give equal results. It says nothing about places: not where files lie, not when they
were written, not which engine computes.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Final

import numpy as np

from eafl_flower.types import digest

Plain = str | int | float | bool | None
_MOST_TOLD: Final = 6  # differences in one line
_ABSENT: Final = "not set"


@dataclass(frozen=True, kw_only=True)
class Content:
    """What data hold: ``counts`` of clients, rows, features and classes, and ``digests`` of the values, by name."""

    counts: dict[str, int] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        """Digest of all of it."""
        return _sha256([self.counts, self.digests])

    def changes_to(self, now: "Content") -> list[str]:
        """Return in words how ``now`` differs: by its counts or, if they are equal, by which values."""
        counts = [
            f"{name}: {self.counts.get(name, 0):,} -> {now.counts.get(name, 0):,}"
            for name in _changed(self.counts, now.counts)
        ]
        return counts or [f"other {name}" for name in _changed(self.digests, now.digests)]


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Settings by key, and the content of the data."""

    settings: dict[str, Plain] = field(default_factory=dict)
    data: Content = field(default_factory=Content)

    @property
    def settings_sha256(self) -> str:
        """Digest of the settings."""
        return _sha256(self.settings)

    def without(self, key: str) -> "Provenance":
        """Return this provenance without one setting."""
        return Provenance(settings={k: v for k, v in self.settings.items() if k != key}, data=self.data)

    def changes_to(self, now: "Provenance") -> str:
        """Return in words how ``now`` differs; "" if it does not."""
        parts = []
        if settings := setting_changes(self.settings, now.settings):
            parts.append(f"with other settings ({listed(settings)})")
        if data := self.data.changes_to(now.data):
            parts.append(f"from other data ({listed(data)})")
        return " and ".join(parts)


def setting_changes(before: Mapping[str, Plain], now: Mapping[str, Plain]) -> list[str]:
    """Return ``key: before -> now`` of each setting that differs; of another part only its class or name."""
    changed = _changed(before, now)
    parts = tuple(f"{key}." for key in changed)
    names = [key for key in changed if key.endswith(".name")]
    parts += tuple(f"{key.removesuffix('name')}{part.get(key)}." for key in names for part in (before, now))
    return [
        f"{key}: {before.get(key, _ABSENT)} -> {now.get(key, _ABSENT)}" for key in changed if not key.startswith(parts)
    ]


def listed(changes: Sequence[str]) -> str:
    """Return the first changes in one line, and how many more there are."""
    more = len(changes) - _MOST_TOLD
    return ", ".join(changes[:_MOST_TOLD]) + (f" and {more} more" if more > 0 else "")


def plain_settings(name: str, value: object) -> dict[str, Plain]:
    """Return ``value`` and what it consists of as plain values by dotted name.

    Of a dataclass, tuple or mapping every part is told, of an array its digest, of a function its name, of any other
    object its class alone. Bytes that a dataclass hides from its ``repr`` are a secret and left out.

    Examples
    --------
    >>> from eafl_flower.energy.model import CMOSEnergy
    >>> list(plain_settings("energy", CMOSEnergy()).items())[:2]
    [('energy', 'CMOSEnergy'), ('energy.switched_capacitance_f', 1e-28)]
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return {name: value}
    if isinstance(value, np.ndarray):
        return {name: f"array {digest([value])[:16]}"}
    if isinstance(value, bytes):
        return {name: f"bytes {hashlib.sha256(value).hexdigest()[:16]}"}
    inner: dict[str, object] = {}
    if isinstance(value, Mapping):
        inner = {str(key): part for key, part in value.items()}
    elif isinstance(value, tuple | list):
        inner = {str(place): part for place, part in enumerate(value)}
    elif is_dataclass(value) and not isinstance(value, type):
        parts = {f.name: (getattr(value, f.name), f.repr) for f in fields(value) if f.init}
        inner = {key: part for key, (part, shown) in parts.items() if shown or not isinstance(part, bytes)}
    flat: dict[str, Plain] = {name: _class_of(value)}
    for key, part in inner.items():
        flat |= plain_settings(f"{name}.{key}", part)
    return flat


def _class_of(value: object) -> str:
    named = getattr(value, "__qualname__", None)  # a function's, or a class that is the value itself
    return f"{getattr(value, '__module__', '')}.{named}" if isinstance(named, str) else type(value).__name__


def _changed(before: Mapping[str, Plain], now: Mapping[str, Plain]) -> list[str]:
    return [key for key in {**before, **now} if before.get(key, _ABSENT) != now.get(key, _ABSENT)]


def _sha256(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
