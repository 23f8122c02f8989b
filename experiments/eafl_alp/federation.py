"""Does federation help, and what is left of it at 200 bytes an upload? The tables over all data sets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from experiments.cells import Cell, Store
from experiments.claims import Claim
from experiments.eafl_alp.methods import EXACT, FIVE_SEEDS, LQGCM, METHODS, Settings, configured
from experiments.eafl_alp.statistics import Fitness, fitness, mean_of, share_of_gap

SCORES = ("before", "after", "unseen")  # of every method
ALL_SCORES = ("before", "after", "unlabelled", "unseen")
AIM_SHARE = 0.6
BUDGETS = (36, 72, 144, 288)
AIMS = {"payload": 0.99, "framed": 0.98, "both ways": 0.90}
SETTLED_POINTS = 0.005  # the last quarter of an exact run improves it by less


@dataclass(frozen=True)
class Scope:
    """What is measured: data sets, seeds of the exact rows, seeds of all others, and shorter runs."""

    datasets: Sequence[str]
    fit_seeds: Sequence[int]
    seeds: Sequence[int]
    quick: bool = False
    command: str = ""


def anchor(scope: Scope, dataset: str, seed: int) -> Cell:
    """Return the cell with exact updates, no communication and look-ups."""
    config = configured(dataset, seed, EXACT, quick=scope.quick)
    return Cell("experiments.eafl_alp.measure:exact_and_alone", config, f"{dataset}, exact and alone, seed {seed}")


def pool(scope: Scope, dataset: str, seed: int) -> Cell:
    """Return the cell with one model trained on all rows."""
    config = configured(dataset, seed, EXACT, quick=scope.quick)
    return Cell("experiments.eafl_alp.measure:pooled_rows", config, f"{dataset}, pooled rows, seed {seed}")


def boosted(scope: Scope, dataset: str, seed: int) -> Cell:
    """Return the cell of gradient boosting on all rows."""
    config = configured(dataset, seed, EXACT, quick=scope.quick)
    return Cell("experiments.eafl_alp.measure:boosted_rows", config, f"{dataset}, gradient boosting, seed {seed}")


def row(scope: Scope, dataset: str, method: str, seed: int) -> Cell:
    """Return the cell of a method."""
    if method == "exact updates":
        return anchor(scope, dataset, seed)
    return run_cell(scope, dataset, method, seed, METHODS[method])


def run_cell(scope: Scope, dataset: str, title: str, seed: int, settings: Settings) -> Cell:
    """Return the cell of a run with these settings: that with exact updates if it has no others."""
    config = configured(dataset, seed, settings, quick=scope.quick)
    if config == (exact := anchor(scope, dataset, seed)).config:
        return exact
    return Cell("experiments.eafl_alp.measure:federated", config, f"{dataset}, {title}, seed {seed}")


def cells(scope: Scope) -> list[Cell]:
    """Return all cells of the tables."""
    found = []
    for dataset in scope.datasets:
        found += [anchor(scope, dataset, seed) for seed in scope.fit_seeds]
        found += [cell(scope, dataset, seed) for cell in (pool, boosted) for seed in scope.fit_seeds]
        found += [row(scope, dataset, m, s) for m in METHODS for s in seeds_of(scope, m) if m != "exact updates"]
    return found


def fit_pairs(scope: Scope, store: Store) -> dict[tuple[str, str], Fitness]:
    """Return the fitness of every (data set, score)."""
    judged = {}
    for dataset in scope.datasets:
        results = [store[anchor(scope, dataset, seed)] for seed in scope.fit_seeds]
        for score in SCORES:
            judged[dataset, score] = fitness([r[score] for r in results], [r["none"][score] for r in results])
    return judged


def fitness_table(scope: Scope, store: Store) -> list[tuple[str, ...]]:
    """Return a line for every (data set, score).

    It has exact, none, look-up, the gap of the first two, whether it is fit, and what LQGCM keeps.
    """
    lines: list[tuple[str, ...]] = []
    for (dataset, score), fit in fit_pairs(scope, store).items():
        exact = [store[anchor(scope, dataset, seed)] for seed in scope.fit_seeds]
        coded = [store[row(scope, dataset, "LQGCM", seed)][score] for seed in scope.fit_seeds]
        none = [r["none"][score] for r in exact]
        share = share_of_gap(coded, none, [r[score] for r in exact])
        lines.append(
            (
                dataset,
                score,
                str(mean_of([r[score] for r in exact])),
                str(mean_of(none)),
                str(mean_of([r["lookup"][score] for r in exact])),
                f"{100 * fit.gap.mean:+.1f} ± {100 * fit.standard_error:.1f}",
                "fit" if fit.fit else "unfit",
                str(mean_of(coded)),
                f"{100 * share:.0f} %" if fit.fit else "-",
            )
        )
    return lines


FITNESS_HEADER = (
    *(
        "data set",
        "score",
        "exact updates",
        "no communication",
        "look-up",
        "gap ± standard error",
        "to show federation",
    ),
    *("LQGCM", "share of the gap"),
)


def rows_table(scope: Scope, store: Store, dataset: str) -> list[tuple[str, ...]]:
    """Return the lines of one data set: method, scores, seeds, uploads, bytes both ways, energy, virtual time."""
    lines: list[tuple[str, ...]] = []
    anchors = [store[anchor(scope, dataset, seed)] for seed in scope.fit_seeds]
    of_all = str(len(scope.fit_seeds))
    for name in ("majority", "lookup", "none", "none, longer", "frozen"):
        lines.append((TITLES.get(name, name), *scores_of([a[name] for a in anchors]), of_all, "", "", "", "", ""))
    for name, cell in (("gradient boosting on pooled rows", boosted), ("pooled rows", pool)):
        results = [store[cell(scope, dataset, seed)] for seed in scope.fit_seeds]
        lines.append((name, *scores_of(results), of_all, "", "", "", "", ""))
    for method in METHODS:
        results = [store[row(scope, dataset, method, seed)] for seed in seeds_of(scope, method)]
        lines.append(
            (
                method,
                *scores_of(results),
                str(len(results)),
                f"{mean_of([r['uploads'] for r in results]).mean:,.0f}",
                f"{mean_of([r['uplink_bytes'] for r in results]).mean:,.0f}",
                f"{mean_of([r['downlink_bytes'] for r in results]).mean:,.0f}",
                f"{mean_of([r['energy_j'] for r in results]).mean:,.1f}",
                f"{mean_of([r['virtual_time_s'] for r in results]).mean:,.0f}",
            )
        )
    return lines


TITLES = {
    "lookup": "single-feature look-up",
    "none": "no communication",
    "none, longer": "no communication, 4 times the epochs",
    "frozen": "frozen backbone",
}
HEADER = (
    *("row", *ALL_SCORES, "seeds", "uploads", "up [byte/upload]", "down [byte/upload]"),
    *("energy [J]", "virtual time [s]"),
)


def scores_of(results: Sequence[Any]) -> tuple[str, ...]:
    """Return mean and deviation of each score, a dash where a row has none."""
    return tuple(str(mean_of([r[s] for r in results])) if all(s in r for r in results) else "-" for s in ALL_SCORES)


def seeds_of(scope: Scope, method: str) -> Sequence[int]:
    """Return the seeds of a row."""
    return scope.fit_seeds if method in FIVE_SEEDS else scope.seeds


def larger_budgets(scope: Scope, store: Store, *, jobs: int) -> list[tuple[str, ...]]:
    """Find the smallest budget of tuples that keeps enough of the gain, for pairs that fall short with the default.

    Budgets double; the runs are made here. Lines are data set, score, tuples, bytes an upload, share of the gap.
    """
    lines: list[tuple[str, ...]] = []
    for (dataset, score), fit in fit_pairs(scope, store).items():
        if not fit.fit:
            continue
        exact = [store[anchor(scope, dataset, seed)] for seed in scope.fit_seeds]
        for tuples in (0, *BUDGETS):
            cells = [_budget(scope, dataset, tuples, seed) for seed in scope.fit_seeds]
            store.run(cells, jobs=jobs)
            coded = [store[cell] for cell in cells]
            none = [r["none"][score] for r in exact]
            share = share_of_gap([r[score] for r in coded], none, [r[score] for r in exact])
            if tuples == 0 and share >= AIM_SHARE:
                break
            shown = f"{tuples or 'default'}", f"{coded[0]['uplink_bytes']:,.0f}", f"{100 * share:.0f} %"
            lines.append((dataset, score, *shown))
            if share >= AIM_SHARE:
                break
    return lines


BUDGET_HEADER = ("data set", "score", "tuples", "bytes an upload", "share of the gap")


def _budget(scope: Scope, dataset: str, tuples: int, seed: int) -> Cell:
    if not tuples:
        return row(scope, dataset, "LQGCM", seed)
    config = configured(dataset, seed, {**LQGCM, "codec.lqgcm.tuples": tuples}, quick=scope.quick)
    return Cell("experiments.eafl_alp.measure:federated", config, f"{dataset}, LQGCM with T = {tuples}, seed {seed}")


def claims(scope: Scope, store: Store) -> list[Claim]:
    """Return what the tables say of accuracy and traffic."""
    found = []
    judged = fit_pairs(scope, store)
    for (dataset, score), fit in judged.items():
        results = [store[anchor(scope, dataset, seed)] for seed in scope.fit_seeds]
        coded = [store[row(scope, dataset, "LQGCM", seed)] for seed in scope.fit_seeds]
        exact, none = [r[score] for r in results], [r["none"][score] for r in results]
        common: dict[str, Any] = {"source": "README of EAFL-ALP", "seeds": len(results), "command": scope.command}
        found.append(
            Claim(
                claim=f"{dataset}: federation helps ({score})",
                source_value="up to 32.1 % higher accuracy",
                our_value=f"{mean_of(exact)} %",
                our_sd=f"gap {100 * fit.gap.mean:+.1f} points, standard error {100 * fit.standard_error:.1f}",
                baseline="no communication",
                baseline_value=f"{mean_of(none)} %",
                holds="yes" if fit.fit else "no",
                **common,
            )
        )
        if fit.fit:
            share = share_of_gap([c[score] for c in coded], none, exact)
            found.append(
                Claim(
                    claim=f"{dataset}: LQGCM keeps the gain of federation ({score})",
                    source_value="no loss of accuracy",
                    our_value=f"{100 * share:.0f} % of the gap to exact updates",
                    our_sd=f"{mean_of([c[score] for c in coded])} %",
                    baseline=f"at least {100 * AIM_SHARE:.0f} %",
                    baseline_value=f"{mean_of(exact)} %",
                    holds="yes" if share >= AIM_SHARE else "no",
                    **common,
                )
            )
    for dataset in scope.datasets:
        saved = [store[row(scope, dataset, "LQGCM", seed)]["saved"] for seed in scope.fit_seeds]
        for kind, aim in AIMS.items():
            value = mean_of([s[kind] for s in saved])
            found.append(
                Claim(
                    claim=f"{dataset}: traffic saved, {kind}",
                    source="README of EAFL-ALP",
                    source_value="99.8 % (and 97.8 %)" if kind == "payload" else "not counted",
                    our_value=f"{100 * value.mean:.2f} %",
                    our_sd=f"{100 * value.sd:.2f}",
                    seeds=value.n,
                    baseline="float32",
                    baseline_value=f"aim {100 * aim:.0f} %",
                    holds="yes" if value.mean >= aim else "no",
                    command=scope.command,
                )
            )
    return found


def settled(scope: Scope, store: Store, dataset: str) -> float:
    """Return by how much the last quarter of the exact runs improved the score before training, mean over seeds."""
    gains = []
    for seed in scope.fit_seeds:
        curve = store[anchor(scope, dataset, seed)]["curve"]
        scores = [line[2] for line in curve]
        quarter = max(1, len(scores) // 4)
        gains.append(scores[-1] - scores[-1 - quarter])
    return mean_of(gains).mean
