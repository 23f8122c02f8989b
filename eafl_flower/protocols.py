"""The seams: what a part must do to be used in place of one of ours.

Each seam has a conformance suite in ``eafl_flower.conformance`` (``check_aggregator``,
``check_codec``, ...). State is a value: a frozen dataclass of arrays, numbers and nested states.
Operations take the state first and return the new one; ``apply`` and ``encode`` *consume* the state
they are given (large arrays are updated in place), so the old value must not be used again.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from eafl_flower.core.forecasts import Forecast, Outcome
from eafl_flower.core.orders import Order
from eafl_flower.core.scores import Score
from eafl_flower.types import Array, Arrays, Diagnostics, Encoded, Grant, Layout, Phase, Rows, Update, Upload, Work

S = TypeVar("S")
Memory = Mapping[str, Array]
"""What an optimiser remembers: arrays by name."""


@runtime_checkable
class Aggregator(Protocol[S]):
    """Merges updates into the global arrays. Every state has ``version``, the number of merges."""

    def init(self, arrays: Arrays) -> S:
        """Return the state before the first merge; ``arrays`` are copied."""

    def apply(self, state: S, updates: Sequence[Update]) -> tuple[S, Diagnostics]:
        """Merge one update or, behind a barrier, all those of a round; consumes ``state``.

        The updates of a round have one base version and come in the order of their clients. Returned are the next
        state, and how each update was merged. Raises ``UpdateRefusedError`` and leaves ``state`` usable if an update
        is not finite, has the wrong shapes or is of another kind; ``ConfigError`` if it merges no rounds.
        """

    def arrays(self, state: S, order: Order | None = None) -> Arrays:
        """Return what a job with this ``order`` starts from; without, what is evaluated and saved.

        Of the order only its rank may matter: jobs of one version and rank start from the same arrays. Not to be
        written to.
        """


@runtime_checkable
class MessageAggregator(Aggregator[S], Protocol[S]):
    """Takes what clients answer as it comes, arrays of other names and shapes than they were sent.

    Its updates are of the kind "message": ``delta`` are the arrays in the order that ``expected`` tells, and there is
    no base.
    """

    def expected(self, state: S, order: Order) -> tuple[Sequence[str], Layout]:
        """Return names and layout of the arrays in the reply to a job with this ``order``; all others are refused."""


@runtime_checkable
class ParticularAggregator(MessageAggregator[S], Protocol[S]):
    """Expects more of a message than names, shapes and finite values: it is looked at before it counts."""

    def check(self, state: S, update: Update) -> None:
        """Raise ``UpdateRefusedError`` if ``apply`` would not take this message; changes nothing."""


@runtime_checkable
class PersonalAggregator(Aggregator[S], Protocol[S]):
    """Each client may start from arrays of its own, such as what it receives over a channel of its own.

    Beside ``arrays``, which are saved, and of which the layout is that of the model.
    """

    @property
    def is_personal(self) -> bool:
        """Whether clients do start from arrays of their own; otherwise ``arrays`` are sent to all."""

    def arrays_of(self, state: S, client: int, order: Order | None = None) -> Arrays:
        """Return what a job of ``client`` starts from; without an ``order``, what it evaluates.

        As many as the model has, of any shapes. The same for the same state, client and order. Not to be written to.
        """


@runtime_checkable
class Scheduler(Protocol[S]):
    """Decides what each client does next. Its state is a value, part of the checkpoint: of plain numbers and arrays."""

    def init(self, clients: int) -> S:
        """Return the state before the first job, of a run that starts with this many clients; others may come later."""

    def offer(self, state: S, client: int, forecast: Forecast) -> Order | None:
        """Return what ``client``, who is idle, is to do; None if nothing fits until something else has happened.

        The same arguments give the same order.
        """

    def learn(self, state: S, outcome: Outcome) -> S:
        """Take in that a job has begun or ended; called for each job twice."""


@runtime_checkable
class Codec(Protocol[S]):
    """Turns arrays into bytes and back.

    States have the integer fields ``counter`` (number of the payload about to be encoded: 1, 2, ...; 0
    for one outside of any stream, which neither uses nor changes what is remembered) and
    ``acknowledged`` (the newest counter whose payload the receiver has used). The caller sets both
    before ``encode``, which leaves them alone; ``decode`` returns the payload's counter in its state.
    A state change that belongs to a payload becomes final only when that payload is acknowledged.
    """

    def init(self, layout: Layout) -> S:
        """Return the state of a stream of arrays with this layout."""

    def encode(self, state: S, arrays: Arrays, rng: np.random.Generator) -> tuple[Encoded, S]:
        """Encode ``arrays``; raises ``CodecError`` if they do not fit the layout or are not finite."""

    def decode(self, state: S, payload: bytes) -> tuple[Arrays, S]:
        """Decode ``payload``; raises ``CodecError`` for anything that ``encode`` cannot have made."""


@runtime_checkable
class DifferenceCodec(Codec[S], Protocol[S]):
    """A codec for small differences, never for whole arrays on the way down.

    Up it codes updates, as any codec, or weights (``WeightCodec``). What one ``decode`` leaves in the receiver's state
    may matter to the next one, so the receiver keeps that state for each client, and ``acknowledged`` names the payload
    it stems from: 0 once the receiver has forgotten it. A payload that builds on anything else raises ``CodecError``.
    Down, a client that holds arrays already is sent what has changed since, another one is sent them whole.
    """

    @property
    def downlink(self) -> Codec[Any]:
        """Codes, on the way down, the difference between the server's arrays and what this client holds.

        Its states remember nothing: each payload stands for itself. Its payload carries the given 32-bit counter
        unchanged: a tag of the job and of what the difference is to be added to (``codecs.differences``).
        """


@runtime_checkable
class KeyedCodec(Codec[S], Protocol[S]):
    """A codec whose payloads are made with a secret that both sides have; ``codecs.keys`` hands out the keys."""

    @property
    def needs_key(self) -> bool:
        """Whether it has to be given a key: it works with one, and has none of its own."""

    def keyed(self, key: bytes, client: int) -> Codec[S]:
        """Return the codec of one client's uploads, with ``key`` (32 bytes) if it needs one."""


@runtime_checkable
class WeightCodec(Codec[S], Protocol[S]):
    """A codec whose uploads may hold what a client trained, not how that differs from what the client was sent.

    Then floating arrays are handed over as they are, all others (counters, masks) as differences
    (``core.arrays.trained``). The server subtracts what it sent from what it decodes, so whoever merges gets
    differences as ever.
    """

    @property
    def codes_weights(self) -> bool:
        """Whether uploads are handed over so; both sides have the same answer."""


@runtime_checkable
class MessageCodec(DifferenceCodec[S], Protocol[S]):
    """A codec of differences that remembers nothing, so that it can code the messages of ``MessageAggregator``, too."""

    @property
    def codes_messages(self) -> bool:
        """Whether messages are coded by it; otherwise they travel as float32. Both sides have the same answer."""


@runtime_checkable
class EnergyModel(Protocol):
    """Prices the computation of a job."""

    def compute_time_s(self, work: Work) -> float:
        """Time the client computes [s]."""

    def compute_energy_j(self, work: Work) -> float:
        """Energy the client computes with [J]."""


@runtime_checkable
class Radio(Protocol):
    """Says who may send at which rate and power. It is a value: the same question has the same answer.

    A radio in which one upload changes the rate of another is ``coupled``; it is asked about all uploads under way
    whenever one begins or ends and, where rounds have a barrier, once a round, with all uploads of the round. One that
    is not is asked about each upload alone, once.
    """

    @property
    def coupled(self) -> bool:
        """Whether the grant of an upload depends on the others."""

    def download(self, client: int, time_s: float, num_bytes: int) -> Phase:
        """Price a download of ``num_bytes`` that begins at ``time_s`` [s]."""

    def grants(self, time_s: float, uploads: Sequence[Upload]) -> Sequence[Grant]:
        """Return the grant of each of ``uploads`` from ``time_s`` [s] on, in order.

        In a round with a barrier ``time_s`` is when the round began, and ``start_s`` of each when it will.
        """


@runtime_checkable
class DataSource(Protocol):
    """Rows of clients. Clients ``num_seen .. num_clients - 1`` never train (the unseen ones)."""

    @property
    def name(self) -> str:
        """Name of the data set."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class names; labels index into it."""

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Feature names, in column order."""

    @property
    def num_clients(self) -> int:
        """Number of clients, the unseen ones included."""

    @property
    def num_seen(self) -> int:
        """Number of clients that train."""

    def partition(self, index: int) -> Rows:
        """Rows of one client; an unseen client's training rows are its first quarter."""


@runtime_checkable
class Task(Protocol):
    """A model with its training and scoring, without federation.

    ``arrays`` are the complete model; the first ``num_shared`` of them are federated, the rest are
    the private head, whose shapes may differ between clients. The first ``num_backbone`` are what a client
    that never trained takes as given: it fits only the arrays behind them.
    """

    @property
    def scores(self) -> tuple[Score, ...]:
        """What ``evaluate`` tells of a model; the first is the main one."""

    @property
    def batch_size(self) -> int:
        """Rows of one step; the last batch of a pass may be smaller."""

    @property
    def num_shared(self) -> int:
        """Number of leading arrays that are federated."""

    @property
    def num_backbone(self) -> int:
        """Number of leading arrays before the head, federated or not."""

    def init(self, rng: np.random.Generator) -> Arrays:
        """Return the initial arrays of the complete model."""

    def personalise(self, model: Arrays, rows: Rows, rng: np.random.Generator, *, client: int) -> Arrays:
        """Return the complete model with the private head that a client without one starts from.

        ``model`` is the shared arrays, followed by the rest of the initial ones; only training rows are looked at.
        """

    def check_head(self, head: Arrays) -> None:
        """Raise ``ProtocolError`` unless ``head`` can be the private arrays of a client."""

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
        """Train on the training rows; return new arrays and the mean loss of the last pass over them.

        Exactly one of ``epochs`` (complete passes) and ``steps`` (batches) is given. Arrays before
        ``first_trained`` are frozen.
        """

    def evaluate(self, arrays: Arrays, rows: Rows) -> tuple[float, Mapping[str, float]]:
        """Return the mean loss and each declared score by its name, on the test rows."""

    def predict(self, arrays: Arrays, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the class probabilities ``(n, classes)`` of rows ``(n, features)``.

        ``arrays`` are the complete model, a private head of any shape included. The class of the largest probability
        is the one that ``evaluate`` counts.
        """


@runtime_checkable
class KeepsMemory(Protocol):
    """A task whose training can go on with what its optimiser remembers; whether a client keeps that is a setting."""

    @property
    def keeps_memory(self) -> bool:
        """Whether the memory stays on the client between its jobs."""

    def train_on(
        self, arrays: Arrays, rows: Rows, rng: np.random.Generator, memory: Memory, *, epochs: int
    ) -> tuple[Arrays, float, Memory]:
        """Train as ``Task.train`` with an optimiser that has this ``memory``; return its next memory, too.

        An empty memory is that of an optimiser which has made no step. So many epochs in one call or in several, each
        with the arrays and the memory of the last one and the same generator, give the same. Raises ``ProtocolError``
        if the memory is that of another task or optimiser.
        """
