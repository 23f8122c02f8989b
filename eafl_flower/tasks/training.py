"""What every task is told of a run: what the data look like, and how to train."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, TypeGuard, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from eafl_flower.conforming import asked_once
from eafl_flower.heads.prior import FeatureRanges
from eafl_flower.protocols import Task
from eafl_flower.tasks.optimizers import WithOptimizer
from eafl_flower.types import Array, Arrays, Rows

NUMERIC_BINS: Final = (0, 2, 4, 8, 16, 32)
Quantiles = NDArray[np.float64]
"""Of each scaled feature over the rows of those that train: ``(33, d)``, ascending, in equal shares of rows."""


@dataclass(frozen=True, kw_only=True)
class Personal(WithOptimizer):
    """Settings of a task whose head may stay with the client or travel, too; "both": one of each."""

    head: Literal["private", "federated", "both"] = "private"
    numeric_bins: int = 0  # of each numeric feature; 0: features as they are

    @property
    def bins_problem(self) -> str:
        """What ``numeric_bins`` is expected to be, unless it is."""
        *others, last = map(str, NUMERIC_BINS)
        return "" if self.numeric_bins in NUMERIC_BINS else f"expected {', '.join(others)} or {last}"


@runtime_checkable
class ReadsBins(Protocol):
    """A task that may read its features in bins; ``quantiles`` is None where it does not."""

    @property
    def quantiles(self) -> Callable[[], Quantiles | None] | None:
        """Gives the quantiles of the features."""


@runtime_checkable
class MessageTask(Task, Protocol):
    """A task whose clients train no model: they answer with messages, for a ``MessageAggregator``."""

    def answer(
        self, arrays: Arrays, rows: Rows, *, seed: int, client: int
    ) -> tuple[Mapping[str, Array], Mapping[str, float]]:
        """Return the message of a client that is sent ``arrays``, by name, and what it reports."""

    def judge(self, arrays: Arrays, rows: Rows, *, seed: int, client: int) -> tuple[float, Mapping[str, float]]:
        """Return the loss and each declared score by its name; nothing is kept."""


_is_message_task: Final = asked_once(MessageTask)


def answers_with_messages(task: Task) -> TypeGuard[MessageTask]:
    """Return whether clients of ``task`` answer with messages and train no model."""
    return _is_message_task(task)


@dataclass(frozen=True, kw_only=True)
class Training:
    """Size of input and output, and the settings that all tasks share.

    Parameters
    ----------
    num_features, num_classes
        Features of a row, and classes.
    learning_rate, weight_decay
        Of the optimiser.
    batch_size
        Rows a step.
    device
        Where the task computes.
    ranges
        Gives the bins of the features' entropies over the rows of those that train; None where nobody does.
    quantiles
        Gives the features' quantiles over the same rows; None where nobody trains.
    """

    num_features: int
    num_classes: int
    learning_rate: float = 0.1
    weight_decay: float = 0.0
    batch_size: int = 16
    device: Literal["cpu", "cuda", "auto"] = "cpu"
    ranges: Callable[[], FeatureRanges | None] = lambda: None
    quantiles: Callable[[], Quantiles | None] = lambda: None

    @property
    def steps(self) -> dict[str, Any]:
        """Arguments of a task that computes in numpy alone."""
        names = ("num_features", "num_classes", "learning_rate", "weight_decay", "batch_size")
        return {name: getattr(self, name) for name in names}

    @property
    def steps_on_device(self) -> dict[str, Any]:
        """Arguments of a task that computes where it is told to."""
        return self.steps | {"device": self.device}
