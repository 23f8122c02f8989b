"""Merging 22.4 million float32 in 16 tensors, against a copy of the same arrays and against Flower.

    python benchmarks/merge.py [--repeats 20]

All contestants run in one process, in turn, one thread each; a row is the median over the repeats and
its ratio the peer's median over its own, so above 1 is faster than the peer.

* "merge" rows are the loops alone, on arrays allocated as a state's are (at cache lines). "apply" rows are
  the default aggregator's ``apply`` on updates as they arrive: shapes, finite values and norm in one pass
  over the delta, norm guard, merge, new state.
* The copy is ``numpy.copyto`` of each tensor into a buffer whose pages have been touched.
* Flower's ``aggregate_arrayrecords`` unpacks each record and averages ten of them: its row is the time per
  record. Ours unpacks the same records, as the strategies do, and applies one by one.

No contestant finds its arrays in the cache: each has its own and all are larger than it. Where the time
goes: all rows are bound by memory traffic. Per element a merge moves 12 bytes (two reads, one write), with
the average 20, the norm 4 more; a copy moves 8, or 12 where the processor reads a line before writing it. So
the first row is near what the memory allows; numpy's own ``theta += delta`` is no faster.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, MetricRecord, RecordDict
from flwr.serverapp.strategy.strategy_utils import aggregate_arrayrecords
from report import row, write_rows
from threadpoolctl import threadpool_limits

from eafl_flower.aggregation import EMAMAggregator, NewestMean
from eafl_flower.aggregation.acceptance import own
from eafl_flower.aggregation.merge import pull, step
from eafl_flower.core.rng import generator
from eafl_flower.types import Arrays, Update
from eafl_flower.wire.arrays import arrays_of

TENSORS = 16
ELEMENTS = 22_400_000 // TENSORS
RECORDS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=20, help="runs of each contestant (default 20)")
    repeats = parser.parse_args().repeats

    rng = generator(0, "benchmark", "merge")
    source, delta = _draw(rng), _draw(rng)
    plain, pulled, average = (own(_draw(rng)) for _ in range(3))
    buffer = tuple(np.ones_like(a) for a in source)
    records = _flower_records(delta)
    contestants: dict[str, Callable[[], Any]] = {
        "copy": lambda: [np.copyto(b, a) for b, a in zip(buffer, source, strict=True)],
        "merge, no average": lambda: step(plain, delta, 1e-3),
        "merge, average": lambda: pull(pulled, delta, average, weight=1e-3, stiffness=1e-3, momentum=0.95),
        "apply, no average": _Applying(EMAMAggregator(), source, delta),
        "apply, average": _Applying(EMAMAggregator(beta=0.2), source, delta),
        "apply, no guard, no average": _Applying(EMAMAggregator(norm_guard=0.0), source, delta),
        "apply, newest": _Applying(NewestMean(clients=4), source, delta),
    }
    ms = _medians_ms(contestants, repeats)
    aims = {
        "merge, no average": 1.0,
        "merge, average": 0.6,
        "apply, no average": 0.6,
        "apply, average": 0.4,
        "apply, no guard, no average": None,
        "apply, newest": None,
    }
    described = {
        "merge, no average": "merge without guard, no average",
        "merge, average": "merge without guard, with average",
        "apply, no average": "apply with guard and finiteness, no average",
        "apply, average": "apply with guard and finiteness, with average",
        "apply, no guard, no average": "apply with finiteness only, no average",
        "apply, newest": "apply with guard and finiteness, mean of the newest models (the default)",
    }
    rows = [row("np.copyto into a touched buffer", ms["copy"], "ms")]
    for name, aim in aims.items():
        ratio = ms["copy"] / ms[name]
        rows.append(row(described[name], ms[name], "ms", peer="np.copyto", peer_value=ms["copy"], ratio=ratio, aim=aim))

    applying = _Applying(EMAMAggregator(), source, delta)
    against = {
        "flower": lambda: aggregate_arrayrecords(records, "num-examples"),
        "ours": lambda: [applying(arrays_of(record["arrays"])) for record in records],
        "unpack": lambda: [[array.numpy() for array in record["arrays"].values()] for record in records],
    }
    peer = {name: value / RECORDS for name, value in _medians_ms(against, max(3, repeats // 4)).items()}
    label = "flwr aggregate_arrayrecords"
    ratio = peer["flower"] / peer["ours"]
    rows.append(row(f"{label}, a record of ten", peer["flower"], "ms"))
    rows.append(
        row("unpack a record and apply", peer["ours"], "ms", peer=label, peer_value=peer["flower"], ratio=ratio, aim=2)
    )
    rows.append(row("flwr Array.numpy() of a record, alone", peer["unpack"], "ms"))
    write_rows("merge", rows)


class _Applying:
    """Merges into one stream of states."""

    def __init__(self, aggregator: EMAMAggregator | NewestMean, arrays: Arrays, delta: Arrays) -> None:
        self.aggregator, self.delta, self.base, self.client = aggregator, delta, arrays, 0
        self.state = aggregator.init(arrays)

    def __call__(self, delta: Arrays = ()) -> None:
        update = Update(
            client=self.client,
            delta=delta or self.delta,
            base_version=self.state.version,
            num_examples=1,
            base=self.base,
        )
        self.client = (self.client + 1) % 4
        self.state, _ = self.aggregator.apply(self.state, [update])


def _draw(rng: np.random.Generator) -> Arrays:
    return tuple(rng.standard_normal(ELEMENTS, dtype=np.float32) for _ in range(TENSORS))


def _medians_ms(contestants: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    for contestant in contestants.values():
        contestant()  # compiles, touches pages
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(repeats):
        for name, contestant in contestants.items():
            start = time.perf_counter()
            contestant()
            times[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def _flower_records(delta: Arrays) -> list[RecordDict]:
    arrays = ArrayRecord(list(delta))
    return [RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": 1})}) for _ in range(RECORDS)]


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
