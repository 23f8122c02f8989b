"""Softmax regression in numpy: the smallest task, for users without torch and for runs with very many clients."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eafl_flower.core.scores import ACCURACY
from eafl_flower.core.settings import CountFromOne, NotNegative, Positive, check_settings
from eafl_flower.heads.memory import NO_MEMORY
from eafl_flower.protocols import Memory
from eafl_flower.tasks.backend import backend_for
from eafl_flower.tasks.checks import check_layout, check_rows
from eafl_flower.tasks.classifier import ByLogits
from eafl_flower.tasks.memory import memory_of, recall
from eafl_flower.tasks.optimizers import WithOptimizer
from eafl_flower.tasks.passes import steps_per_pass
from eafl_flower.tasks.training import Training
from eafl_flower.types import Arrays, Rows


@dataclass(frozen=True, kw_only=True)
class Softmax(WithOptimizer):
    """``SoftmaxTask`` by its settings: those of the optimiser.

    Raises
    ------
    ConfigError
        If a setting is out of range.
    """

    def __post_init__(self) -> None:
        check_settings(self, adadelta_constants=self.constants_problem)

    def make(self, training: Training) -> "SoftmaxTask":
        """Return the task for features and classes."""
        return SoftmaxTask(**vars(self), **training.steps)


@dataclass(frozen=True, kw_only=True)
class SoftmaxTask(ByLogits, WithOptimizer):
    r"""Multinomial logistic regression, trained in mini-batches.

    .. math:: p = \mathrm{softmax}(x W^\top + b), \qquad
              \nabla_W = \tfrac1n (p - e_y)^\top x

    The arrays are ``W`` (num_classes, num_features) and ``b`` (num_classes,), both federated. The model
    is one layer, so it has no backbone: a client that never trained fits all of it.

    Parameters
    ----------
    num_features, num_classes
        Size of the model.
    optimizer, adadelta_constants, optimizer_state
        See ``WithOptimizer``.
    learning_rate, weight_decay
        Of the optimiser; the decay applies to both arrays.
    batch_size
        Rows a step.

    Raises
    ------
    ConfigError
        If a setting is out of range.
    """

    learning_rate: Positive = 0.1
    weight_decay: NotNegative = 0.0
    batch_size: CountFromOne = 16

    def __post_init__(self) -> None:
        check_settings(self, adadelta_constants=self.constants_problem)

    @property
    def num_shared(self) -> int:
        """Both arrays are federated."""
        return 2

    @property
    def num_backbone(self) -> int:
        """There is no backbone."""
        return 0

    def init(self, rng: np.random.Generator) -> Arrays:
        """Return zeros: the loss is convex, its minimum does not depend on the start."""
        return np.zeros((self.num_classes, self.num_features), np.float32), np.zeros(self.num_classes, np.float32)

    def personalise(self, model: Arrays, rows: Rows, rng: np.random.Generator, *, client: int) -> Arrays:
        """Return ``model``: nothing of it is private."""
        return model

    def check_head(self, head: Arrays) -> None:
        """Raise ``ProtocolError`` if there are private arrays."""
        check_layout(head, (), "the stored head has")

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
        x, y = rows.x_train, rows.y_train
        check_rows(x, y, num_features=self.num_features, num_classes=self.num_classes)
        flat = np.concatenate([np.asarray(a, np.float32).ravel() for a in arrays])
        flat_gradient = np.zeros_like(flat)
        (weight, bias), (weight_gradient, bias_gradient) = self._views(flat), self._views(flat_gradient)
        first = (0, weight.size, flat.size)[first_trained]
        trained, gradient = flat[first:], flat_gradient[first:]
        optimizer, backend = self.new_optimizer(self.learning_rate, self.weight_decay), backend_for("cpu")
        recall(memory or NO_MEMORY, {"model": optimizer}, {"model": len(trained)}, backend)
        plan = steps_per_pass(len(x), self.batch_size, epochs=epochs, steps=steps)
        loss, seen = 0.0, 1
        for batches in plan:
            order = rng.permutation(len(x))
            loss, seen = 0.0, 0
            for i in range(batches):
                batch = order[i * self.batch_size : (i + 1) * self.batch_size]
                xb, yb = x[batch], y[batch]
                log_p = _log_softmax(xb @ weight.T + bias)
                picked = np.arange(len(batch)), yb
                loss -= float(log_p[picked].sum())
                seen += len(batch)
                error = np.exp(log_p)
                error[picked] -= 1
                error /= len(batch)
                np.matmul(error.T, xb, out=weight_gradient)
                error.sum(axis=0, out=bias_gradient)
                optimizer.step(trained, gradient)
        remembered = NO_MEMORY if memory is None else memory_of({"model": optimizer}, backend)
        return (weight, bias), loss / seen, remembered

    def _views(self, flat: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        size = self.num_classes * self.num_features
        return flat[:size].reshape(self.num_classes, self.num_features), flat[size:]

    def evaluate(self, arrays: Arrays, rows: Rows) -> tuple[float, dict[str, float]]:
        """Return mean loss and scores on the test rows; zeros if there are none."""
        x, y = rows.x_test, rows.y_test
        check_rows(x, y, num_features=self.num_features, num_classes=self.num_classes)
        if not len(y):
            return 0.0, {ACCURACY.name: 0.0}
        log_p = _log_softmax(self._logits(arrays, x))
        right = float((log_p.argmax(axis=1) == y).mean())
        return -float(log_p[np.arange(len(y)), y].mean()), {ACCURACY.name: right}

    def _logits(self, arrays: Arrays, x: NDArray[np.float32]) -> NDArray[np.float32]:
        weight, bias = arrays
        logits: NDArray[np.float32] = x @ weight.T + bias
        return logits


def _log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    logits -= logits.max(axis=1, keepdims=True)
    logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return logits
