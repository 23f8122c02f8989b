"""A node that speaks to the SuperLink itself, to say what no SuperNode says: each of its replies comes twice."""

import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from flwr.app import Context, Message, RecordDict
from flwr.client.grpc_rere_client.connection import grpc_request_response
from flwr.common.config import get_fused_config_from_fab
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    iterate_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_utils import ObjectPushError, inflate_object_from_contents, pull_objects
from flwr.supercore.retry import make_simple_grpc_retry_invoker

from eafl_flower.app.client import client_app


class WireNode:
    """Runs our ClientApp in a thread of this process; ``with`` ends it.

    Parameters
    ----------
    address, ca, key
        The SuperLink, the certificate of its authority, and the node's private key.
    config
        The node's configuration.
    pause_s
        Pause before each message.

    Attributes
    ----------
    error
        What ended it before its time; Flower's connection logs it, and lets nobody know.
    """

    def __init__(self, address: str, ca: Path, key: Path, config: dict[str, Any], pause_s: float) -> None:
        self._address, self._ca, self._config, self._pause_s = address, ca.read_bytes(), config, pause_s
        private: Any = load_ssh_private_key(key.read_bytes(), None)
        self._keys = private, private.public_key()
        self._over = threading.Event()
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> "WireNode":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join(30)

    def _work(self) -> None:
        retry = make_simple_grpc_retry_invoker()
        with grpc_request_response(
            self._address, False, retry, root_certificates=self._ca, authentication_keys=self._keys
        ) as wire:
            node_id, receive, self._send, get_run, get_fab, pull_object, self._push_object, confirm = wire
            try:
                self._answer(node_id, receive, get_run, get_fab, pull_object, confirm)
            except BaseException as error:
                self.error = error
                raise

    def _answer(self, node_id: int, receive: Any, get_run: Any, get_fab: Any, pull_object: Any, confirm: Any) -> None:
        app, contexts = client_app(), {}
        while not self._over.wait(self._pause_s):
            if (received := receive()) is None:
                continue
            metadata, tree = received[0].metadata, received[1]
            run, message_id = metadata.run_id, metadata.message_id
            if run not in contexts:
                about = get_run(run)
                config = get_fused_config_from_fab(get_fab(about.fab_hash, run).content, about)
                contexts[run] = Context(run, node_id, self._config, RecordDict(), config)
            ids = [entry.object_id for entry in iterate_object_tree(tree)]
            contents = pull_objects(ids, pull_object_fn=lambda i, run=run: pull_object(run, i))
            confirm(run, message_id)
            message = inflate_object_from_contents(message_id, contents)
            message.metadata.__dict__["_message_id"] = message_id
            reply = app(message, contexts[run])
            self._push(reply)
            with suppress(ObjectPushError):  # if the ServerApp has taken the first, and cleared it away, meanwhile
                self._push(reply)  # the very same
            self._push(Message(reply.content, reply_to=message))  # the same said again

    def _push(self, reply: Message) -> None:
        reply.metadata.__dict__["_message_id"] = reply.object_id
        with no_object_id_recompute():
            tree, objects = get_object_tree(reply), get_all_nested_objects(reply)
            wanted, session = self._send(reply, tree, 0.0)
            for object_id in wanted:
                self._push_object(reply.metadata.run_id, session, object_id, objects[object_id].deflate())
