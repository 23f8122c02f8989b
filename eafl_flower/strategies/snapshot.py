"""Everything a run needs to go on, as a storable value."""

from dataclasses import dataclass, field
from typing import Any

from eafl_flower.energy.ledger import Ledger
from eafl_flower.strategies.job import ClientTable
from eafl_flower.strategies.open_jobs import StoredJobs
from eafl_flower.strategies.origin import Origin
from eafl_flower.strategies.tally import Tally
from eafl_flower.types import Update

Scores = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """State of a run between two events.

    ``origin`` is what the run was made from. ``settled`` is the newest version after which evaluation, rules to stop
    and checkpoint had their turn; ``jobs`` are sent again by a run that resumes, each from the client state it
    names.
    """

    origin: Origin
    aggregator: Any
    tally: Tally
    table: ClientTable
    ledger: Ledger
    jobs: StoredJobs
    queue: tuple[Any, ...]
    idle: tuple[int, ...]
    pending: tuple[Update, ...]
    client_scores: dict[int, Scores]
    server_scores: dict[int, Scores]
    num_selections: int
    num_events: int
    settled: int
    stop_reason: str
    wall_s: float
    secret: str = field(repr=False)  # in hexadecimal, "" if there is none; open jobs were sent keys made of it


# What the elements of a stored tuple look like: one of them tells the classes to restore.
ANY_UPDATE = Update(client=0, delta=(), base_version=0, num_examples=0)
