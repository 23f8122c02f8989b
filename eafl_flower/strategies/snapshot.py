"""Everything a run needs to go on, as a storable value."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eafl_flower.energy.ledger import Ledger
from eafl_flower.errors import CheckpointError
from eafl_flower.strategies.job import ClientTable
from eafl_flower.strategies.open_jobs import StoredJobs
from eafl_flower.strategies.tally import Tally
from eafl_flower.types import Update

Scores = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """State of a run between two events.

    ``codec`` is the class of the codec. ``settled`` is the newest version after which evaluation, rules to stop
    and checkpoint had their turn; ``jobs`` are sent again by a run that resumes, each from the client state it
    names.
    """

    run_name: str
    seed: int
    codec: str
    aggregator: Any
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
    num_selections: int
    num_events: int
    settled: int
    stop_reason: str
    wall_s: float
    secret: str = field(repr=False)  # in hexadecimal, "" if there is none; open jobs were sent keys made of it

    def check_belongs(self, path: Path, run_name: str, seed: int, codec: str) -> None:
        """Raise ``CheckpointError`` unless this is a state of the run ``run_name`` with ``seed`` and ``codec``."""
        if (self.run_name, self.seed) != (run_name, seed):
            msg = (
                f"checkpoint {path} belongs to run {self.run_name!r} with seed {self.seed}, "
                f"not to {run_name!r} with seed {seed}"
            )
            raise CheckpointError(msg)
        if self.codec != codec:
            msg = f"checkpoint {path} was made with codec {self.codec}, not with {codec}: resume with the same codec"
            raise CheckpointError(msg)


# What the elements of a stored tuple look like: one of them tells the classes to restore.
ANY_UPDATE = Update(client=0, delta=(), base_version=0, num_examples=0)
