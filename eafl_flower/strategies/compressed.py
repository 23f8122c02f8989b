"""Compression around any round-based Flower strategy."""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from logging import INFO, WARNING
from typing import Any, NoReturn

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy

from eafl_flower.codecs.keys import KEY_BYTES, needs_key
from eafl_flower.core.arrays import difference, moved
from eafl_flower.engines.flower_log import log
from eafl_flower.errors import CodecError, ConfigError, ProtocolError, UpdateRefusedError
from eafl_flower.protocols import Codec, DifferenceCodec
from eafl_flower.runs.hooks import refuse_legacy
from eafl_flower.runs.options import NO_PRIVACY
from eafl_flower.runs.plan import EvaluateFn
from eafl_flower.strategies.usable import UsableReplies
from eafl_flower.strategies.wrappers import check_wrapped, refuse_privacy_around, warn_of_clipping_before_the_codec
from eafl_flower.types import Arrays, Layout, layout_of
from eafl_flower.wire.agreement import with_codec
from eafl_flower.wire.arrays import array_record, arrays_of
from eafl_flower.wire.downlink import Base
from eafl_flower.wire.records import CODED, TERMS, JobTerms, terms_record
from eafl_flower.wire.replies import reason_of, sizes_of
from eafl_flower.wire.server_side import Sent, ServerSide
from eafl_flower.wire.unregistered import advice

_Model = tuple[str, tuple[str, ...], Layout]  # the name of a record, the names of its arrays, and their layout


@dataclass(frozen=True)
class _Job:
    """What one node was sent in this round to train on."""

    name: str
    side: ServerSide
    sent: Sent


class Compressed(Strategy):
    """Send the arrays of any strategy that inherits ``start()`` through a codec, in both directions.

    Wraps FedAvg, FedAdam, Krum and the like; the ClientApp needs ``compression_mod`` with the same codec.
    The wrapped strategy sees the full arrays of each client: what the client decoded plus its decoded
    difference. A reply that is not coded, or cannot be decoded, is refused: the wrapped strategy does not see it.
    Arrays travel in the dtypes they had at the start (FedAdam makes float64 of float32). Our own strategies take
    ``codec=`` instead. Flower's wrappers for differential privacy stand inside, as in
    ``Compressed(DP(strategy, ...), codec)``, and their mods after ``compression_mod``.

    With a ``DifferenceCodec`` a node whose last reply was used is sent what has changed since, any other node, and
    whoever evaluates, whole arrays.

    Parameters
    ----------
    strategy
        The strategy to wrap.
    codec
        The codec of both directions.
    seed
        Seed of codecs that draw random numbers.
    run
        Names the run to the clients.
    remembered_clients
        Nodes of which the server remembers what they hold, see ``RunOptions``.
    secret
        32 bytes from which the nodes' session keys are made, where the codec needs them; by default every start draws
        its own. Only for runs that are to be repeated: whoever knows it can take off the dither.

    Attributes
    ----------
    uplink_bytes, downlink_bytes
        Payload bytes so far.
    refused
        Number of replies that were not used so far.

    Examples
    --------
    >>> from flwr.serverapp.strategy import FedAvg
    >>> from eafl_flower.codecs import Int8Codec
    >>> strategy = Compressed(FedAvg(fraction_train=0.5), Int8Codec())
    """

    def __init__(
        self,
        strategy: Strategy,
        codec: Codec[Any],
        *,
        seed: int = 0,
        run: str = "run",
        remembered_clients: int = 0,
        secret: bytes = b"",
    ) -> None:
        check_wrapped(strategy)
        if remembered_clients < 0:
            raise ConfigError(f"remembered_clients = {remembered_clients}: expected a number of at least 0")
        if len(secret) not in (0, KEY_BYTES):
            raise ConfigError(f"secret has {len(secret)} bytes: expected {KEY_BYTES}, or none to draw them at random")
        self.strategy, self.codec, self.seed, self._run = strategy, codec, seed, run
        self.uplink_bytes = self.downlink_bytes = self.refused = 0
        self._remembered, self._given_secret = remembered_clients, secret
        self._secret = secret or secrets.token_bytes(KEY_BYTES)
        self._dtypes: dict[str, np.dtype[Any]] = {}
        self._jobs: dict[int, _Job] = {}
        self._acknowledged: dict[int, int] = {}  # node -> round of its last upload that was used
        self._sides: dict[_Model, ServerSide] = {}
        self._last_round = 0
        self._usable = UsableReplies(codec)

    def start(
        self,
        grid: Grid,
        initial_arrays: ArrayRecord,
        num_rounds: int = 3,
        timeout: float = 3600,
        train_config: ConfigRecord | None = None,
        evaluate_config: ConfigRecord | None = None,
        evaluate_fn: EvaluateFn | None = None,
    ) -> Result:
        """Run as every strategy of Flower's does: see ``Strategy.start``.

        Raises
        ------
        ConfigError
            If a wrapper for differential privacy stands around this strategy instead of inside.
        RunFailedError
            If three rounds in a row, or all there were, had no reply that could be used.
        """
        result = super().start(grid, initial_arrays, num_rounds, timeout, train_config, evaluate_config, evaluate_fn)
        self._usable.check_end()
        return result

    def summary(self) -> None:
        """Log the settings of the wrapped strategy."""
        self.strategy.summary()
        log(INFO, NO_PRIVACY)
        warn_of_clipping_before_the_codec(self.strategy)

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Configure as the wrapped strategy does, and code what it sends."""
        refuse_privacy_around()
        if server_round <= self._last_round:  # another start
            self._usable = UsableReplies(self.codec)
            self._sides, self._jobs, self._acknowledged, self._dtypes = {}, {}, {}, {}
            self._secret = self._given_secret or secrets.token_bytes(KEY_BYTES)  # rounds are counted from 1 again
        self._last_round = server_round
        for node in tuple(self._jobs):
            self._lose(node)
        return self._code(self.strategy.configure_train(server_round, arrays, config, grid), server_round, trains=True)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Decode the replies and let the wrapped strategy aggregate them."""
        passed, reasons, asked, used = [], [], len(self._jobs), 0
        for reply in replies:
            if reply.has_error():
                passed.append(reply)  # the wrapped strategy reports it
                reason = reason_of(reply)
                reasons.append(reason + advice(reason))
                continue
            try:
                passed.append(self._decode(reply, server_round))
                used += 1
            except (CodecError, ProtocolError, UpdateRefusedError) as error:
                self.refused += 1
                self._lose(reply.metadata.src_node_id)
                reasons.append(str(error))
                log(WARNING, "refused in round %d: %s", server_round, error)
        if asked:
            self._usable.note_round(used=used, reasons=reasons)
        return self.strategy.aggregate_train(server_round, passed)

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Configure as the wrapped strategy does, and code what it sends."""
        messages = self.strategy.configure_evaluate(server_round, arrays, config, grid)
        return self._code(messages, server_round, trains=False)

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Let the wrapped strategy aggregate."""
        return self.strategy.aggregate_evaluate(server_round, replies)

    def initialize_parameters(self, client_manager: object) -> NoReturn:
        """Not used: what Flower's legacy API calls first; raises ``ConfigError``."""
        refuse_legacy(type(self))

    def _code(self, messages: Iterable[Message], server_round: int, *, trains: bool) -> list[Message]:
        """Replace the arrays of each message; messages often share one record, which is coded once."""
        whole: dict[int, tuple[int, Arrays, ServerSide]] = {}
        scored: dict[int, Base] = {}
        messages = list(messages)
        for message in messages:
            records = message.content.array_records
            if len(records) != 1:
                msg = f"{type(self.strategy).__name__} sends {len(records)} ArrayRecords a message, expected one"
                raise ProtocolError(msg)
            name, record = next(iter(records.items()))
            if id(record) not in whole:
                arrays = self._as_at_first(record)
                whole[id(record)] = len(whole), arrays, self._side_of((name, tuple(record), layout_of(arrays)))
            place, arrays, side = whole[id(record)]
            node, version = message.metadata.dst_node_id, (server_round, place)
            client, load = _client_of(node), self._acknowledged.get(node, 0)
            terms = JobTerms(
                run=self._run,
                seed=self.seed,
                client=client,
                counter=server_round,
                load=load,
                acknowledged=side.acknowledged(client, load),
                durable=load,
                key=side.key_of(client) if trains else b"",
            )
            if trains:
                sent = side.send(client, counter=server_round, load=load, version=version, arrays=arrays)
                self._jobs[node], base = _Job(name, side, sent), sent.base
            else:
                base = scored[place] = scored.get(place) or side.downlink.encode(version, arrays)
            self.downlink_bytes += base.payload_bytes
            others = {key: value for key, value in message.content.items() if key != name}
            # until a reply of this node was used, it is told what codec to expect
            coded = base.record if load or isinstance(base.record, ArrayRecord) else with_codec(base.record, self.codec)
            message.content = RecordDict({**others, CODED: coded, TERMS: terms_record(terms)})
        return messages

    def _side_of(self, model: "_Model") -> ServerSide:
        """Return what sends arrays of these names and shapes; a codec for differences knows one model at a time."""
        if model not in self._sides:
            if isinstance(self.codec, DifferenceCodec):
                if self._jobs:
                    msg = f"{type(self.strategy).__name__} trains models of different shapes in one round"
                    raise ProtocolError(f"{msg}: a codec for differences knows one, use another codec")
                self._sides.clear()
            name, keys, layout = model
            side = ServerSide(
                self.codec, keys, layout, seed=self.seed, record=name, remembered_clients=self._remembered
            )
            side.secret = self._secret if needs_key(self.codec) else b""
            self._sides[model] = side
        return self._sides[model]

    def _decode(self, reply: Message, server_round: int) -> Message:
        """Return the reply with the client's full arrays in place of the payload."""
        node = reply.metadata.src_node_id
        job, client, whose = self._jobs.get(node), _client_of(node), f"the reply of node {node}"
        if job is None:
            msg = f"{whose} answers no job of this round, or one that is answered already"
            raise ProtocolError(msg)
        self.uplink_bytes += sizes_of(reply.content)[0]
        received = job.side.receive(client, server_round, reply.content, job.sent, whose=whose)
        base = job.sent.base.arrays
        new = moved(base, received.delta)
        if not all(np.isfinite(array).all() for array in difference(new, base)):  # a buffer may be infinite
            msg = f"{whose} is so large that its arrays are not finite"
            raise UpdateRefusedError(msg)
        self._acknowledged[node] = server_round
        job.side.merged(client, server_round, received.decoder)
        job.side.end(client, job.sent, state=server_round, is_new=True)
        del self._jobs[node]
        others = {key: value for key, value in reply.content.items() if key != CODED}
        reply.content = RecordDict({job.name: array_record(job.side.keys, new), **others})
        return reply

    def _lose(self, node: int) -> None:
        """Forget what a node holds whose last reply was not used; its own state, of before, is still there."""
        job = self._jobs.pop(node, None)
        if job is not None:
            job.side.end(_client_of(node), job.sent, state=0, is_new=False)

    def _as_at_first(self, record: ArrayRecord) -> Arrays:
        """Return the arrays of ``record`` in the dtypes that arrays of these names had first since the start."""
        arrays = []
        for key, array in zip(record, arrays_of(record), strict=True):
            dtype = self._dtypes.setdefault(key, array.dtype)
            arrays.append(array.astype(dtype, copy=False) if np.can_cast(array.dtype, dtype, "same_kind") else array)
        return tuple(arrays)


def _client_of(node: int) -> int:
    return node % (1 << 63)  # Flower's records hold numbers up to there
