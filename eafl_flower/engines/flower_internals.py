"""The one place that touches private parts of Flower.

A Grid of one's own must set the process-global task identity that ``Message(...)`` reads, make a
``Run``, and give messages their ids, for which Flower has no public names. Everything of the kind
stands here and is checked at import, so that a Flower that moved a name fails with one clear line.
Works with flwr 1.39.0 and 1.41.0.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any, TypeVar

from flwr.app import ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid


def _unsupported(what: str) -> ImportError:
    return ImportError(
        f"flwr {version('flwr')} has no {what}, which the engines of eafl-flower need; "
        "they work with flwr 1.39.0 and 1.41.0: pip install 'flwr==1.41.0'"
    )


try:
    from flwr.app.metadata import Metadata
    from flwr.clientapp.client_app import LoadClientAppError as LoadClientAppError
    from flwr.common.constant import FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE, SUPERLINK_NODE_ID, ErrorCode
    from flwr.supercore import telemetry
    from flwr.supercore.run import Run as Run
    from flwr.supercore.task_identity import TaskIdentity
except ImportError as error:
    raise _unsupported(f"{error.name} with the expected names ({error})") from error

SERVER_NODE_ID: int = SUPERLINK_NODE_ID
CHUNK_BYTES: int = FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE  # arrays travel in pieces of this size
CODE_LOAD_ERROR: int = ErrorCode.LOAD_CLIENT_APP_EXCEPTION
CODE_CLIENT_RAISED: int = ErrorCode.CLIENT_APP_RAISED_EXCEPTION
CODE_MESSAGE_UNAVAILABLE: int = ErrorCode.MESSAGE_UNAVAILABLE
CODE_CLIENT_CRASHED: int = ErrorCode.CLIENT_APP_CRASHED

R = TypeVar("R", ArrayRecord, ConfigRecord, MetricRecord)


def become_server(run_id: int = 1) -> Run:
    """Give this process the identity under which a server sends messages; return its run."""
    TaskIdentity.run_id = run_id
    TaskIdentity.task_id = 1
    TaskIdentity.node_id = SUPERLINK_NODE_ID
    return Run.create_empty(run_id=run_id)


def set_message_id(message: Message, message_id: str) -> None:
    """Set the id of a message, in place."""
    message.metadata.__dict__["_message_id"] = message_id


def copy_record(record: R) -> R:
    """Copy a record; arrays, bytes and strings are shared because nobody can change them."""
    copy = record.copy()
    if not isinstance(record, ArrayRecord):
        values = copy.__dict__["_data"]
        for key, value in values.items():
            if type(value) is list:
                values[key] = value.copy()
    return copy


def copy_records(records: RecordDict) -> RecordDict:
    """Copy a RecordDict and its records, so that no change to the copy reaches the original."""
    copy = records.copy()
    values = copy.__dict__["_data"]
    for key, record in values.items():
        values[key] = copy_record(record)
    return copy


def copy_message(message: Message) -> Message:
    """Copy a message with its metadata and records (arrays and bytes are shared)."""
    fields = message.__dict__
    metadata = Metadata.__new__(Metadata)
    metadata.__dict__.update(fields["_metadata"].__dict__)
    content = fields["_content"]
    copy = Message.__new__(Message)
    copy.__dict__.update(
        _metadata=metadata,
        _content=None if content is None else copy_records(content),
        _error=fields["_error"],
    )
    return copy


def unavailable(message_id: str) -> Message:
    """Flower's answer when an unknown message, or one answered before, is asked for: error code 3."""
    metadata = Metadata(
        run_id=TaskIdentity.run_id,
        message_id=f"{message_id}-unavailable",
        src_node_id=SUPERLINK_NODE_ID,
        dst_node_id=SUPERLINK_NODE_ID,
        reply_to_message_id=message_id,
        group_id="",
        created_at=0.0,
        ttl=0.0,
        message_type="system",
    )
    reason = f"no message {message_id!r} waits for a reply: never sent here, or its reply was handed out before"
    return Message(error=Error(CODE_MESSAGE_UNAVAILABLE, reason), metadata=metadata)  # type: ignore[call-overload, no-any-return]


def is_in_memory(grid: Grid) -> bool:
    """Whether asking this grid for replies costs microseconds (Flower's simulation), not a request."""
    # Importing the module takes 0.75 s (a web server, a database); who has such a grid has imported it.
    module = sys.modules.get("flwr.superlink.grid")
    return module is not None and isinstance(grid, module.InMemoryGrid)


@contextmanager
def no_telemetry() -> Iterator[None]:
    """Keep Flower from reporting the run to its makers; nothing leaves the machine."""
    before = telemetry.FLWR_TELEMETRY_ENABLED
    telemetry.FLWR_TELEMETRY_ENABLED = "0"
    try:
        yield
    finally:
        telemetry.FLWR_TELEMETRY_ENABLED = before


@contextmanager
def watched_actors() -> Iterator[Callable[[], None]]:
    """Yield a function that kills the Ray actors which Flower's simulation has started meanwhile.

    Flower ends only when the messages being handled are answered, and has no way to give them up.
    """
    import ray
    from flwr.simulation.ray_transport.ray_actor import BasicActorPool

    pools: list[Any] = []
    fill = BasicActorPool.add_actors_to_pool

    def fill_watched(self: Any, num_actors: int) -> None:
        pools.append(self)
        fill(self, num_actors)

    def kill() -> None:
        for pool in pools:
            for actor in [*pool.pool, *pool._future_to_actor.values()]:
                ray.kill(actor)

    BasicActorPool.add_actors_to_pool = fill_watched  # type: ignore[method-assign]
    try:
        yield kill
    finally:
        BasicActorPool.add_actors_to_pool = fill  # type: ignore[method-assign]


def _check_layout() -> None:
    """Fail now, not in the middle of a run, if messages are no longer laid out as the copies expect."""
    metadata = Metadata(0, "", 0, 0, "", "", 0.0, 0.0, "train")
    message = Message(RecordDict({"config": ConfigRecord({"key": 1})}), metadata=metadata)  # type: ignore[call-overload]
    expected = {
        "Message.__dict__ of _metadata, _content, _error": vars(message).keys() == {"_metadata", "_content", "_error"},
        "Metadata._message_id": "_message_id" in vars(metadata),
        "RecordDict._data": "_data" in vars(message.content),
        "ConfigRecord._data": "_data" in vars(message.content["config"]),
        "RecordDict.copy": callable(getattr(RecordDict, "copy", None)),
        "flwr.supercore.telemetry.FLWR_TELEMETRY_ENABLED": hasattr(telemetry, "FLWR_TELEMETRY_ENABLED"),
        "TaskIdentity.run_id": all(hasattr(type(TaskIdentity), name) for name in ("run_id", "task_id", "node_id")),
        "Run.create_empty": callable(getattr(Run, "create_empty", None)),
    }
    for what, there in expected.items():
        if not there:
            raise _unsupported(what)


_check_layout()
