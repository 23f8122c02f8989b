"""Our client: a task on one client's rows, with a private head that stays on the node."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TypeVar

import numpy as np
from flwr.app import ArrayRecord, Context
from flwr.client import NumPyClient
from flwr.common.typing import NDArrays, Scalar

from eafl_flower.clients.partition import partition_of
from eafl_flower.core.excerpt import excerpt
from eafl_flower.core.orders import Enough, Order
from eafl_flower.core.rng import generator
from eafl_flower.core.scores import in_phase
from eafl_flower.errors import ConfigError, ProtocolError
from eafl_flower.heads.memory import NO_MEMORY, can_keep, is_kept, train_job
from eafl_flower.heads.newcomer import has_fleets_head, newcomer
from eafl_flower.protocols import DataSource, Memory, Task
from eafl_flower.tasks.checks import check_layout
from eafl_flower.tasks.training import answers_with_messages
from eafl_flower.types import Array, Arrays, Rows
from eafl_flower.wire.arrays import array_record, arrays_of, own_arrays_of
from eafl_flower.wire.orders import order_of
from eafl_flower.wire.records import TERMS, UNJUDGED

HEAD = "head"
MEMORY = "optimizer"
K = TypeVar("K", bound=Hashable)


@dataclass(kw_only=True)
class Workload:
    """What all clients of a run have in common.

    Parameters
    ----------
    task, source
        The model and the rows of all clients.
    seed
        Seed of the run, for servers that do not send one.
    local_epochs
        Passes over the rows in one job.
    unseen_steps
        Steps for which a client that never trained fits its head before it is scored.
    """

    task: Task
    source: DataSource
    seed: int
    local_epochs: int = 1
    unseen_steps: int = 50

    def __post_init__(self) -> None:
        self._initial: dict[int, Arrays] = {}

    def initial(self, seed: int) -> Arrays:
        """Return the complete model every client starts from (read-only)."""
        if seed not in self._initial:
            arrays = self.task.init(generator(seed, "init"))
            for array in arrays:
                array.flags.writeable = False
            self._initial = {seed: arrays}
        return self._initial[seed]


def federated_client_fn(
    build: Callable[[K], Workload], key_of: Callable[[Context], K]
) -> Callable[[Context], "FederatedClient"]:
    """Return a ``client_fn`` that builds the workload once per process and configuration.

    Parameters
    ----------
    build
        Makes the workload from a configuration; a function of a module, so that it is the same object
        in every process.
    key_of
        Returns the configuration that a context asks for; equal keys share a workload.
    """
    last: tuple[K, Workload] | None = None  # hashing a configuration costs more than a small client's first step

    def client_fn(context: Context) -> FederatedClient:
        nonlocal last
        key = key_of(context)
        if last is None or last[0] is not key:
            last = key, _workload(build, key)
        return FederatedClient(last[1], context)

    return client_fn


@lru_cache(maxsize=4)
def _workload(build: Callable[[K], Workload], key: K) -> Workload:
    return build(key)


def forget_workloads() -> None:
    """Let the next client build its workload anew."""
    _workload.cache_clear()


class FederatedClient(NumPyClient):
    """Trains and scores a task on the rows of one client.

    The shared arrays come and go with the messages; the private head lives in ``context.state["head"]``
    and starts from what the task gives this client: its shapes may be the client's own. What the optimiser remembers
    lives beside it in ``context.state["optimizer"]`` where the task keeps that between jobs. Randomness is a function
    of (seed, client, dispatch counter). A client whose partition is not below ``source.num_seen`` never
    trains: it is scored with what ``heads.newcomer`` makes of its first quarter of rows.
    """

    def __init__(self, workload: Workload, context: Context) -> None:
        self.workload = workload
        self.context = context
        self.partition, self.num_partitions = partition_of(context)

    @cached_property
    def rows(self) -> Rows:
        """The client's rows."""
        return self.workload.source.partition(self.partition)

    @property
    def num_examples(self) -> int:
        """Number of training rows; 0 for a node more than the data has clients."""
        return len(self.rows.y_train) if self.partition < self.workload.source.num_clients else 0

    @property
    def trains(self) -> bool:
        """Whether the client takes part in training."""
        return self.partition < self.workload.source.num_seen

    @property
    def device(self) -> str:
        """Where the task computes."""
        return str(getattr(self.workload.task, "device", "cpu"))

    def get_parameters(self, config: dict[str, Scalar]) -> NDArrays:
        """Return the initial shared arrays."""
        return list(self.workload.initial(self._seed(config))[: self.workload.task.num_shared])

    def fit(  # type: ignore[override]  # some answer with a message, by name
        self, parameters: NDArrays, config: dict[str, Scalar]
    ) -> tuple[NDArrays | Mapping[str, Array], int, dict[str, Scalar]]:
        """Run one local job and keep head and memory; return the new shared arrays, or the message of a task.

        An order of the server's says how many epochs, or when it is enough: then ``epochs`` are reported, too.

        Raises
        ------
        ProtocolError
            If the arrays, the stored head or the stored memory do not fit the task, this client is one that never
            trains, or the order is for a model that it does not have.
        ConfigError
            If the data is made for another number of nodes.
        """
        self._check_nodes()
        if not self.trains:
            msg = f"client {self.partition} never trains (the data has {self.workload.source.num_seen} seen clients)"
            raise ProtocolError(msg)
        task, seed = self.workload.task, self._seed(config)
        counter = int(config.get("eafl.counter", config.get("server-round", 0)))
        order = self._order(config)
        if answers_with_messages(task):
            message, told = task.answer(tuple(parameters), self.rows, seed=seed, client=self.partition)
            return message, self.num_examples, dict(told)
        model = self._model(self._shared(parameters, seed), seed)
        rng = generator(seed, "train", self.partition, counter)
        scores: dict[str, Scalar] = {}
        memory = self._memory()
        if order.stop is None:
            epochs = order.epochs or self.workload.local_epochs
            model, loss, memory = train_job(task, model, self.rows, rng, memory, epochs=epochs)
        else:
            model, losses, memory = self._train_until(order.stop, model, rng, memory)
            loss, scores["epochs"] = losses[-1], len(losses)
        if memory:
            self.context.state[MEMORY] = array_record(list(memory), list(memory.values()))
        head = model[task.num_shared :]
        if head:
            self.context.state[HEAD] = array_record([str(i) for i in range(len(head))], head)
        return list(model[: task.num_shared]), self.num_examples, {"loss": loss, **scores}

    def _train_until(
        self, stop: Enough, model: Arrays, rng: np.random.Generator, memory: Memory
    ) -> tuple[Arrays, list[float], Memory]:
        """Train epoch by epoch; return the model, the mean loss of each epoch, and what is to be kept.

        Within the job an optimiser remembers its steps, whether or not that is kept.
        """
        losses: list[float] = []
        task = self.workload.task
        while not losses or not stop.after(losses):
            if can_keep(task):
                model, loss, memory = task.train_on(model, self.rows, rng, memory, epochs=1)
            else:
                model, loss = task.train(model, self.rows, rng, epochs=1)
            losses.append(loss)
        return model, losses, memory if is_kept(task) else NO_MEMORY

    def evaluate(  # type: ignore[override]  # None instead of a loss that would mean another thing
        self, parameters: NDArrays, config: dict[str, Scalar]
    ) -> tuple[float | None, int, dict[str, Scalar]]:
        """Score on the test rows; nothing is kept.

        A seen client reports its loss and each score of its task (``accuracy-before``) before any further training,
        with ``after-training`` in the configuration the same (``accuracy-after``) after one more local job, and the
        number of ``head-parameters`` if it has a private head. An unseen client reports its scores
        (``accuracy-unseen``) with the backbone frozen and a fresh head or, where a head travels, the fleet's head as
        far as it is adapted, and then the scores of the fleet's head as it is (``accuracy-unlabelled``); as 0 or 1
        whether it ``adapted`` a head, or had too few rows, or rows of one class, to do so (``unjudged``). A client that
        is to train, but has not yet, is scored *before* as an unseen one is where a head travels beside private ones.

        Raises
        ------
        ProtocolError
            If the arrays do not fit the task.
        ConfigError
            If the data is made for another number of nodes.
        """
        self._check_nodes()
        self._order(config)
        task, seed = self.workload.task, self._seed(config)
        count = len(self.rows.y_test)
        if answers_with_messages(task):
            loss, found = task.judge(tuple(parameters), self.rows, seed=seed, client=self.partition)
            return loss, count, dict(in_phase("before" if self.trains else "unseen", found))
        shared = self._shared(parameters, seed)
        if not self.trains:
            initial, steps = self.workload.initial(seed), self.workload.unseen_steps
            new = newcomer(task, shared, initial, self.rows, seed=seed, client=self.partition, steps=steps)
            values = task.evaluate(new.model, self.rows)[1]
            told: dict[str, Scalar] = dict(in_phase("unseen", values))
            if has_fleets_head(task):
                as_it_is = task.evaluate(shared, self.rows)[1] if new.steps else values
                told = {**in_phase("unlabelled", as_it_is), **told}
            told |= {"adapted": float(new.steps > 0), UNJUDGED: float(bool(new.unjudged))}
            return None, count, told
        model = self._model(shared, seed)
        loss, values = task.evaluate(self._as_it_drives(shared, model, seed), self.rows)
        scores: dict[str, Scalar] = dict(in_phase("before", values))
        if head := model[task.num_shared :]:
            scores["head-parameters"] = sum(a.size for a in head if a.dtype.kind == "f")
        if config.get("after-training"):
            rng = generator(seed, "after", self.partition)
            epochs = self.workload.local_epochs
            model, _, _ = train_job(task, model, self.rows, rng, self._memory(), epochs=epochs)
            scores |= in_phase("after", task.evaluate(model, self.rows)[1])
        return loss, count, scores

    def _as_it_drives(self, shared: Arrays, model: Arrays, seed: int) -> Arrays:
        """Return what a client goes by that is to train: a head of its own says nothing before it was trained."""
        task, workload = self.workload.task, self.workload
        if not has_fleets_head(task) or task.num_shared == len(model) or head_of(self.context.state) is not None:
            return model
        how = {"seed": seed, "client": self.partition, "steps": workload.unseen_steps}
        return newcomer(task, shared, workload.initial(seed), self.rows, **how).model

    def _check_nodes(self) -> None:
        source = self.workload.source
        if self.num_partitions != source.num_clients:
            msg = (
                f"num-partitions = {self.num_partitions}, but the data {source.name} has {source.num_clients} clients: "
                "start as many nodes, or set data.clients to their number"
            )
            raise ConfigError(msg)

    def _order(self, config: dict[str, Scalar]) -> Order:
        order = order_of(config, f"{TERMS}.")
        if order.model:
            msg = f'client {self.partition} is to use model "{excerpt(order.model)}": it has one model, without a name'
            raise ProtocolError(msg)
        return order

    def _seed(self, config: dict[str, Scalar]) -> int:
        return int(config.get("eafl.seed", self.workload.seed))

    def _shared(self, parameters: NDArrays, seed: int) -> Arrays:
        return check_layout(parameters, self.workload.initial(seed)[: self.workload.task.num_shared], "the server sent")

    def _memory(self) -> Memory:
        """Return what the optimiser remembers of the job before, if the task keeps that."""
        record = self.context.state.get(MEMORY)
        if not (isinstance(record, ArrayRecord) and is_kept(self.workload.task)):
            return NO_MEMORY
        return dict(zip(record, arrays_of(record), strict=True))

    def _model(self, shared: Arrays, seed: int) -> Arrays:
        """Return the shared arrays and the head this client holds, a fresh one if it holds none."""
        task = self.workload.task
        if task.num_shared == len(self.workload.initial(seed)):
            return shared
        head = head_of(self.context.state)
        if head is not None:
            task.check_head(head)
            return shared + head
        model = shared + self.workload.initial(seed)[len(shared) :]
        return task.personalise(model, self.rows, generator(seed, "personalise", self.partition), client=self.partition)


def head_of(state: Mapping[str, object]) -> Arrays | None:
    """Return the private head in a client's state, None if there is none."""
    record = state.get(HEAD)
    return own_arrays_of(record) if isinstance(record, ArrayRecord) else None
