"""Tasks of `step.py`, written as Flower's quickstart templates write them.

A task fixes data, model, local optimiser and how rows are dealt to clients. Digits are scikit-learn's: 1,400 rows to
train, 397 held out; a client has at most 140 rows, so that two clients cost no more than ten. The k-th job of a client
draws its batches from a generator of (seed, client, k), whichever strategy sends it; counted from another first job on
they are other batches of the same task.
"""

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import step_models as models
import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.client import NumPyClient
from flwr.clientapp import ClientApp
from numpy.typing import NDArray
from sklearn.datasets import load_digits, make_friedman1
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional

from eafl_flower.clients import numpy_client_app
from eafl_flower.core.rng import generator

TRAIN, SENTENCES, BATCH = 1400, 800, 16
FEWEST, MOST = 4, 140  # rows of a client; the latter on average

Table = tuple[NDArray[Any], NDArray[Any]]  # features (n, ...), labels (n,)
Deal = Callable[[NDArray[Any], int, np.random.Generator], list[NDArray[np.int64]]]
Optimizer = Callable[[Iterable[nn.Parameter], float], torch.optim.Optimizer]


@dataclass(frozen=True, kw_only=True)
class TaskCase:
    """A task for a number of clients and a seed: ``evaluate`` returns ``score`` on the rows held out."""

    app: ClientApp
    initial: ArrayRecord
    evaluate: Callable[[ArrayRecord], MetricRecord]
    higher_is_better: bool = True


@dataclass(frozen=True, kw_only=True)
class Task:
    """A row of the table: ``build(num_clients, seed, local_rate, first_job)`` makes its case."""

    name: str
    local_rate: float
    build: "Build"

    def make(self, num_clients: int, seed: int, *, rate: float = 1.0, first_job: int = 1) -> TaskCase:
        """Return the case with ``rate`` times the task's local learning rate (scikit-learn: local epochs)."""
        return self.build(num_clients, seed, rate * self.local_rate, first_job)


Build = Callable[[int, int, float, int], TaskCase]


# -- rows ------------------------------------------------------------------------------------------------------------


def digits(seed: int) -> tuple[Table, Table]:
    x, y = load_digits(return_X_y=True)
    order = generator(seed, "split").permutation(len(y))
    x, y = (x[order] / 8 - 1).astype(np.float32), y[order].astype(np.int64)
    return (x[:TRAIN], y[:TRAIN]), (x[TRAIN:], y[TRAIN:])


def friedman(seed: int) -> tuple[Table, Table]:
    """Friedman's first function of 10 features, in units of its standard deviation; the noise leaves a loss of 0.04."""
    x, y = make_friedman1(TRAIN + 1000, noise=1.0, random_state=seed)
    x, y = x.astype(np.float32), ((y - 14.4) / 5.0).astype(np.float32)
    return (x[:TRAIN], y[:TRAIN]), (x[TRAIN:], y[TRAIN:])


def topics(seed: int) -> tuple[Table, Table]:
    kinds = range(models.SOURCE_TOPICS, models.SOURCE_TOPICS + models.TOPICS)
    x, y = models.sentences(SENTENCES + 800, kinds, generator(seed, "sentences"))
    return (x[:SENTENCES], y[:SENTENCES]), (x[SENTENCES:], y[SENTENCES:])


def alike(y: NDArray[Any], num_clients: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Deal each class evenly."""
    order = rng.permutation(len(y))
    if y.dtype.kind == "i":
        order = order[np.argsort(y[order], kind="stable")]
    return [order[client::num_clients] for client in range(num_clients)]


def dirichlet(
    y: NDArray[Any], num_clients: int, rng: np.random.Generator, *, concentration: float
) -> list[NDArray[np.int64]]:
    """Deal each class in Dirichlet shares; the largest clients give to those below ``FEWEST`` rows."""
    parts: list[list[int]] = [[] for _ in range(num_clients)]
    for label in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == label))
        cuts = np.cumsum(rng.dirichlet(np.full(num_clients, concentration)))[:-1] * len(rows)
        for part, given in zip(parts, np.split(rows, cuts.astype(int)), strict=True):
            part.extend(given.tolist())
    for part in parts:
        while len(part) < FEWEST:
            part.append(max(parts, key=len).pop())
    return [np.array(part) for part in parts]


# -- apps ------------------------------------------------------------------------------------------------------------


def sgd(parameters: Iterable[nn.Parameter], rate: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=rate)


def momentum(parameters: Iterable[nn.Parameter], rate: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=rate, momentum=0.9)


def adam(parameters: Iterable[nn.Parameter], rate: float) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=rate, fused=True)


def torch_case(
    num_clients: int,
    seed: int,
    rate: float,
    first_job: int,
    *,
    model: Callable[[], nn.Module],
    rows: Callable[[int], tuple[Table, Table]] = digits,
    deal: Deal = alike,
    optimizer: Optimizer = sgd,
    only_trained: bool = False,
) -> TaskCase:
    """Return a torch app: one local epoch, batches of 16; ``only_trained`` sends only what is trained (adapters)."""
    torch.set_num_threads(1)
    torch.backends.mkldnn.set_flags(False)  # for convolutions as small as these it takes twice as long
    net = models.seeded(seed, model)
    trained = [parameter for parameter in net.parameters() if parameter.requires_grad]
    names = {name for name, p in net.named_parameters() if p.requires_grad} if only_trained else set(net.state_dict())
    table, held_out = rows(seed)
    dealt = table[1][: MOST * num_clients]
    x, y = (torch.from_numpy(column) for column in table)
    x_test, y_test = (torch.from_numpy(column) for column in held_out)
    parts = deal(dealt, num_clients, generator(seed, "deal", num_clients))
    classifies = table[1].dtype.kind == "i"
    criterion = functional.cross_entropy if classifies else functional.mse_loss
    app = ClientApp()

    def state() -> ArrayRecord:
        return ArrayRecord({name: value for name, value in net.state_dict().items() if name in names})

    def load(arrays: ArrayRecord) -> None:
        net.load_state_dict(arrays.to_torch_state_dict(), strict=not only_trained)

    @app.train()
    def train(message: Message, context: Context) -> Message:
        client = int(context.node_config["partition-id"])
        load(message.content["arrays"])
        net.train()
        steps = optimizer(trained, rate)
        part = parts[client][job_generator(seed, client, context, first_job).permutation(len(parts[client]))]
        total = 0.0
        for batch in torch.from_numpy(part).split(BATCH):
            steps.zero_grad()
            loss = criterion(net(x[batch]), y[batch])
            loss.backward()
            steps.step()
            total += loss.item() * len(batch)
        metrics = MetricRecord({"train_loss": total / len(part), "num-examples": len(part)})
        return Message(RecordDict({"arrays": state(), "metrics": metrics}), reply_to=message)

    @torch.no_grad()
    def score(arrays: ArrayRecord, x: torch.Tensor, y: torch.Tensor) -> float:
        load(arrays)
        net.eval()
        output = net(x)
        return float((output.argmax(1) == y).float().mean() if classifies else functional.mse_loss(output, y))

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        part = torch.from_numpy(parts[int(context.node_config["partition-id"])])
        metrics = MetricRecord({"score": score(message.content["arrays"], x[part], y[part]), "num-examples": len(part)})
        return Message(RecordDict({"metrics": metrics}), reply_to=message)

    return TaskCase(
        app=app,
        initial=state(),
        evaluate=lambda arrays: MetricRecord({"score": score(arrays, x_test, y_test)}),
        higher_is_better=classifies,
    )


def logistic_regression_case(num_clients: int, seed: int, epochs: float, first_job: int) -> TaskCase:
    """Return scikit-learn's logistic regression as a NumPyClient, ``epochs`` passes of SAGA a job."""
    (x, y), (x_test, y_test) = digits(seed)
    parts = alike(y[: MOST * num_clients], num_clients, generator(seed, "deal", num_clients))

    class Client(NumPyClient):
        def __init__(self, context: Context) -> None:
            self.context, self.client = context, int(context.node_config["partition-id"])

        def fit(self, parameters: Any, config: Any) -> Any:
            draw = int(job_generator(seed, self.client, self.context, first_job).integers(2**31))
            model = LogisticRegression(
                solver="saga", max_iter=round(epochs), tol=0.0, warm_start=True, random_state=draw
            )
            model.classes_ = np.arange(models.CLASSES)
            model.coef_, model.intercept_ = (array.copy() for array in parameters)
            part = parts[self.client]
            with warnings.catch_warnings(action="ignore"):  # so few passes do not converge
                model.fit(x[part], y[part])
            return [model.coef_, model.intercept_], len(part), {"train_loss": 0.0}

    def evaluate(arrays: ArrayRecord) -> MetricRecord:
        weights, bias = arrays.to_numpy_ndarrays()
        return MetricRecord({"score": float(((x_test @ weights.T + bias).argmax(1) == y_test).mean())})

    return TaskCase(
        app=numpy_client_app(Client),
        initial=ArrayRecord(
            [np.zeros((models.CLASSES, models.PIXELS), np.float32), np.zeros(models.CLASSES, np.float32)]
        ),
        evaluate=evaluate,
    )


def job_generator(seed: int, client: int, context: Context, first_job: int) -> np.random.Generator:
    """Return the generator of the client's next job; the count of its jobs is kept in its state."""
    kept = context.state.setdefault("jobs", ConfigRecord({"count": first_job - 1}))
    kept["count"] += 1
    return generator(seed, "job", client, kept["count"])


# -- the table -------------------------------------------------------------------------------------------------------


def _rows_of(name: str, rates: tuple[float, ...], build: Build) -> dict[str, Task]:
    return {f"{name}-{rate:g}": Task(name=f"{name}-{rate:g}", local_rate=rate, build=build) for rate in rates}


SKEWED = partial(dirichlet, concentration=0.1)

TASKS: dict[str, Task] = {
    **_rows_of("softmax", (0.05, 0.5), partial(torch_case, model=models.softmax)),
    **_rows_of("mlp", (0.05, 0.5), partial(torch_case, model=models.mlp)),
    **_rows_of("mlp-skewed", (0.03, 0.3), partial(torch_case, model=models.mlp, deal=SKEWED)),
    **_rows_of("mlp-adam-skewed", (0.002, 0.02), partial(torch_case, model=models.mlp, deal=SKEWED, optimizer=adam)),
    **_rows_of("cnn-momentum", (0.02, 0.2), partial(torch_case, model=models.cnn, optimizer=momentum)),
    **_rows_of(
        "cnn-norm-skewed",
        (0.01, 0.1),
        partial(
            torch_case,
            model=partial(models.cnn, batch_norm=True),
            deal=partial(dirichlet, concentration=0.5),
            optimizer=momentum,
        ),
    ),
    **_rows_of("frozen-head", (0.03, 0.3), partial(torch_case, model=models.frozen_vision, optimizer=momentum)),
    **_rows_of("logistic", (1, 10), logistic_regression_case),
    **_rows_of(
        "lora",
        (0.002, 0.02),
        partial(torch_case, model=models.lora, rows=topics, optimizer=adam, only_trained=True),
    ),
    **_rows_of("regression", (0.01, 0.1), partial(torch_case, model=models.regressor, rows=friedman)),
}
