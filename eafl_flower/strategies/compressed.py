"""Compression around any round-based Flower strategy."""

from collections.abc import Iterable
from dataclasses import dataclass
from logging import WARNING
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.common.logger import log
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from eafl_flower.aggregation.difference import moved
from eafl_flower.errors import CodecError, ProtocolError, UpdateRefusedError
from eafl_flower.protocols import Codec
from eafl_flower.rng import generator
from eafl_flower.strategies.records import (
    ARRAYS,
    CODED,
    REFUSED,
    TERMS,
    JobTerms,
    array_record,
    arrays_of,
    coded_record,
    config_record,
    terms_record,
)
from eafl_flower.types import Arrays, layout_of


@dataclass
class _Node:
    """What one node was sent in this round, and the rounds whose uploads were used."""

    keys: list[str]
    base: Arrays
    acknowledged: int


class Compressed(Strategy):
    """Send the arrays of any strategy that inherits ``start()`` through a codec, in both directions.

    Wraps FedAvg, FedAdam, Krum and the like; the ClientApp needs ``compression_mod`` with the same codec.
    The wrapped strategy sees the full arrays of each client: what the client decoded plus its decoded
    difference. A reply that cannot be decoded is refused: the wrapped strategy does not see it. Arrays travel
    in the dtypes they had first (FedAdam makes float64 of float32). Our own strategies take ``codec=`` instead.

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

    def __init__(self, strategy: Strategy, codec: Codec[Any], *, seed: int = 0, run: str = "run") -> None:
        if type(strategy).start is not Strategy.start:
            msg = f"{type(strategy).__name__} has a start() of its own, Compressed cannot stand around it"
            raise TypeError(f"{msg}: use its codec= argument, if it has one")
        self.strategy, self.codec, self.seed, self._run = strategy, codec, seed, run
        self.uplink_bytes = self.downlink_bytes = self.refused = 0
        self._dtypes: dict[str, np.dtype[Any]] = {}
        self._nodes: dict[int, _Node] = {}

    def summary(self) -> None:
        """Log the settings of the wrapped strategy."""
        self.strategy.summary()

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Configure as the wrapped strategy does, and code what it sends."""
        return self._code(self.strategy.configure_train(server_round, arrays, config, grid), server_round)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Decode the replies and let the wrapped strategy aggregate them."""
        decoded = []
        for reply in replies:
            try:
                decoded.append(self._decode(reply, server_round))
            except (CodecError, ProtocolError, UpdateRefusedError) as error:
                self.refused += 1
                log(WARNING, "refused in round %d: %s", server_round, error)
        return self.strategy.aggregate_train(server_round, decoded)

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Configure as the wrapped strategy does, and code what it sends."""
        return self._code(self.strategy.configure_evaluate(server_round, arrays, config, grid), server_round)

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Let the wrapped strategy aggregate."""
        return self.strategy.aggregate_evaluate(server_round, replies)

    def _code(self, messages: Iterable[Message], server_round: int) -> list[Message]:
        """Replace the arrays of each message; messages often share one record, which is coded once."""
        coded: dict[int, tuple[ArrayRecord, ConfigRecord, Arrays]] = {}
        messages = list(messages)
        for message in messages:
            records = message.content.array_records
            if len(records) != 1:
                msg = f"{type(self.strategy).__name__} sends {len(records)} ArrayRecords a message, expected one"
                raise ProtocolError(msg)
            name, record = next(iter(records.items()))
            if id(record) not in coded:
                arrays = self._as_at_first(record)
                start = self.codec.init(layout_of(arrays))
                rng = generator(self.seed, "downlink", server_round, len(coded))
                payload = self.codec.encode(start, arrays, rng)[0].payload
                decoded, _ = self.codec.decode(self.codec.init(layout_of(arrays)), payload)
                coded[id(record)] = record, coded_record(payload, layout_of(arrays), list(record)), decoded
            _, coded_arrays, base = coded[id(record)]
            self.downlink_bytes += len(coded_arrays["payload"])  # type: ignore[arg-type]
            node = message.metadata.dst_node_id
            before = self._nodes.get(node)
            acknowledged = before.acknowledged if before else 0
            terms = JobTerms(
                run=self._run,
                seed=self.seed,
                client=node % (1 << 63),
                counter=server_round,
                load=acknowledged,
                acknowledged=acknowledged,
                durable=acknowledged,
            )
            others = {key: value for key, value in message.content.items() if key != name}
            message.content = RecordDict({**others, CODED: coded_arrays, TERMS: terms_record(terms)})
            self._nodes[node] = _Node(list(record), base, acknowledged)
        return messages

    def _decode(self, reply: Message, server_round: int) -> Message:
        """Return the reply with the client's full arrays in place of the payload."""
        node = self._nodes.get(reply.metadata.src_node_id)
        if not reply.has_content() or node is None or CODED not in reply.content:
            return reply
        whose = f"the reply of node {reply.metadata.src_node_id}"
        coded = config_record(reply.content, CODED)
        if coded is not None and isinstance(reason := coded.get(REFUSED), str):
            msg = f"node {reply.metadata.src_node_id} has no update to send: {reason}"
            raise UpdateRefusedError(msg)
        payload = coded.get("payload") if coded is not None else None
        if not isinstance(payload, bytes):
            msg = f'{whose} has a record "{CODED}" without payload bytes'
            raise ProtocolError(msg)
        self.uplink_bytes += len(payload)
        try:
            delta, state = self.codec.decode(self.codec.init(layout_of(node.base)), payload)
        except CodecError as error:
            msg = f"{whose} cannot be decoded: {error}"
            raise CodecError(msg) from error
        if state.counter != server_round:
            msg = f"{whose} holds the payload of round {state.counter}"
            raise ProtocolError(msg)
        node.acknowledged = server_round
        others = {key: value for key, value in reply.content.items() if key != CODED}
        arrays = array_record(node.keys, moved(node.base, delta))
        reply.content = RecordDict({ARRAYS: arrays, **others})
        return reply

    def _as_at_first(self, record: ArrayRecord) -> Arrays:
        """Return the arrays of ``record`` in the dtypes that arrays of these names had first."""
        arrays = []
        for key, array in zip(record, arrays_of(record), strict=True):
            dtype = self._dtypes.setdefault(key, array.dtype)
            arrays.append(array.astype(dtype, copy=False) if np.can_cast(array.dtype, dtype, "same_kind") else array)
        return tuple(arrays)
