"""What a client is to do next."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from eafl_flower.errors import ConfigError

End = Literal["merged", "refused", "error", "lost", "timeout"]  # of a job
Leaving = Literal["", "early", "migrate", "abandon"]  # what a vehicle does that leaves its unit; "" stays


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

    @property
    def fewest(self) -> int:
        """Epochs that the client makes at least: there is a second one to compare with, if it may be made."""
        return max(self.least, min(2, self.most))

    def made(self, reported: float | None) -> int:
        """Return how many epochs a client made that reports so many: ``most``, unless the rule allows what it says."""
        believable = reported is not None and self.fewest <= reported <= self.most and reported == int(reported)
        return int(reported) if reported is not None and believable else self.most

    def after(self, losses: Sequence[float]) -> bool:
        """Return whether epochs with these mean losses, one at least, are enough."""
        count = len(losses)
        if count < self.least:
            return False
        return count >= self.most or (count > 1 and losses[-2] - losses[-1] <= self.share * losses[0])


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """What a client is to do in one job; what is not given is as always. The client is told the first four only.

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
    unit
        Number of the roadside unit that hands the job out, from 1; 0: none.
    until_s
        When the job is over at the latest, answered or not [s of the run].
    share
        What share of a usual job this one is: its examples weigh so much of what they would.
    leaving
        What a vehicle does that is about to leave its unit: upload "early", "migrate" with its job to the next unit, or
        "abandon" it. Only noted: ``epochs``, ``until_s`` and ``share`` say what follows from it.

    Raises
    ------
    ConfigError
        If a number is negative, the share is not above 0 and at most 1, or both ``epochs`` and ``stop`` are given.
    """

    model: str = ""
    rank: int = 0
    epochs: int = 0
    stop: Enough | None = None
    unit: int = 0
    until_s: float = math.inf
    share: float = 1.0
    leaving: Leaving = ""

    def __post_init__(self) -> None:
        if min(self.rank, self.epochs, self.unit) < 0:
            raise ConfigError(f"{self}: expected rank, epochs and unit of at least 0")
        if not (0 < self.share <= 1 and self.until_s >= 0):
            raise ConfigError(f"{self}: expected a share above 0 and at most 1, and until_s of at least 0")
        if self.epochs and self.stop is not None:
            raise ConfigError(f"{self}: expected epochs, or the rule to stop by: it has most epochs of its own")

    def base(self, version: int, client: int | None = None) -> int | str:
        """Return what names the arrays that a job with this order starts from: those of a version, or of a rank of it.

        Where each client has arrays of its own, ``client`` says whose they are.

        Examples
        --------
        >>> Order(epochs=3).base(17), Order(rank=8).base(17), Order().base(17, client=2)
        (17, '17 of rank 8', '17 of client 2')
        """
        name = f"{version} of rank {self.rank}" if self.rank else version
        return name if client is None else f"{name} of client {client}"

    def fewest_epochs(self, usual: int) -> int:
        """Return how many epochs the client makes at least, given what is usual."""
        return self.epochs or (usual if self.stop is None else self.stop.fewest)

    def epochs_made(self, reported: float | None) -> int:
        """Return how many epochs a client made that reports ``reported``, 0 if the order says nothing of epochs."""
        return self.epochs if self.stop is None else self.stop.made(reported)


NO_ORDER = Order()
ANY_ORDER = Order(stop=Enough())  # what a stored order looks like: it tells the classes to restore
