"""All cabs of the day with a light task: one adapted layer on small pictures of digits, in NumPy, for scale."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from flwr.app import ArrayRecord, Context
from flwr.client import NumPyClient
from flwr.clientapp import ClientApp
from flwr.common.typing import NDArrays, Scalar
from numpy.typing import NDArray

from eafl_flower.aggregation.lora.factors import scale_of
from eafl_flower.clients.bridge import numpy_client_app
from eafl_flower.clients.partition import partition_of
from eafl_flower.core.rng import generator
from eafl_flower.errors import ProtocolError
from eafl_flower.types import Arrays
from eafl_flower.wire.orders import order_of
from eafl_flower.wire.records import TERMS
from experiments.ucb_dual.city import City, coverage_of, day_path
from experiments.ucb_dual.record import Lesson, method_of, played, scenario_of
from experiments.ucb_dual.settings import LORA_ALPHA, Scenario

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
TASKS: Final[Mapping[str, int]] = {"digit": 10, "parity": 2, "from-five": 2}  # numbers of classes
PIXELS, HIDDEN, BATCH = 64, 64, 10
HELD_BACK = 300  # rows for validation, and as many for testing
SIDE_M, RADIUS_M = 12_000.0, 720.0


@dataclass(frozen=True, eq=False)
class Digits:
    """Rows ``(n, 64)`` from 0 to 1 and the digits that they show."""

    rows: Floats
    digits: Labels

    def labels(self, task: str) -> Labels:
        """Return the classes of a task."""
        return {"digit": self.digits, "parity": self.digits % 2, "from-five": (self.digits >= 5).astype(np.int64)}[task]

    def take(self, places: Labels) -> "Digits":
        """Return some of the rows."""
        return Digits(self.rows[places], self.digits[places])


def recorded(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what came of a run with all cabs that are there."""
    scenario = scenario_of(settings)
    method = method_of(scenario)
    train, validation, test = _split(scenario.seed)
    lesson = Lesson(
        tasks=scenario.tasks,
        app=_app(train, scenario),
        initial=lambda rank: {name: ArrayRecord([*initial(scenario.seed, name, rank)]) for name in scenario.tasks},
        score=lambda arrays: {
            name: {
                "test": accuracy(arrays[name], test.rows, test.labels(name)),
                "validation": accuracy(arrays[name], validation.rows, validation.labels(name)),
                "loss": gradients(arrays[name], test.rows, test.labels(name))[0],
            }
            for name in scenario.tasks
        },
        size=lambda rank: float(np.mean([sum(a.nbytes for a in initial(0, name, rank)) for name in scenario.tasks])),
    )
    coverage = coverage_of(City(vehicles=scenario.vehicles, columns=scenario.columns, side_m=SIDE_M, radius_m=RADIUS_M))
    return {**played(scenario, method, lesson, coverage), "vehicles": len(coverage), "units": len(coverage.units_m)}


class LightClient(NumPyClient):
    """Trains the task and the rank that it is asked for on rows of its own."""

    def __init__(self, rows: Digits, client: int, *, rate: float, epochs: int) -> None:
        self.rows, self.client, self.rate, self.epochs = rows, client, rate, epochs

    def fit(self, parameters: NDArrays, config: dict[str, Scalar]) -> tuple[NDArrays, int, dict[str, Scalar]]:
        """Train, and report the accuracy on the last quarter of the rows, which are not trained on."""
        order = order_of(config, f"{TERMS}.")
        if order.model not in TASKS:
            raise ProtocolError(f'client {self.client} is to train "{order.model}": it has {", ".join(TASKS)}')
        rng = generator(int(config[f"{TERMS}.seed"]), "light", self.client, int(config[f"{TERMS}.counter"]))
        count = 3 * len(self.rows.digits) // 4
        labels, arrays = self.rows.labels(order.model), tuple(parameters)
        for _ in range(order.epochs or self.epochs):
            for places in np.array_split(rng.permutation(count), max(1, count // BATCH)):
                _, slopes = gradients(arrays, self.rows.rows[places], labels[places])
                arrays = tuple(
                    (a - self.rate * slope).astype(np.float32) for a, slope in zip(arrays, slopes, strict=True)
                )
        scored = accuracy(arrays, self.rows.rows[count:], labels[count:])
        return list(arrays), count, {"accuracy": scored}


def initial(seed: int, task: str, rank: int) -> Arrays:
    """Return factors A ``(64, r)``, drawn, and B ``(r, 64)``, zeros, and a head of zeros: weights and biases."""
    drawn = generator(seed, "light", "adapters", task).normal(size=(PIXELS, rank)) / 8
    shapes = ((rank, HIDDEN), (HIDDEN, TASKS[task]), (TASKS[task],))
    return (drawn.astype(np.float32), *(np.zeros(shape, np.float32) for shape in shapes))


def gradients(arrays: Arrays, rows: Floats, labels: Labels) -> tuple[float, tuple[Floats, ...]]:
    r"""Return the cross-entropy of ``softmax(relu(x (W + s A B)) H + c)``, and its gradient by A, B, H and c.

    W is drawn once and never trained, s is the scale of the rank.
    """
    a, b, head, bias = (np.asarray(x, np.float64) for x in arrays)
    scale = scale_of(a.shape[1], LORA_ALPHA)
    before = rows @ _frozen() + scale * (rows @ a) @ b
    hidden = np.maximum(before, 0)
    scores = hidden @ head + bias
    scores -= scores.max(axis=1, keepdims=True)
    logs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    each = np.arange(len(labels))
    to_scores = np.exp(logs)
    to_scores[each, labels] -= 1
    to_scores /= len(labels)
    to_before = (to_scores @ head.T) * (before > 0)
    slopes = (
        scale * rows.T @ (to_before @ b.T),
        scale * (rows @ a).T @ to_before,
        hidden.T @ to_scores,
        to_scores.sum(axis=0),
    )
    return float(-logs[each, labels].mean()), slopes


def accuracy(arrays: Arrays, rows: Floats, labels: Labels) -> float:
    """Return the share of rows that the arrays classify rightly."""
    a, b, head, bias = arrays
    hidden = np.maximum(rows @ _frozen() + scale_of(a.shape[1], LORA_ALPHA) * (rows @ a) @ b, 0)
    return float(((hidden @ head + bias).argmax(axis=1) == labels).mean())


def data_digest(settings: Mapping[str, Any]) -> str:
    """Return the digest of the cabs; the digits come with scikit-learn."""
    return _digest()


@lru_cache(maxsize=1)
def _digest() -> str:
    return hashlib.sha256(day_path().read_bytes()).hexdigest()


def _app(train: Digits, scenario: Scenario) -> ClientApp:
    def client_fn(context: Context) -> LightClient:
        client, _ = partition_of(context)
        rng = generator(scenario.seed, "light", "rows", client)
        rows = train.take(rng.choice(len(train.digits), scenario.rows, replace=False))
        return LightClient(rows, client, rate=scenario.rate, epochs=scenario.epochs)

    def roster(context: Context) -> dict[str, Any]:
        return {"num-examples": 3 * scenario.rows // 4, "trains": 1, "kind": "delta"}

    return numpy_client_app(client_fn, roster_fn=roster)


@lru_cache(maxsize=1)
def _frozen() -> Floats:
    drawn: Floats = generator(0, "light", "frozen").normal(size=(PIXELS, HIDDEN)) / 4
    return drawn


@lru_cache(maxsize=4)
def _split(seed: int) -> tuple[Digits, Digits, Digits]:
    from sklearn.datasets import load_digits

    found = load_digits()
    every = Digits(np.asarray(found.data, np.float64) / 16, np.asarray(found.target, np.int64))
    order = generator(seed, "light", "split").permutation(len(every.digits))
    parts = np.split(order, [HELD_BACK, 2 * HELD_BACK])
    return every.take(parts[2]), every.take(parts[0]), every.take(parts[1])
