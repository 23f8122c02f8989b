"""An observer in a thread of its own, for what may hang or fail: the run neither waits for it nor ends with it."""

import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from eafl_flower.core.events import Event, Observer
from eafl_flower.results.event_log import plain

MOST_WAITING: Final = 10_000  # events; a sink that is further behind is left out
LONGEST_FAREWELL_S: Final = 10.0  # that the end of a run waits for the rest to be taken


class Apart:
    """Observer that hands events to another one, which is made (at the first) and called in a thread of its own.

    It gets them as the event log has them.

    At its first error, or once it is too far behind, it is left out for the rest of the run, and that is said once.

    Parameters
    ----------
    name
        What it is called in that line.
    make
        Returns the observer; may take long and may fail.
    say
        Says a line to the operator; called from any thread.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[], Observer],
        say: Callable[[str], None],
        *,
        most_waiting: int = MOST_WAITING,
        farewell_s: float = LONGEST_FAREWELL_S,
    ) -> None:
        self._name, self._make, self._say, self._farewell_s = name, make, say, farewell_s
        self._events: queue.Queue[Event | None] = queue.Queue(most_waiting)
        self._is_out = threading.Event()
        self._lock = threading.Lock()
        # A daemon: one that hangs does not keep the process from ending.
        self._thread = threading.Thread(target=self._work, name=f"sink-{name}", daemon=True)
        self._thread.start()

    def write(self, event: Event) -> None:
        """Hand the event on, if the other one is still in; returns at once."""
        if self._is_out.is_set():
            return
        try:
            self._events.put_nowait(event)
        except queue.Full:
            self._leave_out(f"it is {self._events.maxsize:,} events behind")

    def close(self) -> None:
        """Let the other one take the rest and close; waits only so long."""
        deadline = time.monotonic() + self._farewell_s
        with suppress(queue.Full):
            self._events.put(None, timeout=0 if self._is_out.is_set() else self._farewell_s)
        if not self._is_out.is_set():
            self._thread.join(max(0.0, deadline - time.monotonic()))
            if self._thread.is_alive():
                self._leave_out(f"it has not taken the last events within {self._farewell_s:g} s")

    def _work(self) -> None:
        try:
            event = self._events.get()
            if event is None:
                return  # a run that failed before its first event leaves nothing
            observer = self._make()
            try:
                while event is not None and not self._is_out.is_set():
                    observer.write(plain(event))
                    event = self._events.get()
            finally:
                observer.close()
        except BaseException as error:  # a library may even try to end the process
            self._leave_out(str(error) or type(error).__name__)

    def _leave_out(self, why: str) -> None:
        with self._lock:
            if self._is_out.is_set():
                return
            self._is_out.set()
        with suppress(Exception):
            self._say(f"{self._name} is left out from here on, the run goes on: {why}")
