"""What decides when something happens in a run."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from eafl_flower.runs.members.roster import Roster
from eafl_flower.runs.snapshot import Snapshot


@dataclass(frozen=True, kw_only=True)
class ClockSnapshot:
    """Where a clock stands, for a checkpoint: events to come, and clients whose node is not there."""

    queue: tuple[Any, ...] = ()
    away: tuple[int, ...] = ()


class Clock(Protocol):
    """Gives idle clients jobs and takes the next event, one step after the other.

    There are two: ``loop.virtual_time``, where the price of each job says when it ends, and ``loop.wall_time``, where a
    reply counts when it comes.
    """

    unit: str  # of its time, in words

    def now_s(self) -> float:
        """Time of the run [s]."""

    @property
    def most_clients(self) -> int:
        """Largest number of partitions that a node is believed."""

    def not_awaited(self) -> frozenset[int]:
        """Clients that a run that resumes need not wait for."""

    def check(self, roster: Roster) -> None:
        """Raise ``RunFailedError`` if the run cannot start with the clients that are there."""

    def begin(self) -> None:
        """Make the first clients idle or, in a run that resumes, send the open jobs again."""

    def advance(self) -> None:
        """Give idle clients jobs, and take the next event."""

    def clients_to_evaluate(self) -> Iterable[int]:
        """Clients that are asked to evaluate now; those that must not have two messages at a time have none."""

    def snapshot(self) -> ClockSnapshot:
        """Return where it stands."""

    def restore(self, stored: Snapshot) -> None:
        """Take up where it stood."""
