"""Virtual time: the events of a simulation, earliest first.

A job goes through dispatch, download done, compute done = upload starts, upload done = arrival. The
time of the upload's start is known at dispatch; the payload's size, and with it the arrival, only
when the client has answered. Hence the rule that makes a run depend on its seed alone:

    *virtual time never passes the upload start of a job whose reply is not in.*

The queue holds up its half: events come out in the order (time, client, kind), time never runs
backwards, and nothing can be pushed into the past. The other half is the strategy's: when it pops
an upload start it waits for that one reply (all other clients compute meanwhile), prices the upload
and pushes the arrival, before it pops anything else.
"""

import heapq
import math
from dataclasses import dataclass
from typing import Any, Final

from eafl_flower.errors import CheckpointError

UPLOAD_START: Final = "upload-start"
ARRIVAL: Final = "arrival"
DEADLINE: Final = "deadline"
VANISH: Final = "vanish"
JOIN: Final = "join"
ROUND: Final = "round"
NOBODY: Final = 2**62  # the client of an event that concerns none: after all others at its instant
# At one instant of one client: a reply that arrives just at the deadline, or just as its client
# vanishes, counts; a client joins after everything else that happened to it.
KINDS: Final = (UPLOAD_START, ARRIVAL, DEADLINE, VANISH, JOIN, ROUND)


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Something that happens to job ``counter`` of a client (0 if it concerns no job) at ``time_s``."""

    time_s: float
    client: int
    kind: str
    counter: int


class EventQueue:
    """Events in the order (time, client, kind); ``now_s`` is the time of the last one popped [s].

    Parameters
    ----------
    kinds
        The kinds of events, in the order in which they happen at one instant of one client.

    Examples
    --------
    >>> queue = EventQueue()
    >>> queue.push(Event(time_s=2.0, client=0, kind=ARRIVAL, counter=1))
    >>> queue.push(Event(time_s=1.0, client=5, kind=ARRIVAL, counter=1))
    >>> queue.pop().client, queue.now_s, len(queue)
    (5, 1.0, 1)
    """

    def __init__(self, kinds: tuple[str, ...] = KINDS) -> None:
        self._order = {kind: i for i, kind in enumerate(kinds)}
        self._kinds = kinds
        self._heap: list[tuple[float, int, int, int, int]] = []  # (time, client, kind's place, counter, serial)
        self._serials: dict[tuple[int, int], set[int]] = {}  # of the events not cancelled, by (client, counter)
        self._num_events = 0
        self._next_serial = 0
        self._now_s = 0.0

    @property
    def now_s(self) -> float:
        """Virtual time [s]: never decreases."""
        return self._now_s

    def __len__(self) -> int:
        return self._num_events

    def push(self, event: Event) -> None:
        """Add an event.

        Raises
        ------
        ValueError
            If it lies in the past, at no finite time, or is of an unknown kind.
        """
        if not self._now_s <= event.time_s < math.inf:
            msg = f"{event.kind} of client {event.client} at {event.time_s} s: expected a finite time from now on"
            raise ValueError(f"{msg} ({self._now_s} s)")
        if event.kind not in self._order:
            msg = f"event of kind {event.kind!r}: expected one of {', '.join(self._kinds)}"
            raise ValueError(msg)
        serial = self._next_serial
        self._next_serial += 1
        heapq.heappush(self._heap, (event.time_s, event.client, self._order[event.kind], event.counter, serial))
        self._serials.setdefault((event.client, event.counter), set()).add(serial)
        self._num_events += 1

    def peek(self) -> Event | None:
        """Return the next event without removing it; None if there is none."""
        self._drop_cancelled()
        return self._event(self._heap[0]) if self._heap else None

    def pop(self) -> Event:
        """Remove the next event and move ``now_s`` to its time.

        Raises
        ------
        IndexError
            If there is no event.
        """
        self._drop_cancelled()
        if not self._heap:
            msg = f"no event is left at {self._now_s} s"
            raise IndexError(msg)
        entry = heapq.heappop(self._heap)
        _, client, _, counter, serial = entry
        job = self._serials[client, counter]
        job.discard(serial)
        if not job:
            del self._serials[client, counter]
        self._num_events -= 1
        self._now_s = entry[0]
        return self._event(entry)

    def cancel(self, client: int, counter: int) -> int:
        """Drop all events of one job that are still to come; return how many there were."""
        num_cancelled = len(self._serials.pop((client, counter), ()))
        self._num_events -= num_cancelled
        if len(self._heap) > 2 * self._num_events + 64:  # cancelled events leave the heap when they come up, or here
            self._heap = [entry for entry in self._heap if self._is_live(entry)]
            heapq.heapify(self._heap)
        return num_cancelled

    def snapshot(self) -> tuple[Any, ...]:
        """Return the time and the events to come, as a value that ``state.flatten`` can store."""
        live = sorted(entry for entry in self._heap if self._is_live(entry))
        return (self._now_s, tuple((t, client, self._kinds[kind], counter) for t, client, kind, counter, _ in live))

    @classmethod
    def restore(cls, snapshot: tuple[Any, ...], kinds: tuple[str, ...] = KINDS) -> "EventQueue":
        """Rebuild the queue of which ``snapshot`` was taken.

        Raises
        ------
        CheckpointError
            If the snapshot is not one of a queue with these kinds.
        """
        queue = cls(kinds)
        try:
            now_s, events = snapshot
            queue._now_s = float(now_s)
            for time_s, client, kind, counter in events:
                queue.push(Event(time_s=float(time_s), client=int(client), kind=kind, counter=int(counter)))
        except (TypeError, ValueError) as error:
            msg = f"the stored event queue is damaged: {error}"
            raise CheckpointError(msg) from error
        return queue

    def _drop_cancelled(self) -> None:
        while self._heap and not self._is_live(self._heap[0]):
            heapq.heappop(self._heap)

    def _is_live(self, entry: tuple[float, int, int, int, int]) -> bool:
        _, client, _, counter, serial = entry
        return serial in self._serials.get((client, counter), ())

    def _event(self, entry: tuple[float, int, int, int, int]) -> Event:
        time_s, client, kind, counter, _ = entry
        return Event(time_s=time_s, client=client, kind=self._kinds[kind], counter=counter)
