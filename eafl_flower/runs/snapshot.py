"""Everything a run needs to go on, as a storable value."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from eafl_flower.core.orders import ANY_ORDER
from eafl_flower.energy.ledger import Ledger
from eafl_flower.runs.jobs import ClientTable, StoredJobs
from eafl_flower.runs.origin import Origin
from eafl_flower.runs.tally import Tally
from eafl_flower.types import Arrays, Update

Scores = dict[str, float]
Metrics = dict[str, Any]  # numbers and lists of numbers


class Served(NamedTuple):
    """What is evaluated and saved of one model, after so many merges."""

    version: int
    arrays: Arrays


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """State of a run between two events.

    ``origin`` is what the run was made from. ``settled`` is the number of units after which evaluation, rules to stop
    and checkpoint had their turn, counted in ``unit``, and ``evaluated`` that of the last evaluation; ``round_size``
    are the updates in a round's worth, and ``train_records`` and ``train_pending`` what clients reported of their
    training (see ``train_metrics``). ``jobs`` are sent again by a run that resumes, each from the client state it
    names.
    """

    origin: Origin
    aggregator: dict[str, Any]  # by name of the model
    scheduler: Any
    tally: Tally
    table: ClientTable
    ledger: Ledger
    jobs: StoredJobs
    queue: tuple[Any, ...]
    idle: tuple[int, ...]
    away: tuple[int, ...]  # clients of a deployment whose node was not there: who resumes does not wait for them
    pending: tuple[Update, ...]
    client_scores: dict[int, Scores]
    server_scores: dict[int, Scores]
    unit: str
    round_size: int
    train_records: dict[int, Metrics]
    train_pending: tuple[Metrics, ...]
    num_selections: int
    num_events: int
    settled: int
    evaluated: int
    stop_reason: str
    wall_s: float
    secret: str = field(repr=False)  # in hexadecimal, "" if there is none; open jobs were sent keys made of it


# What the elements of a stored tuple look like: one of them tells the classes to restore.
ANY_UPDATE = Update(client=0, delta=(), base_version=0, num_examples=0, order=ANY_ORDER)
