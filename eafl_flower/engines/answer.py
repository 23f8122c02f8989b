"""Runs a ClientApp on one message; whatever the app does, the answer is a reply to that message."""

import traceback
from collections.abc import Callable

from flwr.app import Context, Error, Message

from eafl_flower.core.threads import one_thread
from eafl_flower.engines.flower_internals import CODE_CLIENT_RAISED
from eafl_flower.errors import ProtocolError

Client = Callable[[Message, Context], Message]


def call(app: Client, message: Message, context: Context) -> Message:
    """Return the app's reply, computed with one thread.

    Raises
    ------
    ProtocolError
        If the app calls ``sys.exit`` or returns something that is not a reply to ``message``. On
        Flower's own runtimes the former kills the worker and the latter is never answered.
    """
    one_thread()
    return reply_of(app, message, context)


def reply_of(app: Client, message: Message, context: Context) -> Message:
    """Return the app's reply; the errors are those of ``call``."""
    message_id = message.metadata.message_id
    try:
        reply = app(message, context)
    except SystemExit as error:
        if isinstance(error, KeyboardInterrupt):  # ``Stopped``: the user's, not the client's
            raise
        raise ProtocolError(f"the ClientApp called sys.exit({error.code!r}); expected a reply") from error
    if not isinstance(reply, Message):
        raise ProtocolError(f"the ClientApp returned {type(reply).__name__}; expected Message(..., reply_to=message)")
    if reply.metadata.reply_to_message_id != message_id:
        raise ProtocolError(
            f"the ClientApp answered message {reply.metadata.reply_to_message_id!r}, not {message_id!r}; "
            "expected Message(..., reply_to=message)"
        )
    return reply


def answer(app: Client, message: Message, context: Context) -> tuple[Message, bool]:
    """Return the app's reply and True, or for an exception an error reply (code 2) and False.

    ``KeyboardInterrupt`` is the user's, not the client's, and passes through.
    """
    try:
        return call(app, message, context), True
    except Exception as error:
        return Message(Error(CODE_CLIENT_RAISED, describe(error)), reply_to=message), False


def describe(error: BaseException) -> str:
    """Name and message of an exception in the first line, its traceback below."""
    name = type(error).__qualname__
    if type(error).__module__ != "builtins":
        name = f"{type(error).__module__}.{name}"
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    trace = "".join(traceback.format_exception(type(error), error, frames))
    return f"{name}: {error}\n{trace}"
