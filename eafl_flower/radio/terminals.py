"""Whom a radio serves."""

from dataclasses import dataclass

from eafl_flower.core.settings import Count, CountFromOne, check_settings


@dataclass(frozen=True, kw_only=True)
class Terminals:
    """What a radio is told of a run.

    Parameters
    ----------
    num_clients
        Clients 0 to ``num_clients - 1`` transmit.
    seed
        Seed of whatever the radio draws, such as places.

    Raises
    ------
    ConfigError
        If a number is out of range.
    """

    num_clients: CountFromOne
    seed: Count = 0

    def __post_init__(self) -> None:
        check_settings(self)
