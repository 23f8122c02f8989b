"""What a run is asked to do."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, MetricRecord
from flwr.serverapp import Grid

from eafl_flower.protocols import Aggregator
from eafl_flower.runs.options import RunOptions
from eafl_flower.types import layout_of
from eafl_flower.wire.agreement import Statement, statement
from eafl_flower.wire.arrays import arrays_of
from eafl_flower.wire.exchange import kind_of

EvaluateFn = Callable[[int, ArrayRecord], MetricRecord | None]
MakeAggregator = Callable[[int, int], Aggregator[Any]]  # for so many jobs in flight, so many clients a round


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The arguments of ``start`` beside those of the strategy."""

    options: RunOptions
    make_aggregator: MakeAggregator
    barrier: bool
    grid: Grid
    initial_arrays: dict[str, ArrayRecord]  # by name of the model
    num_rounds: int  # in the unit of the options
    timeout_s: float
    train_config: ConfigRecord
    evaluate_config: ConfigRecord
    evaluate_fn: EvaluateFn | None

    @cached_property
    def agreed(self) -> Statement:
        """What nodes must have alike; the layout of an only model."""
        records = list(self.initial_arrays.values())
        return statement(
            codec=self.options.codec,
            layout=layout_of(arrays_of(records[0])) if len(records) == 1 else None,
            kind=kind_of(self.make_aggregator(1, 1)),
            further=self.options.agreed,
        )
