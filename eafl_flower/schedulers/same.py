"""Schedulers that learn nothing: the usual order, or the same number of epochs, for everybody."""

from dataclasses import dataclass

from eafl_flower.core.forecasts import Forecast, Outcome
from eafl_flower.core.orders import NO_ORDER, Order
from eafl_flower.core.settings import CountFromOne, check_settings


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


@dataclass(frozen=True, kw_only=True)
class Fixed:
    """The same number of ``epochs`` for every client and job, by its setting.

    Raises
    ------
    ConfigError
        If it is not at least 1.
    """

    epochs: CountFromOne = 5

    def __post_init__(self) -> None:
        check_settings(self)

    def make(self) -> SameOrder:
        """Return the scheduler."""
        return SameOrder(order=Order(epochs=self.epochs))
