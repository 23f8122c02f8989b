"""EMAM as Flower strategies: asynchronous, and synchronous for comparison."""

from collections.abc import Callable
from typing import Any, Literal

from eafl_flower.aggregation.emam import EMAMAggregator
from eafl_flower.aggregation.staleness import Estimated, HalfLife, StalenessRule
from eafl_flower.strategies.asynchronous import AsynchronousStrategy
from eafl_flower.types import Arrays


class AsyncEMAM(AsynchronousStrategy):
    r"""Merge each update when it arrives, weighed by its staleness.

    .. math:: \theta^+ = \theta + \frac{\alpha\, w(\tau)\, \delta + \beta(\bar\theta - \theta)}{1+\beta}

    with :math:`\tau` the merges between dispatch and arrival. Works with any standard Flower client.

    Parameters
    ----------
    alpha, beta, mu, norm_guard, weight_by_examples, serve, proxy, eta, self_check
        See ``aggregation.emam.EMAMAggregator``.
    staleness
        Staleness rule; None is a half-life of one merge less than there are clients in flight.
    **options
        Settings of the run, see ``RunOptions``: ``unit``, ``concurrency``, ``codec``, ``seed``, ``evaluate_every``,
        FedAvg's arguments, the hooks ``on_dispatch``, ``on_merge`` and ``on_evaluate``, ...

    Examples
    --------
    >>> strategy = AsyncEMAM(concurrency=10)
    >>> # result = strategy.start(grid, initial_arrays, num_rounds=20)  # as many updates as 20 rounds of FedAvg
    """

    def __init__(
        self,
        *,
        alpha: float = 0.8,
        beta: float = 0.0,
        mu: float = 0.95,
        staleness: StalenessRule | Estimated | None = None,
        norm_guard: float = 4.0,
        weight_by_examples: bool = False,
        serve: Literal["current", "average"] = "current",
        proxy: Callable[[Arrays], Arrays] | None = None,
        eta: float = 1e-3,
        self_check: bool = False,
        **options: Any,
    ) -> None:
        def make(in_flight: int) -> EMAMAggregator:
            return EMAMAggregator(
                alpha=alpha,
                beta=beta,
                mu=mu,
                staleness=HalfLife.for_in_flight(in_flight) if staleness is None else staleness,
                norm_guard=norm_guard,
                weight_by_examples=weight_by_examples,
                serve=serve,
                proxy=proxy,
                eta=eta,
                self_check=self_check,
            )

        make(1)  # a wrong setting is an error here, not when the run starts
        super().__init__(make, barrier=self.barrier, **options)

    barrier = False


class EMAM(AsyncEMAM):
    """EMAM with a barrier: all clients of a round train from the same arrays, and their mean is one update.

    ``concurrency`` is the number of clients in a round; the staleness of a round is 0. Same parameters as
    ``AsyncEMAM``.
    """

    barrier = True
