"""The names in a configuration become components: what an experiment consists of."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from eafl_flower.aggregation.fleet import Fleet
from eafl_flower.clients.numpy_client import Workload
from eafl_flower.config import RunConfig
from eafl_flower.config.parts import made
from eafl_flower.config.run_config import DataSettings
from eafl_flower.core.provenance import Plain, plain_settings
from eafl_flower.data.holders import Holders
from eafl_flower.data.row_summary import RowSummary
from eafl_flower.data.sets.own_rows import ShapedSource
from eafl_flower.data.source import InMemorySource
from eafl_flower.energy.model import CMOSEnergy
from eafl_flower.energy.processors import Processors
from eafl_flower.heads.prior import FeatureRanges
from eafl_flower.protocols import Aggregator, Codec, DataSource, Radio, Task
from eafl_flower.runs.limits import StopRule
from eafl_flower.strategies.asynchronous import AsynchronousStrategy
from eafl_flower.strategies.options import Options
from eafl_flower.tasks.training import Quantiles, Training


@dataclass(frozen=True, eq=False)
class Experiment:
    """What a configuration stands for; each member is made when it is first asked for, and only then."""

    config: RunConfig
    given: ShapedSource | None = None  # where rows lie on the nodes: what is known of them here

    @cached_property
    def source(self) -> InMemorySource | ShapedSource:
        """Everybody's rows."""
        return self.given or loaded(self.config.data, self.config.seed)

    @cached_property
    def ranges(self) -> FeatureRanges | None:
        """The bins of the features' entropies, over the rows of those that train; None if nobody does."""
        if self.given is not None:
            return self.given.shape.ranges
        return FeatureRanges.of(self._training_rows()) if self.source.num_seen else None

    @cached_property
    def quantiles(self) -> Quantiles | None:
        """The quantiles of the scaled features, over the rows of those that train; None if nobody does."""
        if self.given is not None:
            return self.given.shape.quantiles
        return RowSummary.of(self._training_rows()).quantiles() if self.source.num_seen else None

    def _training_rows(self) -> NDArray[np.float32]:
        return np.concatenate([self.source.partition(k).x_train for k in range(self.source.num_seen)])

    @cached_property
    def task(self) -> Task:
        """What each client trains."""
        return self.task_of(self.source, ranges=lambda: self.ranges, quantiles=lambda: self.quantiles)

    def task_of(
        self,
        source: DataSource,
        *,
        ranges: Callable[[], FeatureRanges | None],
        quantiles: Callable[[], Quantiles | None] = lambda: None,
    ) -> Task:
        """Return the task for the features and classes of another source; the others are as in ``Training``."""
        task = self.config.task
        training = Training(
            num_features=len(source.feature_names),
            num_classes=len(source.class_names),
            learning_rate=task.learning_rate,
            weight_decay=task.weight_decay,
            batch_size=task.batch_size,
            device=task.device,
            ranges=ranges,
            quantiles=quantiles,
        )
        found: Task = made(task.part, training)
        return found

    @cached_property
    def workload(self) -> Workload:
        """What all clients have in common: task, rows and local work."""
        task = self.config.task
        return Workload(
            task=self.task,
            source=self.source,
            seed=self.config.seed,
            local_epochs=task.local_epochs,
            unseen_steps=task.unseen_steps,
        )

    @cached_property
    def codec(self) -> Codec[Any] | None:
        """How arrays are coded; None: Flower's plain ones."""
        codec: Codec[Any] | None = made(self.config.codec.part)
        return codec

    @cached_property
    def radio(self) -> Radio:
        """Who may send at which rate and power."""
        radio: Radio = made(self.config.radio.part, self.config.seed)
        return radio

    @cached_property
    def stop(self) -> StopRule:
        """What ends a run early.

        Raises
        ------
        ConfigError
            If the task has no score of that name, or the target is none of its values.
        """
        stop = self.config.stop
        rule = StopRule(
            metric=stop.metric,
            target=stop.target,
            energy_j=stop.energy_j,
            payload_bytes=stop.bytes,
            time_s=stop.virtual_time_s,
            within_budget=stop.within_budget,
        )
        return rule.on(self.task.scores)

    def aggregator(self, in_flight: int, clients: int) -> Aggregator[Any]:
        """Return the aggregator for so many jobs in flight and clients in a round's worth."""
        fleet = Fleet(
            in_flight=in_flight,
            clients=clients,
            barrier=self.config.strategy.mode == "sync",
            staleness=made(self.config.staleness.part, in_flight),
        )
        aggregator: Aggregator[Any] = made(self.config.strategy.part, fleet)
        return aggregator

    def strategy(self, **options: Unpack[Options]) -> AsynchronousStrategy:
        """Return the strategy of a run; ``options`` are further settings of ``RunOptions``."""
        config, s = self.config, self.config.strategy
        settings: Options = {
            "seed": config.seed,
            "unit": "merges",
            "concurrency": (s.cohort if s.mode == "sync" else 0) or s.concurrency,
            "select": s.select,
            "codec": self.codec,
            "remembered_clients": config.codec.remembered_clients,
            "radio": self.radio,
            "measured": config.radio.measured,
            "scheduler": made(config.scheduler.part),
            "processors": Processors(energy=CMOSEnergy(**vars(config.energy)), slowdown=config.clients.slowdown),
            "on_job_times": config.churn.on_job_times,
            "off_job_times": config.churn.off_job_times,
            "local_epochs": config.task.local_epochs,
            "deadline_s": config.job.deadline_s,
            "error_budget": max(1, config.job.error_budget),
            "evaluate_every": config.evaluate.every,
            "evaluate_first": bool(config.evaluate.every),
            "scores": self.task.scores,
            "agreed": task_agreed(self),
            "stop": self.stop,
            "checkpoint_every": config.checkpoint.every,
        }
        settings.update(options)
        return AsynchronousStrategy(self.aggregator, barrier=s.mode == "sync", **settings)


def task_agreed(experiment: Experiment) -> dict[str, Plain]:
    """Return what is trained, as server and nodes must have it alike: the task with all its settings but the device."""
    settings = plain_settings("task", experiment.config.task)
    return {name: value for name, value in settings.items() if name != "task.device"}


@lru_cache(maxsize=2)
def loaded(data: DataSettings, seed: int) -> InMemorySource:
    """Load once for all configurations with the same data."""
    values = {name: getattr(data, name) for name in ("clients", "unseen", "dir", "partition", "dirichlet_alpha")}
    source: InMemorySource = made(data.part, Holders(**values, seed=seed))
    return source
