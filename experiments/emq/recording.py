"""A training run with a barrier and all clients, recorded: what is learnt, and what is sent, round by round.

Neither depends on the radio, so one recording is replayed over every network, allocation of power and budget.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from flwr.app import Context, Message, MessageType
from numpy.typing import NDArray

from eafl_flower.app.client import client_app
from eafl_flower.app.resolving import resolve
from eafl_flower.app.training import train
from eafl_flower.app.workload import Experiment
from eafl_flower.config import RunConfig
from eafl_flower.core.events import Event
from eafl_flower.core.threads import one_thread
from eafl_flower.energy.model import CMOSEnergy
from eafl_flower.engines import InlineGrid
from eafl_flower.errors import RunFailedError
from eafl_flower.protocols import Aggregator, Codec
from eafl_flower.types import Arrays, Encoded, Update
from eafl_flower.wire.records import terms_of
from experiments.emq.costs import Rounds

Counts = NDArray[np.int64]
BEFORE = "accuracy-before"


@dataclass(frozen=True, eq=False)
class Recording:
    """What a recorded run was like.

    Parameters
    ----------
    accuracy
        Of the model before each round and after the last, ``(num_rounds + 1,)``.
    loss
        Of training in each round: the mean over the clients' last epochs, weighted by their rows, ``(num_rounds,)``.
    error
        Relative L2 error of the clients' updates as they arrived, the mean over clients, ``(num_rounds,)``.
    wire, paper
        Bits of each payload as it was sent, and as the source of its quantiser counts, ``(num_rounds, num_clients)``.
    epochs
        Passes of each job over its rows, of the same shape.
    samples
        Rows of each client, ``(num_clients,)``.
    parameters
        Values of an update.
    """

    accuracy: NDArray[np.float64]
    loss: NDArray[np.float64]
    error: NDArray[np.float64]
    wire: Counts
    paper: Counts
    epochs: Counts
    samples: Counts
    parameters: int

    @classmethod
    def of(cls, result: Mapping[str, Any]) -> "Recording":
        """Return the recording that ``recorded`` has made JSON of."""
        samples = np.array(result["samples"])
        shape = len(result["loss"]), len(samples)
        rounds: dict[str, Any] = {name: np.array(result[name]) for name in ("accuracy", "loss", "error")}
        jobs: dict[str, Any] = {name: spread(result[name], shape) for name in ("wire", "paper", "epochs")}
        return cls(**rounds, **jobs, samples=samples, parameters=result["parameters"])

    def bits_per_value(self, count: str) -> NDArray[np.float64]:
        """Bits of each round for a value of an update, the mean over clients, ``(num_rounds,)``."""
        bits: NDArray[np.float64] = getattr(self, count).mean(axis=1) / self.parameters
        return bits

    def rounds(self, processor: CMOSEnergy, count: str = "wire") -> Rounds:
        """Return what is computed and sent, by one count of bits."""
        bits = getattr(self, count).astype(np.float64)
        return Rounds(bits=bits, epochs=self.epochs, samples=self.samples, processor=processor)


def squeezed(table: Counts) -> Any:
    """Return whole numbers ``(rows, columns)`` for JSON: equal ones of a row, or of all rows, only once.

    Examples
    --------
    >>> squeezed(np.array([[1, 1], [2, 2]])), squeezed(np.array([[3, 3], [3, 3]]))
    ([1, 2], 3)
    """
    rows = [int(row[0]) if (row == row[0]).all() else row.tolist() for row in table]
    return rows[0] if all(isinstance(row, int) and row == rows[0] for row in rows) else rows


def spread(value: Any, shape: tuple[int, int]) -> Counts:
    """Return the table of this shape that ``squeezed`` has made ``value`` of."""
    rows = [value] * shape[0] if isinstance(value, int) else value
    return np.array([np.broadcast_to(np.array(row, np.int64), shape[1]) for row in rows])


def recorded(config: RunConfig) -> dict[str, Any]:
    """Run ``config``, rounds with a barrier in which all clients take part; return what a ``Recording`` is made of.

    Raises
    ------
    RunFailedError
        If a client did not take part in every round.
    """
    one_thread()
    logging.getLogger("flwr").setLevel(logging.ERROR)
    notes = _Notes(epochs=config.task.local_epochs)
    app, clients = client_app(_Clients(config, notes=notes)), resolve(config).source.num_clients

    def noted(message: Message, context: Context) -> Message:
        terms = terms_of(message.content)
        if terms is not None and message.metadata.message_type == MessageType.TRAIN:
            notes.client, notes.ordered[terms.client] = terms.client, terms.order.epochs
        return app(message, context)

    run = train(_Server(config, notes=notes), InlineGrid(noted, clients), observer=notes)
    table = notes.table(config.strategy.merges, clients)
    return {
        "accuracy": [round(value, 5) for value in notes.accuracy],
        "loss": _per_round(table, lambda jobs: np.average([j.loss for j in jobs], weights=[j.samples for j in jobs])),
        "error": _per_round(table, lambda jobs: np.mean([job.error for job in jobs])),
        **{
            name: squeezed(np.array([[getattr(job, name) for job in jobs] for jobs in table]))
            for name in ("wire", "paper", "epochs")
        },
        "samples": [job.samples for job in table[0]],
        "parameters": sum(array.size for array in run.served()[""].arrays),
    }


def _per_round(table: Sequence[Sequence["_Job"]], of: Any) -> list[float]:
    return [float(f"{of(jobs):.5g}") for jobs in table]


@dataclass(kw_only=True)
class _Job:
    """What is noted of one job."""

    wire: int
    paper: int
    epochs: int
    samples: int
    loss: float
    error: float


@dataclass(kw_only=True)
class _Notes:
    """Is told what happens: by the run, by the codec of the clients, and by the aggregator."""

    epochs: int
    client: int = -1  # whose turn it is
    ordered: dict[int, int] = field(default_factory=dict)
    coded: dict[int, tuple[Arrays, Encoded]] = field(default_factory=dict)  # the newest update of each client
    errors: list[float] = field(default_factory=list)  # in the order of clients, of all rounds
    jobs: dict[int, dict[int, _Job]] = field(default_factory=dict)  # by round and client
    accuracy: list[float] = field(default_factory=list)

    def write(self, event: Event) -> None:
        if event["event"] == "evaluate":
            self.accuracy.append(event["metrics"][BEFORE])
        elif event["event"] == "merge":
            client, metrics = event["client"], event["metrics"]
            self.jobs.setdefault(event["merge"], {})[client] = _Job(
                wire=8 * event["uplink_bytes"],
                paper=self.coded[client][1].bits_paper,
                epochs=int(metrics.get("epochs", 0)) or self.ordered[client] or self.epochs,
                samples=event["num_examples"],
                loss=metrics["loss"],
                error=float("nan"),
            )

    def close(self) -> None:
        """Nothing is open."""

    def table(self, rounds: int, clients: int) -> list[list[_Job]]:
        """Return the jobs, a row for each round in the order of clients."""
        found = [[self.jobs[number][client] for client in sorted(self.jobs[number])] for number in sorted(self.jobs)]
        if [len(row) for row in found] != [clients] * rounds or len(self.errors) != rounds * clients:
            msg = f"of {rounds} rounds of {clients} clients {[len(row) for row in found]} jobs were merged"
            raise RunFailedError(f"{msg}: expected all clients in all rounds")
        errors = iter(self.errors)
        for row in found:
            for job in row:
                job.error = next(errors)
        return found


@dataclass(frozen=True, eq=False)
class _Clients(Experiment):
    """An experiment whose clients note what they code."""

    notes: _Notes = field(default_factory=lambda: _Notes(epochs=1))

    @property
    def codec(self) -> Codec[Any]:
        codec: Any = super().codec
        notes = self.notes

        def encode(self: Codec[Any], state: Any, arrays: Arrays, rng: np.random.Generator) -> tuple[Encoded, Any]:
            encoded, state = type(codec).encode(self, state, arrays, rng)
            notes.coded[notes.client] = arrays, encoded
            return encoded, state

        made: Codec[Any] = _with(codec, encode=encode)
        return made


@dataclass(frozen=True, eq=False)
class _Server(Experiment):
    """An experiment whose aggregator compares what arrives with what was coded."""

    notes: _Notes = field(default_factory=lambda: _Notes(epochs=1))

    def aggregator(self, in_flight: int, clients: int) -> Aggregator[Any]:
        merging, notes = super().aggregator(in_flight, clients), self.notes
        weights = getattr(self.codec, "codes_weights", False)

        def apply(self: Aggregator[Any], state: Any, updates: Sequence[Update]) -> Any:
            notes.errors += [_error(update, notes.coded[update.client][0], weights=weights) for update in updates]
            return type(merging).apply(self, state, updates)

        made: Aggregator[Any] = _with(merging, apply=apply)
        return made


def _with(part: Any, **methods: Any) -> Any:
    """Return a part, a dataclass, with other methods."""
    made = type(type(part).__name__, (type(part),), methods)
    return made(**{f.name: getattr(part, f.name) for f in fields(part)})


def _error(update: Update, coded: Arrays, *, weights: bool) -> float:
    """Return the relative L2 error of an update as it arrived; ``coded`` is what its client coded, or its weights."""
    missed = norm = 0.0
    bases = update.base if weights and update.base is not None else coded
    for delta, array, base in zip(update.delta, coded, bases, strict=True):
        exact = array - base if weights else array
        missed += _squares(delta - exact)
        norm += _squares(exact)
    return float(np.sqrt(missed / norm)) if norm else 0.0


def _squares(array: NDArray[Any]) -> float:
    flat = array.ravel().astype(np.float64)
    return float(flat @ flat)
