"""A limit on the real time of a piece of work, for code that may hang."""

import faulthandler
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

GRACE_S: Final = 60.0  # for an error to be raised, before the process is ended


@contextmanager
def time_limit(seconds: float, error: Exception) -> Iterator[None]:
    """Raise ``error`` in the block once it has taken ``seconds``; where even that does not help, end the process.

    Code that waits, or that runs Python, is interrupted by the error. A call into a library that never returns is
    not: after ``GRACE_S`` more the process writes where it hangs to its standard error and exits with status 1. Only
    the main thread of a process, on systems with alarms, can be interrupted; elsewhere this does nothing.

    Parameters
    ----------
    seconds
        Longest real time [s].
    error
        What to raise then.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def late(number: int, frame: FrameType | None) -> None:
        raise error

    before = signal.signal(signal.SIGALRM, late)
    if sys.__stderr__ is not None:
        faulthandler.dump_traceback_later(seconds + GRACE_S, exit=True, file=sys.__stderr__)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, before)
