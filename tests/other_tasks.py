"""Tasks whose main score is no accuracy: a regression in metres, and a model of texts with a perplexity."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from eafl_flower.core.rng import generator
from eafl_flower.core.scores import ACCURACY, Score
from eafl_flower.data.source import InMemorySource
from eafl_flower.tasks.passes import steps_per_pass
from eafl_flower.tasks.softmax import SoftmaxTask
from eafl_flower.types import Rows

MSE = Score(name="mse", title="mean squared error", unit="m²", higher_is_better=False, least=0.0)
PERPLEXITY = Score(name="perplexity", title="perplexity", higher_is_better=False, mean="geometric", least=1.0)
CLIENTS, SEEN, FEATURES = 6, 4, 3
COMMON = {
    **{"data.clients": CLIENTS, "data.unseen": CLIENTS - SEEN},
    **{"codec.name": "none", "strategy.merges": 40, "strategy.concurrency": 2, "evaluate.every": 10},
}
REGRESSION: dict[str, Any] = {
    **COMMON,
    **{"data.name": "other_tasks:Points", "task.name": "other_tasks:Regression"},
    **{"task.learning-rate": 0.1, "task.batch-size": 8},
}
TEXTS: dict[str, Any] = {
    **COMMON,
    **{"data.name": "other_tasks:Tokens", "task.name": "other_tasks:Texts"},
    **{"task.learning-rate": 0.3, "task.batch-size": 16},
}


@dataclass(frozen=True)
class RegressionTask:
    """A plane through points, by gradient descent on half the squared error."""

    learning_rate: float
    batch_size: int
    scores = (MSE,)
    num_shared = 2
    num_backbone = 0

    def init(self, rng):
        return np.zeros(FEATURES, np.float32), np.zeros(1, np.float32)

    def personalise(self, model, rows, rng, *, client):
        return model

    def check_head(self, head):
        assert not head

    def train(self, arrays, rows, rng, *, epochs=None, steps=None, first_trained=0):
        weight, bias = (a.copy() for a in arrays)
        errors = []
        for batches in steps_per_pass(len(rows.y_train), self.batch_size, epochs=epochs, steps=steps):
            order = rng.permutation(len(rows.y_train))
            for i in range(batches):
                batch = order[i * self.batch_size : (i + 1) * self.batch_size]
                error = rows.x_train[batch] @ weight + bias - rows.y_train[batch]
                weight -= self.learning_rate * error @ rows.x_train[batch] / len(batch)
                bias -= self.learning_rate * error.mean()
                errors.append(float((error**2).mean()))
        return (weight, bias), float(np.mean(errors))

    def evaluate(self, arrays, rows):
        error = rows.x_test @ arrays[0] + arrays[1] - rows.y_test
        mse = float((error**2).mean()) if len(error) else 0.0
        return mse / 2, {"mse": mse}

    def predict(self, arrays, x):
        raise NotImplementedError


class TextTask(SoftmaxTask):
    """The next token from what is known of the one before; a row is a token."""

    @property
    def scores(self):
        return PERPLEXITY, ACCURACY

    def evaluate(self, arrays, rows):
        loss, scores = super().evaluate(arrays, rows)
        return loss, {"perplexity": float(np.exp(loss)), **scores}


def regression_source():
    """Points on one plane with noise of a tenth of a metre, some clients with more of them than others."""
    plane, parts = np.array([1.0, -2.0, 0.5], np.float32), []
    for client in range(CLIENTS):
        rng, count = generator(0, "points", client), 20 + 8 * client
        x = rng.standard_normal((count, FEATURES)).astype(np.float32)
        y = (x @ plane + 3.0 + 0.1 * rng.standard_normal(count)).astype(np.float32)
        parts.append(Rows(x_train=x[:12], y_train=y[:12], x_test=x[12:], y_test=y[12:]))
    return InMemorySource(
        name="points", class_names=(), feature_names=("u", "v", "w"), num_seen=SEEN, parts=tuple(parts)
    )


def text_source():
    """Tokens that follow on one of three contexts, other contexts with other clients."""
    parts = []
    for client in range(CLIENTS):
        rng, count = generator(0, "tokens", client), 20 + 8 * client
        context = rng.choice(3, count, p=np.roll([0.6, 0.3, 0.1], client))
        y = np.where(rng.random(count) < 0.8, context, rng.integers(0, 3, count)).astype(np.int64)
        x = np.eye(3, dtype=np.float32)[context]
        parts.append(Rows(x_train=x[:12], y_train=y[:12], x_test=x[12:], y_test=y[12:]))
    return InMemorySource(
        name="texts", class_names=("a", "b", "c"), feature_names=("a", "b", "c"), num_seen=SEEN, parts=tuple(parts)
    )


@dataclass(frozen=True, kw_only=True)
class Regression:
    """The part ``other_tasks:Regression``."""

    def make(self, training):
        return RegressionTask(learning_rate=training.learning_rate, batch_size=training.batch_size)


@dataclass(frozen=True, kw_only=True)
class Texts:
    """The part ``other_tasks:Texts``."""

    def make(self, training):
        return TextTask(**training.steps)


@dataclass(frozen=True, kw_only=True)
class Points:
    """The data set ``other_tasks:Points``."""

    def make(self, holders):
        return regression_source()


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """The data set ``other_tasks:Tokens``."""

    def make(self, holders):
        return text_source()
