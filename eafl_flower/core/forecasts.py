"""What a scheduler knows: of a client when it decides what that does next, and of a job when it begins or ends."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from eafl_flower.core.orders import End, Order
from eafl_flower.types import Phase

_NOTHING: Final = Phase(time_s=0.0, energy_j=0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """What is known of a client that may get a job now.

    ``ends_s`` is when it will be gone, or its job given up, infinite if nobody knows; ``num_examples`` is what its jobs
    are priced with, ``epoch`` what one pass over them takes it to compute, ``jobs`` how many it has had,
    ``server_round`` the number, from 1, of the round's worth that this one belongs to. Times are those of the run [s].
    """

    time_s: float
    ends_s: float
    num_examples: int
    epoch: Phase
    jobs: int
    server_round: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What came of a job: it has begun or, with all that follows, ended.

    ``began_s`` and ``time_s`` are when it was sent and when this happened [s], ``server_round`` is the round's worth,
    from 1, in which it happened: an update belongs to the one that it is counted in, with a barrier to its round.
    ``energy_j`` is what its client has spent, ``upload`` the part of its upload, bytes are those of payloads.
    ``staleness``, ``num_examples`` (its weight) and ``metrics`` (what the client reports) are those of a merged update.
    """

    client: int
    order: Order
    kind: Literal["begun"] | End
    began_s: float
    time_s: float
    server_round: int = 1
    energy_j: float = 0.0
    upload: Phase = _NOTHING
    uplink_bytes: int = 0
    downlink_bytes: int = 0
    staleness: int = 0
    num_examples: float = 0.0
    metrics: Mapping[str, float] = field(default_factory=dict)
