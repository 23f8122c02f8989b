"""Which head serves whom: private, federated or both; and what the size of private ones does.

Private heads are sized by entropy and validation, beside none, the smallest, the largest, and two controls. These
have the mean number of parameters of the heads chosen by entropy: one size for all clients, and the chosen sizes dealt
out to the clients at random.
"""

from collections import Counter
from collections.abc import Mapping

from eafl_flower.core.rng import generator
from eafl_flower.heads.size import HeadSize
from experiments.cells import Cell, Result, Store
from experiments.claims import Claim
from experiments.eafl_alp.federation import ALL_SCORES, Scope, run_cell, scores_of
from experiments.eafl_alp.methods import EXACT, Settings, sizes_text
from experiments.eafl_alp.statistics import mean_of

NO_HEAD, BOTH, SMALLEST, LARGEST = "no private head", "both heads", "smallest (0x16)", "largest (4x32)"
CHOSEN, FIXED, SHUFFLED = "sized by entropy", "one size, same mean", "sizes shuffled"
ROWS = (NO_HEAD, BOTH, CHOSEN, SMALLEST, LARGEST, FIXED, SHUFFLED)
KINDS = {"private": CHOSEN, "both": BOTH, "federated": NO_HEAD}
HEADER = ("head", *ALL_SCORES, "mean parameters", "sizes with the first seed (depth x width: clients)")
SIZED: Settings = {"task.fractal.head": "private", "task.fractal.head-sizes": ""}


def first_cells(scope: Scope) -> list[Cell]:
    """Return the rows that do not depend on the sizes chosen."""
    return [
        _cell(scope, dataset, name, seed, settings)
        for dataset in scope.datasets
        for name, settings in FIRST.items()
        for seed in scope.fit_seeds
    ]


FIRST: Mapping[str, Settings] = {
    NO_HEAD: {"task.fractal.head": "federated", "task.fractal.head-sizes": "1x32"},
    BOTH: {**SIZED, "task.fractal.head": "both"},
    CHOSEN: SIZED,
    SMALLEST: {**SIZED, "task.fractal.head-sizes": "0x16"},
    LARGEST: {**SIZED, "task.fractal.head-sizes": "4x32"},
}


def control_cells(scope: Scope, store: Store) -> list[Cell]:
    """Return the controls, once the sizes are known."""
    return [
        _control(scope, store, dataset, name, seed)
        for dataset in scope.datasets
        for name in (FIXED, SHUFFLED)
        for seed in scope.fit_seeds
    ]


def _control(scope: Scope, store: Store, dataset: str, name: str, seed: int) -> Cell:
    result = result_of(scope, store, dataset, CHOSEN, seed)
    sizes = [(depth, width) for depth, width, _ in result["heads"]]
    if name == SHUFFLED:
        order = generator(seed, "shuffled-heads").permutation(len(sizes))
        shuffled = sizes_text([sizes[i] for i in order])
        return _cell(scope, dataset, name, seed, {**SIZED, "task.fractal.head-sizes": shuffled})
    classes = int(result["data"]["classes"])
    mean = mean_of([parameters for *_, parameters in result["heads"]]).mean
    nearest = min(
        ((depth, width) for depth in range(5) for width in range(4, 33)),
        key=lambda size: (abs(HeadSize(*size).parameters(classes) - mean), size),
    )
    return _cell(scope, dataset, name, seed, {**SIZED, "task.fractal.head-sizes": sizes_text([nearest])})


def _cell(scope: Scope, dataset: str, name: str, seed: int, settings: Settings) -> Cell:
    return run_cell(scope, dataset, f"heads: {name}", seed, {**EXACT, **settings})


def result_of(scope: Scope, store: Store, dataset: str, name: str, seed: int) -> Result:
    """Return the result of a row."""
    if name in (FIXED, SHUFFLED):
        return store[_control(scope, store, dataset, name, seed)]
    return store[_cell(scope, dataset, name, seed, FIRST[name])]


def table(scope: Scope, store: Store, dataset: str) -> list[tuple[str, ...]]:
    """Return one line a row."""
    lines = []
    for name in ROWS:
        results = [result_of(scope, store, dataset, name, seed) for seed in scope.fit_seeds]
        sizes = Counter(f"{depth}x{width}" for depth, width, _ in results[0]["heads"])
        lines.append(
            (
                name,
                *scores_of(results),
                f"{mean_of([p for r in results for *_, p in r['heads']] or [0]).mean:,.0f}",
                ", ".join(f"{size}: {count}" for size, count in sorted(sizes.items())),
            )
        )
    return lines


def claims(scope: Scope, store: Store) -> list[Claim]:
    """Return sizes by entropy beside each other way, before training."""
    found = []
    for dataset in scope.datasets:
        for name in ROWS:
            if name == CHOSEN:
                continue
            ours = [result_of(scope, store, dataset, CHOSEN, seed)["before"] for seed in scope.fit_seeds]
            theirs = [result_of(scope, store, dataset, name, seed)["before"] for seed in scope.fit_seeds]
            gain = mean_of([a - b for a, b in zip(ours, theirs, strict=True)])
            found.append(
                Claim(
                    claim=f"{dataset}: heads sized by entropy (before)",
                    source="README of EAFL-ALP",
                    source_value="personalisation by entropy raises accuracy",
                    our_value=f"{100 * gain.mean:+.1f} points",
                    our_sd=f"{100 * gain.sd:.1f}",
                    seeds=gain.n,
                    baseline=name,
                    baseline_value=f"{mean_of(theirs)} %",
                    holds="yes" if gain.mean > 2 * gain.sd / max(1, gain.n) ** 0.5 else "no",
                    command=scope.command,
                )
            )
    return found
