"""What runs inside a Ray actor: one copy of the ClientApp, one message at a time."""

import pickle
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flwr.app import Error, Message, RecordDict

from eafl_flower.engines.answer import Client, answer, describe
from eafl_flower.engines.flower_internals import CODE_LOAD_ERROR
from eafl_flower.engines.local_grid import ConfigValue, node_context
from eafl_flower.engines.packing import Buffer, Packed, packed, unpack


@dataclass(frozen=True, slots=True)
class Job:
    """One message and the state of its node, None for a fresh one.

    ``buffers`` and the first part of ``large_state`` are places among the values that travel beside the jobs;
    its second part is the place in the list of states that is found there.
    """

    pickled: bytes
    buffers: tuple[int, ...]
    state: Packed | None
    large_state: tuple[int, int] | None


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

    def handle(self, jobs: Sequence["Job"], *values: Any) -> tuple[Any, list[Packed | None]]:
        """Answer messages, each of another node.

        Parameters
        ----------
        jobs
            What there is to do.
        values
            What the jobs refer to by position; Ray hands over values that are arguments of their own.

        Returns
        -------
        tuple
            First the time all took [s] and for each job whether the client succeeded, its packed reply and the
            packed new state of the node if that is small; then, apart from it, the large states.
        """
        began_s = time.perf_counter()
        answers: list[tuple[bool, Packed, Packed | None]] = []
        large: list[Packed | None] = []
        for job in jobs:
            state = job.state
            if job.large_state is not None:
                place, index = job.large_state
                state = values[place][index]
            succeeded, reply, state = self._answer(job.pickled, state, [values[place] for place in job.buffers])
            is_large = state is not None and not state.is_small
            answers.append((succeeded, reply, None if is_large else state))
            large.append(state if is_large else None)
        return (time.perf_counter() - began_s, answers), large

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
