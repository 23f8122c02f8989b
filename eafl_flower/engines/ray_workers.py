"""The actors of a RayGrid: started when needed, replaced when dead; and the byte strings they share."""

import contextlib
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from eafl_flower.engines import ray_worker
from eafl_flower.engines.answer import Client
from eafl_flower.engines.ray_cluster import capacity, import_ray, worker_environment
from eafl_flower.errors import ConfigError

Ref = Any  # ray.ObjectRef

MOST_FAILED_STARTS = 3  # in a row; then no more workers are started
SHORT_S = 0.01  # jobs that together take less share a call, which costs some 3 ms of several processes
SHARED_BYTES = 256 * 2**20

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Worker:
    """One actor and its method ``handle``, bound once because binding costs a third of a call."""

    actor: Any
    handle: Callable[..., tuple[Ref, Ref]]


class RayWorkers:
    """Workers, each idle, starting, or lent to a job.

    A worker becomes idle only when its process is up, so that a job never waits for one that the
    cluster has no room for while others are free.
    """

    def __init__(
        self,
        client_app_factory: Callable[[], Client],
        arguments: tuple[Any, ...],
        *,
        num_cpus: float,
        num_gpus: float,
        most: int | None,
    ) -> None:
        if num_cpus <= 0 or num_gpus < 0:
            raise ConfigError(
                f"num_cpus = {num_cpus:g} and num_gpus = {num_gpus:g}: expected more than 0 and at least 0"
            )
        fit = capacity(num_cpus, num_gpus)
        if most is not None and not 1 <= most <= fit:
            raise ConfigError(
                f"{most} workers of {num_cpus:g} CPUs and {num_gpus:g} GPUs: expected 1 to {fit}, as many as fit "
                "into the Ray cluster; lower engine.num-cpus for more"
            )
        self._ray = import_ray()
        self._most = most or fit
        self._arguments = (self._ray.put(self._ray.cloudpickle.dumps(client_app_factory)), *arguments)
        self._actor_class = self._ray.remote(
            num_cpus=num_cpus,
            num_gpus=num_gpus,
            max_restarts=0,
            runtime_env={"env_vars": worker_environment()},
        )(ray_worker.Worker)
        self._failed_starts = 0
        self._all: set[Worker] = set()
        self.idle: list[Worker] = []
        self.job_s = SHORT_S  # what a job takes, about; until that is known no job waits for another
        self.starting: dict[Ref, Worker] = {}
        self.start_failure = ""

    def start(self, needed: int) -> None:
        """Start workers until ``needed`` are on their way or there are as many as allowed."""
        while len(self.starting) < needed and len(self._all) < self._most and self._failed_starts < MOST_FAILED_STARTS:
            actor = self._actor_class.remote(*self._arguments)
            worker = Worker(actor, actor.handle.options(num_returns=2).remote)
            self._all.add(worker)
            self.starting[actor.ready.remote()] = worker

    @property
    def most_a_call(self) -> int:
        """How many jobs may go to a worker at once: more than one if they are short."""
        return max(1, int(SHORT_S / self.job_s))

    def share_of(self, num_jobs: int) -> int:
        """Return a worker's share of so many jobs."""
        return min(self.most_a_call, -(-num_jobs // max(1, len(self._all) - len(self.starting))))

    def note_time(self, seconds: float, num_jobs: int) -> None:
        """Take in how long so many jobs took."""
        self.job_s = max(1e-4, 0.8 * self.job_s + 0.2 * seconds / num_jobs)

    def started(self, ref: Ref) -> None:
        """Take in that a start ended, well or not."""
        worker = self.starting.pop(ref)
        try:
            self._ray.get(ref)
        except self._ray.exceptions.RayError as error:
            self._failed_starts += 1
            self.start_failure = str(error)
            self.bury(worker)
            log.warning("a Ray worker did not start: %s", error)
        else:
            self._failed_starts = 0
            self.idle.append(worker)

    def bury(self, worker: Worker) -> None:
        """Forget a worker that is dead or out of reach."""
        self._all.discard(worker)
        with contextlib.suppress(self._ray.exceptions.RayError, ValueError):
            self._ray.kill(worker.actor, no_restart=True)

    def close(self) -> None:
        """End all workers."""
        self.idle.clear()
        self.starting.clear()
        if self._ray.is_initialized():
            for worker in list(self._all):
                self.bury(worker)
        self._all.clear()


class SharedBytes:
    """Large byte strings in Ray's object store, each once, though many messages carry it.

    A global model that goes to every client is then written once. Entries are known by identity; the
    oldest are dropped beyond ``SHARED_BYTES`` (messages on their way keep what they need).
    """

    def __init__(self) -> None:
        self._entries: OrderedDict[int, tuple[bytes, Ref]] = OrderedDict()
        self._size = 0

    def put(self, data: bytes) -> Ref:
        """Return the reference to ``data`` as an array of uint8."""
        entry = self._entries.get(id(data))
        if entry is None:
            entry = (data, import_ray().put(np.frombuffer(data, np.uint8)))
            self._entries[id(data)] = entry
            self._size += len(data)
        self._entries.move_to_end(id(data))
        while self._size > SHARED_BYTES and len(self._entries) > 1:
            _, (dropped, _) = self._entries.popitem(last=False)
            self._size -= len(dropped)
        return entry[1]

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._size = 0
