"""Strategies that merge each update when it arrives, for Flower's Message API."""

from collections.abc import Iterable, Mapping
from inspect import Parameter, signature
from logging import INFO
from typing import NoReturn, Unpack

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy

from eafl_flower.engines.flower_internals import is_in_memory
from eafl_flower.engines.flower_log import log
from eafl_flower.engines.waiting import WaitingGrid
from eafl_flower.errors import ConfigError, ProtocolError
from eafl_flower.runs.hooks import refuse_legacy, refuse_overrides, refuse_unknown
from eafl_flower.runs.loop.execute import execute
from eafl_flower.runs.loop.virtual_time import VirtualClock
from eafl_flower.runs.loop.wall_time import WallClock
from eafl_flower.runs.options import NO_PRIVACY, RunOptions
from eafl_flower.runs.plan import EvaluateFn, MakeAggregator, Plan
from eafl_flower.runs.state import Run
from eafl_flower.strategies.initial import models_of
from eafl_flower.strategies.options import Options


class AsynchronousStrategy(Strategy):
    """Dispatch on arrival: a client that has answered gets its next job at once, nobody waits for stragglers.

    The strategy holds settings only; everything that changes belongs to one ``start``. After it, ``run``
    gives access to what happened: counts, ledger, scores.

    Parameters
    ----------
    make_aggregator
        Called with the number of clients in flight, and that of newest models which a mean may be of, when the run
        starts and, in a deployment, whenever the first changes: the new aggregator goes on from the state of the old.
    barrier
        Wait for all jobs of a round and merge their example-weighted mean (synchronous).
    **options
        Settings of the run, see ``RunOptions``.
    """

    def __init__(self, make_aggregator: MakeAggregator, *, barrier: bool = False, **options: Unpack[Options]) -> None:
        refuse_overrides(type(self), AsynchronousStrategy)
        own = [p.name for p in signature(type(self)).parameters.values() if p.kind is Parameter.KEYWORD_ONLY]
        refuse_unknown(type(self), options, [*RunOptions.__dataclass_fields__, *own])
        self.options = RunOptions(**options)
        self.run: Run | None = None
        self._make_aggregator, self._barrier = make_aggregator, barrier

    def start(
        self,
        grid: Grid,
        initial_arrays: ArrayRecord | Mapping[str, ArrayRecord],
        num_rounds: int = 3,
        timeout: float = 3600,
        train_config: ConfigRecord | None = None,
        evaluate_config: ConfigRecord | None = None,
        evaluate_fn: EvaluateFn | None = None,
    ) -> Result:
        """Train until as many updates are merged as FedAvg takes in ``num_rounds`` rounds, or a rule says stop.

        A subclass may override it to do something before and after: it must call ``super().start()``.

        Parameters
        ----------
        grid
            Where the clients are: Flower's own, or one of ``eafl_flower.engines``.
        initial_arrays
            The model to start from; or several, by name: then a scheduler says which of them a client trains next, by
            default the first, and results name their arrays "model/array".
        num_rounds
            Number of rounds' worth of updates or, with ``unit="merges"``, of merges (with a buffer: flushes); with a
            barrier, of rounds. See ``RunOptions.unit``.
        timeout
            Longest real time to wait for one reply [s].
        train_config, evaluate_config
            Sent with each message, with ``server-round``: of a job, 1 and the rounds' worth of updates merged before
            it; of an evaluation, the rounds' worth that its arrays hold. So the jobs of the first round's worth
            have 1, and the evaluation after it has 1, as with FedAvg, whatever ``unit`` is.
        evaluate_fn
            Central evaluation, called with the number of rounds' worth (or merges, see ``unit``) and the arrays:
            with 0 before the first, then when ``evaluate_every`` says, and at the end.

        Returns
        -------
        Result
            Final arrays and metrics, keyed by the number of rounds' worth (or merges, see ``unit``). A run that a
            rule ends within a round's worth counts that one as a whole. ``train_metrics_clientapp`` has a record for
            each round's worth, aggregated from its updates; where merges are counted, one for each of the newest
            1,000 merges (all of them are in the event log).

        Raises
        ------
        RunFailedError
            If too few clients are there or the error budget is spent.
        CheckpointError
            If the run is to be resumed and its checkpoint cannot be used.
        """
        if num_rounds < 1:
            msg = f"num_rounds = {num_rounds}: expected at least 1"
            raise ConfigError(msg)
        models = models_of(initial_arrays)
        plan = Plan(
            options=self.options,
            make_aggregator=self._make_aggregator,
            barrier=self._barrier,
            grid=grid,
            initial_arrays=models,
            num_rounds=num_rounds,
            timeout_s=timeout,
            train_config=train_config if train_config is not None else ConfigRecord(),
            evaluate_config=evaluate_config if evaluate_config is not None else ConfigRecord(),
            evaluate_fn=evaluate_fn,
        )
        self.summary()
        clock = "virtual" if self._is_virtual(grid) else "wall"
        self.run = run = Run(plan, clock)
        return execute(run, VirtualClock(run) if clock == "virtual" else WallClock(run))

    def _is_virtual(self, grid: Grid) -> bool:
        if self.options.clock == "auto":
            return isinstance(grid, WaitingGrid) or is_in_memory(grid)
        return self.options.clock == "virtual"

    def summary(self) -> None:
        """Log the settings that differ from the defaults."""
        defaults = RunOptions()
        changed = {
            name: value
            for name in RunOptions.__dataclass_fields__
            if (value := getattr(self.options, name)) != getattr(defaults, name)
            and name not in ("observer", "provenance", "scores", "agreed")
        }
        log(INFO, "%s with %s", type(self).__name__, ", ".join(f"{k} = {v}" for k, v in changed.items()) or "defaults")
        if self.options.codec is not None:
            log(INFO, NO_PRIVACY)

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Not used: there are no rounds to configure."""
        self._no_rounds()

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Not used: updates are merged when they arrive."""
        self._no_rounds()

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Not used: there are no rounds to configure."""
        self._no_rounds()

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Not used: there are no rounds to evaluate."""
        self._no_rounds()

    def initialize_parameters(self, client_manager: object) -> NoReturn:
        """Not used: what Flower's legacy API calls first; raises ``ConfigError``."""
        refuse_legacy(type(self))

    def _no_rounds(self) -> NoReturn:
        msg = (
            f"{type(self).__name__} has no rounds: call its start(), which dispatches and merges by itself; a wrapper "
            "or a start() that calls configure_train and aggregate_train works only with strategies that have rounds"
        )
        raise ProtocolError(msg)


__all__ = ["AsynchronousStrategy", "EvaluateFn"]
