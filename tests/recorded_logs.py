"""Logs of runs as they may lie in a folder, written event by event."""

from contextlib import closing

from eafl_flower.results.event_log import EventLog
from eafl_flower.results.run_directory import RunDirectory

START = {"event": "start", "clients": 3, "in_flight": 2, "merges_planned": 10, "parameters": 4, "raw_bytes": 16}
STOP = {"event": "stop", "merge": 10, "time_s": 9.0, "reason": "10 merges made"}
FAILED = {"event": "failed", "merge": 2, "time_s": 9.0, "reason": "11 errors and refusals without a merge"}
INTERRUPTED = {"event": "interrupted", "merge": 2, "time_s": 9.0, "reason": "stopped by SIGTERM"}
SIZES = {"uplink_bytes": 10, "uplink_framed_bytes": 12, "downlink_bytes": 20, "downlink_framed_bytes": 24}


def merge(number, client=0, *, staleness=0, **fields):
    told = {"event": "merge", "merge": number, "time_s": float(number), "wall_s": float(number), "client": client}
    told |= {"counter": number, "base_version": number - 1 - staleness, "staleness": staleness, "weight": 0.5}
    return (
        told | {"num_examples": 8, "raw_bytes": 16, "energy_j": 0.5, "metrics": {"loss": 1 / number}} | SIZES | fields
    )


def trouble(kind, client, time_s, reason=None, **fields):
    told = {"event": kind, "time_s": time_s, "client": client, "counter": 99, "energy_j": 0.25, **SIZES, **fields}
    return told if reason is None else told | {"reason": reason}


def status(merge, time_s, *, in_flight=2, there=3, away=()):
    told = {"event": "status", "merge": merge, "time_s": time_s, "wall_s": time_s, "in_flight": in_flight}
    return told | {"there": there, "away": len(away), "away_clients": list(away)}


def run_with(path, *events):
    """Make the directory of a run with these events in its log."""
    run = RunDirectory.create_at(path)
    run.write_config('name = "recorded"')
    append(run, *events)
    return run


def append(run, *events):
    """Write events as the run itself does; ``resume`` cuts the log back."""
    with closing(EventLog(run.events_path)) as log:
        for event in events:
            log.write(event)
