"""Flower's log, to which nothing is written that could drive a terminal: clients' words are in some lines."""

from typing import Any

from flwr.common.logger import log as flowers_log

from eafl_flower.core.words import MOST_LINE, shown


def log(level: int, text: str, *values: Any) -> None:
    """Write one line to Flower's log; texts and errors among ``values`` are shown as ``words.shown`` does."""
    flowers_log(
        level, text, *(value if isinstance(value, int | float) else shown(value, MOST_LINE) for value in values)
    )
