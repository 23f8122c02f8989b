"""Updates that clients make in a run with exact payloads, in order, for codecs to be measured on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eafl_flower.app.client import client_app
from eafl_flower.app.resolving import resolve
from eafl_flower.codecs import Float32Codec
from eafl_flower.config import RunConfig
from eafl_flower.config.parts import made
from eafl_flower.core.orders import Order
from eafl_flower.engines import InlineGrid
from eafl_flower.protocols import Aggregator
from eafl_flower.strategies.asynchronous import AsynchronousStrategy
from eafl_flower.types import Arrays, Diagnostics, Update
from eafl_flower.wire.arrays import array_record

CLIENTS, UPDATES = 5, 30

Streams = list[list[Arrays]]  # updates of each client, in order


def stored(name: str, task: str, folder: Path | None) -> Streams:
    """Return the updates of five clients, from ``folder`` if they are there."""
    path = None if folder is None else folder / f"{name}-{task}.npz"
    if path is not None and path.exists():
        flat = np.load(path)
        arrays = [flat[str(i)] for i in range(len(flat.files))]  # (clients, updates, *shape) each
        return [[tuple(a[c, u] for a in arrays) for u in range(UPDATES)] for c in range(CLIENTS)]
    preset = RunConfig.from_toml(name)
    head = {} if task == "softmax" else {f"task.{task}.head": preset.task.part.head}
    streams = collected(preset.replace({"task.name": task, "codec.name": "float32", **head}))
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        together = [np.stack([[u[i] for u in client] for client in streams]) for i in range(len(streams[0][0]))]
        np.savez(path, **{str(i): a for i, a in enumerate(together)})
    return streams


def collected(config: RunConfig) -> Streams:
    """Train with exact updates and return those of the first five clients."""
    workload = resolve(config).workload
    source = workload.source
    shared = workload.initial(config.seed)[: workload.task.num_shared]
    streams: Streams = [[] for _ in range(CLIENTS)]
    strategy = AsynchronousStrategy(
        lambda in_flight, clients: Noting(resolve(config).aggregator(in_flight, clients), streams),
        seed=config.seed,
        unit="merges",
        concurrency=config.strategy.concurrency,
        codec=Float32Codec(),
        radio=made(config.radio.part),
        local_epochs=config.task.local_epochs,
        expected_nodes=source.num_clients,
    )
    try:
        strategy.start(
            InlineGrid(client_app(resolve(config)), source.num_clients),
            array_record([str(i) for i in range(len(shared))], shared),
            num_rounds=100 * UPDATES * source.num_seen,
        )
    except Enough:
        return streams
    msg = f"{config.name}: the run ended before each of the first {CLIENTS} clients had {UPDATES} updates"
    raise RuntimeError(msg)


class Enough(Exception):
    """All updates that are wanted have been noted."""


@dataclass(frozen=True)
class Noting:
    """An aggregator that keeps copies of the first clients' updates."""

    aggregator: Aggregator[Any]
    streams: Streams

    def init(self, arrays: Arrays) -> Any:
        return self.aggregator.init(arrays)

    def apply(self, state: Any, updates: Sequence[Update]) -> tuple[Any, Diagnostics]:
        (update,) = updates
        if update.client < CLIENTS and len(self.streams[update.client]) < UPDATES:
            self.streams[update.client].append(tuple(np.array(a) for a in update.delta))
            if all(len(stream) == UPDATES for stream in self.streams):
                raise Enough
        return self.aggregator.apply(state, updates)

    def arrays(self, state: Any, order: Order | None = None) -> Arrays:
        return self.aggregator.arrays(state, order)
