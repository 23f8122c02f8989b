"""What came out of a run, as one flat JSON object: ``summary.json``."""

import hashlib
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from eafl_flower.results.observer import Event

BASELINES = ("no_communication", "exact", "majority", "lookup")
_PACKAGES = ("eafl-flower", "flwr", "torch", "numpy", "scipy", "numba", "ray", "safetensors")
_PREFIX = "accuracy-"


def on_the_wall(summary: Mapping[str, Any]) -> bool:
    """Whether the run's clock was the one on the wall: then its time is real and there is no other."""
    return bool(summary["virtual_time_s"] == summary["wall_s"])


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a strategy knows at the end of a run.

    Bytes and joules are totals over all jobs, lost and unfinished ones included. ``virtual_time_s`` is the time on
    the run's clock: virtual in simulations, real in deployments and then equal to ``wall_s``. ``metrics`` is the last
    evaluation; ``arrays_sha256`` the digest of the arrays that clients receive.
    """

    merges: int
    refused: int = 0
    lost: int = 0
    timeouts: int = 0
    errors: int = 0
    virtual_time_s: float
    wall_s: float
    uplink_bytes: int
    downlink_bytes: int
    uplink_framed_bytes: int
    downlink_framed_bytes: int
    energy_j: float
    metrics: Mapping[str, float] = field(default_factory=dict)
    arrays_sha256: str
    stopped: str = "all merges made"


def summarize(
    outcome: Outcome,
    events: Iterable[Event],
    *,
    name: str,
    seed: int,
    config_sha256: str,
    engine: str,
    baselines: Mapping[str, Mapping[str, float] | None] | None = None,
    clients_left_out: int = 0,
    rows_left_out: int = 0,
) -> dict[str, Any]:
    """Return the content of ``summary.json``.

    Parameters
    ----------
    outcome
        Totals and scores of the run.
    events
        The complete event log (after a resume: of both parts), for the merge order and the staleness.
    name, seed, config_sha256, engine
        What was run, and where.
    baselines
        Accuracy by score of each baseline; missing ones are skipped and become null.
    clients_left_out, rows_left_out
        What of the data could not be used, and no client has.

    Returns
    -------
    dict
        ``uplink_saved`` and ``downlink_saved`` are the shares of the merged uploads' (their dispatches')
        bytes that the codec saved, ``uplink_framed_saved`` the same with Flower's framing of what was sent, and
        ``both_ways_saved`` of both directions together, framing included, without each client's first job: it has
        to download a model that it does not know yet. ``virtual_time_s`` is the time on the run's clock, virtual
        in simulations and real in deployments; ``order_sha256`` is ``order_digest`` of the merges.
    """
    merged = [event for event in events if event["event"] == "merge"]
    raw = _sum(merged, "raw_bytes")
    later = [event for event in merged if event["counter"] > 1]
    framed = _sum(later, "uplink_framed_bytes") + _sum(later, "downlink_framed_bytes")
    given = baselines or {}
    return {
        "name": name,
        "seed": seed,
        "engine": engine,
        "config_sha256": config_sha256,
        "clients_left_out": clients_left_out,
        "rows_left_out": rows_left_out,
        "stopped": outcome.stopped,
        "merges": outcome.merges,
        "uploads": len(merged),
        "refused": outcome.refused,
        "lost": outcome.lost,
        "timeouts": outcome.timeouts,
        "errors": outcome.errors,
        "virtual_time_s": outcome.virtual_time_s,
        "wall_s": outcome.wall_s,
        "uplink_bytes": outcome.uplink_bytes,
        "downlink_bytes": outcome.downlink_bytes,
        "uplink_framed_bytes": outcome.uplink_framed_bytes,
        "downlink_framed_bytes": outcome.downlink_framed_bytes,
        "raw_bytes": raw,
        "uplink_saved": _saved(raw, _sum(merged, "uplink_bytes")),
        "uplink_framed_saved": _saved(raw, _sum(merged, "uplink_framed_bytes")),
        "downlink_saved": _saved(raw, _sum(merged, "downlink_bytes")),
        "both_ways_saved": _saved(2 * _sum(later, "raw_bytes"), framed),
        "energy_j": outcome.energy_j,
        "accuracy": scores_of(outcome.metrics),
        "baselines": {key: dict(scores) if (scores := given.get(key)) is not None else None for key in BASELINES},
        "staleness": staleness_of([event["staleness"] for event in merged]),
        "order_sha256": order_digest(merged),
        "arrays_sha256": outcome.arrays_sha256,
        "versions": versions(),
    }


def scores_of(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the accuracies among ``metrics`` by score: ``accuracy-before`` becomes ``before``."""
    return {
        key.removeprefix(_PREFIX): float(value)
        for key, value in metrics.items()
        if key == "accuracy" or key.startswith(_PREFIX)
    }


def staleness_of(staleness: Sequence[float]) -> dict[str, float | None]:
    """Return median, 95th percentile (nearest rank) and maximum; null without merges."""
    if not staleness:
        return {"median": None, "p95": None, "max": None}
    ordered = sorted(staleness)
    rank = -(-95 * len(ordered) // 100)  # ceil(0.95 n), in integers because 0.95 is not a binary fraction
    return {"median": statistics.median(ordered), "p95": ordered[rank - 1], "max": ordered[-1]}


def order_digest(merged: Iterable[Event]) -> str:
    """SHA-256 over the lines ``client counter`` of the uploads in the order they were merged."""
    sha = hashlib.sha256()
    for event in merged:
        sha.update(f"{event['client']} {event['counter']}\n".encode())
    return sha.hexdigest()


def versions() -> dict[str, str | None]:
    """Versions of Python and of what the arrays depend on, without importing any of it; null if absent."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def _sum(events: Iterable[Event], key: str) -> int:
    return sum(event[key] for event in events)


def _saved(raw: int, coded: int) -> float | None:
    return 1 - coded / raw if raw else None
