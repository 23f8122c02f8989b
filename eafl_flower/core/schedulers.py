"""Schedulers that need to learn nothing; ``SameOrder``, the usual one, stands beside the orders."""

from dataclasses import dataclass

from eafl_flower.core.orders import Enough, Forecast, Order, Outcome
from eafl_flower.core.settings import CountFromOne, NotNegative, check_settings


@dataclass(frozen=True, kw_only=True)
class UntilEnough:
    """The scheduler by which every client trains until it has had enough, as ``Enough`` says.

    Parameters
    ----------
    share, least, most
        See ``Enough``.

    Raises
    ------
    ConfigError
        If a number is out of range, or ``least`` above ``most``.
    """

    share: NotNegative = 0.01
    least: CountFromOne = 1
    most: CountFromOne = 12

    def __post_init__(self) -> None:
        above = f"expected at most most = {self.most}" if self.least > self.most else ""
        check_settings(self, least=above)

    def init(self, clients: int) -> tuple[()]:
        """Return the state: nothing is learnt."""
        return ()

    def offer(self, state: tuple[()], client: int, forecast: Forecast) -> Order:
        """Return the rule to stop by."""
        return Order(stop=Enough(share=self.share, least=self.least, most=self.most))

    def learn(self, state: tuple[()], outcome: Outcome) -> tuple[()]:
        """Learn nothing."""
        return state
