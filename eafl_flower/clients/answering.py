"""A node that always answers: Flower waits for ever for a ClientApp that hangs, exits or returns no Message."""

from collections.abc import Callable

from flwr.app import Context, Message
from flwr.clientapp.typing import ClientAppCallable, Mod

from eafl_flower.clients.time_limit import time_limit
from eafl_flower.engines.answer import reply_of
from eafl_flower.errors import ClientFailedError

LIMIT_S = 3600.0  # as long as strategies wait for a reply by default


def answering_mod(limit_s: float | Callable[[Context], float] = LIMIT_S) -> Mod:
    """Return a client mod that turns whatever is not an answer into an error of this client.

    A stock SuperNode handles one message at a time, and the next one only when this one is answered. An app that
    hangs, or returns something else than a reply, holds its node up for ever, while the node looks healthy to
    everybody; ``sys.exit`` costs it a minute. As the outermost mod this one covers the mods behind it, too.

    Parameters
    ----------
    limit_s
        Longest real time for a message [s], or a function that gives it. After that nobody should wait for the reply
        any more: the ``timeout`` of the strategy's ``start``.

    Notes
    -----
    Work that neither waits nor runs Python, such as a call into a library that never returns, ends with its process
    (``clients.time_limit``), of which Flower tells the server a minute later. ``os._exit`` and crashes cannot be
    caught: they take Flower the same minute.
    """

    def mod(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        seconds = limit_s(context) if callable(limit_s) else limit_s
        kind = message.metadata.message_type
        msg = f"no answer to a message of type {kind} after {seconds:g} s, when nobody waits for it any more: given up"
        with time_limit(seconds, ClientFailedError(msg)):
            return reply_of(call_next, message, context)

    return mod
