"""EMAM as Flower strategies: asynchronous, and synchronous for comparison."""

from collections.abc import Callable
from typing import Literal, Unpack

from eafl_flower.aggregation.emam import EMAMAggregator
from eafl_flower.aggregation.newest import NewestMean
from eafl_flower.aggregation.staleness import Estimated, HalfLife, StalenessRule
from eafl_flower.errors import ConfigError
from eafl_flower.strategies.asynchronous import AsynchronousStrategy
from eafl_flower.strategies.options import Options
from eafl_flower.types import Arrays


class AsyncEMAM(AsynchronousStrategy):
    r"""Merge each update when it arrives. Works with any standard Flower client.

    By default the model is the mean of the newest model of each client, weighed by examples (``NewestMean``): FedAvg
    without rounds, whose step needs no tuning. With ``alpha`` each update is added by a step of your choice,
    weighed by its staleness:

    .. math:: \theta^+ = \theta + \frac{\alpha\, w(\tau)\, \delta + \beta(\bar\theta - \theta)}{1+\beta}

    with :math:`\tau` the merges between dispatch and arrival. The weights of the jobs in flight then sum up to about
    :math:`0.7\,\alpha n`; a sum far above 1 is fast where local steps are small, and diverges elsewhere.

    Parameters
    ----------
    alpha
        None for the mean of the newest models, or the step :math:`\alpha`.
    norm_guard
        See ``NewestMean`` or ``EMAMAggregator``.
    weight_by_examples
        Whether updates are weighed by examples; by default without ``alpha`` they are, as with FedAvg, and with it
        not.
    beta, mu, staleness, serve, proxy, eta, self_check
        Only with ``alpha``, see ``aggregation.emam.EMAMAggregator``. ``staleness`` None is a half-life of one merge
        less than there are clients in flight.
    **options
        Settings of the run, see ``RunOptions``: ``unit``, ``concurrency``, ``codec``, ``seed``, ``evaluate_every``,
        FedAvg's arguments, the hooks ``on_dispatch``, ``on_merge`` and ``on_evaluate``, ...

    Raises
    ------
    ConfigError
        If a setting is out of range, or belongs to ``alpha`` and that is not given.

    Examples
    --------
    >>> strategy = AsyncEMAM(concurrency=10)
    >>> # result = strategy.start(grid, initial_arrays, num_rounds=20)  # as many updates as 20 rounds of FedAvg
    """

    def __init__(
        self,
        *,
        alpha: float | None = None,
        beta: float = 0.0,
        mu: float = 0.95,
        staleness: StalenessRule | Estimated | None = None,
        norm_guard: float = 4.0,
        weight_by_examples: bool | None = None,
        serve: Literal["current", "average"] = "current",
        proxy: Callable[[Arrays], Arrays] | None = None,
        eta: float = 1e-3,
        self_check: bool = False,
        **options: Unpack[Options],
    ) -> None:
        of_alpha = {
            "beta": beta != 0.0,
            "mu": mu != 0.95,
            "staleness": staleness is not None,
            "serve": serve != "current",
            "proxy": proxy is not None,
            "eta": eta != 1e-3,
            "self_check": self_check,
        }
        given = [name for name, is_given in of_alpha.items() if is_given]
        if alpha is None and given and not self.barrier:
            verb = "belongs" if len(given) == 1 else "belong"
            msg = (
                f"{type(self).__name__}: {', '.join(given)} {verb} to a step that you choose: give alpha too, as in 0.2"
            )
            raise ConfigError(msg)

        def make(in_flight: int, clients: int) -> EMAMAggregator | NewestMean:
            if alpha is None and not self.barrier:
                return NewestMean(
                    clients=clients, norm_guard=norm_guard, weight_by_examples=weight_by_examples is not False
                )
            return EMAMAggregator(
                alpha=1.0 if alpha is None else alpha,
                beta=beta,
                mu=mu,
                staleness=HalfLife.for_in_flight(in_flight) if staleness is None else staleness,
                norm_guard=norm_guard,
                weight_by_examples=bool(weight_by_examples),
                serve=serve,
                proxy=proxy,
                eta=eta,
                self_check=self_check,
            )

        make(1, 1)  # a wrong setting is an error here, not when the run starts
        super().__init__(make, barrier=self.barrier, **options)

    barrier = False


class EMAM(AsyncEMAM):
    """EMAM with a barrier: all clients of a round train from the same arrays, and their mean is one update.

    ``concurrency`` is the number of clients in a round; the staleness of a round is 0. Same parameters as
    ``AsyncEMAM``; without ``alpha`` it is 1, FedAvg's step.
    """

    barrier = True
