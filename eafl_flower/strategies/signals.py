"""Ctrl-C as a request: the run stops where its state is consistent."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol


class Interruptible(Protocol):
    """Something that looks at ``interrupted`` now and then."""

    interrupted: bool


@contextmanager
def interrupts(run: Interruptible) -> Iterator[None]:
    """Turn the first Ctrl-C into ``run.interrupted = True``; the second stops at once.

    Only the main thread gets signals; elsewhere this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def request(signum: int, frame: Any) -> None:
        if run.interrupted:
            raise KeyboardInterrupt
        run.interrupted = True

    previous = signal.signal(signal.SIGINT, request)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
