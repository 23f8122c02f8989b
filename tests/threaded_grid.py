"""A small deployment: each node is a thread that runs a real ClientApp and takes real time."""

import queue
import threading
import time

from flwr.app import Context, Error, Message, RecordDict
from flwr.serverapp import Grid

from eafl_flower.engines.answer import answer
from eafl_flower.engines.flower_internals import become_server, copy_message, set_message_id, unavailable


class ThreadedGrid(Grid):
    """A Grid that behaves as Flower's over the network: polling, random-looking node ids, nodes that go.

    Parameters
    ----------
    delay
        ``delay(client, number)``: seconds that the node sleeps before it handles its message ``number``
        (1, 2, ... without the roster query).
    online
        Partitions whose nodes are there from the start; ``start`` and ``stop`` change it.
    config
        ``config(partition)``: what else the node's configuration says.
    twice
        Whether each reply is handed out twice in one pull.
    """

    def __init__(
        self, app, num_nodes, *, delay=lambda client, number: 0.0, online=None, twice=False, config=lambda partition: {}
    ):
        self._run = become_server()
        self._app, self._num_nodes, self._delay, self._twice = app, num_nodes, delay, twice
        self._config = config
        self._lock = threading.Lock()
        self._queues, self._threads, self._online = {}, [], set()
        self._target, self._open, self._done = {}, {}, {}
        self._number = 0
        self.pushed = []
        for partition in range(num_nodes) if online is None else online:
            self.start(partition)

    def node_id(self, partition):
        return 1000 + 37 * partition % 101

    def start(self, partition, num_partitions=None, node=None):
        """Bring a node up, with a fresh context; ``num_partitions`` is what its configuration says."""
        node = node or self.node_id(partition)
        with self._lock:
            inbox = self._queues[node] = queue.Queue()
            self._online.add(node)
        thread = threading.Thread(
            target=self._work, args=(node, partition, num_partitions or self._num_nodes, inbox), daemon=True
        )
        self._threads.append(thread)
        thread.start()

    def stop(self, partition):
        """Take a node down: what it was sent and has not answered is lost."""
        with self._lock:
            node = self.node_id(partition)
            self._online.discard(node)
            self._queues.pop(node).put(None)
            lost = [i for i, where in self._open.items() if where == node]
            for message_id in lost:
                del self._open[message_id]
                self._done[message_id] = self._gone(message_id)

    def _gone(self, message_id):
        message = unavailable(message_id)
        return Message(error=Error(5, "Node Unavailable"), metadata=message.metadata)

    def _work(self, node, partition, num_partitions, inbox):
        node_config = {"partition-id": partition, "num-partitions": num_partitions, **self._config(partition)}
        context = Context(1, node, node_config, RecordDict(), {})
        number = 0
        while (message := inbox.get()) is not None:
            if message.metadata.message_type != "query":
                number += 1
                time.sleep(self._delay(partition, number))
            reply, _ = answer(self._app, message, context)
            message_id = message.metadata.message_id
            set_message_id(reply, f"{message_id}-reply")
            with self._lock:
                if self._open.pop(message_id, None) is not None:
                    self._done[message_id] = reply

    def close(self):
        with self._lock:
            for inbox in self._queues.values():
                inbox.put(None)
        for thread in self._threads:
            thread.join(timeout=10)

    # Flower's interface.

    def set_run(self, run):
        self._run = run

    @property
    def run(self):
        return self._run

    def create_message(self, content, message_type, dst_node_id, group_id, ttl=None):
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self):
        with self._lock:
            return sorted(self._online)

    def push_messages(self, messages):
        ids = []
        with self._lock:
            for message in messages:
                node = message.metadata.dst_node_id
                if node not in self._online:
                    ids.append("")
                    continue
                self._number += 1
                message_id = f"m{self._number}"
                set_message_id(message, message_id)
                self.pushed.append((node, message.metadata.message_type))
                self._open[message_id] = node
                self._queues[node].put(copy_message(message))
                ids.append(message_id)
        return ids

    def pull_messages(self, message_ids):
        replies = []
        with self._lock:
            for message_id in message_ids:
                if message_id in self._done:
                    reply = self._done.pop(message_id)
                    replies += [reply, reply] if self._twice else [reply]
                elif message_id not in self._open:
                    replies.append(unavailable(message_id))
        return replies

    def send_and_receive(self, messages, *, timeout=None):
        raise NotImplementedError
