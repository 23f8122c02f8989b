"""Training and scoring of adapters and a head on a client's rows."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from eafl_flower.core.scores import ACCURACY, Score
from eafl_flower.core.settings import CountFromOne, NotNegative, Positive, check_settings
from eafl_flower.errors import DataError
from eafl_flower.models.lora import Adapted
from eafl_flower.tasks.finetune.examples import Examples
from eafl_flower.tasks.optimizers import WithOptimizer
from eafl_flower.tasks.probabilities import loss_and_accuracy, probabilities
from eafl_flower.tasks.torch_optimizers import TorchOptimizer
from eafl_flower.types import Arrays

ROWS_AT_ONCE = 256  # of a pass without training


@dataclass(frozen=True, kw_only=True)
class FineTune(WithOptimizer):
    """A classifier whose adapters and head are trained by cross-entropy.

    Parameters
    ----------
    model
        The classifier; several tasks may share it.
    num_labels
        Number of classes.
    learning_rate, weight_decay
        Of the optimiser, which begins afresh with each job.
    batch_size
        Rows a step; the last batch of a pass may be smaller.
    optimizer, adadelta_constants
        See ``WithOptimizer``.

    Raises
    ------
    ConfigError
        If a setting is out of range.
    """

    model: Adapted = field(compare=False)
    num_labels: CountFromOne = 2
    optimizer: Literal["sgd", "adamw", "adadelta", "adam", "rmsprop"] = "adamw"
    learning_rate: Positive = 1e-3
    weight_decay: NotNegative = 0.0
    batch_size: CountFromOne = 16

    def __post_init__(self) -> None:
        check_settings(self, adadelta_constants=self.constants_problem)

    @property
    def scores(self) -> tuple[Score, ...]:
        """The accuracy."""
        return (ACCURACY,)

    def init(self, rng: np.random.Generator, rank: int) -> Arrays:
        """Return initial arrays of this rank, see ``Adapted.init``."""
        return self.model.init(rng, rank, self.num_labels)

    def train(
        self,
        arrays: Arrays,
        examples: Examples,
        rng: np.random.Generator,
        *,
        epochs: int = 1,
        layers: Sequence[int] | None = None,
    ) -> tuple[Arrays, float]:
        """Return what ``epochs`` passes make of ``arrays``, and the mean loss of the last one.

        The same generator gives the same arrays, for one number of threads.

        Parameters
        ----------
        arrays
            Factors of any rank and the head.
        examples
            The rows.
        rng
            Orders rows, and drops inputs of adapters.
        epochs
            Passes over the rows.
        layers
            Numbers of the layers whose adapters are trained; all by default. The head always is.

        Raises
        ------
        ProtocolError
            If the arrays are not those of the model.
        DataError
            If there are no rows, or a label is no class.
        """
        import torch
        from torch.nn.functional import cross_entropy

        self._check(examples)
        if not len(examples):
            raise DataError("no rows to train on: expected one at least")
        model, size = self.model, self.batch_size
        space = model.load(arrays, self.num_labels)
        optimizer = TorchOptimizer(self, space.flat, space.gradient, self.learning_rate, self.weight_decay)
        frozen = [] if layers is None else [i for i in range(len(model.layers)) if i not in set(layers)]
        still = [space.places[2 * i + side] for i in frozen for side in (0, 1)]
        kept = [space.flat[place].clone() for place in still]
        loss = 0.0
        with model.training(rng):
            for _ in range(epochs):
                order, loss = rng.permutation(len(examples)), 0.0
                for start in range(0, len(order), size):
                    places = order[start : start + size]
                    batch = {name: values.to(model.device) for name, values in examples.inputs.batch(places).items()}
                    labels = torch.from_numpy(examples.labels[places]).to(model.device)
                    space.gradient.zero_()
                    batch_loss = cross_entropy(model.logits(batch), labels)
                    batch_loss.backward()  # type: ignore[no-untyped-call]
                    optimizer.step(space.flat, space.gradient)
                    for place, values in zip(still, kept, strict=True):
                        space.flat[place] = values
                    loss += batch_loss.item() * len(places) / len(order)
        return space.arrays(), loss

    def evaluate(self, arrays: Arrays, examples: Examples) -> tuple[float, dict[str, float]]:
        """Return the mean loss and the accuracy on the rows; raises as ``train``."""
        self._check(examples)
        if not len(examples):
            raise DataError("no rows to score: expected one at least")
        return loss_and_accuracy(self._logits(arrays, examples), examples.labels)

    def predict(self, arrays: Arrays, examples: Examples) -> NDArray[np.float64]:
        """Return the probability of each class ``(n, classes)``."""
        return probabilities(self._logits(arrays, examples))

    def _logits(self, arrays: Arrays, examples: Examples) -> NDArray[np.float32]:
        import torch

        self.model.load(arrays, self.num_labels)
        found = []
        with torch.inference_mode():
            for start in range(0, len(examples), ROWS_AT_ONCE):
                places = np.arange(start, min(start + ROWS_AT_ONCE, len(examples)))
                batch = {name: v.to(self.model.device) for name, v in examples.inputs.batch(places).items()}
                found.append(self.model.logits(batch).float().cpu().numpy())
        return np.concatenate(found) if found else np.zeros((0, self.num_labels), np.float32)

    def _check(self, examples: Examples) -> None:
        if len(examples) and examples.labels.max() >= self.num_labels:
            raise DataError(f"label {examples.labels.max()}: expected classes from 0 to {self.num_labels - 1}")
