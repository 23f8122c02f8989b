"""Time per merge with 100 to 100,000 vehicles, 10 of them in flight.

    python benchmarks/scale.py [--merges 1000] [--repeats 5]

Softmax regression (numpy) on small synthetic rows that each vehicle makes when it needs them; same rows a vehicle
and same merges for all sizes, asynchronous EMAM without a codec on the inline engine. Time per merge is between the
first and the last merge of a run, the median of the repeats; the sizes run side by side, 20 merges of each in turn, so
that all see the same machine. Start-up (every vehicle is asked who
it is) and its memory, traced in a run of its own, are printed apart: both grow with the number of vehicles, a vehicle's
share does not.
"""

import argparse
import gc
import logging
import os
import statistics
import threading
import time
import tracemalloc
from collections.abc import Callable, Mapping
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
from eafl_flower.core.rng import generator
from eafl_flower.engines import InlineGrid
from eafl_flower.strategies import AsyncEMAM
from eafl_flower.tasks.softmax import SoftmaxTask
from eafl_flower.types import Rows
from eafl_flower.wire.arrays import array_record

SIZES = (100, 1_000, 10_000, 100_000)
FEATURES, CLASSES, ROWS = 16, 4, 32
SLICE = 20  # merges of one run at a time
MOST_SLOWER = 1.3  # from 1,000 to 100,000 vehicles, a merge
MOST_SLOWER_START = 2.0  # the same, start-up of a vehicle


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


class Turns:
    """Lets one of several runs go on at a time, so that all of them see the same machine."""

    def __init__(self, num_runs: int) -> None:
        self._mine = [threading.Event() for _ in range(num_runs)]
        self._left = list(range(num_runs))

    def wait(self, run: int) -> None:
        """Wait until it is this run's turn."""
        self._mine[run].wait()
        self._mine[run].clear()

    def next(self, run: int, *, done: bool = False) -> None:
        """Give the turn to the next run; without one that is left, to nobody."""
        after = self._left[(self._left.index(run) + 1) % len(self._left)]
        if done:
            self._left.remove(run)
        if self._left:
            self._mine[after if after in self._left else self._left[0]].set()

    def begin(self) -> None:
        """Give the turn to the first run."""
        self._mine[0].set()


class Clock:
    """Observer that adds up the time between merges, on both clocks, and gives way to other runs."""

    def __init__(self, merges: int, give_way: Callable[[], None]) -> None:
        self._merges, self._give_way = merges, give_way
        self._began = looked()
        self.started_s = 0.0
        self.started_bytes = 0
        self.spent_s = [0.0, 0.0]  # wall, CPU

    def write(self, event: Mapping[str, Any]) -> None:
        """Look at the clocks."""
        if event["event"] == "start":
            self.started_s = looked()[0] - self._began[0]
            self.started_bytes = tracemalloc.get_traced_memory()[0] if tracemalloc.is_tracing() else 0
        elif event["event"] == "merge" and event["merge"] == 1:
            self._began = looked()
        elif event["event"] == "merge" and (event["merge"] % SLICE == 0 or event["merge"] == self._merges):
            now = looked()
            self.spent_s = [s + b - a for s, a, b in zip(self.spent_s, self._began, now, strict=True)]
            self._give_way()
            self._began = looked()

    def per_merge_us(self, which: int) -> float:
        """Return the time from one merge to the next, on one of the clocks."""
        return 1e6 * self.spent_s[which] / (self._merges - 1)

    def close(self) -> None:
        """Nothing is open."""


def looked() -> tuple[float, float]:
    """Return what the two clocks say."""
    return time.perf_counter(), time.process_time()


def run(num_clients: int, merges: int, give_way: Callable[[], None] = lambda: None) -> Clock:
    """Make so many merges with so many vehicles."""
    gc.collect()
    clock = Clock(merges, give_way)
    strategy = AsyncEMAM(unit="merges", concurrency=10, seed=1, observer=clock, evaluate_clients=False)
    workload = build(num_clients)
    strategy.start(InlineGrid(client_app(num_clients), num_clients), array_record("01", workload.initial(1)), merges)
    return clock


def run_in_turns(merges: int) -> dict[int, Clock]:
    """Make so many merges with each number of vehicles, a few at a time."""
    turns, clocks = Turns(len(SIZES)), {}

    def one(place: int, size: int) -> None:
        def give_way() -> None:
            turns.next(place)
            turns.wait(place)

        turns.wait(place)
        try:
            clocks[size] = run(size, merges, give_way)
        finally:
            turns.next(place, done=True)

    threads = [threading.Thread(target=one, args=item) for item in enumerate(SIZES)]
    for thread in threads:
        thread.start()
    turns.begin()
    for thread in threads:
        thread.join()
    return clocks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--merges", type=int, default=1000, help="merges of a run (default 1000)")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each size (default 5)")
    arguments = parser.parse_args()
    logging.getLogger("flwr").setLevel(logging.ERROR)
    load = os.getloadavg()[0]
    run(SIZES[0], arguments.merges)  # warms up

    runs = [run_in_turns(arguments.merges) for _ in range(arguments.repeats)]

    def middle(size: int, which: int) -> float:
        return statistics.median(clocks[size].per_merge_us(which) for clocks in runs)

    rows = []
    small = 1_000
    for which, suffix in ((0, ""), (1, ", CPU")):
        for size in SIZES:
            ratio = middle(small, which) / middle(size, which)
            against = {"peer": f"{small:,} vehicles", "peer_value": middle(small, which), "ratio": ratio}
            aim = 1 / MOST_SLOWER if size == SIZES[-1] and not suffix else None
            name = f"merge with {size:,} vehicles{suffix}"
            rows.append(row(name, middle(size, which), "us", **({} if size == small else against), aim=aim))
    startup_us = {size: 1e6 * statistics.median(clocks[size].started_s for clocks in runs) / size for size in SIZES}
    for size in SIZES:
        against, name = (
            {"peer": f"{small:,} vehicles", "peer_value": startup_us[small]},
            f"start-up of {size:,} vehicles",
        )
        against |= {"ratio": startup_us[small] / startup_us[size]}
        aim = 1 / MOST_SLOWER_START if size == SIZES[-1] else None
        rows.append(row(name, startup_us[size], "us/vehicle", **({} if size == small else against), aim=aim))
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
