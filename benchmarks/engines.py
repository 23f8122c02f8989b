"""Federated learning on one small task: our engines, Flower's FedAvg on its runtime, and a plain torch loop.

    python benchmarks/engines.py [--repeats 5] [--only-inline]

Scikit-learn's digits, MLP 64-64-10, 100 clients by Dirichlet(0.3), 10 in flight (a round of 10 in synchronous
mode), batch 16, one local epoch, SGD with 0.1; target 0.90 on the pooled 360 test images, three seeds.

* Our rows go through the ClientApp, mods and strategies of `flwr run`: asynchronous EMAM, and FedAvg with a
  barrier. The rows that are compared use no codec, as the peers; two rows show int8.
* "flower-fedavg" is Flower's FedAvg on Flower's simulation runtime with the same ClientApp, some rounds of it. Its
  updates to 0.90 come from the same strategy over our inline grid, and its seconds from both.
* "torch-loop" is the floor: one model, parameters copied in place, SGD written by hand on autograd's gradients, no
  DataLoader, FedAvg over the same partitions and cohorts of 10, nothing else.

For each seed a first run with evaluation finds the updates to 0.90. The measured runs make just these updates
without evaluation: that their arrays are the same is checked, on Ray too. Times are between the first event of a
run and its last merge; contestants of one process take turns, a row is the median over the turns. A ratio is to
the peer in the same turn, so that a loaded machine slows both. CPU is the time of all processes of a contestant.

Where the time goes: an inline update takes some 2.5 to 3 times as long as one of the loop. A fifth of it is training
(in numpy, faster than torch on such batches), another fifth makes the message (the arrays as Flower's bytes once per
version, prices, counters), a quarter reads the reply, checks it, merges and books it; the rest is the client's side
of reading and writing records, copies so that client and server share nothing, and random generators that depend on
nothing but their purpose. int8 adds three decodings and two encodings, and error feedback that is stored with the
client. On Ray a call costs a millisecond of two processes whatever it holds, so a worker takes several short jobs a
call; half of the CPU is Ray's own. Flower's runtime looks for messages every 0.1 s, so that ten in flight make at
most 100 updates a second however fast the machine is: on a slow one the ratio is lower.
"""

import argparse
import contextlib
import logging
import os
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from flwr.app import ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from report import row, write_rows
from torch.nn import functional

from eafl_flower.app.client import client_app
from eafl_flower.app.resolving import resolve
from eafl_flower.app.training import train
from eafl_flower.config import RunConfig
from eafl_flower.engines import InlineGrid, RayGrid, run_on_flower
from eafl_flower.types import Arrays
from eafl_flower.wire.arrays import array_record, arrays_of

SEEDS = (1, 2, 3)
CLIENTS, COHORT, BATCH, RATE, TARGET = 100, 10, 16, 0.1, 0.90
FLOWER_ROUNDS = 12
LONGEST = 8000  # updates; a contestant that needs more is not there yet


@dataclass(frozen=True)
class Took:
    """What a measured run took."""

    updates: int
    wall_s: float
    cpu_s: float
    sha256: str = ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="turns of the contestants in this process (default 5)")
    parser.add_argument("--only-inline", action="store_true", help="leave Ray and Flower's runtime out")
    arguments = parser.parse_args()
    logging.getLogger("flwr").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    loads = [os.getloadavg()[0]]

    ours = {"inline-sync": ("sync", "none"), "inline-async": ("async", "none")}
    coded = {"inline-sync, int8": ("sync", "int8"), "inline-async, int8": ("async", "int8")}
    inline = ours | coded
    needed = {name: {s: updates_to_target(config_of(*kind, s)) for s in SEEDS} for name, kind in inline.items()}
    loops = {seed: TorchLoop(seed) for seed in SEEDS}
    needed["torch-loop"] = {seed: loop.updates_to_target() for seed, loop in loops.items()}
    turns: list[dict[str, Took]] = []
    hashes: dict[tuple[str, int], str] = {}
    for turn in range(arguments.repeats + 1):
        seed = SEEDS[turn % len(SEEDS)]
        took = {"torch-loop": loops[seed].measure(needed["torch-loop"][seed])}
        for name, kind in inline.items():
            took[name] = measured_inline(config_of(*kind, seed, merges=merges(kind[0], needed[name][seed])))
            same(hashes, (name, seed), took[name].sha256)
        if turn:  # the first one warms up
            turns.append(took)
    rows = [line for name in turns[0] for line in described(name, turns, needed[name])]
    if not arguments.only_inline:
        names = {"ray-sync": "inline-sync", "ray-async": "inline-async"}
        turns = []
        for seed in SEEDS:
            flower = measured_on_flower(config_of("sync", "none", seed))
            turns.append({"flower-fedavg": flower})
            for name, twin in names.items():
                config = config_of(*ours[twin], seed, merges=merges(ours[twin][0], needed[twin][seed]))
                turns[-1][name] = measured_on_ray(config)
                same(hashes, (twin, seed), turns[-1][name].sha256)
        needed |= {name: needed[twin] for name, twin in names.items()}
        needed["flower-fedavg"] = {seed: fedavg_updates_to_target(config_of("sync", "none", seed)) for seed in SEEDS}
        rows += [line for name in turns[0] for line in described(name, turns, needed[name])]
    loads.append(os.getloadavg()[0])
    for when, load in zip(("start", "end"), loads, strict=True):
        rows.append(row(f"load average at the {when}", load, f"of {os.cpu_count()} cores"))
    write_rows("engines", rows)


PEERS = {"inline": ("torch-loop", 0.3), "ray": ("flower-fedavg", 5.0)}


def described(name: str, turns: list[dict[str, Took]], needed: Mapping[int, int]) -> list[dict[str, Any]]:
    """Return the rows of one contestant: updates a second, CPU time, updates and seconds to the target."""

    def middle(value: Callable[[Took], float], of: str = name) -> float:
        return statistics.median(value(turn[of]) for turn in turns)

    def rate(took: Took) -> float:
        return took.updates / took.wall_s

    def cpu_us(took: Took) -> float:
        return 1e6 * took.cpu_s / took.updates

    peer, aim = PEERS.get(name.split("-")[0], ("", None))
    against: dict[str, Any] = {}
    cpu_against: dict[str, Any] = {}
    if peer:
        ratio = statistics.median(rate(turn[name]) / rate(turn[peer]) for turn in turns)
        cpu_ratio = statistics.median(cpu_us(turn[peer]) / cpu_us(turn[name]) for turn in turns)
        aim = None if "int8" in name else aim
        against = {"peer": peer, "peer_value": middle(rate, peer), "ratio": ratio, "aim": aim}
        cpu_against = {"peer": peer, "peer_value": middle(cpu_us, peer), "ratio": cpu_ratio}
    cores = 1 if name.startswith(("inline", "torch")) else os.cpu_count() or 1
    updates = statistics.median(needed.values())
    return [
        row(name, middle(rate), "updates/s", cores=cores, **against),
        row(f"{name}, CPU", middle(cpu_us), "us/update", cores=cores, **cpu_against),
        row(f"{name}, to {TARGET:.2f}", updates, f"updates {sorted(needed.values())}", cores=cores),
        row(f"{name}, to {TARGET:.2f}", updates / middle(rate), "s", cores=cores),
    ]


def config_of(mode: str, codec: str, seed: int, *, merges: int = LONGEST, **changes: Any) -> RunConfig:
    """Return the configuration of a run."""
    flat = {
        "seed": seed,
        "data.name": "digits",
        "data.clients": CLIENTS,
        "data.unseen": 0,
        "data.dirichlet-alpha": 0.3,
        "task.tabular.hidden": "64",
        "task.tabular.head": "federated",
        "task.learning-rate": RATE,
        "task.batch-size": BATCH,
        "strategy.mode": mode,
        "strategy.name": "emam" if mode == "async" else "fedavg",
        "strategy.concurrency" if mode == "async" else "strategy.cohort": COHORT,
        "strategy.merges": merges,
        "codec.name": codec,
        "evaluate.after-training": False,
    }
    return RunConfig.from_flat(flat | changes)


def merges(mode: str, updates: int) -> int:
    """Return how many merges hold so many updates."""
    return updates if mode == "async" else updates // COHORT


def updates_to_target(config: RunConfig) -> int:
    """Evaluate after every ten updates until the target is reached."""
    every = merges(config.strategy.mode, COHORT)
    stop = {"evaluate.every": every, "stop.metric": "accuracy-before", "stop.target": TARGET}
    run = train(resolve(config.replace(stop)), InlineGrid(client_app(resolve(config)), CLIENTS))
    if not run.stop_reason:
        raise RuntimeError(f"{TARGET} not reached in {LONGEST} updates")
    return run.tally.updates


class Stopwatch:
    """Observer that looks at both clocks at the first event and at the last merge."""

    def __init__(self, updates: int, cpu_s: Callable[[], float] = time.process_time) -> None:
        self._updates, self._cpu_s = updates, cpu_s
        self.looks: list[tuple[float, float]] = []

    def write(self, event: Mapping[str, Any]) -> None:
        """Look at the clocks if it is time."""
        self._updates -= event["event"] == "merge"
        if event["event"] == "start" or (event["event"] == "merge" and self._updates == 0):
            self.looks.append((time.perf_counter(), self._cpu_s()))

    def close(self) -> None:
        """Nothing is open."""


def measured_inline(config: RunConfig) -> Took:
    """Run on our inline engine."""
    return measured(config, InlineGrid(client_app(resolve(config)), CLIENTS), time.process_time)


def measured_on_ray(config: RunConfig) -> Took:
    """Run on our Ray engine, with as many workers as there are cores."""
    with RayGrid(lambda: client_app(resolve(config)), CLIENTS) as grid:
        few = config.replace({"strategy.merges": merges(config.strategy.mode, 200)})
        train(resolve(few), grid)  # starts the workers
        return measured(config, grid, cpu_of_all_processes)


def measured(config: RunConfig, grid: Grid, cpu_s: Callable[[], float]) -> Took:
    """Run without evaluation but at the end."""
    updates = config.strategy.merges * (1 if config.strategy.mode == "async" else COHORT)
    watch = Stopwatch(updates, cpu_s)
    run = train(resolve(config), grid, observer=watch)
    (wall_0, cpu_0), (wall_1, cpu_1) = watch.looks
    return Took(updates, wall_1 - wall_0, cpu_1 - cpu_0, run.arrays_sha256())


def cpu_of_all_processes() -> float:
    """Return the CPU time of this process and of all that it started [s]; Linux only."""
    stats = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            stats[int(path.parent.name)] = int(fields[1]), int(fields[11]) + int(fields[12])
    family = {os.getpid()}
    while more := {pid for pid, (parent, _) in stats.items() if parent in family} - family:
        family |= more
    return sum(stats[pid][1] for pid in family) / os.sysconf("SC_CLK_TCK")


def measured_on_flower(config: RunConfig) -> Took:
    """Run Flower's FedAvg on Flower's runtime, evaluating nothing."""
    app, clock = ServerApp(), []

    def note(server_round: int, arrays: ArrayRecord) -> None:
        clock.append((time.perf_counter(), cpu_of_all_processes()))

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        fedavg().start(grid, initial(config), num_rounds=FLOWER_ROUNDS, evaluate_fn=note)

    run_on_flower(app, lambda: client_app(resolve(config)), num_nodes=CLIENTS)
    (wall_0, cpu_0), (wall_1, cpu_1) = clock[2], clock[-1]  # the first two rounds start the actors
    return Took((len(clock) - 3) * COHORT, wall_1 - wall_0, cpu_1 - cpu_0)


def fedavg() -> FedAvg:
    """Return Flower's FedAvg with cohorts of ten, without evaluation on the clients."""
    return FedAvg(
        fraction_train=COHORT / CLIENTS, fraction_evaluate=0.0, min_train_nodes=COHORT, min_available_nodes=CLIENTS
    )


def fedavg_updates_to_target(config: RunConfig) -> int:
    """Run Flower's FedAvg over our inline grid and find the round that reaches the target."""
    test, reached = TestImages(config), []

    def evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        if not reached and test.accuracy(arrays_of(arrays)) >= TARGET:
            reached.append(server_round)
        return MetricRecord()

    grid = InlineGrid(client_app(resolve(config)), CLIENTS)
    fedavg().start(grid, initial(config), num_rounds=200, evaluate_fn=evaluate)
    return COHORT * reached[0]


def initial(config: RunConfig) -> ArrayRecord:
    """Return the model all contestants start from."""
    return array_record("0123", resolve(config).workload.initial(config.seed))


class TestImages:
    """The pooled test images."""

    def __init__(self, config: RunConfig) -> None:
        source = resolve(config).source
        parts = [source.partition(client) for client in range(CLIENTS)]
        self.x = np.concatenate([part.x_test for part in parts])
        self.y = np.concatenate([part.y_test for part in parts])

    def accuracy(self, arrays: Arrays) -> float:
        """Return the share of images that a model of these arrays names right."""
        w1, b1, w2, b2 = arrays
        logits = np.maximum(self.x @ w1.T + b1, 0) @ w2.T + b2
        return float((logits.argmax(axis=1) == self.y).mean())


class TorchLoop:
    """FedAvg as a loop over one torch model."""

    def __init__(self, seed: int) -> None:
        config = config_of("sync", "none", seed)
        source = resolve(config).source
        self.seed, self.test = seed, TestImages(config)
        rows = (source.partition(client) for client in range(CLIENTS))
        self.rows = [(torch.from_numpy(r.x_train), torch.from_numpy(r.y_train)) for r in rows]
        self.start = [torch.from_numpy(a.copy()) for a in resolve(config).workload.initial(seed)]
        self.model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
        self.parameters = list(self.model.parameters())

    def rounds(self) -> Iterable[list[torch.Tensor]]:
        """Train for ever; yield the global arrays after each round."""
        rng = np.random.default_rng(self.seed)
        torch.manual_seed(self.seed)
        arrays = [a.clone() for a in self.start]
        while True:
            total, mean = 0, [torch.zeros_like(a) for a in arrays]
            for client in rng.choice(CLIENTS, COHORT, replace=False):
                x, y = self.rows[client]
                self.update(arrays, x, y)
                total += len(y)
                for m, parameter in zip(mean, self.parameters, strict=True):
                    m.add_(parameter.detach(), alpha=len(y))
            for array, m in zip(arrays, mean, strict=True):
                torch.div(m, total, out=array)
            yield arrays

    def update(self, arrays: list[torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> None:
        """Train the model from ``arrays`` on the rows of one client."""
        with torch.no_grad():
            for parameter, array in zip(self.parameters, arrays, strict=True):
                parameter.copy_(array)
        order = torch.randperm(len(y))
        for batch in order.split(BATCH):
            loss = functional.cross_entropy(self.model(x[batch]), y[batch])
            gradients = torch.autograd.grad(loss, self.parameters)
            with torch.no_grad():
                for parameter, gradient in zip(self.parameters, gradients, strict=True):
                    parameter.sub_(gradient, alpha=RATE)

    def updates_to_target(self) -> int:
        """Evaluate after every round until the target is reached."""
        for number, arrays in enumerate(self.rounds(), start=1):
            if self.test.accuracy(tuple(a.numpy() for a in arrays)) >= TARGET:
                return COHORT * number
        raise AssertionError

    def measure(self, updates: int) -> Took:
        """Make so many updates."""
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in zip(range(updates // COHORT), self.rounds(), strict=False):
            pass
        return Took(updates, time.perf_counter() - wall, time.process_time() - cpu)


def same(hashes: dict[tuple[str, int], str], key: tuple[str, int], sha256: str) -> None:
    """Check that runs of one configuration and seed end with the same arrays."""
    if hashes.setdefault(key, sha256) != sha256:
        raise RuntimeError(f"{key}: {sha256[:12]}, before {hashes[key][:12]}: runs of one seed must agree")


if __name__ == "__main__":
    main()
