"""Which quantiser and which allocation of power learn most within budgets: all combinations, drops and budgets.

The accuracy of a combination within a budget is that of the model after T_max rounds, the initial one's if that is 0,
in the mean over drops. A drop in which an allocation of any combination is not known to be optimal is left out for all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from experiments.cells import Cell, Store
from experiments.claims import Claim
from experiments.eafl_alp.statistics import Mean, mean_of
from experiments.emq.costs import Rounds
from experiments.emq.replay import Replay, Replays, over_drops
from experiments.emq.settings import (
    ALLOCATORS,
    BUDGETS,
    DROPS,
    QUANTISERS,
    WORKLOADS,
    Settings,
    configured,
    mean_samples,
    parameters_of,
    processor_of,
)

Budget = tuple[float, float]
Drops = NDArray[np.bool_]
COUNTS: Mapping[str, str] = {"wire": "bits as sent", "paper": "bits as the sources count"}
SETTLED = 5  # rounds at the end whose accuracy is averaged where runs are compared at equal rounds
COMPARED: Mapping[str, tuple[str, str]] = {  # which of the two axes differs, and what the source claims
    "EMQ - AQUILA": ("quantiser", "up to +36 points"),
    "EMQ - LAQ": ("quantiser", "up to +35 points"),
    "EMQ - float32": ("quantiser", "-"),
    "SQP - Dinkelbach": ("allocator", "up to +7 points"),
    "SQP - max-sum-rate": ("allocator", "up to +19 points"),
    "SQP - full power": ("allocator", "-"),
}
_OF_THE_SOURCE = tuple(name for name in ALLOCATORS if name != "full power")


@dataclass(frozen=True)
class Scope:
    """What is asked: which workloads, over which seeds, and by which command."""

    workloads: Sequence[str]
    seeds: Sequence[int]
    quick: bool
    command: str


def recording_cell(workload: str, what: str, settings: Settings, seed: int, *, rounds: int = 0) -> Cell:
    """Return the cell that records a run; ``what`` is its title."""
    title = f"{WORKLOADS[workload].title}, {what}, seed {seed}"
    return Cell("experiments.emq.recording:recorded", configured(workload, seed, settings, rounds=rounds), title)


@cache
def recorded(workload: str, quantiser: str, seed: int) -> Cell:
    """Return the cell that records a run with a quantiser of the grid."""
    return recording_cell(workload, quantiser, QUANTISERS[quantiser], seed)


def recordings(scope: Scope) -> list[Cell]:
    """Return the recordings of the grid."""
    return [recorded(*of) for of in product(scope.workloads, QUANTISERS, scope.seeds)]


def replays_of(scope: Scope, store: Store) -> list[Cell]:
    """Return those replays of the grid that take long."""
    replays = Replays(store)
    return [cell for found, count in product(recordings(scope), COUNTS) for cell in replays.cells(found, count)]


@cache
def unit_of(workload: str) -> Budget:
    """Return what a round of float32 takes under SQP: energy [J] and latency [s], medians over drops.

    It is known before any run: 32 bits for each parameter, and as many rows for each client.
    """
    config = configured(workload, 1, ALLOCATORS["SQP"])
    clients = config.data.clients
    rounds = Rounds(
        bits=np.full((1, clients), 32.0 * parameters_of(config)),
        epochs=np.full((1, clients), config.task.local_epochs),
        samples=np.full(clients, mean_samples(config)),
        processor=processor_of(config),
    )
    costs = over_drops(rounds, config.radio.part, DROPS)
    return float(np.median([c.energy_j for c in costs])), float(np.median([c.latency_s for c in costs]))


def budget_of(workload: str, multiples: Budget) -> Budget:
    """Return a budget in J and s."""
    energy_j, latency_s = unit_of(workload)
    return multiples[0] * energy_j, multiples[1] * latency_s


class Grid:
    """Accuracies and rounds within budgets, of one count of bits."""

    def __init__(self, scope: Scope, replays: Replays, count: str) -> None:
        self.scope, self.replays, self.count = scope, replays, count
        self._left: dict[tuple[str, int], Drops] = {}
        self._within: dict[tuple[str, str, str, Budget], tuple[list[float], list[float]]] = {}

    def within(
        self, workload: str, quantiser: str, allocator: str, multiples: Budget
    ) -> tuple[list[float], list[float]]:
        """Return accuracy and number of rounds, each the mean over drops, seed by seed."""
        place = workload, quantiser, allocator, multiples
        if place not in self._within:
            accuracies, rounds = [], []
            for seed in self.scope.seeds:
                cell = recorded(workload, quantiser, seed)
                made = self.replays.of(cell, allocator, self.count).rounds_within(budget_of(workload, multiples))
                made = made[self.certified(workload, seed)]
                accuracies.append(float(self.replays.recording(cell).accuracy[made].mean()))
                rounds.append(float(made.mean()))
            self._within[place] = accuracies, rounds
        return self._within[place]

    def certified(self, workload: str, seed: int) -> Drops:
        """Return the drops all of whose allocations, of all combinations, are known to be optimal."""
        if (workload, seed) not in self._left:
            cells = [recorded(workload, quantiser, seed) for quantiser in QUANTISERS]
            certified = [self.replays.of(c, name, self.count).certified for c, name in product(cells, ALLOCATORS)]
            self._left[workload, seed] = np.all(certified, axis=0)
        return self._left[workload, seed]

    def gaps(self, workload: str, compared: str) -> dict[tuple[Budget, str], Mean]:
        """Return how many points of accuracy the first is above the second, by budget and what both have in common."""
        ours, theirs = compared.split(" - ")
        found = {}
        if COMPARED[compared][0] == "quantiser":
            pairs = {name: ((ours, name), (theirs, name)) for name in _OF_THE_SOURCE}
        else:
            pairs = {name: ((name, ours), (name, theirs)) for name in QUANTISERS}
        for multiples, (common, (one, other)) in product(BUDGETS, pairs.items()):
            first, _ = self.within(workload, *one, multiples)
            second, _ = self.within(workload, *other, multiples)
            found[multiples, common] = mean_of([a - b for a, b in zip(first, second, strict=True)])
        return found

    def table(self, workload: str) -> list[tuple[str, ...]]:
        """Return a line for each combination: accuracy and number of rounds within each budget."""
        lines = []
        for quantiser, allocator in product(QUANTISERS, ALLOCATORS):
            cells = []
            for multiples in BUDGETS:
                accuracies, rounds = self.within(workload, quantiser, allocator, multiples)
                cells.append(f"{mean_of(accuracies)} ({np.mean(rounds):.1f})")
            lines.append((quantiser, allocator, *cells))
        return lines

    def gap_table(self, workload: str) -> list[tuple[str, ...]]:
        """Return a line for each comparison: median, best and worst gap over all budgets."""
        lines: list[tuple[str, ...]] = []
        for compared in COMPARED:
            gaps = self.gaps(workload, compared)
            best, worst = max(gaps, key=lambda k: gaps[k].mean), min(gaps, key=lambda k: gaps[k].mean)
            median = float(np.median([gap.mean for gap in gaps.values()]))
            lines.append((compared, f"{100 * median:+.1f}", _placed(best, gaps), _placed(worst, gaps), str(len(gaps))))
        return lines

    def allocation_table(self, workload: str) -> list[tuple[str, ...]]:
        """Return a line for each allocator: what a round takes, how many users starve, and what is not certified."""
        lines = []
        for allocator in ALLOCATORS:
            found = {
                quantiser: [
                    self.replays.of(recorded(workload, quantiser, seed), allocator, self.count)
                    for seed in self.scope.seeds
                ]
                for quantiser in QUANTISERS
            }
            costs = [f"{_median(replays, 'energy_j')}, {_median(replays, 'latency_s')}" for replays in found.values()]
            every = [replay for replays in found.values() for replay in replays]
            starved = np.mean([replay.starved_fraction for replay in every])
            solves, uncertified = sum(r.solves for r in every), sum(int(r.uncertified.sum()) for r in every)
            lines.append((allocator, *costs, f"{100 * starved:.1f} %", f"{solves:,}", str(uncertified)))
        return lines


def _median(replays: Sequence[Replay], what: str) -> str:
    """Return the median over certified drops, rounds and seeds, in mJ or ms."""
    return f"{1e3 * np.median(np.concatenate([getattr(r, what)[r.certified] for r in replays])):.3g}"


def named(multiples: Budget, common: str = "") -> str:
    """Return a budget in words, as in (10, 3)."""
    both = ", ".join(f"{value:g}".replace("e+0", "e") for value in multiples)
    return f"({both}; {common})" if common else f"({both})"


def _placed(place: tuple[Budget, str], gaps: Mapping[tuple[Budget, str], Mean]) -> str:
    return f"{_points(gaps[place])} {named(*place)}"


def _points(gap: Mean) -> str:
    return f"{100 * gap.mean:+.1f} ± {100 * gap.sd:.1f}"


def judged(best: Mean, median: float, aim: float) -> Literal["yes", "no", "partly"]:
    """Return whether gaps bear out a claim of up to ``aim``.

    *Yes* if the best gap reaches it and the median one is not negative. *Partly* if only one of the two is so: the best
    reaches it, or the median is above 0 and the best one above two standard errors over seeds. Else *no*.
    """
    if best.mean >= aim:
        return "yes" if median >= 0 else "partly"
    return "partly" if median > 0 and best.mean > 2 * best.sd / np.sqrt(best.n) else "no"


def gap_claims(grid: Grid) -> list[Claim]:
    """Return what the source claims of accuracies within equal budgets, beside the whole grid."""
    found = []
    for (compared, (_, value)), workload in product(COMPARED.items(), grid.scope.workloads):
        if "up to" not in value:
            continue
        gaps = grid.gaps(workload, compared)
        ours, theirs = compared.split(" - ")
        best, median = max(gaps, key=lambda k: gaps[k].mean), float(np.median([g.mean for g in gaps.values()]))
        found.append(
            Claim(
                claim=f"{ours} above {theirs} within equal budgets: {WORKLOADS[workload].title}, {COUNTS[grid.count]}",
                source="abstract",
                source_value=value,
                our_value=f"best {_placed(best, gaps)}, median {100 * median:+.1f}, worst "
                f"{100 * min(g.mean for g in gaps.values()):+.1f}, of {len(gaps)} budgets x combinations",
                our_sd=f"{100 * gaps[best].sd:.1f}",
                seeds=gaps[best].n,
                baseline=theirs,
                baseline_value=f"{_baseline(grid, workload, compared, best)} % there",
                holds=judged(gaps[best], median, float(value.split()[2]) / 100),
                command=grid.scope.command,
            )
        )
    return found


def _baseline(grid: Grid, workload: str, compared: str, place: tuple[Budget, str]) -> Mean:
    multiples, common = place
    theirs = compared.split(" - ")[1]
    pair = (theirs, common) if COMPARED[compared][0] == "quantiser" else (common, theirs)
    return mean_of(grid.within(workload, *pair, multiples)[0])
