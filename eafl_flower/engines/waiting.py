"""Waiting for replies on any Grid: without polling where the grid can tell, by polling where it cannot."""

import time
from collections.abc import Callable, Iterable
from typing import Protocol, runtime_checkable

from flwr.app import Message
from flwr.serverapp import Grid

from eafl_flower.core.excerpt import excerpt
from eafl_flower.engines.flower_internals import CODE_CLIENT_CRASHED, DecodeError, error_reply, is_in_memory

FIRST_POLL_IN_MEMORY_S, LONGEST_POLL_IN_MEMORY_S = 0.002, 0.003
FIRST_POLL_NETWORK_S, LONGEST_POLL_NETWORK_S = 0.1, 0.25  # a question costs the SuperLink some 5 ms
# What Flower raises when a node has sent something else than records: none of them is trouble with the connection.
_UNREADABLE = (AttributeError, DecodeError, LookupError, RecursionError, TypeError, ValueError)


@runtime_checkable
class WaitingGrid(Protocol):
    """A grid that can block until a reply is there."""

    def wait(self, message_ids: Iterable[str], timeout_s: float | None = None) -> list[Message]:
        """Block until at least one of these replies is there and return those that are; [] on time-out.

        What is returned is forgotten. An id that no reply is expected for gives an error reply, code 3.
        """


def wait_for(
    grid: Grid, message_ids: Iterable[str], timeout_s: float | None = None, *, poll_s: float | None = None
) -> list[Message]:
    """Return replies to these messages as soon as there is at least one; [] on time-out.

    Flower's own grids never block, so they are asked again and again: every 2 to 3 ms in Flower's
    simulation, and every 0.1 to 0.25 s over a network, where an answer takes seconds.

    Parameters
    ----------
    grid
        Any Grid; one of ours is waited on without polling.
    message_ids
        Ids that still lack a reply. An id asked for again after its reply was returned gives an error
        reply (code 3) each time.
    timeout_s
        Longest wait in real time [s]; None waits for ever.
    poll_s
        First pause between two questions [s]; by default as above.
    """
    ids = list(message_ids)
    if not ids:
        return []
    # isinstance(grid, WaitingGrid) says the same in ten times the time, and this runs once a merge.
    wait: Callable[[list[str], float | None], list[Message]] | None = getattr(grid, "wait", None)
    if wait is not None:
        return wait(ids, timeout_s)
    first_s, longest_s = FIRST_POLL_NETWORK_S, LONGEST_POLL_NETWORK_S
    if is_in_memory(grid):
        first_s, longest_s = FIRST_POLL_IN_MEMORY_S, LONGEST_POLL_IN_MEMORY_S
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    pause_s = min(first_s if poll_s is None else poll_s, longest_s)
    while not (replies := _pull(grid, ids)):
        if deadline is not None:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return []
            pause_s = min(pause_s, left_s)
        time.sleep(pause_s)
        pause_s = min(1.5 * pause_s, longest_s)
    return replies


def _pull(grid: Grid, ids: list[str]) -> list[Message]:
    """Return the replies that are there; one that Flower cannot read is an error of its node, not of all."""
    try:
        return list(grid.pull_messages(ids))
    except _UNREADABLE as error:
        if len(ids) > 1:
            return [reply for message_id in ids for reply in _pull(grid, [message_id])]
        reason = f"the reply cannot be read ({type(error).__name__}: {excerpt(str(error), 200)})"
        return [error_reply(ids[0], CODE_CLIENT_CRASHED, reason)]
