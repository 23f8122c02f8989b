"""Reads an event log that is still being written, each event once."""

from collections.abc import Callable, Iterator
from typing import Any

from eafl_flower.errors import CheckpointError
from eafl_flower.results.event_fields import check_event
from eafl_flower.results.event_log import parse_event
from eafl_flower.results.run_directory import RunDirectory


class Follower:
    """Yields the events of a run that are new since it was last asked.

    A run that goes on cuts its log back to its checkpoint; then ``begin_again`` is called, and all are yielded again.
    """

    def __init__(self, run: RunDirectory, begin_again: Callable[[], None]) -> None:
        self._path, self._begin_again = run.events_path, begin_again
        self._place, self._number, self._last = 0, 0, b""

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield what is new; a last line that is still being written waits for the next time.

        Raises
        ------
        CheckpointError
            If the log is missing or damaged.
        """
        try:
            file = self._path.open("rb")
        except OSError as error:
            msg = f"{self._path} cannot be read ({error.strerror}): expected the event log of a run"
            raise CheckpointError(msg) from error
        with file:
            if self._place:
                file.seek(self._place - len(self._last))
                if file.read(len(self._last)) != self._last:
                    self._place, self._number, self._last = 0, 0, b""
                    self._begin_again()
                    file.seek(0)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                event = parse_event(line, self._path, self._number + 1)
                try:
                    check_event(event)
                except ValueError as error:
                    msg = f"{self._path} is damaged at line {self._number + 1}: {error}"
                    raise CheckpointError(msg) from error
                self._place, self._number, self._last = self._place + len(line), self._number + 1, line
                yield event
