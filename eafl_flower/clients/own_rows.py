"""A node whose rows only it has: what it tells of them, and how it learns the shape that all share."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from flwr.app import ConfigRecord, Context, Message, MessageType
from flwr.clientapp.typing import ClientAppCallable, Mod

from eafl_flower.clients.durable_state import OF_THE_NODE
from eafl_flower.clients.partition import partition_of
from eafl_flower.core.durable import make_folder, write_private
from eafl_flower.core.stamps import noted
from eafl_flower.data.sets.own_rows import OwnRows, OwnTable
from eafl_flower.data.shape import Shape
from eafl_flower.data.splits import client_counts
from eafl_flower.errors import ConfigError, EAFLError, ProtocolError
from eafl_flower.wire.records import GREETING, ROWS, RUN_NAME, config_record

ROWS_FILE: Final = "rows-file"
SHAPE, RUN = "shape", "run"  # keys of the greeting
_HELD: Final = f"{OF_THE_NODE}shape"


@dataclass(frozen=True, kw_only=True)
class OwnRowsClient:
    """Reads the rows of a node by the settings of a run.

    Parameters
    ----------
    part
        Which columns.
    clients, unseen
        Number of clients of the run (0: as many as the node knows of), and of those that never train (-1: a fifth).
    seed
        Seed of the run.
    """

    part: OwnRows
    clients: int
    unseen: int
    seed: int

    def counts(self, context: Context) -> tuple[int, int, int]:
        """Return the partition of a node, the number of clients, and of those that train.

        Raises
        ------
        ConfigError
            If node and run do not agree about the number, or nobody would train.
        """
        partition, clients = partition_of(context)
        if self.clients not in (0, clients):
            msg = f"num-partitions = {clients}, the run has {self.clients} clients"
            raise ConfigError(f"{msg}: start as many nodes, or set data.clients to their number")
        _, unseen = client_counts(self.clients, self.unseen, if_zero=clients)
        return partition, clients, clients - unseen

    def table(self, context: Context) -> OwnTable:
        """Return the rows of a node, read once; raises ``ConfigError`` or ``DataError`` if it has none."""
        partition, _, num_seen = self.counts(context)
        path = context.node_config.get(ROWS_FILE)
        if not isinstance(path, str) or not path:
            raise ConfigError(f'this node has no {ROWS_FILE}: start it with {ROWS_FILE} = "/path/of/its.csv"')
        return _table(self.part, noted(Path(path)), partition, partition < num_seen, self.seed)

    def roster(self, context: Context) -> dict[str, Any]:
        """Return what a node answers to the roster query: its examples, or why it cannot take part."""
        try:
            partition, _, num_seen = self.counts(context)
            table = self.table(context)
            shape = held_shape(context)
            if shape is not None and (why := shape.disagreement(table.report())):
                raise ProtocolError(f"{context.node_config.get(ROWS_FILE)} {why} as in the run")
            left_out = table.rows(shape)[1] if shape is not None else 0
        except EAFLError as error:
            return {"num-examples": 0, "trains": 0, "kind": "delta", "refusal": str(error)}
        num_examples = len(table.part.y_train)
        told = {"num-examples": num_examples, "trains": int(partition < num_seen), "kind": "delta"}
        note = f"{left_out} rows of classes that the run does not know are left out" if left_out else ""
        return {**told, "note": note}

    def shaped_table(self, context: Context) -> tuple[Shape, OwnTable, int]:
        """Return the shape of the run, the rows of a node and its number.

        Raises
        ------
        ProtocolError
            If the node has not been told the shape of the run.
        """
        shape = held_shape(context)
        if shape is None:
            raise ProtocolError(
                "this node was not told columns, classes and scaling of the run, or has forgotten them: give it a "
                "state-dir that outlives a restart, and the server tells them again when it sees the node come back"
            )
        partition, clients, num_seen = self.counts(context)  # a node that joins later knows of more than the first ones
        return replace(shape, num_clients=clients, num_seen=num_seen), self.table(context), partition


def own_rows_mod(client_of: Callable[[Context], OwnRowsClient | None]) -> Mod:
    """Return a client mod that keeps the shape a server tells, and tells it of the node's rows.

    ``client_of`` returns None where the run has other data: then nothing happens.
    """

    def mod(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        client = client_of(context)
        if client is None or message.metadata.message_type != MessageType.QUERY:
            return call_next(message, context)
        if message.has_content() and (greeting := config_record(message.content, GREETING)) is not None:
            _hold(context, greeting)
        reply = call_next(message, context)
        if reply.has_content() and (fields := _report(client, context)):
            reply.content[ROWS] = ConfigRecord(fields)
        return reply

    return mod


def held_shape(context: Context) -> Shape | None:
    """Return the shape that a node was told, from its context or its state-dir; None if there is none."""
    held = config_record(context.state, _HELD)
    text = None if held is None else held.get(SHAPE)
    if not isinstance(text, str) and (path := _path(context)) is not None and path.is_file():
        text = path.read_text(encoding="utf-8")
        context.state[_HELD] = ConfigRecord({SHAPE: text})
    return _shape(text) if isinstance(text, str) else None


def _hold(context: Context, greeting: ConfigRecord) -> None:
    """Keep the shape in a greeting, in the context and, where the node has one, in its state-dir."""
    text, run = greeting.get(SHAPE), greeting.get(RUN)
    if not isinstance(text, str) or not isinstance(run, str) or not RUN_NAME.fullmatch(run):
        raise ProtocolError("the server greets with no shape of data: it needs the same eafl-flower version")
    _shape(text)  # so that nothing else is kept
    context.state[_HELD] = ConfigRecord({SHAPE: text})
    if (path := _path(context)) is not None:
        make_folder(path.parent)
        write_private(path, text.encode(), durable=True)
        for older in path.parent.glob(f"shape-{partition_of(context)[0]}-*.json"):
            if older != path:
                older.unlink(missing_ok=True)


def _report(client: OwnRowsClient, context: Context) -> dict[str, Any]:
    try:
        return client.table(context).report().to_fields()
    except EAFLError:
        return {}  # the answer says why


def _path(context: Context) -> Path | None:
    """Return the file of a node's state-dir that holds the shape of this run of Flower's."""
    root = context.node_config.get("state-dir") or context.run_config.get("checkpoint.state-dir")
    return Path(str(root)) / f"shape-{partition_of(context)[0]}-{context.run_id}.json" if root else None


@lru_cache(maxsize=8)
def _shape(text: str) -> Shape:
    return Shape.from_json(text)


@lru_cache(maxsize=4)
def _table(part: OwnRows, path: Path, partition: int, trains: bool, seed: int) -> OwnTable:
    return part.read(path, client=partition, trains=trains, seed=seed)
