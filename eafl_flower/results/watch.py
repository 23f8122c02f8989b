"""What an operator wants to know of a run, gathered from its events one by one."""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from eafl_flower.core.events import Event

TROUBLE: Final = {"lost": "lost", "refused": "refused", "timeout": "timed out", "error": "failed"}
"""How a job ends that leads to no merge, and the word for it."""
SIZES: Final = ("uplink_bytes", "uplink_framed_bytes", "downlink_bytes", "downlink_framed_bytes")
RECENT: Final = 100  # merges that the rate is of


@dataclass(slots=True)
class Client:
    """What is known of one client; ``seen_s`` and ``trouble_s`` are times of the run [s]."""

    merges: int = 0
    ended: Counter[str] = field(default_factory=Counter)  # jobs without a merge, by kind of event
    seen_s: float | None = None  # its last answer
    trouble: str = ""  # its last one, and in its own words if there are any
    trouble_s: float | None = None


class Watch:
    """The state of a run as its events tell it.

    Attributes
    ----------
    planned, merge, updates
        Merges to be made and made, uploads merged.
    clients
        What is known of each, by number.
    most_in_flight
        Jobs that may be open at a time.
    status
        The newest event ``status``, None in virtual time.
    time_s, wall_s
        Time of the newest event on the run's clock, and of the newest that tells it in real time [s].
    staleness
        How many uploads had which.
    sizes, energy_j
        Bytes by name, and joules, of all jobs that have ended.
    scores, scored_at
        The newest evaluation, and the merge it was made at.
    end
        The event that ended the run; None while it goes on.
    """

    def __init__(self) -> None:
        self.planned = self.merge = self.updates = self.most_in_flight = self.trainers = 0
        self.clients: dict[int, Client] = {}
        self.ended: Counter[str] = Counter()
        self.status: Event | None = None
        self.time_s = self.wall_s = self.energy_j = 0.0
        self.staleness: Counter[float] = Counter()
        self.sizes: Counter[str] = Counter()
        self.scores: Mapping[str, float | None] = {}
        self.scored_at: int | None = None
        self.end: Event | None = None
        self.num_events = 0
        self._recent: deque[tuple[float, int]] = deque(maxlen=RECENT)  # real time and number of merges

    def add(self, event: Event) -> None:
        """Take in one event, checked as those that are read from a file are; those of unknown kinds count as time."""
        kind = event["event"]
        self.num_events += 1
        self.time_s = event.get("time_s", self.time_s)
        self.wall_s = event.get("wall_s", self.wall_s)
        self.end = event if kind in ("stop", "failed", "interrupted") else None
        if kind in ("start", "resume"):
            self._start(event)
        elif kind == "merge":
            self._merge(event)
        elif kind in TROUBLE:
            self._trouble(kind, event)
        elif kind == "late":
            self._client(event).seen_s = self.time_s
            self.ended[kind] += 1
        elif kind == "status":
            self.status = event
        elif kind == "evaluate":
            self.scores, self.scored_at = event["metrics"], event["merge"]
        if kind == "merge" or kind in TROUBLE or kind in ("late", "unfinished"):
            self.energy_j += event.get("energy_j", 0.0)
            for name in SIZES:
                self.sizes[name] += event.get(name, 0)

    @property
    def on_the_wall(self) -> bool:
        """Whether its clock is the one on the wall, as far as the events tell."""
        return self.status is not None

    def rate(self, wall_s: float) -> float | None:
        """Return the merges a second over the newest of them until ``wall_s`` (real time of the run); None if none."""
        if len(self._recent) < 2:
            return None
        (first_s, first), (_, last) = self._recent[0], self._recent[-1]
        took_s = max(wall_s, self._recent[-1][0]) - first_s
        return (last - first) / took_s if took_s > 0 else None

    def _start(self, event: Event) -> None:
        self.planned, self.trainers = event.get("merges_planned", 0), event.get("clients", 0)
        self.most_in_flight = event.get("in_flight", 0)
        if event["event"] == "resume" and not self.merge:  # an observer of a run that goes on has not seen the rest
            self.merge, self.updates = event.get("merge", 0), event.get("uploads", event.get("merge", 0))
            self.energy_j = event.get("energy_j", 0.0)

    def _merge(self, event: Event) -> None:
        client = self._client(event)
        client.merges += 1
        client.seen_s = event["time_s"]
        self.merge, self.updates = int(event["merge"]), self.updates + 1
        self.staleness[event["staleness"]] += 1
        self._recent.append((event.get("wall_s", self.wall_s), self.merge))

    def _trouble(self, kind: str, event: Event) -> None:
        client, reason = self._client(event), event.get("reason", "")
        client.ended[kind] += 1
        self.ended[kind] += 1
        client.trouble, client.trouble_s = f"{TROUBLE[kind]}: {reason}" if reason else TROUBLE[kind], self.time_s
        if kind in ("refused", "error"):  # it has answered
            client.seen_s = self.time_s

    def _client(self, event: Event) -> Client:
        return self.clients.setdefault(event["client"], Client())
