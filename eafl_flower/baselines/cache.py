"""Baselines beside every score, calculated once for a configuration and then remembered.

``no_communication``, ``exact`` (uncompressed updates) and ``pooled`` (all rows in one place) cost a training run each;
``majority`` and ``lookup`` (majority class by value of the one best feature) only look at the rows. All give means
over clients by metric, such as ``accuracy-before``. They are kept under ``$XDG_CACHE_HOME/eafl-flower/baselines``
(``~/.cache`` without it), by a hash of all they depend on: the settings, the data, the code of this package and the
versions below it.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import eafl_flower
from eafl_flower.config import RunConfig
from eafl_flower.config.effects import WITHOUT_EFFECT
from eafl_flower.core.caches import user_cache
from eafl_flower.core.durable import write_atomically
from eafl_flower.results.summary import BASELINES, versions

Scores = dict[str, float]
Calculate = Callable[[], Mapping[str, Mapping[str, float]]]

# What does not change the exact run: where and how it runs, and the codec, which it does without.
_NOT_IN_EXACT = (*WITHOUT_EFFECT, "codec")


@dataclass(frozen=True)
class BaselineCache:
    """JSON files by key; one that is missing, damaged or of another form counts as absent."""

    folder: Path

    @classmethod
    def of_user(cls) -> "BaselineCache":
        """Return the cache in the user's cache folder."""
        return cls(user_cache("baselines"))

    def get(self, key: str) -> dict[str, Scores] | None:
        """Return the baselines under ``key``, or None."""
        try:
            stored = json.loads((self.folder / f"{key}.json").read_bytes())
            return {name: {score: float(value) for score, value in scores.items()} for name, scores in stored.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return None

    def put(self, key: str, baselines: Mapping[str, Mapping[str, float]]) -> None:
        """Keep ``baselines`` under ``key``; a cache that cannot be written is done without."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            content = {name: dict(scores) for name, scores in baselines.items()}
            write_atomically(self.folder / f"{key}.json", json.dumps(content, indent=2).encode())
        except OSError:
            pass


def collect_baselines(
    which: Literal["all", "cheap", "none"],
    *,
    config: RunConfig,
    data_sha256: str,
    cheap: Calculate | None,
    trained: Calculate,
    cache: BaselineCache | None = None,
) -> dict[str, Scores | None]:
    """Return the baselines of a run by name, None for those that were not asked for.

    Parameters
    ----------
    which
        ``all``, ``cheap`` (majority and look-up) or ``none``.
    config
        The run beside which they stand.
    data_sha256
        Digest of the rows, or of the files they come from.
    cheap
        Calculates ``majority`` and ``lookup``; None if the task has no such baselines.
    trained
        Calculates ``no_communication``, ``exact`` and ``pooled`` together, because the first and the last train for
        as many epochs as the second did.
    cache
        Where results are kept; the user's cache by default.
    """
    cache = cache or BaselineCache.of_user()
    found: dict[str, Scores | None] = dict.fromkeys(BASELINES)
    wanted = {"all": ("trained", "cheap"), "cheap": ("cheap",), "none": ()}[which]
    for group, names, calculate in (
        ("cheap", ("majority", "lookup"), cheap),
        ("trained", ("no_communication", "exact", "pooled"), trained),
    ):
        if group not in wanted or calculate is None:
            continue
        key = _key(config, data_sha256, group)
        values = cache.get(key)
        if values is None or set(values) != set(names):
            values = {name: dict(scores) for name, scores in calculate().items()}
            cache.put(key, values)
        found |= values
    return found


def _key(config: RunConfig, data_sha256: str, group: str) -> str:
    if group == "cheap":
        flat = {k: v for k, v in config.decisive().items() if k == "seed" or k.startswith("data.")}
        settings = json.dumps(flat, sort_keys=True)
    else:
        settings = config.hash(leave_out=_NOT_IN_EXACT)
    parts = (group, settings, data_sha256, _code_sha256(), json.dumps(versions()))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@cache
def _code_sha256() -> str:
    """Digest of this package's modules, so that a changed program does not show yesterday's baselines."""
    root = Path(next(iter(eafl_flower.__path__)))
    sha = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        sha.update(f"{path.relative_to(root).as_posix()}\n".encode() + path.read_bytes())
    return sha.hexdigest()
