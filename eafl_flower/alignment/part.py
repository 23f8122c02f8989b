"""The access point as a strategy of a preset: by its settings, in rounds that carry statistics."""

from dataclasses import dataclass

from eafl_flower.aggregation.fleet import Fleet
from eafl_flower.alignment.aggregator import AlignmentAggregator
from eafl_flower.alignment.settings import Aggregation, Alignment, Links
from eafl_flower.core.settings import Positive, check_settings


@dataclass(frozen=True, kw_only=True)
class FederatedADMM:
    r"""``AlignmentAggregator`` by its settings. Users are sent :math:`F` within a power budget of 1.

    Parameters
    ----------
    rho
        Penalty :math:`\rho`.
    links, aggregation
        See ``alignment.settings.Alignment``.
    keep_missing
        Whether users who miss a round count with their last answer.

    Raises
    ------
    ConfigError
        If a setting is out of range, or links are private and something is to be aggregated.
    """

    rho: Positive = 1.0
    links: Links = "shared"
    aggregation: Aggregation = "average"
    keep_missing: bool = True

    def __post_init__(self) -> None:
        private = self.links == "multi-link" and self.aggregation != "average"
        check_settings(self, aggregation="multi-link has nothing to aggregate: leave it at average" if private else "")

    def make(self, fleet: Fleet) -> AlignmentAggregator:
        """Return the aggregator of rounds, or of answers as they come."""
        return AlignmentAggregator(
            settings=Alignment(rho=self.rho, links=self.links, aggregation=self.aggregation),
            synchronous=fleet.barrier,
            keep_missing=self.keep_missing or not fleet.barrier,
        )
