"""What an aggregator is told of the run it works for."""

from dataclasses import dataclass

from eafl_flower.aggregation.staleness import Estimated, StalenessRule
from eafl_flower.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """What an aggregator is told of a run.

    Parameters
    ----------
    in_flight
        Jobs in flight.
    clients
        Updates in a round's worth.
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
