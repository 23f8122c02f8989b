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

from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
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
    from google.protobuf.message import DecodeError as DecodeError  # type: ignore[import-untyped]
except ImportError as error:
    raise _unsupported(f"{error.name} with the expected names ({error})") from error

SERVER_NODE_ID: int = SUPERLINK_NODE_ID
CHUNK_BYTES: int = FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE  # arrays travel in pieces of this size
CODE_LOAD_ERROR: int = ErrorCode.LOAD_CLIENT_APP_EXCEPTION
CODE_CLIENT_RAISED: int = ErrorCode.CLIENT_APP_RAISED_EXCEPTION
CODE_MESSAGE_UNAVAILABLE: int = ErrorCode.MESSAGE_UNAVAILABLE
CODE_MOD_PRECONDITION: int = ErrorCode.MOD_FAILED_PRECONDITION
CODE_CLIENT_CRASHED: int = ErrorCode.CLIENT_APP_CRASHED

R = TypeVar("R", ArrayRecord, ConfigRecord, MetricRecord)
D = TypeVar("D", ArrayRecord, ConfigRecord, MetricRecord, RecordDict)

_EMPTY: dict[type, dict[str, Any]] = {
    kind: dict(vars(kind())) for kind in (ArrayRecord, ConfigRecord, MetricRecord, RecordDict)
}


def become_server(run_id: int = 1) -> Run:
    """Give this process the identity under which a server sends messages; return its run."""
    TaskIdentity.run_id = run_id
    TaskIdentity.task_id = 1
    TaskIdentity.node_id = SUPERLINK_NODE_ID
    return Run.create_empty(run_id=run_id)


def set_message_id(message: Message, message_id: str) -> None:
    """Set the id of a message, in place."""
    message.metadata.__dict__["_message_id"] = message_id


def trusted_array(dtype: str, shape: tuple[int, ...], stype: str, data: bytes) -> Array:
    """Make an Array of fields that are known to be of these types, in a tenth of the time of the constructor."""
    array = Array.__new__(Array)
    array.__dict__.update(dtype=dtype, shape=shape, stype=stype, data=data)
    return array


def trusted_record(kind: type[D], values: dict[str, Any]) -> D:
    """Make a record, or a RecordDict, that holds ``values``, which are known to be of types it takes.

    Flower's own way checks each value, in a few microseconds. Later changes are checked as ever.
    """
    record = kind.__new__(kind)
    record.__dict__.update(_EMPTY[kind], _data=values)
    return record


def copy_record(record: R) -> R:
    """Copy a record; bytes and strings are shared because nobody can change them."""
    copy = record.copy()
    values = copy.__dict__["_data"]
    if isinstance(record, ArrayRecord):
        for key, array in values.items():
            values[key] = trusted_array(array.dtype, tuple(array.shape), array.stype, array.data)
        return copy
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
    """Copy a message with its metadata and records (bytes are shared)."""
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
    reason = f"no message {message_id!r} waits for a reply: never sent here, or its reply was handed out before"
    return error_reply(message_id, CODE_MESSAGE_UNAVAILABLE, reason)


def error_reply(message_id: str, code: int, reason: str) -> Message:
    """Return an error in place of the reply to a message."""
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
    return Message(error=Error(code, reason), metadata=metadata)  # type: ignore[call-overload, no-any-return]


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
    array = Array("float32", (1,), "numpy.ndarray", b"")
    fields = {"_check_key_fn", "_check_value_fn", "_data"}
    expected = {
        "Message.__dict__ of _metadata, _content, _error": vars(message).keys() == {"_metadata", "_content", "_error"},
        "Metadata._message_id": "_message_id" in vars(metadata),
        "Array.__dict__ of dtype, shape, stype, data": vars(array).keys() - {"_is_dirty"}
        == {"dtype", "shape", "stype", "data"},
        **{
            f"{kind.__name__}.__dict__ of {', '.join(fields)}": empty.keys() - {"_is_dirty"} == fields
            for kind, empty in _EMPTY.items()
        },
        "RecordDict.copy": callable(getattr(RecordDict, "copy", None)),
        "flwr.supercore.telemetry.FLWR_TELEMETRY_ENABLED": hasattr(telemetry, "FLWR_TELEMETRY_ENABLED"),
        "TaskIdentity.run_id": all(hasattr(type(TaskIdentity), name) for name in ("run_id", "task_id", "node_id")),
        "Run.create_empty": callable(getattr(Run, "create_empty", None)),
    }
    for what, there in expected.items():
        if not there:
            raise _unsupported(what)


_check_layout()
