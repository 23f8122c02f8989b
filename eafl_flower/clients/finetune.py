"""A client that fine-tunes adapters of the model and the rank that it is ordered, for one task or several."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from flwr.app import Context
from flwr.client import NumPyClient
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import Mod
from flwr.common.typing import NDArrays, Scalar

from eafl_flower.clients.bridge import numpy_client_app
from eafl_flower.clients.compression import compression_mod
from eafl_flower.clients.durable_state import durable_state_mod
from eafl_flower.clients.partition import partition_of
from eafl_flower.core.excerpt import excerpt
from eafl_flower.core.orders import Order
from eafl_flower.core.rng import generator
from eafl_flower.core.scores import in_phase
from eafl_flower.core.settings import Count, CountFromOne, NotNegative, Range, check_settings
from eafl_flower.errors import ConfigError, ProtocolError
from eafl_flower.protocols import Codec
from eafl_flower.tasks.finetune import FineTune, TuningRows
from eafl_flower.types import Arrays
from eafl_flower.wire.arrays import array_record, own_arrays_of
from eafl_flower.wire.orders import order_of
from eafl_flower.wire.records import TERMS


@dataclass(frozen=True, kw_only=True, eq=False)
class ClientTask:
    """One task of a client: what learns, and the rows; clients may share ``learner``, and learners an encoder."""

    learner: FineTune
    train: TuningRows
    test: TuningRows


@dataclass(frozen=True, kw_only=True)
class HowToTune:
    """What clients do with each job, beside what is ordered.

    Parameters
    ----------
    seed
        For servers that do not send one.
    local_epochs
        Passes of a job whose order says nothing of them.
    rows_a_job
        A job trains on so many of the client's rows, drawn anew for each; 0: on all.
    score_after_training
        Report from each job the ``accuracy`` of the model just trained, before any merge, on the client's test rows.
    head
        ``"shared"``: the head's arrays travel behind the factors; ``"private"``: only factors travel, and the head
        stays in the client's state, one of each model.
    tail_weight, gamma
        HetLoRA's regulariser, see ``FineTune.train``.
    frozen_layers
        Given the model, the client and the counter of its job: numbers of layers that it does not train (FedRA).
    """

    seed: int = 1
    local_epochs: CountFromOne = 1
    rows_a_job: Count = 0
    score_after_training: bool = True
    head: Literal["shared", "private"] = "shared"
    tail_weight: NotNegative = 0.0
    gamma: Annotated[float, Range(0, 1, above=True, below=True)] = 0.99
    frozen_layers: Callable[[str, int, int], Collection[int]] | None = None

    def __post_init__(self) -> None:
        check_settings(self)


class FineTuneClient(NumPyClient):
    """Trains the adapters that it is sent on its rows of the model that is ordered.

    An order may name the ``model`` (one of ``tasks``; the first without), ``epochs`` or a rule to stop by, and the
    ``rank``, which the arrays that come must have, all layers the same. Randomness is a function of (seed, model,
    client, dispatch counter). A client without rows of a model answers with an error to a job for it.

    Parameters
    ----------
    context
        Of the message; its state keeps private heads.
    tasks
        By name of the model; the name of an only one may be "".
    how
        See ``HowToTune``.

    Raises
    ------
    ConfigError
        If there are no tasks.
    """

    def __init__(self, context: Context, tasks: Mapping[str, ClientTask], how: HowToTune | None = None) -> None:
        if not tasks:
            raise ConfigError("a client has no tasks: expected one at least, by the name of its model")
        self.context, self.tasks, self.how = context, dict(tasks), how or HowToTune()
        self.client, _ = partition_of(context)

    @property
    def num_examples(self) -> int:
        """Training rows of a job, of the task that has most of them."""
        most = max(len(task.train) for task in self.tasks.values())
        return min(most, self.how.rows_a_job or most)

    def initial(self, model: str = "", *, rank: int, seed: int | None = None) -> Arrays:
        """Return what travels of a model at the start; the same for all clients."""
        task, seed = self._task(model), self.how.seed if seed is None else seed
        arrays = task.learner.init(generator(seed, "init", model), rank)
        return arrays[: task.learner.num_factors] if self.how.head == "private" else arrays

    def fit(self, parameters: NDArrays, config: dict[str, Scalar]) -> tuple[NDArrays, int, dict[str, Scalar]]:
        """Train once and return the arrays, the number of training rows and ``loss``.

        Reported are also ``accuracy``, see ``HowToTune``, and the ``epochs`` made if the order has a rule to stop by.

        Raises
        ------
        ProtocolError
            If the order is for a model that the client does not have, or arrays are not of its layers, its head and one
            rank, that of the order.
        DataError
            If there are no training rows, or they do not fit.
        ClientFailedError
            If training diverged.
        """
        order, model, task, arrays, seed = self._job(parameters, config)
        how, learner = self.how, task.learner
        counter = int(config.get(f"{TERMS}.counter", config.get("server-round", 0)))
        rng = generator(seed, "fine-tune", model, self.client, counter)
        still = how.frozen_layers(model, self.client, counter) if how.frozen_layers is not None else ()
        metrics: dict[str, Scalar] = {}
        rows = task.train
        if 0 < how.rows_a_job < len(rows):
            rows = rows.part(np.sort(rng.choice(len(rows), how.rows_a_job, replace=False)))
        if order.stop is None:
            trained, loss = learner.train(
                arrays,
                rows,
                rng,
                epochs=order.epochs or how.local_epochs,
                frozen_layers=still,
                tail_weight=how.tail_weight,
                gamma=how.gamma,
            )
        else:
            trained, losses = learner.train_until(
                arrays,
                rows,
                rng,
                order.stop,
                frozen_layers=still,
                tail_weight=how.tail_weight,
                gamma=how.gamma,
            )
            loss, metrics["epochs"] = losses[-1], len(losses)
        if how.score_after_training and len(task.test):
            metrics |= learner.evaluate(trained, task.test)[1]
        shared, private = trained[: len(parameters)], trained[len(parameters) :]
        if private:
            self.context.state[_head_name(model)] = array_record(["weight", "bias"], private)
        return list(shared), len(rows), {"loss": loss, **metrics}

    def evaluate(  # type: ignore[override]  # None instead of a loss that there is no row for
        self, parameters: NDArrays, config: dict[str, Scalar]
    ) -> tuple[float | None, int, dict[str, Scalar]]:
        """Return the loss on the test rows, their number, and ``accuracy-before``; raises as ``fit``."""
        _, _, task, arrays, _ = self._job(parameters, config)
        if not len(task.test):
            return None, 0, {}
        loss, scores = task.learner.evaluate(arrays, task.test)
        return loss, len(task.test), dict(in_phase("before", scores))

    def _job(self, parameters: NDArrays, config: Mapping[str, Scalar]) -> tuple[Order, str, ClientTask, Arrays, int]:
        order = order_of(config, f"{TERMS}.")
        task = self._task(order.model)
        model = order.model or next(iter(self.tasks))
        seed = int(config.get(f"{TERMS}.seed", self.how.seed))
        learner = task.learner
        private = self.how.head == "private"
        expected = learner.num_factors + 2 * (not private)
        if len(parameters) != expected:
            msg = (
                f'{len(parameters)} arrays came of model "{excerpt(model)}": expected {expected}, A and B of '
                f"{len(learner.encoder.layers)} layers{'' if private else ', and weights and bias of the head'}"
            )
            raise ProtocolError(msg)
        try:
            ranks = sorted(set(learner.encoder.ranks(parameters)))
        except ConfigError as error:
            raise ProtocolError(f"the server sent adapters that no layer can have: {error}") from error
        if len(ranks) > 1 or order.rank not in (0, ranks[0]):
            wanted = f"rank {order.rank} as ordered" if order.rank else "one rank"
            raise ProtocolError(f"the server sent adapters of rank {', '.join(map(str, ranks))}: expected {wanted}")
        head = self._head(model, learner, seed) if private else ()
        return order, model, task, (*parameters, *head), seed

    def _task(self, model: str) -> ClientTask:
        if not model:
            return next(iter(self.tasks.values()))
        if model not in self.tasks:
            known = ", ".join(f'"{name}"' for name in self.tasks)
            raise ProtocolError(f'client {self.client} is to use model "{excerpt(model)}": it has {known}')
        return self.tasks[model]

    def _head(self, model: str, learner: FineTune, seed: int) -> Arrays:
        if (record := self.context.state.array_records.get(_head_name(model))) is not None:
            return own_arrays_of(record)
        return learner.init(generator(seed, "init", model), 1)[learner.num_factors :]


def _head_name(model: str) -> str:
    return f"head.{model}"


def finetune_app(
    tasks_of: Callable[[int, int], Mapping[str, ClientTask]],
    *,
    how: HowToTune | None = None,
    codec: Codec[Any] | None = None,
    state_dir: str | Path | None = None,
    power_safe: bool = True,
    mods: Sequence[Mod] = (),
) -> ClientApp:
    """Return a ClientApp of clients that fine-tune.

    Parameters
    ----------
    tasks_of
        ``tasks_of(partition, num_partitions)`` returns the tasks of a client. It is called once for each client in a
        process; give learners one encoder (``shared_encoder``), so that it is in memory once.
    how
        What all clients do.
    codec
        As the server's; None: arrays travel as they are.
    state_dir, power_safe
        See ``durable_state_mod``.
    mods
        Further mods, behind those of state and codec.
    """
    kept = lru_cache(maxsize=None)(tasks_of)

    def client_fn(context: Context) -> FineTuneClient:
        return FineTuneClient(context, kept(*partition_of(context)), how)

    coded = [] if codec is None else [compression_mod(codec)]
    return numpy_client_app(client_fn, mods=[durable_state_mod(state_dir, power_safe=power_safe), *coded, *mods])
