"""Merging adapters of unequal rank by a QR core, against the SVD of the dense matrix that one writes first.

    python benchmarks/lora.py [--repeats 5] [--small]

Ten clients of ranks from 4 to 32, evenly, float32 factors of random numbers; what comes out is the weighted mean of
their products in SVD form, truncated to rank 64. The peer adds up the dense products in float32 and takes numpy's SVD
of them. One thread each; medians, of the peer of a single run where it takes seconds. A ratio above 1 is faster than
the peer.

* "mean" rows are ``mean_of_products``. Rows of errors hold its matrix against the truncated SVD of the dense sum in
  float64.
* "apply" rows are one asynchronous merge of a layer, as ``LoRAAggregator`` makes it: a matrix of rank 64 and an update
  of rank 16. "hand out" is what a job of that rank starts from.
* Shapes beside the square ones are those of the linear layers of MiniLM (384), ViT-B (768) and Swin-B (up to 1024).

``--small``: 512 x 512 in the place of 4096 x 4096, and no shape of more than 1024 x 1024; without an aim.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from report import row, write_rows
from threadpoolctl import threadpool_limits
from timing import medians

from eafl_flower.aggregation import Constant
from eafl_flower.aggregation.lora import LoRAAggregator, LowRank, Pair, mean_of_products
from eafl_flower.core.orders import Order
from eafl_flower.core.rng import generator
from eafl_flower.types import Update

RANKS = tuple(int(r) for r in np.linspace(4, 32, 10).round())
WEIGHTS = tuple(range(1, 11))
MOST, RANK = 64, 16
LAYERS = {
    "MiniLM": [(384, 384), (384, 1536), (1536, 384)],
    "ViT-B": [(768, 768), (768, 3072), (3072, 768)],
    "Swin-B": [(1024, 1024), (1024, 4096), (4096, 1024)],
}
AIM = 500.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="runs of each contestant (default 5)")
    parser.add_argument("--small", action="store_true", help="smaller matrices: seconds")
    arguments = parser.parse_args()
    side = 512 if arguments.small else 4096
    rows = _mean((side, side), arguments.repeats, aim=None if arguments.small else AIM)
    for name, shapes in LAYERS.items():
        for shape in shapes:
            if not arguments.small or max(shape) <= 1024:
                rows += _mean(shape, arguments.repeats, of=f" of {name}", with_peer=min(shape) < 1024)
                rows += _merge(shape, arguments.repeats, of=f" of {name}")
    write_rows("lora", rows)


def _mean(
    shape: tuple[int, int], repeats: int, *, of: str = "", with_peer: bool = True, aim: float | None = None
) -> list[dict[str, Any]]:
    d_in, d_out = shape
    name = f"{d_in} x {d_out}{of}"
    rng = generator(0, "benchmark", "lora", d_in, d_out)
    pairs = [
        Pair(rng.standard_normal((d_in, r), dtype=np.float32), rng.standard_normal((r, d_out), dtype=np.float32))
        for r in RANKS
    ]
    ours = medians({"ours": lambda: mean_of_products(pairs, WEIGHTS, most=MOST)}, repeats)["ours"]
    label = f"mean, {name}, {len(RANKS)} clients, {sum(RANKS)} columns"
    if not with_peer:
        return [row(label, 1e3 * ours, "ms")]
    found = mean_of_products(pairs, WEIGHTS, most=MOST)

    def peer() -> Any:
        return np.linalg.svd(_dense(pairs, np.float32), full_matrices=False)

    dense = _once(peer) if min(shape) > 1024 else medians({"dense": peer}, max(1, repeats // 4))["dense"]
    told = {"peer": "numpy's SVD of the dense sum, float32", "peer_value": 1e3 * dense, "ratio": dense / ours}
    rows = [row(label, 1e3 * ours, "ms", aim=aim, **told)]
    if min(shape) <= 1024:
        rows.append(row(f"error, {name}: of the product", _error(pairs, found.matrix), "relative"))
    return rows


def _merge(shape: tuple[int, int], repeats: int, *, of: str) -> list[dict[str, Any]]:
    d_in, d_out = shape
    rng = generator(0, "benchmark", "apply", d_in, d_out)
    start = tuple(rng.standard_normal(s, dtype=np.float32) for s in ((d_in, MOST), (MOST, d_out)))
    aggregator = LoRAAggregator(alpha=0.1, max_rank=MOST, staleness=Constant())
    state, order = aggregator.init(start), Order(rank=RANK)
    base = aggregator.arrays(state, order)
    delta = tuple(0.1 * rng.standard_normal(b.shape, dtype=np.float32) for b in base)
    update = Update(client=0, delta=delta, base=base, base_version=0, num_examples=1, order=order)
    s = medians(
        {
            "apply": lambda: aggregator.apply(state, [update]),
            "hand out": lambda: aggregator.arrays(state, order),
        },
        repeats,
    )
    return [row(f"{what}, {d_in} x {d_out}{of}, rank {RANK} on {MOST}", 1e3 * s[what], "ms") for what in s]


def _dense(pairs: list[Pair], dtype: type) -> np.ndarray:
    return sum((dtype(w) * pair.a.astype(dtype)) @ pair.b for w, pair in zip(WEIGHTS, pairs, strict=True)) / dtype(
        sum(WEIGHTS)
    )


def _once(contestant: Callable[[], Any]) -> float:
    """Return the seconds of one run: of the dense SVD a second one would change nothing and take minutes."""
    start = time.perf_counter()
    contestant()
    return time.perf_counter() - start


def _error(pairs: list[Pair], found: LowRank) -> float:
    u, s, vt = np.linalg.svd(_dense(pairs, np.float64), full_matrices=False)
    best = (u[:, :MOST] * s[:MOST]) @ vt[:MOST]
    return float(np.linalg.norm((found.u * found.s) @ found.v.T - best) / np.linalg.norm(best))


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
