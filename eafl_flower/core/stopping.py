"""The end of a process that was asked to stop by another signal than Ctrl-C."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stopped(SystemExit, KeyboardInterrupt):
    """SIGTERM or SIGHUP asked to stop.

    Whatever handles Ctrl-C handles it, and a process that does not ends with the exit status that shells report for
    the signal, 128 + its number, and without a traceback.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number

    def __str__(self) -> str:
        return f"stopped by {signal_name(self.number)}"


def signal_name(number: int) -> str:
    """Return the name of a signal, such as SIGTERM.

    Examples
    --------
    >>> signal_name(15)
    'SIGTERM'
    """
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


def end_signals() -> list[signal.Signals]:
    """Return SIGTERM and, where there is one, SIGHUP, without those that are ignored, as `nohup` makes it."""
    known = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    return [number for number in known if signal.getsignal(number) != signal.SIG_IGN]


@contextmanager
def stops_raised() -> Iterator[None]:
    """Raise ``Stopped`` at the first SIGTERM or SIGHUP, as Python raises ``KeyboardInterrupt`` at Ctrl-C.

    Those that follow ask for the same and are ignored. Only the main thread gets signals; elsewhere nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if not asked:
            asked = True
            raise Stopped(number)

    before = {number: signal.signal(number, stop) for number in end_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
