"""UCB-DUAL as a Flower strategy: adapters of several tasks, of ranks that vehicles choose within budgets of energy."""

from collections.abc import Mapping
from dataclasses import replace
from logging import WARNING
from typing import Any, Final, Unpack

from flwr.app import ArrayRecord, ConfigRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result

from eafl_flower.aggregation.lora import LoRAAggregator
from eafl_flower.core.orders import Order
from eafl_flower.engines.flower_log import log
from eafl_flower.errors import ConfigError
from eafl_flower.protocols import Aggregator, Scheduler
from eafl_flower.ranks.budget import Sharing
from eafl_flower.ranks.scheduler import UCBDualScheduler
from eafl_flower.roadside.churn import WhileServed
from eafl_flower.roadside.leaving import Coverage, Departures, units_of
from eafl_flower.roadside.parked import Parked
from eafl_flower.roadside.scheduler import RoadsideScheduler
from eafl_flower.strategies.asynchronous import AsynchronousStrategy, EvaluateFn
from eafl_flower.strategies.options import Options

_RANKS = UCBDualScheduler(share_statistics=True)
_SHARING = Sharing()
_DEPARTURES = Departures()
_NOWHERE = Parked()
_PERIOD_S = 60.0
_MERGING: Final[Mapping[str, Any]] = {"head": 2, "lora_alpha": 32.0, "max_rank": 0, "form": "partition"}


class UCBDual(AsynchronousStrategy):
    """Rounds in which each vehicle trains an adapter of the rank that promises most for its energy.

    The arrays of each model are :math:`A_1, B_1, A_2, B_2, ...` and then its head, as ``LoRAAggregator`` says. A client
    is told ``model``, ``rank`` and ``epochs`` in the configuration of its ``fit`` (``eafl.model``, ...), gets factors
    of that rank and returns factors of that rank. It should report the score that ranks are judged by.

    Parameters
    ----------
    tasks
        Names of the models, as in ``start(grid, {name: arrays})``; by default there is one, without a name.
    coverage
        Who is covered by which roadside unit, and when; by default one unit serves all vehicles for ever. Where
        vehicles move, a round begins each minute of virtual time (``round_period_s``).
    hosted
        Number of the task, from 0, of each unit; by default units take the tasks in turn.
    energy_j
        What all jobs of a round may take [J]; 0: there is no budget.
    ranks
        What chooses ranks, for each task on its own: UCB-DUAL, or one to compare with.
    sharing
        How the budget moves between tasks, by default by the score that ranks are judged by; None: a job may take the
        same in each.
    departures
        What vehicles do that are about to leave their unit.
    head
        Number of arrays behind the factors.
    lora_alpha, max_rank, form
        Settings of ``LoRAAggregator``. In rounds ``"partition"`` keeps what only high ranks hold (docs/lora.md).
    aggregator
        What merges a round, instead of ``LoRAAggregator`` and its settings.
    **options
        Settings of the run, see ``RunOptions``: ``radio``, ``processors``, ``local_epochs``, ``seed``, ``codec``, ...

    Raises
    ------
    ConfigError
        If a setting is out of range, units and tasks do not fit each other, or something is given twice.

    Examples
    --------
    >>> strategy = UCBDual(tasks=("questions", "reviews"), coverage=Parked(units=(0, 1)), energy_j=40.0)
    >>> # result = strategy.start(grid, {"questions": arrays, "reviews": others}, num_rounds=40)
    """

    def __init__(
        self,
        *,
        tasks: tuple[str, ...] = ("",),
        coverage: Coverage = _NOWHERE,
        hosted: tuple[int, ...] = (),
        energy_j: float = 0.0,
        ranks: Scheduler[Any] = _RANKS,
        sharing: Sharing | None = _SHARING,
        departures: Departures = _DEPARTURES,
        head: int = _MERGING["head"],
        lora_alpha: float = _MERGING["lora_alpha"],
        max_rank: int = _MERGING["max_rank"],
        form: str = _MERGING["form"],
        aggregator: Aggregator[Any] | None = None,
        **options: Unpack[Options],
    ) -> None:
        if "scheduler" in options:
            raise ConfigError("UCBDual: scheduler is made from tasks, coverage, ranks and budgets; give these instead")
        if "barrier" in options:
            raise ConfigError("UCBDual: barrier: it always works in rounds; leave it out")
        ranks = ranks.make() if hasattr(ranks, "make") else ranks
        lower_is_better = getattr(ranks, "lower_is_better", True)
        if sharing == _SHARING:
            sharing = replace(_SHARING, difficulty="loss" if lower_is_better else "accuracy")
        units = units_of(coverage) or len(tasks)
        scheduler = RoadsideScheduler(
            coverage=coverage,
            tasks=tasks,
            hosted=hosted or tuple(unit % len(tasks) for unit in range(units)),
            ranks=ranks,
            epochs=options.get("local_epochs", 1),
            energy_j=energy_j,
            sharing=sharing,
            departures=departures,
            metric=getattr(ranks, "metric", "loss"),
            lower_is_better=lower_is_better,
        )
        settings: dict[str, Any] = {"head": head, "lora_alpha": lora_alpha, "max_rank": max_rank, "form": form}
        given = [name for name, value in settings.items() if value != _MERGING[name]]
        if aggregator is not None and given:
            told = f"{', '.join(given)} {'are settings' if len(given) > 1 else 'is a setting'} of LoRAAggregator"
            raise ConfigError(f"UCBDual: {told}, which aggregator replaces: give either")
        merges = aggregator or LoRAAggregator(**settings, units=True, seed=options.get("seed", 0))
        period_s = 0.0 if isinstance(coverage, Parked) else _PERIOD_S
        usual: Options = {"scheduler": scheduler, "churn": WhileServed(coverage), "round_period_s": period_s}
        usual.update(options)
        super().__init__(lambda in_flight, clients: merges, barrier=True, **usual)
        self._tasks, self._scheduler, self._merges = tasks, scheduler, merges

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
        """Train, as ``AsynchronousStrategy.start`` says; a model for each task.

        Raises
        ------
        ConfigError
            If the models are not the tasks, or adapters of a rank that may be chosen cannot be made of them.
        """
        models = {"": initial_arrays} if isinstance(initial_arrays, ArrayRecord) else initial_arrays
        if set(models) != set(self._tasks):
            told, expected = (", ".join(f'"{name}"' for name in some) for some in (models, self._tasks))
            raise ConfigError(f"initial_arrays has the models {told}: expected one for each of tasks, {expected}")
        largest = max(getattr(self._scheduler.ranks, "arms", ()), default=0)
        for record in models.values() if largest else ():
            state = self._merges.init(tuple(array.numpy() for array in record.values()))
            try:
                self._merges.arrays(state, Order(rank=largest))
            except ConfigError as error:
                raise ConfigError(f"UCBDual: the largest of its ranks: {error}") from error
        result = super().start(grid, initial_arrays, num_rounds, timeout, train_config, evaluate_config, evaluate_fn)
        assert self.run is not None
        for task in self._scheduler.without_jobs(self.run.plans):
            text = 'task "%s": nobody has trained it, its arrays are unchanged: no vehicle was at its units for long'
            log(WARNING, text, task)
        for task, (budget_j, least_j) in self._scheduler.short_of_energy(self.run.plans).items():
            text = (
                "task %s has a budget of %.3g J a round, its vehicles take %.3g J with the smallest rank: they kept "
                "to it and still exceeded the budget; raise energy_j, or allow smaller ranks"
            )
            log(WARNING, text, f'"{task}"' if task else "", budget_j, least_j)
        return result
