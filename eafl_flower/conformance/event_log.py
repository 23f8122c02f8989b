"""What must be true of every event log, whatever the strategy."""

import math
from collections.abc import Iterable

from eafl_flower.core.events import Event
from eafl_flower.errors import RunFailedError

MERGE_FIELDS = frozenset(
    {
        *("merge", "time_s", "wall_s", "client", "counter", "base_version", "staleness", "weight", "num_examples"),
        *("uplink_bytes", "uplink_framed_bytes", "downlink_bytes", "downlink_framed_bytes"),
        *("raw_bytes", "energy_j", "metrics"),
    }
)

CODING_FIELDS = ("num_values", "bits_paper", "codec_error")  # where a codec is in use, as far as they are told


def check_events(events: Iterable[Event]) -> None:
    """Check that merges follow each other in time and number, and that no upload counts twice.

    Raises
    ------
    RunFailedError
        At the first event that breaks a rule: the results of such a run mean nothing.
    """
    time_s, merge, gap = 0.0, 0, 0
    seen: set[tuple[int, int]] = set()
    for number, event in enumerate(events, start=1):
        if event["event"] != "merge":
            gap += event["event"] == "missing"  # it may have been a merge
            continue
        if missing := MERGE_FIELDS - event.keys():
            _fail(number, event, f"lacks {', '.join(sorted(missing))}")
        if event["time_s"] < time_s:
            _fail(number, event, f"time runs backwards, from {time_s} s to {event['time_s']} s")
        time_s = event["time_s"]
        if not merge <= event["merge"] <= merge + 1 + gap:
            _fail(number, event, f"merge {event['merge']} follows merge {merge}")
        merge, gap = event["merge"], 0
        if event["staleness"] < 0 or event["base_version"] >= merge:
            _fail(number, event, "an update is newer than the model it is merged into")
        if wrong := [name for name in CODING_FIELDS if name in event and not 0 <= event[name] < math.inf]:
            _fail(number, event, f"{wrong[0]} is {event[wrong[0]]}")
        job = (event["client"], event["counter"])
        if job in seen:
            _fail(number, event, f"upload {job[1]} of client {job[0]} is merged twice")
        seen.add(job)


def _fail(number: int, event: Event, what: str) -> None:
    msg = f"event {number} ({event['event']}) is impossible: {what}; please report this as a bug"
    raise RunFailedError(msg)
