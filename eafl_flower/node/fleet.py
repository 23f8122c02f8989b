"""All that a node uses of Flower's private protocol: the Fleet API over gRPC, as SuperNodes of flwr 1.39 speak it.

A session begins with ``ActivateNode`` (without a key of one's own, ``RegisterNode`` before it) and ends with
``DeactivateNode``; heartbeats keep the node online between the two. Every call is signed with the node's key. A message
comes as its metadata and the tree of its objects, which are pulled one by one and confirmed together; a reply goes
the same way back. Later releases speak HTTP: with them the import of this module fails with one line.
"""

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final

from flwr.app import Message

from eafl_flower.core.excerpt import excerpt
from eafl_flower.engines.flower_internals import set_message_id
from eafl_flower.errors import ConfigError, ProtocolError
from eafl_flower.node.link import ForgottenError, GivenUpError, Link, Patience, RefusedError

SPOKEN: Final = "1.39."


def _unsupported(why: str = "") -> ImportError:
    return ImportError(
        f"a node that keeps its model speaks gRPC as flwr 1.39 does, and flwr {version('flwr')} is installed{why}: "
        "pip install 'flwr==1.39.0', or start flower-supernode instead"
    )


if not version("flwr").startswith(SPOKEN):
    raise _unsupported()
try:
    import grpc
    from cryptography.hazmat.primitives.asymmetric import ec
    from flwr.app.message import remove_content_from_message
    from flwr.common.config import get_fused_config_from_fab, parse_config_args
    from flwr.common.constant import (
        HEARTBEAT_CALL_TIMEOUT,
        HEARTBEAT_DEFAULT_INTERVAL,
        PUBLIC_KEY_HEADER,
        SIGNATURE_HEADER,
        TIMESTAMP_HEADER,
    )
    from flwr.common.serde import message_from_proto, message_to_proto, run_from_proto
    from flwr.proto import fleet_pb2 as proto
    from flwr.proto.fab_pb2 import GetFabRequest
    from flwr.proto.fleet_pb2_grpc import FleetStub
    from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
    from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest
    from flwr.proto.node_pb2 import Node
    from flwr.proto.run_pb2 import GetRunRequest
    from flwr.supercore.date import now
    from flwr.supercore.error import FlowerError
    from flwr.supercore.grpc import GRPC_MAX_MESSAGE_LENGTH
    from flwr.supercore.heartbeat import HeartbeatSender
    from flwr.supercore.inflatable.inflatable_object import (
        get_all_nested_objects,
        get_object_tree,
        iterate_object_tree,
        no_object_id_recompute,
    )
    from flwr.supercore.inflatable.inflatable_protobuf_utils import (
        make_pull_object_fn_protobuf,
        make_push_object_fn_protobuf,
    )
    from flwr.supercore.inflatable.inflatable_utils import (
        ObjectPullError,
        ObjectPushError,
        inflate_object_from_contents,
        pull_objects,
        push_objects,
    )
    from flwr.supercore.primitives.asymmetric import public_key_to_bytes, sign_message
    from flwr.supercore.runtime_version_compatibility import RuntimeVersionMetadata
    from flwr.supercore.task_identity import TaskIdentity
except ImportError as _error:
    raise _unsupported(f", without the expected names ({_error})") from _error

FAREWELL_S = 5.0
FIRST_LOOK_S, LONGEST_LOOK_S = 0.05, 2.0  # for an object that the server is still pushing
_CHANNEL = [
    ("grpc.max_send_message_length", GRPC_MAX_MESSAGE_LENGTH),
    ("grpc.max_receive_message_length", GRPC_MAX_MESSAGE_LENGTH),
    ("grpc.max_reconnect_backoff_ms", 5000),  # by itself gRPC may not look for two minutes whether a server is back
]


@dataclass(frozen=True)
class RunInfo:
    """What a node is told of a run: its app bundle, the configuration, and whose state it continues (``series``)."""

    run_id: int
    app: str
    bundle: bytes
    sha256: str
    config: Mapping[str, Any]
    series: int


def node_config_of(text: str) -> dict[str, Any]:
    """Return a node's configuration from a TOML file or from pairs, as ``flower-supernode --node-config`` reads it.

    Raises
    ------
    ConfigError
        If the file cannot be read, or is not TOML with values that Flower takes.
    """
    try:
        return dict(parse_config_args([text] if text else None))
    except Exception as error:  # click's, tomli's, OSError, ValueError
        msg = f"node-config {excerpt(text, 200)}: {error}; expected a file NAME.toml, or \"key=1 other='text'\""
        raise ConfigError(msg) from error


class Fleet:
    """A node's session with a SuperLink: messages come, replies go; see ``admitted``."""

    def __init__(self, link: Link, stop: threading.Event) -> None:
        self.link, self._stop = link, stop
        key = link.key()
        self._public_key = public_key_to_bytes(key.public_key())
        if link.insecure:
            channel = grpc.insecure_channel(link.superlink, options=_CHANNEL)
        else:
            credentials = grpc.ssl_channel_credentials(link.certificates())
            channel = grpc.secure_channel(link.superlink, credentials, options=_CHANNEL)
        self._channel = grpc.intercept_channel(channel, _Signing(key, self._public_key))
        self._stub = FleetStub(self._channel)
        self._node: Any = None
        self._forgotten = False
        self._heartbeats = HeartbeatSender(self._heartbeat)

    @property
    def node_id(self) -> int:
        """The id that the SuperLink has given to the node's key."""
        return int(self._node.node_id)

    def enter(self) -> None:
        """Register, where the node has no key of its own, and go online."""
        if self.link.private_key is None:
            self._admission(self._stub.RegisterNode, proto.RegisterNodeFleetRequest(public_key=self._public_key))
        activate = proto.ActivateNodeRequest(public_key=self._public_key, heartbeat_interval=HEARTBEAT_DEFAULT_INTERVAL)
        self._node = Node(node_id=self._admission(self._stub.ActivateNode, activate).node_id)
        self._heartbeats.start()

    def leave(self) -> None:
        """Go offline, if the SuperLink is there to be told, and close the connection."""
        if self._node is not None:
            self._heartbeats.stop()
            with suppress(grpc.RpcError):
                self._stub.DeactivateNode(proto.DeactivateNodeRequest(node_id=self.node_id), timeout=FAREWELL_S)
                if self.link.private_key is None:
                    gone = proto.UnregisterNodeFleetRequest(node_id=self.node_id)
                    self._stub.UnregisterNode(gone, timeout=FAREWELL_S)
        self._channel.close()

    def receive(self) -> Message | None:
        """Return the next message for this node with all it holds, None if there is none.

        Raises
        ------
        ForgottenError
            If the SuperLink does not know the node any more.
        GivenUpError
            If the message's run ended meanwhile, or its sender before all of it was sent, or ``stop`` is set.
        AwayError
            If the SuperLink does not answer for as long as the link waits.
        """
        if self._forgotten:
            raise ForgottenError("it does not take the node's heartbeats")
        found = self._call(self._stub.PullMessages, proto.PullMessagesRequest(node=self._node))
        if not found.messages_list:
            return None
        run_id, tree = message_from_proto(found.messages_list[0]).metadata.run_id, found.message_object_trees[0]
        ids = list({part.object_id: None for part in iterate_object_tree(tree)})
        pull = make_pull_object_fn_protobuf(self._patient(self._stub.PullObject), self._node, run_id)
        try:
            contents = pull_objects(ids, pull, initial_backoff=FIRST_LOOK_S, backoff_cap=LONGEST_LOOK_S)
        except ObjectPullError as error:
            raise GivenUpError(str(error)) from error
        taken = ConfirmMessageReceivedRequest(node=self._node, run_id=run_id, message_object_id=tree.object_id)
        self._call(self._stub.ConfirmMessageReceived, taken)
        try:
            message = inflate_object_from_contents(tree.object_id, contents)
            assert isinstance(message, Message)
        except Exception as error:  # of whatever kind: a node outlives what it is sent
            raise GivenUpError(f"a message cannot be read ({type(error).__name__}: {error})") from error
        set_message_id(message, tree.object_id)
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = run_id, self.node_id, 1
        return message

    def answer(self, reply: Message, time_s: float) -> None:
        """Send the reply to a message, and how long the ClientApp took [s]; raises as ``receive``."""
        set_message_id(reply, reply.object_id)
        with no_object_id_recompute():
            tree, parts = get_object_tree(reply), get_all_nested_objects(reply)
            told = self._call(
                self._stub.PushMessages,
                proto.PushMessagesRequest(
                    node=self._node,
                    messages_list=[message_to_proto(remove_content_from_message(reply))],
                    message_object_trees=[tree],
                    clientapp_runtime_list=[time_s],
                ),
            )
            stub = self._patient(self._stub.PushObject)
            push = make_push_object_fn_protobuf(stub, self._node, reply.metadata.run_id, told.session_id)
            try:
                push_objects(parts, push, object_ids_to_push=set(told.objects_to_push))
            except ObjectPushError as error:
                raise GivenUpError(str(error)) from error

    def run_info(self, run_id: int) -> RunInfo:
        """Return what there is to know of a run; raises as ``receive``, or ProtocolError if it cannot be read."""
        run = run_from_proto(self._call(self._stub.GetRun, GetRunRequest(node=self._node, run_id=run_id)).run)
        request = GetFabRequest(node=self._node, hash_str=run.fab_hash, run_id=run_id)
        bundle = self._call(self._stub.GetFab, request).fab.content
        try:
            config = get_fused_config_from_fab(bundle, run)
        except Exception as error:  # zipfile's, tomli's, ValueError
            raise ProtocolError(f"the app bundle of run {run_id} cannot be read: {error}") from error
        sha256 = hashlib.sha256(bundle).hexdigest()
        return RunInfo(run_id, f"{run.fab_id} {run.fab_version}", bundle, sha256, config, run.series_id)

    def _heartbeat(self) -> bool:
        """Return whether the SuperLink was there; the sender tries again soon if not."""
        request = SendNodeHeartbeatRequest(node=self._node, heartbeat_interval=HEARTBEAT_DEFAULT_INTERVAL)
        try:
            self._forgotten = not self._stub.SendNodeHeartbeat(request, timeout=HEARTBEAT_CALL_TIMEOUT).success
        except grpc.RpcError as error:
            self._forgotten = error.code() is grpc.StatusCode.UNAUTHENTICATED
            return self._forgotten
        return True

    def _admission(self, method: Callable[..., Any], request: Any) -> Any:
        try:
            return self._call(method, request)
        except (GivenUpError, ForgottenError) as error:
            if self._stop.is_set():
                raise
            hint = (
                "; is its key registered (flwr supernode register KEY.pub)? The key of a node that crashed counts as "
                "online for up to a minute: start it again then"
            )
            msg = f"the SuperLink at {self.link.superlink} does not let this node in: {str(error).rstrip('.')}"
            raise RefusedError(msg + (hint if self.link.private_key else "")) from error

    def _patient(self, method: Callable[..., Any]) -> Callable[[Any], Any]:
        return lambda request: self._call(method, request)

    def _call(self, method: Callable[..., Any], request: Any) -> Any:
        """Call a method of the Fleet API, again and again while the SuperLink is away."""
        patience = Patience(self.link, self._stop)
        while True:
            try:
                answered = method(request)
            except grpc.RpcError as error:
                code, said = error.code(), _said(error)
                if code is grpc.StatusCode.UNAUTHENTICATED:
                    raise ForgottenError(said) from error
                if code is not grpc.StatusCode.UNAVAILABLE:  # PERMISSION_DENIED: the run has ended
                    raise GivenUpError(said) from error
                if "handshake failed" in said.lower():
                    msg = f"{self.link.superlink} is no SuperLink that --root-certificates trusts, or without TLS"
                    raise RefusedError(f"{msg}: {said}") from error
                patience.wait(said)
            else:
                patience.over()
                return answered


class _Signing(grpc.UnaryUnaryClientInterceptor):  # type: ignore[misc]
    """Adds to each call whose it is, signed now, and by which version of Flower it is made."""

    def __init__(self, private_key: ec.EllipticCurvePrivateKey, public_key: bytes) -> None:
        self._private_key, self._public_key = private_key, public_key
        self._version = RuntimeVersionMetadata.from_local_component("SuperNode")

    def intercept_unary_unary(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        """Make the call with what is added."""
        stamp = now().isoformat()
        metadata = [
            *self._version.append_to_grpc_metadata(details.metadata),
            (PUBLIC_KEY_HEADER, self._public_key),
            (TIMESTAMP_HEADER, stamp),
            (SIGNATURE_HEADER, sign_message(self._private_key, stamp.encode("ascii"))),
        ]
        return continuation(details._replace(metadata=metadata), request)


@contextmanager
def admitted(link: Link, stop: threading.Event) -> Iterator[Fleet]:
    """Hold a session with a SuperLink; at its end the node says good-bye. Once ``stop`` is set, nothing is waited for.

    Raises
    ------
    RefusedError
        If the SuperLink does not let the node in.
    AwayError
        If it does not answer for as long as the link waits.
    GivenUpError
        If ``stop`` is set before it has answered.
    """
    session = Fleet(link, stop)
    try:
        session.enter()
        yield session
    finally:
        session.leave()


def _said(error: grpc.RpcError) -> str:
    """Return what the other side said, in one line."""
    details = str(error.details())
    told = FlowerError.from_json(details)
    return excerpt(details if told is None else f"{told.message} {told.public_details or ''}".strip(), 300)
