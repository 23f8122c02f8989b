"""How much should a stale update count? The rules side by side on the fleet of asynchrony.py, whose default it is."""

from collections.abc import Mapping

from experiments.cells import Cell, Store
from experiments.claims import Claim
from experiments.eafl_alp.asynchrony import COLUMN, SCORE, configured, sync_cell, target_of
from experiments.eafl_alp.federation import Scope
from experiments.eafl_alp.methods import Settings
from experiments.eafl_alp.statistics import mean_of, time_to

RULES: Mapping[str, Settings] = {
    "half-life of the jobs in flight - 1 (default)": {"strategy.staleness": "half-life"},
    "constant": {"strategy.staleness": "constant"},
    "(1 + staleness)^-1/2": {"strategy.staleness": "polynomial"},
    "hinge(10, 4)": {"strategy.staleness": "hinge"},
    "exp(-0.002 staleness), published": {"strategy.staleness": "exponential", "strategy.rate": 0.002},
    "exponential, rate estimated": {"strategy.staleness": "estimated"},
    "published: beta 0.2, exp(-0.002 staleness)": {
        "strategy.staleness": "exponential",
        "strategy.rate": 0.002,
        "strategy.beta": 0.2,
    },
}
HEADER = ("staleness weight", "before", "unseen", "time to target [s]", "mean staleness")


def _cell(scope: Scope, name: str, seed: int) -> Cell:
    config = configured(seed, RULES[name], quick=scope.quick)
    return Cell("experiments.eafl_alp.measure:federated", config, f"fleet, {name}, seed {seed}")


def cells(scope: Scope) -> list[Cell]:
    """Return the runs of every rule, and those of synchronous FedAvg, which give the target."""
    found = [sync_cell(seed, churn=False, scope=scope) for seed in scope.seeds]
    return found + [_cell(scope, name, seed) for name in RULES for seed in scope.seeds]


def table(scope: Scope, store: Store) -> list[tuple[str, ...]]:
    """Return one line a rule."""
    lines = []
    for name in RULES:
        results = [store[_cell(scope, name, seed)] for seed in scope.seeds]
        times = [
            time_to(target_of(store[sync_cell(seed, churn=False, scope=scope)]), result["curve"], COLUMN)
            for seed, result in zip(scope.seeds, results, strict=True)
        ]
        reached = [t for t in times if t is not None]
        lines.append(
            (
                name,
                str(mean_of([r[SCORE] for r in results])),
                str(mean_of([r["unseen"] for r in results])),
                f"{mean_of(reached).mean:,.0f} ({len(reached)} of {len(times)})" if reached else "never",
                f"{mean_of([r['mean_staleness'] for r in results]).mean:.1f}",
            )
        )
    return lines


def claims(scope: Scope, store: Store) -> list[Claim]:
    """Return the default beside the published rule."""
    scores = {
        name: [store[_cell(scope, name, seed)][SCORE] for seed in scope.seeds]
        for name in (next(iter(RULES)), list(RULES)[-1])
    }
    (_, ours), (_, published) = scores.items()
    gain = mean_of([a - b for a, b in zip(ours, published, strict=True)])
    return [
        Claim(
            claim="our default staleness weight without the pull to the average, beside the published rule",
            source="README of EAFL-ALP",
            source_value="up to 32.1 % higher accuracy (of the whole system)",
            our_value=f"{100 * gain.mean:+.1f} points",
            our_sd=f"{100 * gain.sd:.1f}",
            seeds=len(ours),
            baseline="beta 0.2, exp(-0.002 staleness)",
            baseline_value=f"{mean_of(published)} %",
            holds="yes" if gain.mean > 0 else "no",
            command=scope.command,
        )
    ]
