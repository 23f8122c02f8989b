"""What a run is asked to do."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, MetricRecord
from flwr.serverapp import Grid

from eafl_flower.protocols import Aggregator
from eafl_flower.runs.options import RunOptions

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
