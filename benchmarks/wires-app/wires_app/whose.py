"""Whose code the processor is at, by samples of the main thread each few milliseconds of CPU time."""

import signal
from collections import Counter
from types import FrameType

EVERY_S = 0.004


class Whose:
    """Counts samples by the innermost of eafl_flower and flwr on the stack.

    What numpy or httpx do counts for whoever calls them. While threads of Flower work for the main thread, that one
    waits in Flower's code: what they take counts for Flower.
    """

    def __init__(self) -> None:
        self.samples: Counter[str] = Counter()
        self.where: Counter[str] = Counter()

    def start(self) -> None:
        signal.signal(signal.SIGPROF, self._look)
        signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)

    def stop(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)

    def _look(self, number: int, frame: FrameType | None) -> None:
        while frame is not None:
            package, _, rest = str(frame.f_globals.get("__name__", "")).partition(".")
            if package in ("eafl_flower", "flwr"):
                self.samples[package] += 1
                self.where[f"{package}.{rest}:{frame.f_code.co_name}"] += 1
                return
            frame = frame.f_back
        self.samples["other"] += 1
