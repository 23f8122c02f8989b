"""What a client is to do next, what is known when that is decided, and what came of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from eafl_flower.errors import ConfigError

End = Literal["merged", "refused", "error", "lost", "timeout"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Enough:
    r"""The client trains until an epoch improves its loss by too little.

    It stops after the first epoch :math:`l`, from ``least`` to ``most``, with

    .. math:: f_{l-1} - f_l \le \xi f_1

    where :math:`f_l` is the mean loss of the steps of epoch :math:`l`. So it makes two epochs at least, unless
    ``most`` is 1.

    Parameters
    ----------
    share
        The share :math:`\xi` of the first loss.
    least, most
        Fewest and most epochs.

    Raises
    ------
    ConfigError
        If they are out of range.

    Examples
    --------
    >>> Enough(share=0.1).after([2.0, 1.5]), Enough(share=0.1).after([2.0, 1.5, 1.4])
    (False, True)
    """

    share: float = 0.01
    least: int = 1
    most: int = 12

    def __post_init__(self) -> None:
        if not (self.share >= 0 and 1 <= self.least <= self.most):
            msg = f"{self}: expected share of at least 0, and 1 <= least <= most"
            raise ConfigError(msg)

    def after(self, losses: Sequence[float]) -> bool:
        """Return whether epochs with these mean losses, one at least, are enough."""
        count = len(losses)
        if count < self.least:
            return False
        return count >= self.most or (count > 1 and losses[-2] - losses[-1] <= self.share * losses[0])


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """What a client is to do in one job; what is not given is as always.

    Parameters
    ----------
    model
        Name of the model to train; "" for the only one, or the first.
    rank
        Rank of the adapters to train, for methods that have some; 0: they have none, or the method's own.
    epochs
        Passes over its rows that the client makes; 0: as many as its own settings say.
    stop
        Instead of ``epochs``: the client decides when its training has had enough.

    Raises
    ------
    ConfigError
        If a number is negative, or both ``epochs`` and ``stop`` are given.
    """

    model: str = ""
    rank: int = 0
    epochs: int = 0
    stop: Enough | None = None

    def __post_init__(self) -> None:
        if min(self.rank, self.epochs) < 0:
            raise ConfigError(f"{self}: expected rank and epochs of at least 0")
        if self.epochs and self.stop is not None:
            raise ConfigError(f"{self}: expected epochs, or the rule to stop by: it has most epochs of its own")

    def base(self, version: int) -> int | str:
        """Return what names the arrays that a job with this order starts from: those of a version, or of a rank of it.

        Examples
        --------
        >>> Order(epochs=3).base(17), Order(rank=8).base(17)
        (17, '17 of rank 8')
        """
        return f"{version} of rank {self.rank}" if self.rank else version

    def most_epochs(self, usual: int) -> int:
        """Return how many epochs the client makes at most, given what is usual."""
        return self.epochs or (usual if self.stop is None else self.stop.most)


NO_ORDER = Order()
ANY_ORDER = Order(stop=Enough())  # what a stored order looks like: it tells the classes to restore


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """What is known of a client that may get a job now.

    ``ends_s`` is when it will be gone, or its job given up, infinite if nobody knows; ``num_examples`` is what its jobs
    are priced with, ``jobs`` how many it has had, ``server_round`` the number, from 1, of the round's worth that this
    one belongs to. Times are those of the run [s].
    """

    time_s: float
    ends_s: float
    num_examples: int
    jobs: int
    server_round: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What came of a job: it has begun or, with all that follows, ended.

    ``began_s`` and ``time_s`` are when it was sent and when this happened [s], ``energy_j`` what its client has spent,
    bytes are those of payloads. ``staleness`` and ``metrics`` (what the client reports) are those of a merged update.
    """

    client: int
    order: Order
    kind: Literal["begun"] | End
    began_s: float
    time_s: float
    energy_j: float = 0.0
    uplink_bytes: int = 0
    downlink_bytes: int = 0
    staleness: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class SameOrder:
    """The scheduler that gives every client the same ``order``, whatever comes of it."""

    order: Order = NO_ORDER

    def init(self, clients: int) -> None:
        """Return nothing: there is nothing to remember."""

    def offer(self, state: None, client: int, forecast: Forecast) -> Order:
        """Return the order."""
        return self.order

    def learn(self, state: None, outcome: Outcome) -> None:
        """Learn nothing."""
