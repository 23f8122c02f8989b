"""What the networks have in common: features become the inputs of the first layer, logits become scores."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from eafl_flower.core.scores import ACCURACY, Score
from eafl_flower.core.settings import CountFromOne
from eafl_flower.data.row_summary import quantile_table
from eafl_flower.errors import ConfigError
from eafl_flower.models.piecewise import PiecewiseLinear
from eafl_flower.protocols import Memory
from eafl_flower.tasks.checks import check_features, check_rows
from eafl_flower.tasks.probabilities import loss_and_accuracy, probabilities
from eafl_flower.tasks.training import Personal, Quantiles
from eafl_flower.types import Arrays, Rows


@dataclass(frozen=True, kw_only=True)
class ByLogits(ABC):
    """What tasks under cross-entropy have in common: a job of training, scores and probabilities.

    Parameters
    ----------
    num_features, num_classes
        Size of input and output.
    """

    num_features: CountFromOne
    num_classes: CountFromOne

    @property
    def scores(self) -> tuple[Score, ...]:
        """The share of rows whose class is named rightly."""
        return (ACCURACY,)

    def inputs(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what the first layer reads ``(n, inputs)`` of rows ``(n, features)``."""
        return x

    def train(
        self,
        arrays: Arrays,
        rows: Rows,
        rng: np.random.Generator,
        *,
        epochs: int | None = None,
        steps: int | None = None,
        first_trained: int = 0,
    ) -> tuple[Arrays, float]:
        """Return arrays after training on the training rows and the mean loss of the last pass over them.

        Parameters
        ----------
        arrays
            The complete model.
        rows
            The client's rows; only the training rows are looked at.
        rng
            Shuffles the rows before each pass.
        epochs, steps
            Length of the job in epochs or in batches: one of them.
        first_trained
            Arrays before this index are frozen, and a generic head where the whole backbone is.

        Raises
        ------
        DataError
            If there are no training rows, or rows and model do not fit.
        ConfigError
            If there is no such device.
        torch.OutOfMemoryError
            If the GPU is full.
        """
        return self._train(arrays, rows, rng, None, epochs=epochs, steps=steps, first_trained=first_trained)[:2]

    def train_on(
        self, arrays: Arrays, rows: Rows, rng: np.random.Generator, memory: Memory, *, epochs: int
    ) -> tuple[Arrays, float, Memory]:
        """Return the same, with an optimiser that has this ``memory``, and its next memory (``KeepsMemory``)."""
        return self._train(arrays, rows, rng, memory, epochs=epochs)

    @abstractmethod
    def _train(
        self,
        arrays: Arrays,
        rows: Rows,
        rng: np.random.Generator,
        memory: Memory | None,
        *,
        epochs: int | None = None,
        steps: int | None = None,
        first_trained: int = 0,
    ) -> tuple[Arrays, float, Memory]:
        """Train, and return what is to be remembered unless ``memory`` is None."""

    def evaluate(self, arrays: Arrays, rows: Rows) -> tuple[float, dict[str, float]]:
        """Return mean loss and scores on the test rows; zeros if there are none."""
        x, y = rows.x_test, rows.y_test
        check_rows(x, y, num_features=self.num_features, num_classes=self.num_classes)
        if not len(y):
            return 0.0, {ACCURACY.name: 0.0}
        return loss_and_accuracy(self._logits(arrays, self.inputs(x)), y)

    def predict(self, arrays: Arrays, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the class probabilities ``(n, classes)`` of rows ``(n, features)``."""
        check_features(x, num_features=self.num_features)
        return probabilities(self._logits(arrays, self.inputs(x)))

    @abstractmethod
    def _logits(self, arrays: Arrays, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the outputs ``(n, classes)`` for inputs ``(n, inputs)``."""


@dataclass(frozen=True, kw_only=True)
class Classifier(ByLogits, Personal):
    """A network under cross-entropy whose first layer reads the features, or these and their bins.

    Parameters
    ----------
    num_features, num_classes
        Size of input and output.
    numeric_bins
        Bins a feature (``models/piecewise.py``); 0: the first layer reads the features alone.
    quantiles
        Gives the quantiles of the features when they are first needed; bins need them.
    """

    quantiles: Callable[[], Quantiles | None] | None = field(default=None, repr=False, compare=False)

    @property
    def num_inputs(self) -> int:
        """Inputs of the first layer."""
        return self._encoding.num_outputs if self.numeric_bins else self.num_features

    def inputs(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what the first layer reads ``(n, num_inputs)`` of rows ``(n, features)``."""
        return self._encoding.apply(x) if self.numeric_bins else x

    @property
    def _wrong_bins(self) -> str:
        """What is wrong with the bins, in words."""
        if self.numeric_bins and self.quantiles is None:
            return self.bins_problem or "bins are made from the quantiles of the features; give quantiles"
        return self.bins_problem

    @cached_property
    def _encoding(self) -> PiecewiseLinear:
        found = self.quantiles() if self.quantiles else None
        if found is None:
            msg = f"numeric_bins = {self.numeric_bins}: no client trains, so nobody has quantiles of the features"
            raise ConfigError(msg)
        return PiecewiseLinear(quantile_table(found, self.num_features), self.numeric_bins)
