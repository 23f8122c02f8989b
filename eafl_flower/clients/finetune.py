"""A client that fine-tunes adapters of several tasks, each with its head, at the rank that it is asked for."""

from collections.abc import Mapping
from dataclasses import dataclass

from flwr.app import Context
from flwr.client import NumPyClient
from flwr.common.typing import NDArrays, Scalar

from eafl_flower.clients.partition import partition_of
from eafl_flower.core.excerpt import excerpt
from eafl_flower.core.rng import generator
from eafl_flower.errors import ProtocolError
from eafl_flower.tasks.finetune.examples import Examples
from eafl_flower.tasks.finetune.task import FineTune
from eafl_flower.wire.orders import order_of
from eafl_flower.wire.records import TERMS


@dataclass(frozen=True)
class ClientRows:
    """Rows of one client and task: to train on, and to score what it has trained."""

    train: Examples
    test: Examples


class FineTuneClient(NumPyClient):
    """Fine-tunes the task and the rank of each order; nothing stays between jobs.

    Parameters
    ----------
    tasks
        The tasks by the names of the run's models; "" for an only one.
    rows
        The client's rows of each.
    context
        Flower's, which tells which client this is.
    seed
        Seed of the run, for servers that do not send one.
    local_epochs
        Passes of a job, unless its order says so.
    layers_share
        Share of the layers, drawn anew for each job, whose adapters are trained (FedRA); 1: all.
    """

    def __init__(
        self,
        tasks: Mapping[str, FineTune],
        rows: Mapping[str, ClientRows],
        context: Context,
        *,
        seed: int = 0,
        local_epochs: int = 1,
        layers_share: float = 1.0,
    ) -> None:
        self.tasks, self.rows = tasks, rows
        self.client, _ = partition_of(context)
        self.seed, self.local_epochs, self.layers_share = seed, local_epochs, layers_share

    @property
    def num_examples(self) -> int:
        """Most training rows of a task: what its jobs are priced with."""
        return max((len(rows.train) for rows in self.rows.values()), default=0)

    def fit(self, parameters: NDArrays, config: dict[str, Scalar]) -> tuple[NDArrays, int, dict[str, Scalar]]:
        """Train, and report the loss of the last pass and the accuracy of what was trained on the client's own rows.

        Raises
        ------
        ProtocolError
            If the client has no such task, or the arrays have not the rank that was ordered.
        """
        task, rows, name = self._task(config)
        order, arrays = order_of(config, f"{TERMS}."), tuple(parameters)
        ranks = set(task.model.ranks(arrays, task.num_labels))
        if order.rank and ranks != {order.rank}:
            msg = f"client {self.client} is to train rank {order.rank}, and was sent factors of rank {sorted(ranks)}"
            raise ProtocolError(msg)
        seed = int(config.get(f"{TERMS}.seed", self.seed))
        counter = int(config.get(f"{TERMS}.counter", config.get("server-round", 0)))
        rng = generator(seed, "fine-tune", name, self.client, counter)
        count = len(task.model.layers)
        few = self.layers_share < 1
        layers = rng.choice(count, max(1, round(self.layers_share * count)), replace=False).tolist() if few else None
        epochs = order.epochs or self.local_epochs
        arrays, loss = task.train(arrays, rows.train, rng, epochs=epochs, layers=layers)
        scores = task.evaluate(arrays, rows.test)[1] if len(rows.test) else {}
        return list(arrays), len(rows.train), {"loss": loss, **scores}

    def evaluate(self, parameters: NDArrays, config: dict[str, Scalar]) -> tuple[float, int, dict[str, Scalar]]:
        """Score on the client's own rows, before any further training; raises as ``fit``."""
        task, rows, _ = self._task(config)
        arrays = tuple(parameters)
        task.model.ranks(arrays, task.num_labels)
        loss, scores = task.evaluate(arrays, rows.test)
        return loss, len(rows.test), {f"{name}-before": value for name, value in scores.items()}

    def _task(self, config: dict[str, Scalar]) -> tuple[FineTune, ClientRows, str]:
        name = order_of(config, f"{TERMS}.").model
        if name not in self.tasks or name not in self.rows:
            known = ", ".join(f'"{known}"' for known in self.tasks)
            raise ProtocolError(f'client {self.client} is to train "{excerpt(name)}": it has {known}')
        return self.tasks[name], self.rows[name], name
