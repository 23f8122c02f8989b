"""What came out of a run, as one flat JSON object: ``summary.json``."""

import hashlib
import platform
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from itertools import accumulate
from typing import Any

from eafl_flower import __version__
from eafl_flower.core.events import Event
from eafl_flower.core.provenance import Provenance
from eafl_flower.core.scores import ACCURACY, Score
from eafl_flower.results.scores import SCORE_FIELDS, check_scores, keyed, scores_to_store
from eafl_flower.results.stored import check_fields, count, list_of, mapping, number, optional, record, share, text

BASELINES = ("no_communication", "exact", "pooled", "majority", "lookup")
_PACKAGES = ("flwr", "torch", "numpy", "scipy", "numba", "ray", "safetensors")
_SIZES = ("raw_bytes", "uplink_bytes", "downlink_bytes", "uplink_framed_bytes", "downlink_framed_bytes")
_RAW_DOWN = "raw_downlink_bytes"


_TEXTS = ("name", "engine", "stopped", "config_sha256", "order_sha256", "arrays_sha256")
_COUNTS = ("merges", "refused", "lost")
_NUMBERS = (
    *("virtual_time_s", "wall_s", "energy_j"),
    *("uplink_bytes", "downlink_bytes", "uplink_framed_bytes", "downlink_framed_bytes"),
)
_FIELDS = {
    **dict.fromkeys(_TEXTS, text),
    **dict.fromkeys(_COUNTS, count),
    **dict.fromkeys(_NUMBERS, number),
    **dict.fromkeys(("uplink_saved", "downlink_saved"), optional(number)),
    "seed": count,
    "accuracy": mapping(share),
    "baselines": mapping(optional(mapping(number))),
    "staleness": mapping(optional(number)),
    "versions": mapping(optional(text)),
}
_LATER_FIELDS = {
    **dict.fromkeys(
        (
            *("timeouts", "errors", "uploads", "client_states_lost", "clients_left_out", "rows_left_out"),
            *("uncertified_powers", "rates_measured"),
        ),
        count,
    ),
    **dict.fromkeys(("both_ways_saved", "bits_per_value", "bits_per_value_paper", "codec_error"), optional(number)),
    "data_sha256": text,
    "data": mapping(count),
    "scores": list_of(record(SCORE_FIELDS)),
    "baselines_left_out": mapping(text),
}
_LATER_BASELINES = ("pooled",)


def _any(value: Any) -> str:
    return ""


def check_summary(summary: Mapping[str, Any]) -> None:
    """Check that a summary that was read from a file has what its readers use.

    Raises
    ------
    ValueError
        At the first field that is missing or wrong; the message does not say where.
    """
    check_fields(summary, _FIELDS, _LATER_FIELDS)
    quantiles = ("median", "p95", "max")
    check_fields(summary["staleness"], dict.fromkeys(quantiles, optional(number)), {})
    if len({summary["staleness"][name] is None for name in quantiles}) > 1:
        raise ValueError(f"staleness: expected {', '.join(quantiles)} to be numbers, or all of them null")
    check_fields(summary["baselines"], {name: _any for name in BASELINES if name not in _LATER_BASELINES}, {})
    check_scores(summary)


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
    states_lost: int = 0
    uncertified: int = 0
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
    provenance: Provenance,
    engine: str,
    scores: Sequence[Score] = (ACCURACY,),
    baselines: Mapping[str, Mapping[str, float] | None] | None = None,
    baselines_left_out: Mapping[str, str] | None = None,
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
    name, seed, engine
        What was run, and where.
    provenance
        What it was made from.
    scores
        The scores of the task, the main one first.
    baselines
        Metrics of each baseline, such as ``accuracy-before``; missing ones are skipped and become null.
    baselines_left_out
        Why a baseline that was asked for is not there, by name.
    clients_left_out, rows_left_out
        What of the data could not be used, and no client has.

    Returns
    -------
    dict
        ``uplink_saved`` and ``downlink_saved`` are the shares of the merged uploads' (their dispatches')
        bytes that the codec saved, ``uplink_framed_saved`` the same with Flower's framing of what was sent, and
        ``both_ways_saved`` of both directions together, framing included, without each client's first job: it has
        to download a model that it does not know yet. ``bits_per_value`` are the bits that merged uploads took for
        each floating value, ``bits_per_value_paper`` those that the codec's paper would count, and ``codec_error`` the
        mean relative error of an upload, both as clients told; null where nothing was coded, or told.
        ``virtual_time_s`` is the time on the run's clock, virtual in simulations and real in deployments;
        ``config_sha256`` is of the settings that change results alone, ``client_states_lost`` counts client states
        that were missing, so that a client had to start afresh, ``uncertified_powers`` allocations of power that are
        not proven to be the best; of a deployment ``rates_measured`` counts the merges that are priced at a measured
        rate; ``order_sha256`` is ``order_digest`` of the merges. ``scores``, ``accuracy`` and
        ``baselines`` are as ``results/scores.py`` says.
    """
    merged = _Merges()
    for event in events:
        if event["event"] == "merge":
            merged.add(event)
    raw, later = merged.sizes["raw_bytes"], merged.later
    given = baselines or {}
    return {
        "name": name,
        "seed": seed,
        "engine": engine,
        "config_sha256": provenance.settings_sha256,
        "data_sha256": provenance.data.sha256,
        "data": provenance.data.counts,
        "clients_left_out": clients_left_out,
        "rows_left_out": rows_left_out,
        "stopped": outcome.stopped,
        "merges": outcome.merges,
        "uploads": merged.uploads,
        "refused": outcome.refused,
        "lost": outcome.lost,
        "timeouts": outcome.timeouts,
        "errors": outcome.errors,
        "client_states_lost": outcome.states_lost,
        "uncertified_powers": outcome.uncertified,
        "virtual_time_s": outcome.virtual_time_s,
        "wall_s": outcome.wall_s,
        "uplink_bytes": outcome.uplink_bytes,
        "downlink_bytes": outcome.downlink_bytes,
        "uplink_framed_bytes": outcome.uplink_framed_bytes,
        "downlink_framed_bytes": outcome.downlink_framed_bytes,
        "raw_bytes": raw,
        "uplink_saved": _saved(raw, merged.sizes["uplink_bytes"]),
        "uplink_framed_saved": _saved(raw, merged.sizes["uplink_framed_bytes"]),
        "downlink_saved": _saved(merged.sizes[_RAW_DOWN], merged.sizes["downlink_bytes"]),
        "both_ways_saved": _saved(
            later["raw_bytes"] + later[_RAW_DOWN], later["uplink_framed_bytes"] + later["downlink_framed_bytes"]
        ),
        **merged.coding.means(),
        **({"rates_measured": merged.rates["measured"]} if merged.rates else {}),
        "energy_j": outcome.energy_j,
        "accuracy": keyed(outcome.metrics, [score for score in scores if score.name == ACCURACY.name]),
        "scores": scores_to_store(outcome.metrics, scores),
        "baselines": {key: None if (found := given.get(key)) is None else keyed(found, scores) for key in BASELINES},
        "baselines_left_out": dict(baselines_left_out or {}),
        "staleness": staleness_counted(merged.staleness),
        "order_sha256": merged.order.hexdigest(),
        "arrays_sha256": outcome.arrays_sha256,
        "versions": versions(),
    }


def staleness_of(staleness: Iterable[float]) -> dict[str, float | None]:
    """Return median, 95th percentile (nearest rank) and maximum; null without merges."""
    return staleness_counted(Counter(staleness))


def staleness_counted(times: Mapping[float, int]) -> dict[str, float | None]:
    """Return the same of staleness that occurs so many ``times``."""
    counts = sorted(times.items())
    ranks = list(accumulate(count for _, count in counts))
    if not ranks:
        return {"median": None, "p95": None, "max": None}
    total = ranks[-1]

    def at(rank: int) -> float:
        """Return the value of this rank, from 1."""
        return counts[bisect_left(ranks, rank)][0]

    middle = at(total // 2 + 1)
    p95 = at(-(-95 * total // 100))  # ceil(0.95 n), in integers because 0.95 is not a binary fraction
    return {"median": middle if total % 2 else (at(total // 2) + middle) / 2, "p95": p95, "max": counts[-1][0]}


def order_digest(merged: Iterable[Event]) -> str:
    """SHA-256 over the lines ``client counter`` of the uploads in the order they were merged."""
    sha = hashlib.sha256()
    for event in merged:
        sha.update(_order_line(event))
    return sha.hexdigest()


def versions() -> dict[str, str | None]:
    """Versions of Python, this code and what the arrays depend on, without importing any of it; null if absent."""
    found: dict[str, str | None] = {"python": platform.python_version(), "eafl-flower": __version__}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


class _Merges:
    """What a summary says of the merges, gathered one by one: a log may have millions."""

    def __init__(self) -> None:
        self.uploads = 0
        self.sizes: Counter[str] = Counter()
        self.later: Counter[str] = Counter()  # the same without each client's first job
        self.staleness: Counter[float] = Counter()
        self.order = hashlib.sha256()
        self.coding = _Coding()
        self.rates: Counter[str] = Counter()  # what merges were priced by, in a deployment

    def add(self, event: Event) -> None:
        """Take in one merge."""
        self.uploads += 1
        sizes = {key: event[key] for key in _SIZES} | {_RAW_DOWN: event.get(_RAW_DOWN, event["raw_bytes"])}
        self.sizes.update(sizes)
        if event["counter"] > 1:
            self.later.update(sizes)
        self.staleness[event["staleness"]] += 1
        self.order.update(_order_line(event))
        if event.get("num_values"):
            self.coding.add(event)
        if "rate_source" in event:
            self.rates[event["rate_source"]] += 1


@dataclass
class _Coding:
    """What coded uploads took, and what their clients told of it."""

    values: int = 0
    bits: int = 0
    told_values: int = 0
    told_bits: int = 0
    errors: float = 0.0
    told: int = 0

    def add(self, event: Event) -> None:
        """Take in the merge of a coded upload."""
        self.values += event["num_values"]
        self.bits += 8 * event["uplink_bytes"]
        if "bits_paper" in event and "codec_error" in event:
            self.told_values += event["num_values"]
            self.told_bits += event["bits_paper"]
            self.errors += event["codec_error"]
            self.told += 1

    def means(self) -> dict[str, float | None]:
        """Return the means of a summary."""
        return {
            "bits_per_value": self.bits / self.values if self.values else None,
            "bits_per_value_paper": self.told_bits / self.told_values if self.told else None,
            "codec_error": self.errors / self.told if self.told else None,
        }


def _order_line(event: Event) -> bytes:
    return f"{event['client']} {event['counter']}\n".encode()


def _saved(raw: int, coded: int) -> float | None:
    return 1 - coded / raw if raw else None
