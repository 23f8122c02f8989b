"""The event log: one JSON line an event, readable while the run goes on, cut back on resume."""

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from eafl_flower.errors import CheckpointError
from eafl_flower.results.atomic import open_unlinked
from eafl_flower.results.observer import Event
from eafl_flower.results.stored import parse_json


class EventLog:
    """Observer that appends events to a JSON Lines file.

    Every line is flushed when it is written, so that a killed process loses at most the line it was
    writing. The rule for resuming: write the ``checkpoint`` event, put the number of events so far
    (``position()``) into the checkpoint, save it; a ``resume`` event with that number cuts the file back.
    An extra checkpoint outside the schedule (Ctrl-C) writes no event. Then the file of a resumed run
    equals the undisturbed one in everything but wall times.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines = _complete_lines(path)
        self._file = open_unlinked(path, "ab")

    def write(self, event: Event) -> None:
        """Append one event. ``resume`` is not kept: it drops what was written after its checkpoint."""
        if event["event"] == "resume":
            self.truncate(event["events"])
            return
        line = json.dumps(_plain(event), allow_nan=False, separators=(",", ":"))
        self._file.write(line.encode() + b"\n")
        self._file.flush()
        self._lines += 1

    def position(self) -> int:
        """Return the number of lines written, after making them durable."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._lines

    def truncate(self, lines: int) -> None:
        """Drop everything after the first ``lines`` lines.

        Raises
        ------
        CheckpointError
            If the log has fewer lines: it does not belong to the checkpoint.
        """
        if lines > self._lines:
            msg = f"{self.path} has {self._lines} events, the checkpoint was made after {lines}: not the same run"
            raise CheckpointError(msg)
        self._file.close()
        with open_unlinked(self.path, "rb+") as file:
            for _ in range(lines):
                file.readline()
            file.truncate(file.tell())
        self._lines = lines
        self._file = open_unlinked(self.path, "ab")

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        self._file.close()


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the events of a log; a last line that was cut off while it was written is left out.

    Raises
    ------
    CheckpointError
        If the file is missing or a line is not an event.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        msg = f"{path} cannot be read ({error.strerror}): expected the event log of a run"
        raise CheckpointError(msg) from error
    with file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                event = parse_json(line)
            except ValueError:
                event = None
            if not isinstance(event, dict) or not isinstance(event.get("event"), str):
                msg = f'{path} is damaged at line {number}: expected a JSON object with the field "event"'
                raise CheckpointError(msg)
            yield event


def _complete_lines(path: Path) -> int:
    """Count the lines of the file and cut off a last one without an end."""
    if not path.exists():
        return 0
    lines = kept = 0
    with open_unlinked(path, "rb+") as file:
        for line in file:
            if line.endswith(b"\n"):
                lines, kept = lines + 1, kept + len(line)
        file.truncate(kept)
    return lines


def _plain(value: Any) -> Any:
    """Turn numpy scalars into Python's; JSON has no NaN or infinity, so these become null."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if hasattr(value, "item") and not isinstance(value, str | bytes):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
