"""How much should a stale update count? The rules side by side on the fleet of asynchrony.py, two numbers in flight.

A rule that weighs everything less does no harm with a larger alpha. So each rule has the alpha of five that is best for
it on the tuning seed; EMAM as it is by default, and as published, keep theirs. Scores are means over the last fifth
of the evaluations, because one alone swings by more than the rules differ.
"""

from collections.abc import Mapping
from itertools import product

import numpy as np

from experiments.cells import Cell, Result, Store
from experiments.claims import Claim
from experiments.eafl_alp.asynchrony import AIM_LOSS, COLUMN, SCORE, configured, sync_cell, target_of
from experiments.eafl_alp.federation import Scope
from experiments.eafl_alp.methods import PUBLISHED_EMAM, TUNING_SEED, Settings
from experiments.eafl_alp.statistics import Mean, mean_of, time_to

IN_FLIGHT: Mapping[int, Settings] = {n: {"strategy.concurrency": n, "evaluate.every": 48} for n in (64, 8)}
RATES = (0.25, 0.5, 1.0, 2.0, 4.0)
DEFAULT = "default: half-life of the jobs in flight - 1"
PUBLISHED = "published: beta 0.2, exp(-0.002 staleness)"
AS_THEY_ARE: Mapping[str, Settings] = {
    DEFAULT: {"staleness.name": "half-life", "strategy.emam.alpha": 0.8},
    PUBLISHED: PUBLISHED_EMAM,
}
RULES: Mapping[str, Settings] = {
    "half-life of the jobs in flight - 1": {"staleness.name": "half-life"},
    "constant": {"staleness.name": "constant"},
    "(1 + staleness)^-1/2": {"staleness.name": "polynomial"},
    "hinge(10, 4)": {"staleness.name": "hinge"},
    "exp(-0.002 staleness)": {"staleness.name": "exponential", "staleness.exponential.rate": 0.002},
    "exponential, rate estimated": {"staleness.name": "estimated"},
}
LAST = 0.2  # share of the evaluations that are averaged
HEADER = ("staleness weight", "alpha", "before", "two slowest kinds", "time to target [s]", "mean staleness")


def _cell(scope: Scope, in_flight: int, name: str, settings: Settings, seed: int) -> Cell:
    config = configured(seed, {**IN_FLIGHT[in_flight], **settings}, quick=scope.quick)
    title = f"fleet, {in_flight} in flight, {name}, alpha {config.strategy.part.alpha:g}, seed {seed}"
    return Cell("experiments.eafl_alp.measure:federated", config, title)


def _fleets(scope: Scope) -> list[int]:
    return list(IN_FLIGHT)[:1] if scope.quick else list(IN_FLIGHT)


def _points(scope: Scope, name: str) -> list[Settings]:
    rates = RATES[1:2] if scope.quick else RATES
    return [{**RULES[name], "strategy.emam.alpha": rate} for rate in rates]


def tuning_cells(scope: Scope) -> list[Cell]:
    """Return the runs on the tuning seed: every rule with every alpha."""
    return [
        _cell(scope, in_flight, name, point, TUNING_SEED)
        for in_flight, name in product(_fleets(scope), RULES)
        for point in _points(scope, name)
    ]


def _settled(result: Result) -> float:
    curve = result["curve"]
    return float(np.mean([row[COLUMN] for row in curve[-max(1, round(LAST * len(curve))) :]]))


def _chosen(scope: Scope, store: Store, in_flight: int, name: str) -> Settings:
    if name in AS_THEY_ARE:
        return AS_THEY_ARE[name]
    points = _points(scope, name)
    scores = [_settled(store[_cell(scope, in_flight, name, point, TUNING_SEED)]) for point in points]
    return points[int(np.argmax(scores))]


def cells(scope: Scope, store: Store) -> list[Cell]:
    """Return the runs of every rule with its alpha, and those of synchronous FedAvg, which give the target."""
    found = [sync_cell(seed, churn=False, scope=scope, store=store) for seed in scope.seeds]
    for in_flight, name, seed in product(_fleets(scope), (*AS_THEY_ARE, *RULES), scope.seeds):
        found.append(_cell(scope, in_flight, name, _chosen(scope, store, in_flight, name), seed))
    return found


def _results(scope: Scope, store: Store, in_flight: int, name: str) -> list[Result]:
    settings = _chosen(scope, store, in_flight, name)
    return [store[_cell(scope, in_flight, name, settings, seed)] for seed in scope.seeds]


def tables(scope: Scope, store: Store) -> dict[int, list[tuple[str, ...]]]:
    """Return a table for each number in flight, one line a rule."""
    found: dict[int, list[tuple[str, ...]]] = {}
    targets = [target_of(store[sync_cell(seed, churn=False, scope=scope, store=store)]) for seed in scope.seeds]
    for in_flight in _fleets(scope):
        lines: list[tuple[str, ...]] = []
        for name in (*AS_THEY_ARE, *RULES):
            results = _results(scope, store, in_flight, name)
            times = [time_to(target, r["curve"], COLUMN) for target, r in zip(targets, results, strict=True)]
            reached = [t for t in times if t is not None]
            lines.append(
                (
                    name,
                    f"{_chosen(scope, store, in_flight, name)['strategy.emam.alpha']:g}",
                    str(mean_of([_settled(r) for r in results])),
                    str(mean_of([r["slowest"][SCORE] for r in results])),
                    f"{mean_of(reached).mean:.1f} ({len(reached)} of {len(times)})" if reached else "never",
                    f"{mean_of([r['mean_staleness'] for r in results]).mean:.1f}",
                )
            )
        found[in_flight] = lines
    return found


def claims(scope: Scope, store: Store) -> list[Claim]:
    """Return the default beside the published rule, and beside the best of the others."""
    found = []
    for in_flight in _fleets(scope):
        scores = {
            name: [_settled(r) for r in _results(scope, store, in_flight, name)] for name in (*AS_THEY_ARE, *RULES)
        }
        best = max(RULES, key=lambda name: mean_of(scores[name]).mean)
        for other, aim, source in (
            (PUBLISHED, 0.0, "up to 32.1 % higher accuracy (of the whole system)"),
            (best, -AIM_LOSS, "not given"),
        ):
            gain = _gain(scores[DEFAULT], scores[other])
            found.append(
                Claim(
                    claim=f"EMAM, alpha 0.8, {in_flight} in flight, beside "
                    + ("as published" if other == PUBLISHED else "the best rule with its own alpha"),
                    source="README of EAFL-ALP" if other == PUBLISHED else "-",
                    source_value=source,
                    our_value=f"{100 * gain.mean:+.1f} points",
                    our_sd=f"{100 * gain.sd:.1f}",
                    seeds=gain.n,
                    baseline=other,
                    baseline_value=f"{mean_of(scores[other])} %" + (", aim: at most 1 point below" if aim else ""),
                    holds="yes" if gain.mean > aim else "no",
                    command=scope.command,
                )
            )
    return found


def _gain(ours: list[float], theirs: list[float]) -> Mean:
    return mean_of([a - b for a, b in zip(ours, theirs, strict=True)])
