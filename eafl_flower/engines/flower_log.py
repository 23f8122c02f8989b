"""Flower's log, to which nothing is written that could drive a terminal: clients' words are in some lines."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from flwr.common.logger import LOGGER_NAME
from flwr.common.logger import log as flowers_log

from eafl_flower.core.words import MOST_LINE, shown


def log(level: int, text: str, *values: Any) -> None:
    """Write one line to Flower's log; texts and errors among ``values`` are shown as ``words.shown`` does."""
    flowers_log(
        level, text, *(value if isinstance(value, int | float) else shown(value, MOST_LINE) for value in values)
    )


@contextmanager
def log_through(say: Callable[[str, str], None]) -> Iterator[None]:
    """Until the end of the block, hand each line of Flower's log, and its level in lower case, to ``say`` alone."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            try:
                if text := record.getMessage().strip():
                    say(text, record.levelname.lower())
            except Exception:
                self.handleError(record)

    logger = logging.getLogger(LOGGER_NAME)
    before = logger.handlers[:]
    handler = Handler(min((h.level for h in before), default=logging.INFO))
    logger.handlers[:] = [handler]
    try:
        yield
    finally:
        logger.handlers[:] = before
