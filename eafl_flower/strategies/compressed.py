"""Compression around any round-based Flower strategy."""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from logging import INFO, WARNING
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy

from eafl_flower.codecs.differences import decode_onto, encode_onto, whole_codec
from eafl_flower.codecs.lqgcm.codec import keyed_for, needs_key
from eafl_flower.codecs.lqgcm.dither import KEY_BYTES, client_key
from eafl_flower.core.arrays import difference, moved
from eafl_flower.core.rng import generator
from eafl_flower.engines.flower_log import log
from eafl_flower.errors import CodecError, ConfigError, ProtocolError, UpdateRefusedError
from eafl_flower.protocols import Codec, DifferenceCodec
from eafl_flower.runs.options import NO_PRIVACY
from eafl_flower.strategies.wrappers import refuse_privacy_around, warn_of_clipping_before_the_codec
from eafl_flower.types import Arrays, Layout, layout_of
from eafl_flower.wire.records import (
    CODED,
    TERMS,
    JobTerms,
    array_record,
    arrays_of,
    coded_record,
    difference_record,
    terms_record,
)
from eafl_flower.wire.replies import reason_of
from eafl_flower.wire.streams import ClientStreams
from eafl_flower.wire.usable import UsableReplies, agreed_payload


@dataclass(frozen=True)
class _Sent:
    """What one node was sent in this round to train on."""

    name: str
    keys: list[str]
    base: Arrays


@dataclass(frozen=True)
class _Whole:
    """The arrays of one record of the wrapped strategy, and them coded."""

    name: str
    record: ArrayRecord
    arrays: Arrays
    coded: ConfigRecord
    decoded: Arrays


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
        if type(strategy).start is not Strategy.start:
            msg = f"{type(strategy).__name__} has a start() of its own, Compressed cannot stand around it"
            raise TypeError(f"{msg}: use its codec= argument, if it has one")
        if remembered_clients < 0:
            raise ConfigError(f"remembered_clients = {remembered_clients}: expected a number of at least 0")
        if len(secret) not in (0, KEY_BYTES):
            raise ConfigError(f"secret has {len(secret)} bytes: expected {KEY_BYTES}, or none to draw them at random")
        self.strategy, self.codec, self.seed, self._run = strategy, codec, seed, run
        self.uplink_bytes = self.downlink_bytes = self.refused = 0
        self._remembered, self._given_secret = remembered_clients, secret
        self._secret = secret or secrets.token_bytes(KEY_BYTES)
        self._whole = whole_codec(codec)
        self._dtypes: dict[str, np.dtype[Any]] = {}
        self._sent: dict[int, _Sent] = {}
        self._acknowledged: dict[int, int] = {}  # node -> round of its last upload that was used
        self._streams: ClientStreams | None = None
        self._model: tuple[list[str], Layout] | None = None
        self._last_round = 0
        self._usable = UsableReplies(codec)

    def start(self, *args: Any, **kwargs: Any) -> Result:
        """Run as every strategy of Flower's does: see ``Strategy.start``.

        Raises
        ------
        ConfigError
            If a wrapper for differential privacy stands around this strategy instead of inside.
        RunFailedError
            If three rounds in a row, or all there were, had no reply that could be used.
        """
        result = super().start(*args, **kwargs)
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
            self._streams, self._model, self._acknowledged, self._dtypes = None, None, {}, {}
            self._secret = self._given_secret or secrets.token_bytes(KEY_BYTES)  # rounds are counted from 1 again
        self._last_round = server_round
        for node in self._sent:
            self._lose(node)
        self._sent = {}
        return self._code(self.strategy.configure_train(server_round, arrays, config, grid), server_round, trains=True)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Decode the replies and let the wrapped strategy aggregate them."""
        passed, reasons, asked = [], [], len(self._sent)
        for reply in replies:
            if reply.has_error():
                passed.append(reply)  # the wrapped strategy reports it
                reasons.append(reason_of(reply))
                continue
            try:
                passed.append(self._decode(reply, server_round))
            except (CodecError, ProtocolError, UpdateRefusedError) as error:
                self.refused += 1
                self._lose(reply.metadata.src_node_id)
                reasons.append(str(error))
                log(WARNING, "refused in round %d: %s", server_round, error)
        if asked:
            self._usable.note_round(used=asked - len(self._sent), reasons=reasons)
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

    def _code(self, messages: Iterable[Message], server_round: int, *, trains: bool) -> list[Message]:
        """Replace the arrays of each message; messages often share one record, which is coded once."""
        coded: dict[int, _Whole] = {}
        messages = list(messages)
        for message in messages:
            records = message.content.array_records
            if len(records) != 1:
                msg = f"{type(self.strategy).__name__} sends {len(records)} ArrayRecords a message, expected one"
                raise ProtocolError(msg)
            name, record = next(iter(records.items()))
            if id(record) not in coded:
                rng = generator(self.seed, "downlink", server_round, len(coded))
                coded[id(record)] = self._coded_whole(name, record, rng)
            whole, node = coded[id(record)], message.metadata.dst_node_id
            if trains:
                self._remember_streams_of(whole)
            load = known = self._acknowledged.get(node, 0)
            if self._streams is not None:
                known = self._streams.of(node).acknowledged
            terms = JobTerms(
                run=self._run,
                seed=self.seed,
                client=_client_of(node),
                counter=server_round,
                load=load,
                acknowledged=known,
                durable=load,
                key=self._key_of(node) if trains else b"",
            )
            sent, base = self._begin(terms, whole, node) if trains else (whole.coded, whole.decoded)
            self.downlink_bytes += len(sent["payload"])  # type: ignore[arg-type]
            others = {key: value for key, value in message.content.items() if key != name}
            message.content = RecordDict({**others, CODED: sent, TERMS: terms_record(terms)})
            if trains:
                self._sent[node] = _Sent(name, list(record), base)
        return messages

    def _begin(self, terms: JobTerms, whole: _Whole, node: int) -> tuple[ConfigRecord, Arrays]:
        """Return what a node is sent to train on, and what it decodes that to."""
        if self._streams is None:
            return whole.coded, whole.decoded
        assert isinstance(self.codec, DifferenceCodec)
        stream = self._streams.begin(node, terms.load)
        if not stream.counter:
            return whole.coded, whole.decoded
        rng = generator(self.seed, "downlink", terms.client, terms.counter)
        payload = encode_onto(self.codec, stream.arrays, whole.arrays, counter=terms.counter, rng=rng)
        base = decode_onto(self.codec, stream.arrays, payload, counter=terms.counter)
        return difference_record(payload, terms.load, whole.name), base

    def _coded_whole(self, name: str, record: ArrayRecord, rng: np.random.Generator) -> _Whole:
        arrays = self._as_at_first(record)
        layout = layout_of(arrays)
        payload = self._whole.encode(self._whole.init(layout), arrays, rng)[0].payload
        decoded, _ = self._whole.decode(self._whole.init(layout), payload)
        return _Whole(name, record, arrays, coded_record(payload, layout, list(record), name), decoded)

    def _remember_streams_of(self, whole: _Whole) -> None:
        """Begin new streams where arrays of other names or shapes are trained from now on."""
        model = list(whole.record), layout_of(whole.arrays)
        if isinstance(self.codec, DifferenceCodec) and model != self._model:
            if self._sent:
                msg = f"{type(self.strategy).__name__} trains models of different shapes in one round"
                raise ProtocolError(f"{msg}: a codec for differences knows one, use another codec")
            self._streams, self._model = ClientStreams(self.codec, model[1], self._remembered), model

    def _decode(self, reply: Message, server_round: int) -> Message:
        """Return the reply with the client's full arrays in place of the payload."""
        node = reply.metadata.src_node_id
        sent = self._sent.get(node)
        whose = f"the reply of node {node}"
        if sent is None:
            msg = f"{whose} answers no job of this round, or one that is answered already"
            raise ProtocolError(msg)
        payload = agreed_payload(reply.content, f"node {node}")
        self.uplink_bytes += len(payload)
        codec = keyed_for(self.codec, seed=self.seed, client=_client_of(node), key=self._key_of(node))
        start = codec.init(layout_of(sent.base)) if self._streams is None else self._streams.of(node).decoder
        try:
            delta, state = codec.decode(start, payload)
        except CodecError as error:
            msg = f"{whose} cannot be decoded: {error}"
            raise CodecError(msg) from error
        if state.counter != server_round:
            msg = f"{whose} holds the payload of round {state.counter}"
            raise ProtocolError(msg)
        new = moved(sent.base, delta)
        if not all(np.isfinite(array).all() for array in difference(new, sent.base)):  # a buffer may be infinite
            msg = f"{whose} is so large that its arrays are not finite"
            raise UpdateRefusedError(msg)
        self._acknowledged[node] = server_round
        if self._streams is not None:
            self._streams.merge(node, server_round, state)
            self._streams.end(node, state=server_round, arrays=sent.base)
        del self._sent[node]
        others = {key: value for key, value in reply.content.items() if key != CODED}
        reply.content = RecordDict({sent.name: array_record(sent.keys, new), **others})
        return reply

    def _key_of(self, node: int) -> bytes:
        """Return the session key of ``node``, none where the codec needs none."""
        return client_key(self._secret, _client_of(node)) if needs_key(self.codec) else b""

    def _lose(self, node: int) -> None:
        """Forget what a node holds whose last reply was not used; its own state, of before, is still there."""
        if self._streams is not None:
            self._streams.end(node, state=0)

    def _as_at_first(self, record: ArrayRecord) -> Arrays:
        """Return the arrays of ``record`` in the dtypes that arrays of these names had first since the start."""
        arrays = []
        for key, array in zip(record, arrays_of(record), strict=True):
            dtype = self._dtypes.setdefault(key, array.dtype)
            arrays.append(array.astype(dtype, copy=False) if np.can_cast(array.dtype, dtype, "same_kind") else array)
        return tuple(arrays)


def _client_of(node: int) -> int:
    return node % (1 << 63)  # Flower's records hold numbers up to there
