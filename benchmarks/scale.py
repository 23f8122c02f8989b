"""Time per merge with 100 to 100,000 vehicles, 10 of them in flight.

    python benchmarks/scale.py [--merges 500] [--repeats 5]

Softmax regression (numpy) on small synthetic rows that each vehicle makes when it needs them; same rows a vehicle
and same merges for all sizes, asynchronous EMAM without a codec on the inline engine. Time per merge is between the
first and the last merge of a run, the median of the repeats; sizes take turns. Start-up (every vehicle is asked who
it is) and its memory, traced in a run of its own, are printed apart: both grow with the number of vehicles.
"""

import argparse
import gc
import logging
import os
import statistics
import time
import tracemalloc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from flwr.app import Context
from flwr.clientapp import ClientApp
from report import row, write_rows

from eafl_flower.clients import (
    Workload,
    compression_mod,
    durable_state_mod,
    federated_client_fn,
    numpy_client_app,
)
from eafl_flower.codecs import Float32Codec
from eafl_flower.engines import InlineGrid
from eafl_flower.rng import generator
from eafl_flower.strategies import AsyncEMAM
from eafl_flower.strategies.records import array_record
from eafl_flower.tasks.softmax import SoftmaxTask
from eafl_flower.types import Rows

SIZES = (100, 1_000, 10_000, 100_000)
FEATURES, CLASSES, ROWS = 16, 4, 32
MOST_SLOWER = 1.3  # from 1,000 to 100,000 vehicles


@dataclass(frozen=True)
class SyntheticRows:
    """Normal features, labels by a linear rule; nothing is kept. Implements ``protocols.DataSource``."""

    num_clients: int
    name: str = "synthetic"
    class_names: tuple[str, ...] = tuple(map(str, range(CLASSES)))
    feature_names: tuple[str, ...] = tuple(f"x{i}" for i in range(FEATURES))

    @property
    def num_seen(self) -> int:
        """All train."""
        return self.num_clients

    def partition(self, index: int) -> Rows:
        """Make the rows of one client."""
        x = generator(1, "rows", index).standard_normal((ROWS, FEATURES), dtype=np.float32)
        y = x[:, :CLASSES].argmax(axis=1)
        return Rows(x_train=x, y_train=y, x_test=x[:0], y_test=y[:0])


def build(num_clients: int) -> Workload:
    """Return what all clients have in common."""
    return Workload(
        task=SoftmaxTask(num_features=FEATURES, num_classes=CLASSES), source=SyntheticRows(num_clients), seed=1
    )


def client_app(num_clients: int) -> ClientApp:
    """Return the client with the mods that `flwr run` has."""

    def roster(context: Context) -> Mapping[str, Any]:
        return {"num-examples": ROWS, "trains": 1, "kind": "delta"}

    mods = [durable_state_mod(), compression_mod(Float32Codec())]
    return numpy_client_app(federated_client_fn(build, lambda context: num_clients), mods=mods, roster_fn=roster)


class Clock:
    """Observer that looks at the clock, and at the traced memory, when events come."""

    def __init__(self) -> None:
        self.began_s = time.perf_counter()
        self.started_s = 0.0
        self.started_bytes = 0
        self.first: tuple[float, float] = (0.0, 0.0)
        self.last: tuple[float, float] = (0.0, 0.0)

    def write(self, event: Mapping[str, Any]) -> None:
        """Look at the clock."""
        now = time.perf_counter(), time.process_time()
        if event["event"] == "start":
            self.started_s = now[0] - self.began_s
            self.started_bytes = tracemalloc.get_traced_memory()[0] if tracemalloc.is_tracing() else 0
        elif event["event"] == "merge":
            self.first, self.last = (now if event["merge"] == 1 else self.first), now

    def close(self) -> None:
        """Nothing is open."""


def run(num_clients: int, merges: int) -> Clock:
    """Make so many merges with so many vehicles."""
    gc.collect()
    clock = Clock()
    strategy = AsyncEMAM(concurrency=10, seed=1, observer=clock, evaluate_clients=False)
    workload = build(num_clients)
    strategy.start(InlineGrid(client_app(num_clients), num_clients), array_record("01", workload.initial(1)), merges)
    return clock


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--merges", type=int, default=500, help="merges of a run (default 500)")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each size (default 5)")
    arguments = parser.parse_args()
    logging.getLogger("flwr").setLevel(logging.ERROR)
    load = os.getloadavg()[0]
    run(SIZES[0], arguments.merges)  # warms up

    runs: dict[int, list[Clock]] = {size: [] for size in SIZES}
    for _ in range(arguments.repeats):
        for size in SIZES:
            runs[size].append(run(size, arguments.merges))

    def per_merge_us(clock: Clock, which: int) -> float:
        return 1e6 * (clock.last[which] - clock.first[which]) / (arguments.merges - 1)

    def middle(size: int, which: int) -> float:
        return statistics.median(per_merge_us(clock, which) for clock in runs[size])

    rows = []
    small = 1_000
    for which, suffix in ((0, ""), (1, ", CPU")):
        for size in SIZES:
            ratio = middle(small, which) / middle(size, which)
            against = {"peer": f"{small:,} vehicles", "peer_value": middle(small, which), "ratio": ratio}
            aim = 1 / MOST_SLOWER if size == SIZES[-1] and not suffix else None
            name = f"merge with {size:,} vehicles{suffix}"
            rows.append(row(name, middle(size, which), "us", **({} if size == small else against), aim=aim))
    for size in SIZES:
        startup_s = statistics.median(clock.started_s for clock in runs[size])
        rows.append(row(f"start-up of {size:,} vehicles", 1e6 * startup_s / size, "us/vehicle"))
    for size in SIZES[1:]:
        rows.append(row(f"memory of {size:,} vehicles", traced_bytes(size) / size, "bytes/vehicle"))
    rows.append(row("load average at the start", load, f"of {os.cpu_count()} cores"))
    rows.append(row("load average at the end", os.getloadavg()[0], f"of {os.cpu_count()} cores"))
    write_rows("scale", rows)


def traced_bytes(size: int) -> int:
    """Return the bytes that grid and strategy hold when ``size`` vehicles have been asked who they are."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        return run(size, 1).started_bytes - before
    finally:
        tracemalloc.stop()


if __name__ == "__main__":
    main()
