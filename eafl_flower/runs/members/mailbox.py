"""Messages to nodes and their replies, on any Grid, with Ctrl-C as a request to stop."""

import time
from collections.abc import Iterable
from typing import TypeVar

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from eafl_flower.engines.waiting import wait_for

T = TypeVar("T")
LONGEST_LOOK_S = 0.5  # between two looks at whether the user wants to stop
MESSAGE_UNAVAILABLE, NODE_UNAVAILABLE = 3, 5  # of Flower's error codes, of messages that did not reach a node


class Interrupted(Exception):
    """The user asked to stop; raised only where the state of the run is consistent."""


class Mailbox:
    """Pushes messages and waits for replies.

    Ctrl-C and other signals set ``interrupted`` and ``reason`` (see ``signals``). Where the run is not in the main
    thread, its engine reports them as a ``KeyboardInterrupt`` of the grid; and after `flwr stop`, which comes as a
    signal, the SuperLink refuses what it is asked next. Both come to the same here.
    """

    def __init__(self, grid: Grid, timeout_s: float) -> None:
        self.grid, self.timeout_s = grid, timeout_s
        self.interrupted = False
        self.reason = KeyboardInterrupt()

    def push(self, node_id: int, content: RecordDict, kind: str, version: int = 0) -> str:
        """Send one message; return its id, "" if the node is unknown (or the user wants to stop)."""
        if self.interrupted:
            return ""
        message = Message(content, node_id, kind, group_id=str(version))
        try:
            ids = list(self.grid.push_messages([message]))
        except (KeyboardInterrupt, Exception) as error:
            self._note(error)
            return ""
        return ids[0] if ids else ""

    def wait(self, message_id: str, timeout_s: float | None = None) -> Message | None:
        """Wait for the reply to one message, by default for ``timeout_s`` of the run; None after that.

        Raises
        ------
        Interrupted
            If the user asked to stop meanwhile.
        """
        deadline = time.monotonic() + (self.timeout_s if timeout_s is None else timeout_s)
        while True:
            left_s = max(0.0, deadline - time.monotonic())
            for reply in self.wait_for_any([message_id], min(left_s, LONGEST_LOOK_S)):
                return reply
            if self.interrupted:
                raise Interrupted
            if left_s == 0.0:
                return None

    def wait_for_all(self, message_ids: Iterable[str], timeout_s: float | None = None) -> dict[str, Message]:
        """Wait for the replies to these messages until none has come for ``timeout_s``; return those that came, by id.

        All are asked for together: Flower tells of a node that is away only to whoever asks meanwhile.

        Raises
        ------
        Interrupted
            If the user asked to stop meanwhile.
        """
        waiting, replies = dict.fromkeys(message_ids), dict[str, Message]()
        longest_s = self.timeout_s if timeout_s is None else timeout_s
        deadline = time.monotonic() + longest_s
        while waiting:
            if self.interrupted:
                raise Interrupted
            left_s = max(0.0, deadline - time.monotonic())
            arrived = self.wait_for_any(list(waiting), min(left_s, LONGEST_LOOK_S))
            if not arrived and left_s == 0.0:
                break
            for reply in arrived:
                message_id = reply.metadata.reply_to_message_id
                if message_id in waiting:
                    del waiting[message_id]
                    replies[message_id] = reply
                    deadline = time.monotonic() + longest_s
        return replies

    def wait_for_any(self, message_ids: list[str], timeout_s: float) -> list[Message]:
        """Return those of these replies that are there, after waiting for the first; [] on time-out.

        Raises
        ------
        Interrupted
            If the user asked to stop meanwhile.
        """
        try:
            return wait_for(self.grid, message_ids, timeout_s=timeout_s)
        except (KeyboardInterrupt, Exception) as error:
            self._note(error)
            raise Interrupted from error

    def node_ids(self) -> list[int]:
        """Return the nodes that are there.

        Raises
        ------
        Interrupted
            If the user asked to stop meanwhile.
        """
        try:
            return list(self.grid.get_node_ids())
        except (KeyboardInterrupt, Exception) as error:
            self._note(error)
            raise Interrupted from error

    def _note(self, error: BaseException) -> None:
        if isinstance(error, KeyboardInterrupt):
            self.interrupted, self.reason = True, error
        elif not self.interrupted:
            raise error


def was_delivered(reply: Message) -> bool:
    """Whether the node had the message that this is the reply to, be it an error of the node's."""
    return not reply.has_error() or reply.error.code not in (MESSAGE_UNAVAILABLE, NODE_UNAVAILABLE)


def still_awaited(messages: dict[str, tuple[T, float]], now_s: float) -> dict[str, tuple[T, float]]:
    """Return those of ``messages`` (by id: what for, and until when [s]) whose reply may still come."""
    return {message_id: (of, until_s) for message_id, (of, until_s) in messages.items() if now_s <= until_s}
