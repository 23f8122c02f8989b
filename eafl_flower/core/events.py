"""What a run tells while it goes on: one event after the other, to anybody who listens.

An event is a flat mapping with the field ``event``; the other fields depend on it:

===========  ==================================================================================
start        clients (number that train), in_flight, merges_planned, parameters, raw_bytes
resume       as start, and merge, uploads (merge by default), time_s and energy_j where the run goes on, and
             events, the number written up to there; the event log cuts itself back to it
merge        merge, time_s, wall_s, client, counter, base_version, staleness, weight, num_examples,
             uplink_bytes, uplink_framed_bytes, downlink_bytes, downlink_framed_bytes, raw_bytes, energy_j,
             metrics; scale if the norm guard has scaled it down; objective_before, objective_after if EMAM's
             self-check is on; raw_downlink_bytes if the upload is a message
lost         time_s, client, counter; energy_j, uplink_bytes, uplink_framed_bytes, downlink_bytes,
             downlink_framed_bytes spent until the client vanished
refused      as lost, and reason (an update that is not finite or does not fit, or a client that does not
             hold what its arrays build on)
timeout      as lost
error        as lost, and reason (the client's own words)
unfinished   as lost: a job that was open when the run ended
evaluate     merge, time_s, wall_s, metrics (``accuracy-before``, ``accuracy-after``, ``accuracy-unseen``, ...),
             left_out (clients and single values that are not in the means)
checkpoint   merge, time_s
status       merge, time_s, wall_s, in_flight (jobs open now), there and away (clients whose node is online, or is not),
             away_clients (the first of them); in wall-clock runs, at intervals
stop         merge, time_s, reason
failed       merge, time_s, reason: an error has ended the run
interrupted  merge, time_s, reason: somebody has ended it
missing      reason; stands in the log, once a resume, for an event that a crash of the machine took
===========  ==================================================================================

Where ranks are chosen, the events of ended jobs have ``rank`` and, where energy has a price, ``price`` and
``budget_j``, what a job may take on average [J]; under roadside units ``unit`` (from 1) and ``leaving`` and, where
positions are known, where the vehicle and its unit are then [m]: ``x_m``, ``y_m``, ``unit_x_m``, ``unit_y_m``.
``model`` of a merge says which one, if there are several.

``merge`` is the number of the merge an upload is part of: where several uploads make one merge (a
barrier, a buffer) each has its own event with the same number. ``time_s`` is virtual (wall-clock in a
deployment), ``wall_s`` real; fields whose name ends in ``wall_s`` are the only ones in which a resumed
run may differ from an undisturbed one. ``raw_bytes`` is the size of the upload without a codec and,
unless ``raw_downlink_bytes`` says otherwise, of the download; ``client`` the partition. ``failed`` and ``interrupted``
come after the last checkpoint: a run that goes on drops them.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

Event = Mapping[str, Any]


class Observer(Protocol):
    """Sees every event of a run, in order. An observer never changes the run."""

    def write(self, event: Event) -> None:
        """Take note of one event."""

    def close(self) -> None:
        """Finish: flush files, take the progress bar away. Called once, also after a failure."""


def flush(observer: Observer) -> None:
    """Let ``observer`` make durable what it was told, if it has a ``flush``: a checkpoint that counts it follows."""
    make_durable = getattr(observer, "flush", None)
    if make_durable is not None:
        make_durable()


class Spectator:
    """An observer that writes for somebody who may leave: once that fails, the run goes on without it.

    As when its pipe is closed or its terminal is gone.
    """

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._is_there = True

    def write(self, event: Event) -> None:
        """Hand the event on."""
        if self._is_there:
            try:
                self._observer.write(event)
            except OSError:
                self._is_there = False

    def close(self) -> None:
        """Close the observer."""
        with suppress(OSError):
            self._observer.close()


class Fanout:
    """Hands every event to several observers."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self.observers = tuple(observers)

    def write(self, event: Event) -> None:
        """Hand the event to each observer, in order."""
        for observer in self.observers:
            observer.write(event)

    def flush(self) -> None:
        """Let each observer make durable what it was told, in order."""
        for observer in self.observers:
            flush(observer)

    def close(self) -> None:
        """Close all observers, the last first; the first failure is raised after all were closed."""
        failure: Exception | None = None
        for observer in reversed(self.observers):
            try:
                observer.close()
            except Exception as error:
                failure = failure or error
        if failure is not None:
            raise failure
