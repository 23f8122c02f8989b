"""What clients do between download and upload: which optimiser, how many epochs; and the authors' run beside ours.

Optimisers are compared with exact updates, numbers of epochs with EMQ under SQP.
"""

from collections.abc import Sequence

import numpy as np

from experiments.cells import Cell, Store
from experiments.eafl_alp.statistics import mean_of
from experiments.emq.equal_rounds import AT, settled
from experiments.emq.grid import Scope, recording_cell
from experiments.emq.recording import Recording
from experiments.emq.replay import Replays
from experiments.emq.settings import (
    ANCHOR_CLIENTS,
    ANCHOR_WORKLOAD,
    ANCHORS,
    EMQ,
    OPTIMIZERS,
    QUANTISERS,
    SCHEDULES,
    WORKLOADS,
    Settings,
    configured,
    optimizer,
    runnable,
)

OPTIMIZER_HEADER = ("optimiser", "learning rate", "round 1", "5", "10", "the last five")
SCHEDULE_HEADER = (
    "epochs", "mean L", "last L", "the last five", "bits a value, sent", "energy of the run [J]", "latency [s]",
    "uncertified powers",
)  # fmt: skip
ANCHOR_HEADER = ("round", "source, 50,000 + 10,000 images", "ours")


def workload_of(scope: Scope) -> str:
    """Return the workload that is looked at more closely: CIFAR-10 if it is there."""
    return ANCHOR_WORKLOAD if ANCHOR_WORKLOAD in scope.workloads else scope.workloads[0]


def scheduled_of(scope: Scope) -> str:
    """Return the workload on which clients make up to twelve epochs: the smallest."""
    return scope.workloads[0]


def optimizers(scope: Scope) -> dict[str, Settings]:
    """Return the optimisers that there are, and the one that the workload has, by name."""
    workload = workload_of(scope)
    of = WORKLOADS[workload]
    found: dict[str, Settings] = {
        f"{name}, {rate:g}": {**of.step, **optimizer(of.task, kind, rate)} for name, (kind, rate) in OPTIMIZERS.items()
    }
    names = {kind: name for name, (kind, _) in OPTIMIZERS.items()}
    kind, rate = str(of.step[f"task.{of.task}.optimizer"]), of.step["task.learning-rate"]
    found.setdefault(f"{names.get(kind, kind)}, {rate:g}", of.step)
    there = runnable(found, lambda name: configured(workload, scope.seeds[0], found[name]))
    return {name: found[name] for name in there}


def schedules(scope: Scope) -> dict[str, Settings]:
    """Return the ways to choose a number of epochs that there are."""
    workload = scheduled_of(scope)
    return {n: SCHEDULES[n] for n in runnable(SCHEDULES, lambda n: configured(workload, scope.seeds[0], SCHEDULES[n]))}


def optimizer_cells(scope: Scope, name: str, settings: Settings) -> list[Cell]:
    """Return the recordings of an optimiser, one for each seed."""
    both = {**QUANTISERS["float32"], **settings}
    return [recording_cell(workload_of(scope), f"float32, {name}", both, seed) for seed in scope.seeds]


def schedule_cells(scope: Scope, name: str) -> list[Cell]:
    """Return the recordings of a way to choose epochs, one for each seed."""
    both = {**EMQ, **SCHEDULES[name]}
    return [recording_cell(scheduled_of(scope), f"EMQ, {name}", both, seed) for seed in scope.seeds]


def anchor_cells(scope: Scope) -> list[Cell]:
    """Return the recordings beside the authors' run; none if CIFAR-10 is not there."""
    if ANCHOR_WORKLOAD not in scope.workloads:
        return []
    settings = {**QUANTISERS["float32"], "data.clients": ANCHOR_CLIENTS}
    return [
        recording_cell(ANCHOR_WORKLOAD, "float32, 50 clients", settings, seed, rounds=max(ANCHORS))
        for seed in scope.seeds
    ]


def recordings(scope: Scope) -> list[Cell]:
    """Return all recordings of the question."""
    return [
        *(cell for name, settings in optimizers(scope).items() for cell in optimizer_cells(scope, name, settings)),
        *(cell for name in schedules(scope) for cell in schedule_cells(scope, name)),
        *anchor_cells(scope),
    ]


def replays_of(scope: Scope, store: Store) -> list[Cell]:
    """Return those replays that take long."""
    replays = Replays(store)
    cells = [cell for name in schedules(scope) for cell in schedule_cells(scope, name)]
    return [replay for cell in cells for replay in replays.cells(cell)]


def optimizer_table(scope: Scope, replays: Replays) -> list[tuple[str, ...]]:
    """Return a line for each optimiser."""
    lines = []
    for name, settings in optimizers(scope).items():
        found = _found(replays, optimizer_cells(scope, name, settings))
        at = (str(mean_of([float(r.accuracy[t]) for r in found])) for t in AT)
        lines.append((*name.split(", ", 1), *at, str(mean_of(settled(found)))))
    return lines


def schedule_table(scope: Scope, replays: Replays) -> list[tuple[str, ...]]:
    """Return a line for each way to choose epochs; costs are medians over drops and seeds."""
    lines: list[tuple[str, ...]] = []
    for name in schedules(scope):
        cells = schedule_cells(scope, name)
        found, priced = _found(replays, cells), [replays.of(cell, "SQP") for cell in cells]
        energy_j, latency_s = (
            np.median(np.concatenate([getattr(replay, what)[replay.certified].sum(axis=1) for replay in priced]))
            for what in ("energy_j", "latency_s")
        )
        lines.append(
            (
                name,
                f"{np.mean([r.epochs.mean() for r in found]):.1f}",
                f"{np.mean([r.epochs[-1].mean() for r in found]):.1f}",
                str(mean_of(settled(found))),
                f"{np.mean([r.bits_per_value('wire').mean() for r in found]):.2f}",
                f"{energy_j:.3g}",
                f"{latency_s:.3g}",
                str(sum(int(replay.uncertified.sum()) for replay in priced)),
            )
        )
    return lines


def anchor_table(scope: Scope, replays: Replays) -> list[tuple[str, ...]]:
    """Return a line for each round of which the authors' accuracy is known."""
    found = _found(replays, anchor_cells(scope))
    return [
        (str(t), f"{100 * theirs:.1f}", str(mean_of([float(r.accuracy[t]) for r in found])))
        for t, theirs in ANCHORS.items()
        if found
    ]


def _found(replays: Replays, cells: Sequence[Cell]) -> list[Recording]:
    return [replays.recording(cell) for cell in cells]
