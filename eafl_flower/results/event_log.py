"""The event log: one JSON line an event, readable while the run goes on, cut back on resume."""

import json
import math
import os
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from eafl_flower.core.durable import open_unlinked
from eafl_flower.core.events import Event
from eafl_flower.errors import CheckpointError, RunFailedError
from eafl_flower.results.stored import parse_json


class EventLog:
    """Observer that appends events to a JSON Lines file.

    Every line is with the operating system when ``write`` returns, so that a killed process loses at most the line
    it was writing. The rule for resuming: write the ``checkpoint`` event, put the number of events so far into the
    checkpoint, ``flush()``, save it; a ``resume`` event with that number cuts the file back. An extra checkpoint
    outside the schedule (one a minute, Ctrl-C) writes no event. Then the file of a resumed run equals the undisturbed
    one in everything but wall times.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines = _complete_lines(path)
        self._is_cut = False  # its last line, as by a full disk
        self._file = open_unlinked(path, "ab", buffering=0)

    def write(self, event: Event) -> None:
        """Append one event. ``resume`` is not kept: it drops what was written after its checkpoint.

        Raises
        ------
        RunFailedError
            If the file cannot be written, as on a full disk.
        """
        if event["event"] == "resume":
            self.truncate(event["events"])
            return
        line = json.dumps(plain(event), allow_nan=False, separators=(",", ":"))
        self._append(line.encode() + b"\n")
        self._lines += 1

    def _append(self, line: bytes) -> None:
        if self._is_cut:
            msg = f"{self.path} ends within an event: resume the run, which cuts it off"
            raise RunFailedError(msg)
        try:
            while line:
                line = line[self._file.write(line) :]
        except OSError as error:
            self._is_cut = True
            msg = f"{self.path} cannot be written ({error.strerror or error}): make room, then resume the run"
            raise RunFailedError(msg) from error

    def flush(self) -> None:
        """Make what was written durable against a power failure; raises ``CheckpointError`` if that cannot be."""
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            msg = f"{self.path} cannot be written ({error.strerror or error}): make room, then resume the run"
            raise CheckpointError(msg) from error

    def position(self) -> int:
        """Return the number of lines written, after making them durable."""
        self.flush()
        return self._lines

    def truncate(self, lines: int) -> None:
        """Drop everything after the first ``lines`` lines.

        A last one that is missing is replaced by an event ``missing``: it is what a crash of the machine can take.

        Raises
        ------
        CheckpointError
            If the log lacks more lines or one of them is damaged: it does not belong to the checkpoint.
        """
        end = check_covers(self.path, lines)
        self._file.close()
        with open_unlinked(self.path, "rb+") as file:
            file.truncate(end)
        self._file = open_unlinked(self.path, "ab", buffering=0)
        if lines > self._lines:
            self.write({"event": "missing", "reason": "the last event before the checkpoint was not in the log"})
        self._lines = lines

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        self._file.close()


def check_covers(path: Path, lines: int) -> int:
    """Return where the first ``lines`` lines of a log end [byte]; of them the last may be missing.

    Raises
    ------
    CheckpointError
        If more are missing or one is damaged: the log does not belong to a checkpoint made after so many.
    """
    end = number = 0
    remedy = "bring back the log that belongs to it, or start the run afresh"
    with path.open("rb") as file:
        for number, line in enumerate(islice(file, lines), start=1):
            if not line.endswith(b"\n"):
                number -= 1
                break
            if not line.startswith(b"{"):
                msg = f"{path} is damaged at line {number}: expected an event; {remedy}"
                raise CheckpointError(msg)
            end += len(line)
    if number < lines - 1:
        msg = f"{path} has {number} events, the checkpoint was made after {lines}: not the same run; {remedy}"
        raise CheckpointError(msg)
    return end


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
            yield parse_event(line, path, number)


def parse_event(line: bytes, path: Path, number: int) -> dict[str, Any]:
    """Return the event on line ``number`` of the log ``path``; raises ``CheckpointError`` if it is none."""
    try:
        event = parse_json(line)
    except ValueError:
        event = None
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        msg = f'{path} is damaged at line {number}: expected a JSON object with the field "event"'
        raise CheckpointError(msg)
    return event


def _complete_lines(path: Path) -> int:
    """Count the lines of the file and cut off a last one without an end, unless only the end of the line is missing."""
    if not path.exists():
        return 0
    lines = kept = 0
    with open_unlinked(path, "rb+") as file:
        for line in file:
            if line.endswith(b"\n"):
                lines, kept = lines + 1, kept + len(line)
            elif _is_event(line):
                file.write(b"\n")
                return lines + 1
        file.truncate(kept)
    return lines


def _is_event(line: bytes) -> bool:
    try:
        event = parse_json(line)
    except ValueError:
        return False
    return isinstance(event, dict) and "event" in event


def plain(value: Any) -> Any:
    """Return a value as the log has it: of Python's own types; JSON has no NaN or infinity, so these become null."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if hasattr(value, "item") and not isinstance(value, str | bytes):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
