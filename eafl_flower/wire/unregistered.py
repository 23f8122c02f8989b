"""Apps that lack something: a query or an evaluate function, or the Message API.

They are asked once, and nobody sees a traceback for it.
"""

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from flwr.app import Message, MessageType

# What Flower's ClientApp raises, in 1.39 and 1.41, where nothing is registered for a message.
_UNREGISTERED = re.compile(r"No (query|evaluate) function registered with name")
_LEGACY = re.compile(r"(fit|evaluate|getproperties)ins\.")  # records that a ClientApp(client_fn=...) looks for


def has_no_evaluate(reply: Message | None) -> bool:
    """Whether ``reply`` says that its ClientApp has no ``@app.evaluate()``."""
    if reply is None or not reply.has_error():
        return False
    found = _UNREGISTERED.search(reply.error.reason or "")
    return found is not None and found[1] == MessageType.EVALUATE


def advice(reason: str) -> str:
    """Return what to do about an error of a client with this ``reason``, "" if nothing is known."""
    if _LEGACY.search(reason) is None:
        return ""
    return "; it is a ClientApp(client_fn=...) of Flower's legacy API: make it by numpy_client_app(client_fn)"


@contextmanager
def no_tracebacks() -> Iterator[None]:
    """Keep Flower's runtime from logging as errors that an app has no query or evaluate function.

    It does so in the server's process, in a simulation. On a node of a deployment Flower logs it where it is.
    """
    logger = logging.getLogger("flwr")
    logger.addFilter(_is_something_else)
    try:
        yield
    finally:
        logger.removeFilter(_is_something_else)


def _is_something_else(record: logging.LogRecord) -> bool:
    if record.levelno < logging.ERROR:
        return True
    text = f"{record.getMessage()} {sys.exc_info()[1]}"  # one of Flower's lines does not say what it is about
    return _UNREGISTERED.search(text) is None and "getpropertiesins." not in text
