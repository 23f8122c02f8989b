"""Contestants take turns, so that what else the machine does hits all of them alike."""

import statistics
import time
from collections.abc import Callable
from typing import Any


def seconds_of(contestants: dict[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Return the seconds that each contestant took in each of ``repeats`` turns, after one that does not count."""
    for contestant in contestants.values():
        contestant()
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(repeats):
        for name, contestant in contestants.items():
            start = time.perf_counter()
            contestant()
            times[name].append(time.perf_counter() - start)
    return times


def medians(contestants: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Return the median seconds of each contestant over ``repeats`` turns, after one that does not count."""
    return {name: statistics.median(values) for name, values in seconds_of(contestants, repeats).items()}


def ratio(others: list[float], ours: list[float]) -> float:
    """Return how many times as long the others took, the median over turns: what disturbs a turn hits both."""
    return statistics.median(other / own for other, own in zip(others, ours, strict=True))
