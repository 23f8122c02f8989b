"""The inline engine: clients run in the caller's thread, without Ray, sockets or polling."""

from collections.abc import Iterable, Mapping

from flwr.app import Message, RecordDict

from eafl_flower.engines.answer import Client, answer
from eafl_flower.engines.flower_internals import copy_message, copy_records, set_message_id, unavailable
from eafl_flower.engines.local_grid import FIRST_NODE_ID, ConfigValue, LocalGrid, node_context


class InlineGrid(LocalGrid):
    """A Grid that runs a message's client when its reply is first pulled or waited for.

    Client and server share no record, nor do a client and its state: each gets copies of its own (only bytes,
    which nobody can change, are shared), so that what a client keeps and changes later reaches nobody, as on
    Flower's runtimes. A change to ``context.state`` counts only if the client did not raise. A node costs memory
    only once it keeps state.

    An exception in a client, also ``SystemExit``, is an error reply with Flower's code 2;
    ``KeyboardInterrupt`` reaches the caller, and the message that was running is lost.

    Parameters
    ----------
    client_app
        A ``ClientApp``.
    num_nodes
        Number of nodes.
    run_config
        The run's configuration, given to every client.
    node_config
        Configuration of every node, beside its ``partition-id`` and ``num-partitions``.
    """

    def __init__(
        self,
        client_app: Client,
        num_nodes: int,
        *,
        run_config: Mapping[str, ConfigValue] | None = None,
        node_config: Mapping[str, ConfigValue] | None = None,
    ) -> None:
        super().__init__(num_nodes, run_config=run_config, node_config=node_config)
        self._app = client_app
        self._states: dict[int, RecordDict] = {}
        self._pending: dict[str, tuple[Message, str]] = {}  # with the id of the message to be handled before
        self._newest: dict[int, str] = {}  # newest pending message of each node that has one
        self._done: dict[str, Message] = {}

    def wait(self, message_ids: Iterable[str], timeout_s: float | None = None) -> list[Message]:
        """Return the replies that are there; if none is, run the client of the first message.

        Clients run in the caller's thread and cannot be cut short: ``timeout_s`` has no effect.
        """
        ids = list(message_ids)
        there = [self._done.pop(message_id) for message_id in ids if message_id in self._done] if self._done else []
        if there or not ids:
            return there
        return [self._reply(ids[0])]

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Return the replies to all these messages, running the clients that have not run yet."""
        return [self._reply(message_id) for message_id in message_ids]

    def state_of(self, partition: int) -> RecordDict:
        """Return what the client of ``partition`` keeps; empty if that is nothing."""
        kept = self._states.get(FIRST_NODE_ID + partition)
        return RecordDict() if kept is None else copy_records(kept)

    def _accept(self, message_id: str, message: Message) -> None:
        node_id = message.metadata.dst_node_id
        self._pending[message_id] = (message, self._newest.get(node_id, ""))
        self._newest[node_id] = message_id

    def _reply(self, message_id: str) -> Message:
        if message_id in self._pending:
            chain = [message_id]
            while (before := self._pending[chain[-1]][1]) in self._pending:
                chain.append(before)
            for earlier_first in reversed(chain):
                self._run_client(earlier_first)
        if message_id not in self._done:
            return unavailable(message_id)
        return self._done.pop(message_id)

    def _run_client(self, message_id: str) -> None:
        message, _ = self._pending.pop(message_id)
        node_id = message.metadata.dst_node_id
        if self._newest[node_id] == message_id:
            del self._newest[node_id]
        kept = self._states.get(node_id)
        context = node_context(
            message,
            self._num_nodes,
            RecordDict() if kept is None else copy_records(kept),
            run_config=self._run_config,
            node_config=self._node_config,
        )
        reply, succeeded = answer(self._app, message, context)
        if succeeded:
            reply = copy_message(reply)
            if kept is not None or len(context.state):
                self._states[node_id] = copy_records(context.state)
        set_message_id(reply, f"{message_id}-reply")
        self._done[message_id] = reply
