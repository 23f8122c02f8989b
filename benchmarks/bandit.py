"""UCB-DUAL: choosing the arm of a million vehicles, against the least that any choice takes.

    python benchmarks/bandit.py [--vehicles 1000000] [--arms 8] [--repeats 9] [--small]

The peer is ``(U / n).argmax(1)`` of numpy: mean rewards and the best of them, without a bonus, a price, a mask or
arms that were never played. Both work on the same arrays in one process, in turn, one thread each; times are medians.
A ratio above 1 is faster than the peer; the aim is 1/4, at most four times its time. The formula in numpy tells what
the compiled loop saves.
"""

import argparse
from dataclasses import replace

import numpy as np
from report import row, write_rows
from threadpoolctl import threadpool_limits
from timing import medians

from eafl_flower.core.rng import generator
from eafl_flower.ranks.ucb_dual import BanditState, Choosing, begin, dual_step, first_state, observe, select

LEAST_RATIO = 0.25
CHOOSING = Choosing()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vehicles", type=int, default=1_000_000, help="vehicles (default 1,000,000)")
    parser.add_argument("--arms", type=int, default=8, help="arms (default 8)")
    parser.add_argument("--repeats", type=int, default=9, help="turns of each contestant (default 9)")
    parser.add_argument("--small", action="store_true", help="100,000 vehicles, five turns")
    arguments = parser.parse_args()
    vehicles, repeats = (100_000, 5) if arguments.small else (arguments.vehicles, arguments.repeats)
    state, available = played(vehicles, arguments.arms)
    pooled, _ = played(vehicles, arguments.arms, pooled=True)
    assert (select(state, available, CHOOSING) == in_numpy(state, available)).mean() > 0.999  # but for rounding
    everybody, chosen = np.arange(vehicles), np.maximum(select(state, available, CHOOSING), 0)
    reward, energy = np.full(vehicles, 0.5), np.full(vehicles, 0.5)
    s = medians(
        {
            "peer": lambda: (state.rewards / state.counts).argmax(1),
            "select": lambda: select(state, available, CHOOSING),
            "select, pooled": lambda: select(pooled, available, CHOOSING),
            "the formula in numpy": lambda: in_numpy(state, available),
            "begin": lambda: begin(state, everybody, chosen),
            "observe": lambda: observe(state, everybody, chosen, reward, energy),
            "dual step": lambda: dual_step(state.dual, float(energy.mean()), 0.4, step=0.1, most=4.0),
        },
        repeats,
    )
    peer, size = "(U / n).argmax(1), numpy", f"{vehicles:,} x {arguments.arms}"
    rows = []
    for name, seconds in s.items():
        if name == "peer":
            continue
        aim = LEAST_RATIO if name == "select" else None
        ratio = s["peer"] / seconds if name.startswith(("select", "the")) else None
        known = {"peer": peer, "peer_value": 1e3 * s["peer"], "ratio": ratio} if ratio is not None else {}
        rows.append(row(f"{name}, {size}", 1e3 * seconds, "ms", **known, aim=aim))
    write_rows("bandit", rows)


def played(vehicles: int, arms: int, *, pooled: bool = False) -> tuple[BanditState, np.ndarray]:
    """Return a state in which every arm was played, and a mask that lets nine of ten through."""
    rng = generator(0, "benchmark", "bandit", vehicles, arms)
    state = first_state(vehicles, arms, pools=int(pooled))
    counts = rng.integers(1, 50, state.counts.shape).astype(float)
    state = replace(
        state,
        counts=counts,
        rewards=counts * rng.random(counts.shape),
        energies=counts * rng.random(counts.shape),
        in_flight=rng.integers(0, 2, counts.shape).astype(float),
        dual=np.array([0.1]),
    )
    return state, rng.random((vehicles, arms)) < 0.9


def in_numpy(state: BanditState, available: np.ndarray) -> np.ndarray:
    """Return the same choice, of arms that were all played, an array at a time."""
    width = CHOOSING.bonus * np.sqrt(2 * np.log(1 + state.counts.sum(1, keepdims=True)))
    index = (state.rewards - state.dual[0] * state.energies) / state.counts
    index += width / np.sqrt(state.counts + state.in_flight)
    return np.where(available.any(1), np.where(available, index, -np.inf).argmax(1), -1)


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
