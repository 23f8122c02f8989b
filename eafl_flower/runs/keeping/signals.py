"""A signal as a request: the run stops where its state is consistent.

Ctrl-C (SIGINT), SIGTERM and SIGHUP all ask for the same. A shell, `timeout` or a terminal that closes may send one of
the latter two several times, so only Ctrl-C is taken for impatience when it comes again.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Protocol

from eafl_flower.core.stopping import Stopped, end_signals


class Interruptible(Protocol):
    """Something that looks at ``interrupted`` now and then, and ends with ``reason``."""

    interrupted: bool
    reason: KeyboardInterrupt


@contextmanager
def interrupts(run: Interruptible) -> Iterator[None]:
    """Turn the first signal that asks to stop into ``run.interrupted = True``; a later Ctrl-C stops at once.

    Only the main thread gets signals; elsewhere this does nothing. Where Flower waits for the end of this process, too,
    it has its turn once the block is left: it tells the SuperLink.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def request(number: int, frame: FrameType | None) -> None:
        if not run.interrupted:
            run.interrupted = True
            run.reason = KeyboardInterrupt() if number == signal.SIGINT else Stopped(number)
        elif number == signal.SIGINT:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, request) for number in (signal.SIGINT, *end_signals())}
    try:
        yield
    except Stopped:
        _restore(before)
        goodbye = signal.getsignal(signal.SIGTERM)
        if callable(goodbye) and str(getattr(goodbye, "__module__", "")).startswith("flwr."):
            goodbye(signal.SIGTERM, None)
        raise
    finally:
        _restore(before)


def _restore(handlers: dict[signal.Signals, Callable[[int, FrameType | None], Any] | int | None]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
