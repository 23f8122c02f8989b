"""What runs inside a Ray actor: one copy of the ClientApp, one message at a time."""

import pickle
import time
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from flwr.app import Error, Message, RecordDict

from eafl_flower.engines.answer import Client, answer, describe
from eafl_flower.engines.flower_internals import CODE_LOAD_ERROR
from eafl_flower.engines.local_grid import ConfigValue, node_context
from eafl_flower.engines.packing import Buffer, Packed, packed, unpack


class Worker:
    """Answers messages with the ClientApp that ``pickled_factory`` makes.

    A factory that cannot be unpickled or that raises does not kill the worker: every message is then
    answered with Flower's error code 1 and the reason.
    """

    def __init__(
        self,
        pickled_factory: bytes,
        num_nodes: int,
        run_config: Mapping[str, ConfigValue],
        node_config: Mapping[str, ConfigValue],
    ) -> None:
        self._num_nodes = num_nodes
        self._run_config = run_config
        self._node_config = node_config
        self._app: Client | None = None
        self._load_error = ""
        try:
            self._app = pickle.loads(pickled_factory)()
        except Exception as error:
            self._load_error = describe(error)

    def ready(self) -> None:
        """Return once the worker is up."""

    def handle(self, jobs: Sequence[tuple[bytes, int]], *values: Any) -> tuple[Any, ...]:
        """Answer messages, each of another node.

        Parameters
        ----------
        jobs
            The pickle of each message and the number of its buffers.
        values
            For each message the state of its node, or None, and its buffers. Ray hands over values that are
            arguments of their own.

        Returns
        -------
        tuple
            First the time all took [s] and for each message whether the client succeeded with its packed reply;
            then, each for itself, the packed new states of the nodes (None unless the client succeeded).
        """
        began_s, rest = time.perf_counter(), iter(values)
        answers, states = [], []
        for pickled, num_buffers in jobs:
            succeeded, reply, state = self._answer(pickled, next(rest), [*islice(rest, num_buffers)])
            answers.append((succeeded, reply))
            states.append(state)
        return ((time.perf_counter() - began_s, answers), *states)

    def _answer(
        self, pickled: bytes, state: Packed | None, buffers: Sequence[Buffer]
    ) -> tuple[bool, Packed, Packed | None]:
        message: Message = unpack(pickled, buffers)
        if self._app is None:
            return False, packed(Message(Error(CODE_LOAD_ERROR, self._load_error), reply_to=message)), None
        context = node_context(
            message,
            self._num_nodes,
            RecordDict() if state is None else unpack(state.pickled, state.buffers),
            run_config=self._run_config,
            node_config=self._node_config,
        )
        reply, succeeded = answer(self._app, message, context)
        return succeeded, packed(reply), packed(context.state) if succeeded else None
