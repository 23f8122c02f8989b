"""What an aggregator is told of the run it works for."""

from dataclasses import dataclass
from typing import Final

from eafl_flower.aggregation.staleness import Estimated, StalenessRule
from eafl_flower.errors import ConfigError

LEAST_MODELS: Final = 10
MOST_BYTES_OF_MODELS: Final = 2**31


def models_kept(in_flight: int, round_size: int, model_bytes: int) -> int:
    """Return of how many clients' newest models a mean is.

    As many as are in flight, which is FedAvg's cohort: one of more moves little with each update. With few in flight
    ``LEAST_MODELS`` or, where a round's worth is fewer, that, so that no single client decides; these as far as they
    fit into ``MOST_BYTES_OF_MODELS``.

    Examples
    --------
    >>> models_kept(12, 100, 4000), models_kept(1, 100, 4000), models_kept(1, 4, 4000), models_kept(1, 100, 10**9)
    (12, 10, 4, 2)
    """
    room = MOST_BYTES_OF_MODELS // max(1, model_bytes)
    return max(1, in_flight, min(round_size, LEAST_MODELS, room))


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """What an aggregator is told of a run.

    Parameters
    ----------
    in_flight
        Jobs in flight.
    clients
        Clients whose newest models a mean may be of.
    barrier
        Whether all jobs of a round are waited for.
    staleness
        What an update is still worth that comes late.
    """

    in_flight: int
    clients: int
    barrier: bool = False
    staleness: StalenessRule | Estimated

    def rule(self) -> StalenessRule:
        """Return the staleness rule for an aggregator that cannot estimate one.

        Raises
        ------
        ConfigError
            If the rule is to be estimated from the updates.
        """
        if isinstance(self.staleness, Estimated):
            msg = 'staleness.name = "estimated": only strategy.name = "emam" can estimate it'
            raise ConfigError(msg)
        return self.staleness
