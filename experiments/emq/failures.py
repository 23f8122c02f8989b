"""The signs of failure that the source names, one at a time: too few bits, too few local iterations, poor powers.

Everything else is the method: EMQ with digits chosen for its error, two epochs, powers by SQP.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from experiments.cells import Cell, Store
from experiments.eafl_alp.statistics import mean_of
from experiments.emq.equal_rounds import settled
from experiments.emq.grid import Scope, budget_of, named, recording_cell
from experiments.emq.local_work import workload_of
from experiments.emq.replay import Replay, Replays
from experiments.emq.settings import BINARY, EMQ, FEW_BITS, Settings

SHORT = 0.03  # of accuracy: the target is so much below what the method settles at
BUDGETS = ((3.0, 3.0), (30.0, 30.0))
HEADER = (
    "what", "the last five", "bits a value, sent", "rounds to the target", "energy to it [J]", "latency to it [s]",
    *(f"within {named(multiples)}: accuracy, rounds" for multiples in BUDGETS),
    "starved users", "uncertified powers",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A recording, and the powers it is replayed with."""

    settings: Settings
    allocator: str = "SQP"


ROWS: Mapping[str, Row] = {
    "the method": Row(EMQ),
    "too few bits: no extra digit (r = 0)": Row(FEW_BITS["r = 0"]),
    "too few bits: the code's variant (r = 0, tiny zeros)": Row(FEW_BITS["literal"]),
    "too few local iterations: one epoch": Row({**EMQ, "task.local-epochs": 1}),
    "poor powers: the largest sum of rates": Row(EMQ, "max-sum-rate"),
    "poor powers: full power": Row(EMQ, "full power"),
    "beside it: base 2, digits chosen (ours)": Row(BINARY),
}


def cells(scope: Scope, name: str) -> list[Cell]:
    """Return the recordings of a row, one for each seed."""
    row = ROWS[name]
    what = next(n for n, other in ROWS.items() if other.settings == row.settings)
    return [recording_cell(workload_of(scope), f"EMQ, {what}", row.settings, seed) for seed in scope.seeds]


def recordings(scope: Scope) -> list[Cell]:
    """Return all recordings of the question."""
    return [cell for name in ROWS for cell in cells(scope, name)]


def replays_of(scope: Scope, store: Store) -> list[Cell]:
    """Return those replays that take long."""
    replays = Replays(store)
    return [replay for cell in recordings(scope) for replay in replays.cells(cell)]


def target_of(scope: Scope, replays: Replays) -> float:
    """Return the accuracy that rows are to reach."""
    found = [replays.recording(cell) for cell in cells(scope, "the method")]
    return float(np.mean(settled(found))) - SHORT


def table(scope: Scope, replays: Replays) -> list[tuple[str, ...]]:
    """Return a line for each row; costs to the target are medians over drops and seeds, if all seeds reach it."""
    target, workload, lines = target_of(scope, replays), workload_of(scope), []
    for name, row in ROWS.items():
        recorded = cells(scope, name)
        found = [replays.recording(cell) for cell in recorded]
        priced = [replays.of(cell, row.allocator) for cell in recorded]
        reached = [int(np.argmax(r.accuracy >= target)) for r in found if (r.accuracy >= target).any()]
        costs = [_cost(priced, reached, what) for what in ("energy_j", "latency_s")]
        within = []
        for multiples in BUDGETS:
            made = [p.rounds_within(budget_of(workload, multiples))[p.certified] for p in priced]
            accuracy = mean_of([float(r.accuracy[t].mean()) for r, t in zip(found, made, strict=True)])
            within.append(f"{accuracy}, {np.mean([t.mean() for t in made]):.1f}")
        lines.append(
            (
                name,
                str(mean_of(settled(found))),
                f"{np.mean([r.bits_per_value('wire').mean() for r in found]):.2f}",
                f"{np.mean(reached):.1f}"
                if len(reached) == len(found)
                else f"never ({len(reached)} of {len(found)} do)",
                *costs,
                *within,
                f"{100 * np.mean([p.starved_fraction for p in priced]):.1f} %",
                str(sum(int(p.uncertified.sum()) for p in priced)),
            )
        )
    return lines


def _cost(priced: Sequence[Replay], reached: Sequence[int], what: str) -> str:
    """Return the median over drops and seeds of what the rounds to the target take."""
    if len(reached) < len(priced):
        return "never"
    costs = [getattr(p, what)[p.certified, :t].sum(axis=1) for p, t in zip(priced, reached, strict=True)]
    return f"{np.median(np.concatenate(costs)):.3g}"
