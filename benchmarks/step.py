"""Is a server step safe by default? Ordinary tasks, from 2 to 50 clients, against Flower's FedAvg.

    python benchmarks/step.py [--tasks softmax,mlp] [--sizes 2,10,50,10of50] [--rules default] [--out FILE] [--quick]

A row is a task and a size: ``n`` clients that are all in flight, or ``k of n``. FedAvg has all ``n`` in each round, on
the inline engine, too. A rule gets as many client updates: ``rounds`` times ``n`` merges, with a central evaluation
after each ``n``. Both train the same clients from the same arrays. A row passes if, in points of accuracy,

* the mean over the seeds is at no one of ten evaluations in the second half more than 1 below FedAvg's, and
* no run falls by more than 5 between two evaluations, or by more than FedAvg's largest fall on the row plus 1.

Where the score is a loss, points are per cent of it (of FedAvg's, and of the one before), and the limits double.

The rule "fedavg-again" is FedAvg whose clients draw other batches: what it fails is the noise of single runs.

Runs are kept in FILE (.jsonl), one JSON object a line, and not made again: delete the lines of a rule that has changed.
The table is written beside it (.json; of other rules than the default with their names).
"""

import argparse
import json
import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, MetricRecord
from flwr.serverapp.strategy import FedAvg, Strategy
from rich.console import Console
from rich.table import Table
from step_tasks import TASKS, Task, TaskCase

from eafl_flower.aggregation import Constant
from eafl_flower.engines import InlineGrid
from eafl_flower.strategies import AsyncEMAM, AsynchronousStrategy

SIZES = {"2": (2, 2), "10": (10, 10), "50": (50, 50), "10of50": (10, 50)}  # in flight, clients
EVALUATIONS = 10
FEDAVG, AGAIN = "fedavg", "fedavg-again"
OTHER_JOBS = 10_001  # the first job of FedAvg's clients when it runs again

Make = Callable[[int], Strategy]  # from the number in flight
RULES: dict[str, Make] = {
    "default": lambda in_flight: AsyncEMAM(concurrency=in_flight, evaluate_clients=False),
    # FedAvg's step without a memory: n updates add up to as much as a round of FedAvg
    "adding-up": lambda in_flight: AsyncEMAM(
        alpha=1 / in_flight,
        staleness=Constant(),
        weight_by_examples=True,
        concurrency=in_flight,
        evaluate_clients=False,
    ),
    "alpha-0.8": lambda in_flight: AsyncEMAM(alpha=0.8, concurrency=in_flight, evaluate_clients=False),
}
LOOKS = {
    FEDAVG: ("#888888", "-"),
    AGAIN: ("#bbbbbb", "-"),
    "default": ("#0b6", "-"),
    "adding-up": ("#36c", "--"),
    "alpha-0.8": ("#c33", ":"),
}
Key = tuple[str, str, str, int, int]  # task, size, rule, seed, rounds


def fedavg(num_clients: int) -> Strategy:
    """Return Flower's FedAvg with all clients in its cohort."""
    return FedAvg(fraction_evaluate=0.0, min_train_nodes=num_clients, min_available_nodes=num_clients)


@lru_cache(maxsize=2)
def case_of(task: Task, num_clients: int, seed: int, first_job: int) -> TaskCase:
    return task.make(num_clients, seed, first_job=first_job)


def run_row(
    task: Task | str,
    clients: int,
    in_flight: int,
    seed: int,
    strategy_factory: Make = fedavg,
    rounds: int = 20,
    first_job: int = 1,
) -> dict[str, Any]:
    """Run one strategy on one task.

    Parameters
    ----------
    task
        A task, or its name in ``TASKS``.
    clients, in_flight
        Numbers of clients: all, and at work at a time (FedAvg: given to the factory).
    seed
        Seed of the split, of the initial arrays, of the clients' batches and of our strategy.
    strategy_factory
        Makes the strategy from ``in_flight``.
    rounds
        Rounds' worth of updates, ``clients`` each.
    first_job
        Number of each client's first job: with another one it draws other batches.

    Returns
    -------
    dict
        ``scores``: one for each round's worth; ``initial``, ``higher_is_better``, ``cpu_s``, ``error`` (None if all
        went well; a run that stops early has fewer scores).
    """
    logging.getLogger("flwr").setLevel(logging.ERROR)
    case = case_of(TASKS[task] if isinstance(task, str) else task, clients, seed, first_job)
    scores: dict[int, float] = {}

    def evaluate(number: int, arrays: ArrayRecord) -> None:
        scores[number] = float(str(case.evaluate(arrays)["score"]))

    began = time.process_time()
    error = None
    random.seed(seed)  # FedAvg draws its order of clients from it
    try:
        start(strategy_factory(in_flight), InlineGrid(case.app, clients), case.initial, seed, rounds, evaluate)
    except Exception as problem:
        error = f"{type(problem).__name__}: {problem}"
    scores.pop(0, None)
    return {
        "scores": [scores[number] for number in sorted(scores)],
        "initial": float(str(case.evaluate(case.initial)["score"])),
        "higher_is_better": case.higher_is_better,
        "cpu_s": time.process_time() - began,
        "error": error,
    }


def start(
    strategy: Strategy,
    grid: InlineGrid,
    initial: ArrayRecord,
    seed: int,
    rounds: int,
    evaluate: Callable[[int, ArrayRecord], MetricRecord | None],
) -> None:
    """Run ``rounds`` rounds' worth of updates with an evaluation after each."""
    if isinstance(strategy, AsynchronousStrategy):
        strategy.options = replace(strategy.options, seed=seed, evaluate_every=1, evaluate_clients=False)
    strategy.start(grid, initial, num_rounds=rounds, evaluate_fn=evaluate)


# -- the table -------------------------------------------------------------------------------------------------------


def gaps(ours: list[list[float]], peer: list[list[float]], *, higher_is_better: bool) -> list[float]:
    """Return how many points the mean over the seeds is below FedAvg's, at ten evaluations of the second half."""
    rounds = len(peer[0])
    at = sorted({rounds - 1 - int(k * rounds / 2 / EVALUATIONS) for k in range(EVALUATIONS)})
    mean, wanted = np.mean(ours, 0)[at], np.mean(peer, 0)[at]
    return list(100 * (wanted - mean) if higher_is_better else 100 * (mean / wanted - 1))


def largest_fall(runs: Iterable[list[float]], *, higher_is_better: bool) -> float:
    """Return the largest fall between two evaluations of any run [points]."""
    falls = [b - a if higher_is_better else -(b / a - 1) for run in runs for a, b in pairwise(run)]
    return max(0.0, -100 * min(falls))


def judged(task: str, size: str, rule: str, runs: Mapping[Key, Any], seeds: list[int], rounds: int) -> dict[str, Any]:
    """Return a row of the table."""
    ours, peer = ([runs[task, size, name, seed, rounds] for seed in seeds] for name in (rule, FEDAVG))
    higher = peer[0]["higher_is_better"]
    double = 1 if higher else 2
    row = {"task": task, "size": size, "rule": rule, "fedavg": float(np.mean([run["scores"][-1] for run in peer]))}
    scores, wanted = [run["scores"] for run in ours], [run["scores"] for run in peer]
    if any(len(run) < rounds or not np.isfinite(run).all() for run in scores):
        return row | {"ours": float("nan"), "gap": float("inf"), "fall": float("inf"), "allowed": 0.0, "passes": False}
    gap = max(gaps(scores, wanted, higher_is_better=higher))
    fall, peer_fall = (largest_fall(some, higher_is_better=higher) for some in (scores, wanted))
    allowed = max(5.0 * double, peer_fall + double)
    return row | {
        "ours": float(np.mean([run[-1] for run in scores])),
        "gap": gap,
        "fall": fall,
        "allowed": allowed,
        "passes": bool(gap <= double and fall <= allowed),
    }


def show(rows: list[dict[str, Any]]) -> None:
    """Print the table."""
    table = Table(title="server step against FedAvg, equal client updates")
    for column in ("task", "in flight", "rule", "FedAvg", "rule's", "worst gap", "largest fall", "allowed", ""):
        table.add_column(column, justify="left" if column in ("task", "rule", "") else "right")
    for row in rows:
        numbers = [f"{row['fedavg']:.3f}", f"{row['ours']:.3f}", *(f"{row[k]:.2f}" for k in ("gap", "fall", "allowed"))]
        verdict = "[green]passes[/green]" if row["passes"] else "[bold red]FAILS[/bold red]"
        table.add_row(row["task"], row["size"], row["rule"], *numbers, verdict)
    console = Console()
    if not console.is_terminal:
        console = Console(width=140)
    console.print(table)
    for rule in dict.fromkeys(row["rule"] for row in rows):
        own = [row for row in rows if row["rule"] == rule]
        console.print(f"{rule}: {sum(row['passes'] for row in own)} of {len(own)} rows pass")


def draw(runs: Mapping[Key, Any], path: Path) -> None:
    """Draw the mean curves over the seeds, a panel for each task and size."""
    from matplotlib.figure import Figure

    panels = list(dict.fromkeys((task, size) for task, size, *_ in runs))
    figure = Figure(figsize=(4 * len(panels), 3), layout="constrained")
    for axes, panel in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True):
        for rule in dict.fromkeys(key[2] for key in runs):
            curves = [run["scores"] for key, run in runs.items() if key[:3] == (*panel, rule)]
            color, style = LOOKS[rule]
            axes.plot(range(1, len(curves[0]) + 1), np.mean(curves, 0), style, color=color, label=rule)
        axes.set(title=f"{panel[0]}, {panel[1]} clients", xlabel="rounds' worth of updates", ylabel="score")
    axes.legend(loc="lower right")
    figure.savefig(path)


# -- all runs --------------------------------------------------------------------------------------------------------


def run_key(key: Key) -> dict[str, Any]:
    """Run what ``key`` names, in a process of its own."""
    task, size, rule, seed, rounds = key
    in_flight, clients = SIZES[size]
    if rule in (FEDAVG, AGAIN):
        return run_row(task, clients, clients, seed, fedavg, rounds, 1 if rule == FEDAVG else OTHER_JOBS)
    return run_row(task, clients, in_flight, seed, RULES[rule], rounds)


def run_all(keys: list[Key], path: Path, jobs: int) -> dict[Key, Any]:
    """Run what ``path`` does not hold yet, append it there, and return all; FedAvg of 10of50 is that of 50."""
    done: dict[Key, Any] = {}
    if path.exists():
        for line in path.read_text().splitlines():
            run = json.loads(line)
            done[tuple(run.pop("key"))] = run
    missing = [key for key in dict.fromkeys(map(stored_as, keys)) if key not in done]
    path.parent.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(jobs) as pool, path.open("a") as file:
        futures = {pool.submit(run_key, key): key for key in missing}
        for count, future in enumerate(as_completed(futures), start=1):
            key = futures[future]
            done[key] = future.result()
            file.write(json.dumps({"key": key, **done[key]}) + "\n")
            file.flush()
            final = f"{done[key]['scores'][-1]:.3f}" if done[key]["scores"] else "none"
            print(f"{count}/{len(missing)} {' '.join(map(str, key))}: {final}, {done[key]['cpu_s']:.1f} s", flush=True)
    return {key: done[stored_as(key)] for key in keys}


def stored_as(key: Key) -> Key:
    task, size, rule, seed, rounds = key
    return (task, str(SIZES[size][1]), rule, seed, rounds) if rule in (FEDAVG, AGAIN) else key


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", default="", help="names or beginnings of names (default: all)")
    parser.add_argument("--sizes", default=",".join(SIZES), help=f"of {', '.join(SIZES)} (default: all)")
    parser.add_argument("--rules", default="default", help=f"of {', '.join((*RULES, AGAIN))} (default: default)")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "step.jsonl")
    parser.add_argument("--figure", type=Path, help="draw the curves, too")
    parser.add_argument("--quick", action="store_true", help="one seed, without 50 in flight")
    arguments = parser.parse_args()
    sizes, seeds, rounds = arguments.sizes.split(","), [int(s) for s in arguments.seeds.split(",")], arguments.rounds
    if arguments.quick:
        sizes, seeds = ["2", "10", "10of50"], seeds[:1]
    rules = arguments.rules.split(",")
    tasks = [name for name in TASKS if name.startswith(tuple(arguments.tasks.split(",")))]
    keys = [
        (task, size, rule, seed, rounds) for seed, task, size, rule in product(seeds, tasks, sizes, (FEDAVG, *rules))
    ]
    runs = run_all(keys, arguments.out, arguments.jobs)
    table = [
        judged(task, size, rule, runs, seeds, rounds)
        for rule, task, size in product(rules, tasks, sizes)
        if rule != AGAIN or len(set(SIZES[size])) == 1  # FedAvg of 10of50 is that of 50
    ]
    show(table)
    if arguments.figure:
        draw(runs, arguments.figure)
    of_rules = "" if rules == ["default"] else "-" + "-".join(rules)
    arguments.out.with_name(f"{arguments.out.stem}{of_rules}.json").write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
