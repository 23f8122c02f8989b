"""Schedulers of ranks to compare with: fixed, random, by data, and the best so far whatever it costs."""

from dataclasses import dataclass, replace

import numpy as np

from eafl_flower.core.forecasts import Forecast, Outcome
from eafl_flower.core.orders import Order
from eafl_flower.core.rng import generator
from eafl_flower.core.settings import Count, CountFromOne, Positive, check_settings
from eafl_flower.ranks.arms import arms_problem, limits_problem
from eafl_flower.ranks.baselines import at_random, by_data
from eafl_flower.ranks.scheduler import UCBDualScheduler
from eafl_flower.ranks.ucb_dual import Floats
from eafl_flower.schedulers.same import SameOrder

_ARMS = (4, 8, 16, 24, 32, 48, 64)


@dataclass(frozen=True, kw_only=True)
class FixedRank:
    """The same ``rank`` for every client and job, by its setting.

    Raises
    ------
    ConfigError
        If it is not at least 1.
    """

    rank: CountFromOne = 32

    def __post_init__(self) -> None:
        check_settings(self)

    def make(self) -> SameOrder:
        """Return the scheduler."""
        return SameOrder(order=Order(rank=self.rank))


@dataclass(frozen=True, kw_only=True)
class RandomRank:
    """The scheduler by which every job has one of ``arms``, all alike probable; ``seed`` says which.

    Raises
    ------
    ConfigError
        If there are no arms, or they do not increase.
    """

    arms: tuple[CountFromOne, ...] = _ARMS
    seed: Count = 0

    def __post_init__(self) -> None:
        check_settings(self)
        check_settings(self, arms=arms_problem(self.arms))

    def init(self, clients: int) -> None:
        """Return nothing: there is nothing to remember."""

    def offer(self, state: None, client: int, forecast: Forecast) -> Order:
        """Return the rank that (seed, client, number of its job) draw."""
        rng = generator(self.seed, "rank", client, forecast.jobs)
        (arm,) = at_random(np.ones((1, len(self.arms)), bool), rng)
        return Order(rank=self.arms[arm])

    def learn(self, state: None, outcome: Outcome) -> None:
        """Learn nothing."""


@dataclass(frozen=True, kw_only=True)
class ExamplesSeen:
    """State of ``ByDataRank``: of each client the weight of its newest merged update `(clients,)`, 0 before."""

    num_examples: Floats


@dataclass(frozen=True, kw_only=True)
class ByDataRank:
    """The scheduler by which each client has the largest of ``arms`` within its share, by its examples.

    The share is ``mean_rank`` times its examples over the mean of the clients that have merged, itself included; it is
    the smallest arm for a smaller share.

    Raises
    ------
    ConfigError
        If there are no arms, they do not increase, or ``mean_rank`` is not above 0.
    """

    arms: tuple[CountFromOne, ...] = _ARMS
    mean_rank: Positive = 32.0

    def __post_init__(self) -> None:
        check_settings(self)
        check_settings(self, arms=arms_problem(self.arms))

    def init(self, clients: int) -> ExamplesSeen:
        """Return the state before the first job; clients find a place in it when they have merged."""
        return ExamplesSeen(num_examples=np.zeros(0))

    def offer(self, state: ExamplesSeen, client: int, forecast: Forecast) -> Order:
        """Return the rank of the client's share."""
        others = np.delete(state.num_examples, client) if client < state.num_examples.size else state.num_examples
        known = np.append(others[others > 0], max(1, forecast.num_examples))
        arms = by_data(np.ones((known.size, len(self.arms)), bool), self.arms, known, mean_rank=self.mean_rank)
        return Order(rank=self.arms[arms[-1]])

    def learn(self, state: ExamplesSeen, outcome: Outcome) -> ExamplesSeen:
        """Note the weight of a merged update."""
        if outcome.kind != "merged":
            return state
        room = (0, max(0, outcome.client + 1 - state.num_examples.size))
        seen = np.pad(state.num_examples, room)
        seen[outcome.client] = outcome.num_examples
        return replace(state, num_examples=seen)


@dataclass(frozen=True, kw_only=True)
class GreedyRank:
    """UCB-DUAL without exploration and without a price: the best rank so far by its reward, once each was tried.

    Its settings are those of ``UCBDualScheduler``, and so are its errors.
    """

    arms: tuple[CountFromOne, ...] = _ARMS
    most_rank: tuple[Count, ...] = (0,)
    share_statistics: bool = False
    metric: str = "loss"
    lower_is_better: bool = True

    def __post_init__(self) -> None:
        check_settings(self)
        check_settings(self, arms=arms_problem(self.arms), most_rank=limits_problem(self.most_rank, self.arms))

    def make(self) -> UCBDualScheduler:
        """Return the scheduler."""
        return UCBDualScheduler(bonus=0.0, dual_step=0.0, **vars(self))
