"""The log of a run as JSON, one object a line: for machines that read ``flwr log`` or a terminal."""

import json
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import IO, Any, Final

from eafl_flower.core.events import Event
from eafl_flower.results.event_log import plain
from eafl_flower.results.summary import staleness_counted
from eafl_flower.results.watch import SIZES, TROUBLE, Watch

_LEVELS: Final = {**dict.fromkeys((*TROUBLE, "interrupted", "missing"), "warning"), "failed": "error"}
_SUMMED_UP: Final = ("merge", "unfinished")  # too many to have a line each; they are in events.jsonl


class JsonLines:
    """Observer that writes each event but merges as a line, and what merges come to in those of ``status``.

    Every line has ``at`` (UTC), ``level``, ``run`` and ``event``; what is said in words is an event ``note``.

    Parameters
    ----------
    file
        Where to write.
    run
        Name of the run.
    every_s
        In virtual time, which has no events ``status``, seconds of real time between two of our own; 0: none.
    """

    def __init__(self, file: IO[str], run: str, every_s: float) -> None:
        self._file, self._run, self._every_s = file, run, every_s
        self._watch = Watch()
        self._lock = threading.Lock()
        self._next_s = time.monotonic() + every_s

    def write(self, event: Event) -> None:
        """Write one event, or add it up."""
        kind, watch = event["event"], self._watch
        watch.add(event)
        if kind == "status":
            self._line("info", kind, {**self._figures(), **event})
        elif kind not in _SUMMED_UP:
            self._line(_LEVELS.get(kind, "info"), kind, event)
        elif self._every_s and not watch.on_the_wall and time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + self._every_s
            self._line("info", "status", self._figures())

    def say(self, text: str, level: str = "info") -> None:
        """Write what is said in words."""
        self._line(level, "note", {"text": text})

    def results(self, summary: Mapping[str, Any], path: object) -> None:
        """Write what came out."""
        self._line("info", "summary", {**summary, "path": str(path)})

    def close(self) -> None:
        """Nothing is left to be done."""

    def _figures(self) -> dict[str, Any]:
        watch = self._watch
        return {
            "merge": watch.merge,
            "merges_planned": watch.planned,
            "updates": watch.updates,
            "rate_merges_s": watch.rate(watch.wall_s),
            "time_s": watch.time_s,
            "wall_s": watch.wall_s,
            "in_flight": watch.most_in_flight,
            "staleness": staleness_counted(watch.staleness),
            **{kind: watch.ended[kind] for kind in (*TROUBLE, "late")},
            "energy_j": watch.energy_j,
            **{name: watch.sizes[name] for name in SIZES},
        }

    def _line(self, level: str, kind: str, fields: Mapping[str, Any]) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        told = {"at": now, "level": level, "run": self._run, **fields, "event": kind}
        line = json.dumps(plain(told), allow_nan=False) + "\n"  # ASCII: nothing in it drives a terminal
        with self._lock:
            self._file.write(line)
            self._file.flush()
