"""The ray engine: a Grid straight on Ray actors, on one machine or on a Ray cluster."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import Self

from flwr.app import Error, Message

from eafl_flower.engines import ray_worker
from eafl_flower.engines.answer import Client
from eafl_flower.engines.flower_internals import CODE_CLIENT_CRASHED, set_message_id, unavailable
from eafl_flower.engines.local_grid import ConfigValue, LocalGrid
from eafl_flower.engines.packing import Packed, pack, unpack
from eafl_flower.engines.ray_cluster import connect, import_ray
from eafl_flower.engines.ray_workers import RayWorkers, Ref, SharedBytes, Worker
from eafl_flower.errors import RunFailedError

MOST_ATTEMPTS = 3  # of a job whose worker died; then its client is to blame
MOST_BYTES = 90_000  # of messages in one call, so that their replies, too, fit into the 100 kB that Ray sends inline
PATIENCE_S = 30.0  # without any worker, before that is reported

log = logging.getLogger(__name__)


class RayGrid(LocalGrid):
    """A Grid that runs clients side by side in Ray actors, one message of a node at a time.

    Large states of nodes stay in Ray's object store and never visit this process. Messages to one node
    are handled in the order of sending. A worker that dies is replaced and its message handled again,
    from the state the node had before; a message that killed three workers is answered with Flower's
    error code 8. An exception in a client is an error reply with code 2, and the node keeps the state
    it had before. Close the grid after use, best by ``with``.

    Parameters
    ----------
    client_app_factory
        Called once in each worker, returns the ``ClientApp``. What it holds is sent once per worker.
    num_nodes
        Number of nodes.
    run_config
        The run's configuration, given to every client.
    node_config
        Configuration of every node, beside its ``partition-id`` and ``num-partitions``.
    num_cpus, num_gpus
        Share of a machine that one worker takes; parts of one are allowed.
    workers
        Most workers at a time; by default as many as fit. They start when they are needed.
    address
        Ray cluster to use; without it RAY_ADDRESS decides, and without that a cluster is started here
        and ended by ``close``. A connection that the process already has is used and left open.
    verbose
        Show the output of Ray and of the workers.

    Raises
    ------
    ConfigError
        If no worker fits, more are asked for than fit, or no cluster answers at ``address``.
    ImportError
        If Ray is not installed.
    """

    def __init__(
        self,
        client_app_factory: Callable[[], Client],
        num_nodes: int,
        *,
        run_config: Mapping[str, ConfigValue] | None = None,
        node_config: Mapping[str, ConfigValue] | None = None,
        num_cpus: float = 1.0,
        num_gpus: float = 0.0,
        workers: int | None = None,
        address: str | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__(num_nodes, run_config=run_config, node_config=node_config)
        self._ray = import_ray()
        self._queues: dict[int, deque[_Job]] = {}  # jobs of each node that has any, the running one included
        self._runnable: deque[int] = deque()  # nodes whose first job waits for a worker
        self._busy: dict[Ref, _Running] = {}
        self._states: dict[int, Packed | tuple[Ref, int]] = {}  # a large one: where in which list
        self._open: set[str] = set()  # messages whose reply nobody has taken
        self._done: dict[str, Message] = {}
        self._shared = SharedBytes()
        self._workers: RayWorkers | None = None
        self._started_ray = connect(address, verbose=verbose)
        try:
            self._workers = RayWorkers(
                client_app_factory,
                (num_nodes, self._run_config, self._node_config),
                num_cpus=num_cpus,
                num_gpus=num_gpus,
                most=workers,
            )
        except BaseException:
            self.close()
            raise

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Send messages; see ``LocalGrid.push_messages``.

        Clients start at once, but for such short jobs that it pays to send several to a worker: they start
        when they have gathered, or when the server waits for a reply.
        """
        ids = super().push_messages(messages)
        if self._alive().share_of(len(self._runnable)) >= self._alive().most_a_call:
            self._dispatch()
        return ids

    def wait(self, message_ids: Iterable[str], timeout_s: float | None = None) -> list[Message]:
        """Block until at least one of these replies is there and return those that are; [] on time-out."""
        ids = list(message_ids)
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while ids:
            if there := self._take(ids):
                return there
            left_s = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not self._collect(left_s) and deadline is not None and time.monotonic() >= deadline:
                return []
        return []

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Return those of these replies that are there, at once."""
        self._collect(0.0, everything=True)
        return self._take(list(message_ids))

    def close(self) -> None:
        """End the workers, and Ray if this grid started it; what was not answered is lost."""
        self._busy.clear()
        self._states.clear()
        self._shared.clear()
        if self._workers is not None:
            self._workers.close()
            self._workers = None
        if self._started_ray:
            self._started_ray = False
            self._ray.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _accept(self, message_id: str, message: Message) -> None:
        node_id = message.metadata.dst_node_id
        queue = self._queues.setdefault(node_id, deque())
        queue.append(_Job(message_id, node_id, message))
        if len(queue) == 1:
            self._runnable.append(node_id)
        self._open.add(message_id)

    def _take(self, ids: list[str]) -> list[Message]:
        there = []
        for message_id in ids:
            if message_id in self._done:
                there.append(self._done.pop(message_id))
                self._open.remove(message_id)
            elif message_id not in self._open:
                there.append(unavailable(message_id))
        return there

    def _alive(self) -> RayWorkers:
        if self._workers is None:
            raise RunFailedError("this RayGrid is closed: make a new one")
        return self._workers

    def _dispatch(self) -> None:
        workers = self._alive()
        running = sum(len(busy.jobs) for busy in self._busy.values())
        while self._runnable and workers.idle:
            jobs = self._next_jobs(workers.share_of(len(self._runnable) + running))
            running += len(jobs)
            values: list[Ref] = []
            described = [self._described(job, values) for job in jobs]
            worker = workers.idle.pop()
            answers, states = worker.handle(described, *values)
            self._busy[answers] = _Running(worker, jobs, states)
        workers.start(len(self._runnable))

    def _described(self, job: "_Job", values: list[Ref]) -> ray_worker.Job:
        """Return what a worker is to do for ``job``, and add what it refers to to ``values``."""
        job.attempts += 1
        pickled, large = job.packed
        buffers = tuple(range(len(values), len(values) + len(large)))
        values += [self._shared.put(data) for data in large]
        state = self._states.get(job.node_id)
        if state is None or isinstance(state, Packed):
            return ray_worker.Job(pickled, buffers, state, None)
        states, index = state
        values.append(states)
        return ray_worker.Job(pickled, buffers, None, (len(values) - 1, index))

    def _next_jobs(self, most: int) -> list["_Job"]:
        """Take the first jobs that wait, as many as Ray sends without its object store, which takes milliseconds.

        A job that is tried again goes alone, so that it harms no other.
        """
        jobs: list[_Job] = []
        size = 0
        while self._runnable and len(jobs) < most:
            job = self._queues[self._runnable[0]][0]
            size += len(job.packed[0])
            if jobs and (job.attempts or size > MOST_BYTES):
                break
            jobs.append(job)
            self._runnable.popleft()
            if job.attempts:
                break
        return jobs

    def _collect(self, timeout_s: float | None, *, everything: bool = False) -> bool:
        """Take in what workers have finished, waiting for the first thing; return whether there was any."""
        self._dispatch()
        workers = self._alive()
        refs = [*self._busy, *workers.starting]
        if not refs:
            if self._runnable:
                raise RunFailedError(f"no Ray worker can be started: {workers.start_failure}")
            return False
        timeout_s = PATIENCE_S if timeout_s is None else min(timeout_s, PATIENCE_S)
        ready, _ = self._ray.wait(refs, num_returns=len(refs) if everything else 1, timeout=timeout_s)
        if not ready and not self._busy and timeout_s == PATIENCE_S:
            log.warning("no worker has started for %g s: does something else hold the Ray cluster's CPUs?", PATIENCE_S)
        for ref in ready:
            if ref in self._busy:
                self._finish(ref, self._busy.pop(ref))
            else:
                workers.started(ref)
        self._dispatch()
        return bool(ready)

    def _finish(self, ref: Ref, running: "_Running") -> None:
        worker, jobs = running.worker, running.jobs
        errors = self._ray.exceptions
        try:
            seconds, answers = self._ray.get(ref)
        except errors.RayTaskError as error:
            self._alive().idle.append(worker)
            lost = isinstance(error.cause, errors.ObjectLostError)
            if lost or len(jobs) > 1:
                self._retry(jobs, error, lost=lost)
            else:  # not the client, whose exceptions are replies
                self._fail(jobs[0], f"the worker could not read or write a value of this message: {error}")
        except errors.RayError as error:
            self._alive().bury(worker)
            self._retry(jobs, error, lost=isinstance(error, errors.ObjectLostError))
        else:
            self._alive().idle.append(worker)
            self._alive().note_time(seconds, len(jobs))
            for index, (job, (succeeded, reply, state)) in enumerate(zip(jobs, answers, strict=True)):
                if succeeded:
                    self._states[job.node_id] = (running.states, index) if state is None else state
                self._answer(job, unpack(reply.pickled, reply.buffers))

    def _retry(self, jobs: list["_Job"], error: Exception, *, lost: bool) -> None:
        for job in reversed(jobs):
            self._retry_one(job, error, lost=lost)

    def _retry_one(self, job: "_Job", error: Exception, *, lost: bool) -> None:
        if job.attempts < MOST_ATTEMPTS:
            self._runnable.appendleft(job.node_id)
            return
        if lost:
            # The only copy was on a machine that left the cluster; what the client wrote to disk remains.
            self._states.pop(job.node_id, None)
            why = f"the state of node {job.node_id} was lost with the machine that held it; it starts again from none"
        else:
            why = (
                f"message to node {job.node_id} failed {job.attempts} times, each time with the end of its worker "
                "(out of memory, os._exit or a crash in native code?)"
            )
        self._fail(job, f"{why}: {error}")

    def _fail(self, job: "_Job", reason: str) -> None:
        self._answer(job, Message(Error(CODE_CLIENT_CRASHED, reason), reply_to=job.message))

    def _answer(self, job: "_Job", reply: Message) -> None:
        set_message_id(reply, f"{job.message_id}-reply")
        self._done[job.message_id] = reply
        queue = self._queues[job.node_id]
        queue.popleft()
        if queue:
            self._runnable.append(job.node_id)
        else:
            del self._queues[job.node_id]


@dataclass(eq=False)
class _Job:
    message_id: str
    node_id: int
    message: Message
    attempts: int = 0

    @cached_property
    def packed(self) -> tuple[bytes, list[bytes]]:
        """The pickle of the message, and its large byte strings."""
        return pack(self.message)


@dataclass(frozen=True, slots=True, eq=False)
class _Running:
    worker: Worker
    jobs: list[_Job]  # of different nodes
    states: Ref  # to the list of the nodes' large states, after the jobs
