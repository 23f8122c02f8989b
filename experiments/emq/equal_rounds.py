"""Quantisers at equal rounds, whatever the radio: accuracy, error of the updates, and bits by both counts."""

from collections.abc import Mapping, Sequence

import numpy as np

from experiments.cells import Cell
from experiments.claims import Claim
from experiments.eafl_alp.statistics import Mean, mean_of
from experiments.emq.grid import SETTLED, Scope, recorded, recording_cell
from experiments.emq.recording import Recording
from experiments.emq.replay import Replays
from experiments.emq.settings import BASE_2, CANONICAL, OF_UPDATES, QUANTISERS, WORKLOADS

HEADER = (
    "quantiser", "round 1", "5", "10", "the last five", "error of updates", "bits a value, sent", "counted",
    "fewer bits sent", "counted",
)  # fmt: skip
AT = (1, 5, 10)
MOST_LOST = 0.01  # of accuracy, where it counts as equal
_THEIRS = "ascribed to the source; not in its abstract"
# What is asked of EMQ's bits: by which count, the least share of float32's that is saved, and who asks.
BARS: Mapping[str, tuple[str, float, str]] = {
    "bits as the source counts": ("paper", 0.49, _THEIRS),
    "bits as sent": ("wire", 0.49, _THEIRS),
    "bits as sent, our own bar": ("wire", 0.85, "ours"),
}


def quantisers(scope: Scope, workload: str) -> list[str]:
    """Return the quantisers that are compared: those of the grid and, on some workloads, others."""
    place = scope.workloads.index(workload)
    return [*QUANTISERS, *CANONICAL, *(BASE_2 if place < 3 else ()), *(OF_UPDATES if place < 2 else ())]


def cells(scope: Scope, workload: str, quantiser: str) -> list[Cell]:
    """Return the recordings of a quantiser, one for each seed."""
    if quantiser in QUANTISERS:
        return [recorded(workload, quantiser, seed) for seed in scope.seeds]
    settings = {**CANONICAL, **BASE_2, **OF_UPDATES}[quantiser]
    return [recording_cell(workload, quantiser, settings, seed) for seed in scope.seeds]


def recordings(scope: Scope) -> list[Cell]:
    """Return all recordings that are compared."""
    return [
        cell
        for workload in scope.workloads
        for name in quantisers(scope, workload)
        for cell in cells(scope, workload, name)
    ]


def found_of(scope: Scope, replays: Replays, workload: str, quantiser: str) -> list[Recording]:
    """Return the recordings of a quantiser, seed by seed."""
    return [replays.recording(cell) for cell in cells(scope, workload, quantiser)]


def settled(recordings: Sequence[Recording]) -> list[float]:
    """Return the mean accuracy after the last rounds, recording by recording."""
    return [float(found.accuracy[-SETTLED:].mean()) for found in recordings]


def bits_of(recordings: Sequence[Recording], count: str) -> float:
    """Return the bits of all rounds for a value, the mean over recordings and rounds."""
    return float(np.mean([found.bits_per_value(count).mean() for found in recordings]))


def table(scope: Scope, replays: Replays, workload: str) -> list[tuple[str, ...]]:
    """Return a line for each quantiser."""
    exact, lines = found_of(scope, replays, workload, "float32"), []
    for quantiser in quantisers(scope, workload):
        found = found_of(scope, replays, workload, quantiser)
        wire, paper = bits_of(found, "wire"), bits_of(found, "paper")
        lines.append(
            (
                quantiser,
                *(str(mean_of([float(r.accuracy[t]) for r in found])) for t in AT),
                str(mean_of(settled(found))),
                f"{np.mean([r.error.mean() for r in found]):.2g}",
                f"{wire:.2f}",
                f"{paper:.2f}",
                f"{100 * (1 - wire / bits_of(exact, 'wire')):.1f} %",
                f"{100 * (1 - paper / bits_of(exact, 'paper')):.1f} %",
            )
        )
    return lines


def difference(scope: Scope, replays: Replays, workload: str, quantiser: str) -> Mean:
    """Return by how much a quantiser's settled accuracy is above that of float32, paired by seed."""
    ours = settled(found_of(scope, replays, workload, quantiser))
    exact = settled(found_of(scope, replays, workload, "float32"))
    return mean_of([a - b for a, b in zip(ours, exact, strict=True)])


def claims(scope: Scope, replays: Replays) -> list[Claim]:
    """Return what is claimed of EMQ's bits, beside what was sent."""
    found = []
    compared = [(workload, name) for workload in scope.workloads for name in ("EMQ", *BASE_2)]
    for workload, name in [of for of in compared if of[1] in quantisers(scope, of[0])]:
        exact, ours = (found_of(scope, replays, workload, quantiser) for quantiser in ("float32", name))
        gap = difference(scope, replays, workload, name)
        for claim, (count, least, who) in BARS.items():
            saved = 1 - bits_of(ours, count) / bits_of(exact, count)
            is_close = gap.mean >= -MOST_LOST
            found.append(
                Claim(
                    claim=f"{name}: fewer bits than float32 at its accuracy: {WORKLOADS[workload].title}, {claim}",
                    source=who,
                    source_value=f"at least {100 * least:.0f} % fewer"
                    + (f", at most {100 * MOST_LOST:g} point lost" if who == "ours" else ""),
                    our_value=f"{100 * saved:.1f} % fewer bits, {100 * gap.mean:+.1f} points",
                    our_sd=f"{100 * gap.sd:.1f} points",
                    seeds=gap.n,
                    baseline="float32 at equal rounds",
                    baseline_value=f"{mean_of(settled(exact))} %, mean of the last {SETTLED} rounds",
                    holds="yes" if is_close and saved >= least else "partly" if is_close else "no",
                    command=scope.command,
                )
            )
    return found
