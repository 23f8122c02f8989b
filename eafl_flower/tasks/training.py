"""What every task is told of a run: what the data look like, and how to train."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from eafl_flower.heads.prior import FeatureRanges


@dataclass(frozen=True, kw_only=True)
class Personal:
    """Settings of a task whose head may stay with the client or travel, too; "both": one of each."""

    head: Literal["private", "federated", "both"] = "private"
    optimizer: Literal["sgd", "adamw"] = "sgd"  # fresh in every job


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
    """

    num_features: int
    num_classes: int
    learning_rate: float = 0.1
    weight_decay: float = 0.0
    batch_size: int = 16
    device: Literal["cpu", "cuda", "auto"] = "cpu"
    ranges: Callable[[], FeatureRanges | None] = lambda: None

    @property
    def steps(self) -> dict[str, Any]:
        """Arguments of a task that computes in numpy alone."""
        names = ("num_features", "num_classes", "learning_rate", "weight_decay", "batch_size")
        return {name: getattr(self, name) for name in names}

    @property
    def steps_on_device(self) -> dict[str, Any]:
        """Arguments of a task that computes where it is told to."""
        return self.steps | {"device": self.device}
