"""What the size of private heads does: by entropy, beside none, the smallest, the largest, and two controls.

The controls have the mean number of parameters of the heads chosen by entropy: one size for all clients, and the
chosen sizes dealt out to the clients at random.
"""

from collections import Counter
from collections.abc import Mapping

from eafl_flower.core.rng import generator
from eafl_flower.heads.size import HeadSize
from experiments.cells import Cell, Result, Store
from experiments.claims import Claim
from experiments.eafl_alp.federation import SCORES, Scope, anchor
from experiments.eafl_alp.methods import EXACT, Settings, configured, sizes_text
from experiments.eafl_alp.statistics import mean_of

NO_HEAD, SMALLEST, LARGEST = "no private head", "smallest (0x16)", "largest (4x32)"
CHOSEN, FIXED, SHUFFLED = "sized by entropy", "one size, same mean", "sizes shuffled"
ROWS = (NO_HEAD, SMALLEST, LARGEST, CHOSEN, FIXED, SHUFFLED)
HEADER = ("head", "before", "after", "unseen", "mean parameters", "sizes with the first seed (depth x width: clients)")


def first_cells(scope: Scope) -> list[Cell]:
    """Return the rows that do not depend on the sizes chosen; those sized by entropy are the exact runs."""
    fixed: Mapping[str, Settings] = {
        NO_HEAD: {"task.fractal.head": "federated", "task.fractal.head-sizes": "1x32"},
        SMALLEST: {"task.fractal.head-sizes": "0x16"},
        LARGEST: {"task.fractal.head-sizes": "4x32"},
    }
    return [
        _cell(scope, dataset, name, seed, settings)
        for dataset in scope.datasets
        for name, settings in fixed.items()
        for seed in scope.seeds
    ] + [anchor(scope, dataset, seed) for dataset in scope.datasets for seed in scope.seeds]


def control_cells(scope: Scope, store: Store) -> list[Cell]:
    """Return the controls, once the sizes are known."""
    return [
        _control(scope, store, dataset, name, seed)
        for dataset in scope.datasets
        for name in (FIXED, SHUFFLED)
        for seed in scope.seeds
    ]


def _control(scope: Scope, store: Store, dataset: str, name: str, seed: int) -> Cell:
    result = store[anchor(scope, dataset, seed)]
    sizes = [(depth, width) for depth, width, _ in result["heads"]]
    if name == SHUFFLED:
        order = generator(seed, "shuffled-heads").permutation(len(sizes))
        return _cell(scope, dataset, name, seed, {"task.fractal.head-sizes": sizes_text([sizes[i] for i in order])})
    classes = int(result["data"]["classes"])
    mean = mean_of([parameters for *_, parameters in result["heads"]]).mean
    nearest = min(
        ((depth, width) for depth in range(5) for width in range(4, 33)),
        key=lambda size: (abs(HeadSize(*size).parameters(classes) - mean), size),
    )
    return _cell(scope, dataset, name, seed, {"task.fractal.head-sizes": sizes_text([nearest])})


def _cell(scope: Scope, dataset: str, name: str, seed: int, settings: Settings) -> Cell:
    config = configured(dataset, seed, {**EXACT, **settings}, quick=scope.quick)
    return Cell("experiments.eafl_alp.measure:federated", config, f"{dataset}, heads: {name}, seed {seed}")


def result_of(scope: Scope, store: Store, dataset: str, name: str, seed: int) -> Result:
    """Return the result of a row."""
    if name == CHOSEN:
        return store[anchor(scope, dataset, seed)]
    if name in (FIXED, SHUFFLED):
        return store[_control(scope, store, dataset, name, seed)]
    cells = {cell.title: cell for cell in first_cells(scope)}
    return store[cells[f"{dataset}, heads: {name}, seed {seed}"]]


def table(scope: Scope, store: Store, dataset: str) -> list[tuple[str, ...]]:
    """Return one line a row."""
    lines = []
    for name in ROWS:
        results = [result_of(scope, store, dataset, name, seed) for seed in scope.seeds]
        sizes = Counter(f"{depth}x{width}" for depth, width, _ in results[0]["heads"])
        lines.append(
            (
                name,
                *(str(mean_of([r[score] for r in results])) for score in SCORES),
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
            ours = [result_of(scope, store, dataset, CHOSEN, seed)["before"] for seed in scope.seeds]
            theirs = [result_of(scope, store, dataset, name, seed)["before"] for seed in scope.seeds]
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
