"""What our two grids share: nodes, contexts, and messages that nobody can change once they are sent."""

import time
import uuid
from abc import abstractmethod
from collections.abc import Iterable, Mapping

from flwr.app import Context, Message, RecordDict
from flwr.serverapp import Grid

from eafl_flower.engines.flower_internals import Run, become_server, copy_message, set_message_id
from eafl_flower.errors import ConfigError

ConfigValue = bool | int | float | str
FIRST_NODE_ID = 2  # 1 is the server's


def node_context(
    message: Message,
    num_nodes: int,
    state: RecordDict,
    *,
    run_config: Mapping[str, ConfigValue],
    node_config: Mapping[str, ConfigValue],
) -> Context:
    """Context of the node that ``message`` goes to: partition id, both configurations (copied) and state."""
    node_id = message.metadata.dst_node_id
    partition = {"partition-id": node_id - FIRST_NODE_ID, "num-partitions": num_nodes}
    return Context(
        run_id=message.metadata.run_id,
        node_id=node_id,
        node_config={**node_config, **partition},
        state=state,
        run_config=dict(run_config),
    )


class LocalGrid(Grid):
    """A Grid whose nodes are made up: ids 2, 3, ... for partitions 0, 1, ...

    Constructing one gives the process the identity of a Flower server (process-global).
    Not safe for several threads.

    Attributes
    ----------
    nodes_are_partitions
        All nodes are there from the start, in the order of their partitions.
    """

    nodes_are_partitions = True

    def __init__(
        self,
        num_nodes: int,
        *,
        run_config: Mapping[str, ConfigValue] | None = None,
        node_config: Mapping[str, ConfigValue] | None = None,
    ) -> None:
        if num_nodes < 1:
            raise ConfigError(f"num_nodes = {num_nodes}: expected at least one node")
        self._run = become_server()
        self._num_nodes = num_nodes
        self._run_config = dict(run_config or {})
        self._node_config = dict(node_config or {})
        self._num_sent = 0
        # A resumed run may ask for a message of the run before: its id must not be one of ours.
        self._id_prefix = uuid.uuid4().hex[:12]

    def set_run(self, run: Run) -> None:
        """Set the run this grid belongs to."""
        self._run = run

    @property
    def run(self) -> Run:
        """The run this grid belongs to."""
        return self._run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """Make a message (Flower's older way; newer code calls ``Message`` itself)."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> range:
        """Ids of all nodes, in order of partition."""
        return range(FIRST_NODE_ID, FIRST_NODE_ID + self._num_nodes)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Send messages as they are now: a later change to a record does not reach the client.

        Returns one id per message, in order; '' for a node that does not exist. As on Flower's grids,
        the id is also set on the message. Messages to one node are handled in this order.
        """
        ids = []
        nodes = self.get_node_ids()
        for message in messages:
            if message.metadata.dst_node_id not in nodes:
                ids.append("")
                continue
            self._num_sent += 1
            message_id = f"{self._id_prefix}-{self._num_sent}"
            set_message_id(message, message_id)
            self._accept(message_id, copy_message(message))
            ids.append(message_id)
        return ids

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Send messages and wait for all replies, or for those that come within ``timeout`` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        open_ids = {message_id: None for message_id in self.push_messages(messages) if message_id}
        replies: list[Message] = []
        while open_ids:
            left_s = None if deadline is None else max(0.0, deadline - time.monotonic())
            arrived = self.wait(open_ids, left_s)
            if not arrived:
                break
            for reply in arrived:
                del open_ids[reply.metadata.reply_to_message_id]
            replies += arrived
        return replies

    @abstractmethod
    def wait(self, message_ids: Iterable[str], timeout_s: float | None = None) -> list[Message]:
        """Block until at least one of these replies is there; see ``WaitingGrid``."""

    @abstractmethod
    def _accept(self, message_id: str, message: Message) -> None:
        """Take a message that belongs to nobody else."""
