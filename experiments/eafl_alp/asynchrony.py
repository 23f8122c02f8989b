"""Asynchronous against synchronous, and against FedAsync and FedBuff, when devices differ by a factor of 16.

Sixty-four recorded vehicles train, slowdown factors 1, 1, 1, 1, 2, 4, 8, 16 of the seconds a sample takes, dealt out in
turn, all in flight at once. The target is 95 % of the way from no communication to synchronous FedAvg's final score,
scores being smoothed over five evaluations; the time to it is virtual.

Synchronous FedAvg has the server rate of four that ends best on the tuning seed: with the rate 1, a mean over so many
small steps learns little, and the target would be reached within the first uploads. (Rates of 16 to 64 were tried on
that seed too: over the last third they are no better, and swing by several points from round to round.) The row with
the rate 1 stands beside it; its sixty rounds are enough, 300 end no higher on the tuning seed. Each asynchronous method
has twelve settings, up to rates that are too large, tried on the tuning seed; the fastest of those that serve the
slowest vehicles as well as synchronous FedAvg (to a point) is then run on the others. EMAM also runs with its default
settings, untuned. With ``--quick`` there are three settings.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from eafl_flower.config import RunConfig
from experiments.cells import Cell, Result, Store
from experiments.claims import Claim
from experiments.eafl_alp.federation import Scope
from experiments.eafl_alp.methods import EXACT, TUNING_SEED, Settings, preset_of
from experiments.eafl_alp.statistics import first_at, geometric_mean_ratio, mean_of, smoothed, time_to

DATASET = "ngsim"
SCORE, COLUMN = "before", 2
TIME, ENERGY = 1, 5  # columns of a curve, as COLUMN
SLOWDOWN = "1,1,1,1,2,4,8,16"
UPLOADS, ROUNDS, EVERY = 2400, 60, 8
TARGET_SHARE = 0.95
CLAIMED_SPEEDUP, AIM_RATIO, AIM_LOSS = 3.3, 1.05, 0.01
CHURN: Settings = {"churn.on-job-times": 20.0, "churn.off-job-times": 5.0}

FLEET: Settings = {
    **EXACT,
    "task.fractal.head": "private",
    "task.fractal.head-sizes": "",
    "task.fractal.numeric-bins": 0,
    "data.clients": 64,
    "data.unseen": 0,
    "clients.slowdown": SLOWDOWN,
    "energy.cycles-per-sample": 1e6,  # a millisecond on the fastest: the radio does not decide
    "strategy.concurrency": 0,
    "strategy.merges": UPLOADS,
    "evaluate.every": EVERY,
    "results.baselines": "none",
}
SYNC: Settings = {
    "strategy.name": "fedavg",
    "strategy.mode": "sync",
    "strategy.merges": ROUNDS,
    "evaluate.every": 1,
}
RATES = (0.5, 1.0, 2.0, 4.0)
MIXING = (0.1, 0.2, 0.4, 0.8)
BUFFER_RATES = (2.0, 4.0, 8.0, 16.0)  # of a mean
SYNC_RATES = (1.0, 2.0, 4.0, 8.0)
PLAIN, TUNED = "synchronous FedAvg", "synchronous FedAvg, tuned server rate"
DEFAULT = "EMAM by default"
GRIDS: Mapping[str, Sequence[Settings]] = {
    "EMAM": [
        {"strategy.emam.alpha": rate, "staleness.name": rule}
        for rate, rule in product(RATES, ("half-life", "constant", "polynomial"))
    ],
    "FedAsync": [
        {"strategy.name": "fedasync", "strategy.fedasync.mixing": rate, "staleness.name": rule}
        for rate, rule in product(MIXING, ("constant", "polynomial", "hinge"))
    ],
    "FedBuff": [
        {
            "strategy.name": "fedbuff",
            "staleness.name": "polynomial",
            "strategy.fedbuff.server-rate": rate,
            "strategy.fedbuff.buffer-size": size,
            "strategy.merges": UPLOADS // size,
            "evaluate.every": max(1, EVERY // size),
        }
        for rate, size in product(BUFFER_RATES, (4, 8, 32))
    ],
}


def configured(seed: int, settings: Settings, *, churn: bool = False, quick: bool = False) -> RunConfig:
    """Return the configuration of a run of the fleet."""
    config = preset_of(DATASET).replace({**FLEET, **settings, **(CHURN if churn else {}), "seed": seed})
    return config.replace({"strategy.merges": max(1, config.strategy.merges // 8)}) if quick else config


def _cell(title: str, seed: int, settings: Settings, *, churn: bool, scope: Scope, function: str = "federated") -> Cell:
    config = configured(seed, settings, churn=churn, quick=scope.quick)
    where = "with churn" if churn else "without churn"
    return Cell(f"experiments.eafl_alp.measure:{function}", config, f"fleet, {title}, {where}, seed {seed}")


def points_of(method: str, scope: Scope) -> Sequence[Settings]:
    """Return the settings that are tried."""
    points = (
        [{**SYNC, "strategy.fedavg.server-rate": rate} for rate in SYNC_RATES] if method == TUNED else GRIDS[method]
    )
    return points[:: max(1, len(points) // 3)] if scope.quick else points


def _tried(method: str, point: Settings, scope: Scope) -> Cell:
    return _cell(f"{method} {_told(point)}", TUNING_SEED, point, churn=False, scope=scope)


def sync_grid_cells(scope: Scope) -> list[Cell]:
    """Return the runs of synchronous FedAvg on the tuning seed."""
    return [_tried(TUNED, point, scope) for point in points_of(TUNED, scope)]


def _sync_point(scope: Scope, store: Store) -> Settings:
    points = points_of(TUNED, scope)
    return max(points, key=lambda point: _final(store[_tried(TUNED, point, scope)]))


def sync_cell(seed: int, *, churn: bool, scope: Scope, store: Store) -> Cell:
    """Return the run of synchronous FedAvg that sets the target, with its clients without communication."""
    point = _sync_point(scope, store)
    return _cell(TUNED, seed, point, churn=churn, scope=scope, function="exact_and_alone")


def grid_cells(scope: Scope, store: Store) -> list[Cell]:
    """Return the runs on the tuning seed, once those of synchronous FedAvg are there."""
    found = [sync_cell(TUNING_SEED, churn=False, scope=scope, store=store)]
    return found + [_tried(method, point, scope) for method in GRIDS for point in points_of(method, scope)]


def _final(result: Result) -> float:
    return smoothed([row[COLUMN] for row in result["curve"]])[-1]


def target_of(sync: Result) -> float:
    """Return the score to be reached."""
    none = float(sync["none"][SCORE])
    return none + TARGET_SHARE * (_final(sync) - none)


def chosen(scope: Scope, store: Store) -> dict[str, Settings]:
    """Return each method's point by the tuning seed.

    Of an asynchronous method it is the fastest of those whose two slowest kinds end at most a point below
    synchronous FedAvg's, else the fastest of all, else the one with the best final score.
    """
    sync = store[sync_cell(TUNING_SEED, churn=False, scope=scope, store=store)]
    found: dict[str, Settings] = {
        PLAIN: {**SYNC, "strategy.fedavg.server-rate": 1.0},
        TUNED: _sync_point(scope, store),
        DEFAULT: {"strategy.emam.alpha": 0.0},
    }
    for method in GRIDS:
        ranks = []
        for place, point in enumerate(points_of(method, scope)):
            result = store[_tried(method, point, scope)]
            time_s = time_to(target_of(sync), result["curve"], COLUMN)
            slow = _slowest(result) < _slowest(sync) - AIM_LOSS
            ranks.append((time_s is None, slow, time_s if time_s is not None else -_final(result), place))
        found[method] = points_of(method, scope)[min(ranks)[-1]]
    return found


def _raced(method: str, seed: int, *, churn: bool, scope: Scope, store: Store) -> Cell:
    if method == TUNED:
        return sync_cell(seed, churn=churn, scope=scope, store=store)
    return _cell(method, seed, chosen(scope, store)[method], churn=churn, scope=scope)


def race_cells(scope: Scope, store: Store) -> list[Cell]:
    """Return the runs of the chosen points, once the grids are there."""
    return [
        _raced(method, seed, churn=churn, scope=scope, store=store)
        for churn, seed, method in product((False, True), scope.fit_seeds, (PLAIN, TUNED, DEFAULT, *GRIDS))
    ]


HEADER = (
    *("method", "setting", "time to target [s]", "energy to target [J]"),
    *("final score", "two slowest kinds", "time to the end [s]", "energy to the end [J]"),
)


def tables(scope: Scope, store: Store) -> dict[str, list[tuple[str, ...]]]:
    """Return a table without and one with churn."""
    points = chosen(scope, store)
    found: dict[str, list[tuple[str, ...]]] = {}
    for churn in (False, True):
        lines: list[tuple[str, ...]] = []
        for method in points:
            results, rows = results_of(scope, store, method, churn=churn)
            reached = [row for row in rows if row is not None]
            lines.append(
                (
                    method,
                    _told(points[method]),
                    f"{_spread([row[TIME] for row in reached])} ({len(reached)} of {len(rows)})"
                    if reached
                    else "never",
                    _spread([row[ENERGY] for row in reached]) if reached else "-",
                    str(mean_of([_final(r) for r in results])),
                    str(mean_of([_slowest(r) for r in results])),
                    f"{mean_of([r['virtual_time_s'] for r in results]).mean:.0f}",
                    f"{mean_of([r['energy_j'] for r in results]).mean:.0f}",
                )
            )
        found["with churn" if churn else "without churn"] = lines
    return found


def results_of(
    scope: Scope, store: Store, method: str, *, churn: bool
) -> tuple[list[Result], list[Sequence[float] | None]]:
    """Return the results of a method over the seeds, and the rows of their curves that first reach the target."""
    results, rows = [], []
    for seed in scope.fit_seeds:
        result = store[_raced(method, seed, churn=churn, scope=scope, store=store)]
        target = target_of(store[sync_cell(seed, churn=churn, scope=scope, store=store)])
        results.append(result)
        rows.append(first_at(target, result["curve"], COLUMN))
    return results, rows


def claims(scope: Scope, store: Store) -> list[Claim]:
    """Return what the races say."""
    found = []
    beside_sync = [(sync, 1 / CLAIMED_SPEEDUP, "3.3 times faster convergence") for sync in (PLAIN, TUNED)]
    beside_others = [(name, AIM_RATIO, "not given") for name in ("FedAsync", "FedBuff")]
    for churn, our_name in product((False, True), ("EMAM", DEFAULT)):
        where = "with churn" if churn else "without churn"
        ours, our_rows = results_of(scope, store, our_name, churn=churn)
        common: dict[str, Any] = {"seeds": len(ours), "command": scope.command}
        for method, aim, source in beside_sync + (beside_others if our_name == "EMAM" else []):
            theirs, rows = results_of(scope, store, method, churn=churn)
            ratio, low, high = geometric_mean_ratio(_times(ours, our_rows), _times(theirs, rows))
            never = None in rows
            found.append(
                Claim(
                    claim=f"{our_name}: virtual time to the target, {where}",
                    source="README of EAFL-ALP" if aim < 1 else "-",
                    source_value=source,
                    our_value=f"{'at least ' if never else ''}{1 / ratio:.1f} times faster"
                    if aim < 1
                    else f"ratio {'at most ' if never else ''}{ratio:.2f}",
                    our_sd=f"95 % interval of the ratio {low:.2f} to {high:.2f}",
                    baseline=f"{method}, {len(rows) - rows.count(None)} of {len(rows)} there",
                    baseline_value=f"aim: ratio at most {aim:.2f}",
                    holds="yes" if ratio <= aim and None not in our_rows else "no",
                    **common,
                )
            )
            if method in (PLAIN, TUNED):
                loss = mean_of([_slowest(s) - _slowest(o) for s, o in zip(theirs, ours, strict=True)])
                found.append(
                    Claim(
                        claim=f"{our_name}: the two slowest kinds' score at the end, {where}",
                        source="-",
                        source_value="not given",
                        our_value=f"{-100 * loss.mean:+.1f} points",
                        our_sd=f"{100 * loss.sd:.1f}",
                        baseline=method,
                        baseline_value=f"aim: at most {100 * AIM_LOSS:.0f} point below",
                        holds="yes" if loss.mean <= AIM_LOSS else "no",
                        **common,
                    )
                )
    return found


def _times(results: Sequence[Result], rows: Sequence[Sequence[float] | None]) -> list[float]:
    """Return the times to the target [s]; who never got there has the end of its run, which is in its favour."""
    return [float(r["virtual_time_s"] if row is None else row[TIME]) for r, row in zip(results, rows, strict=True)]


def _slowest(result: Result) -> float:
    return float(result["slowest"][SCORE])


def _spread(values: Sequence[float]) -> str:
    mean = mean_of(values)
    return f"{mean.mean:.1f} ± {mean.sd:.1f}"


def _told(settings: Settings) -> str:
    named = {key.removesuffix(".name").rpartition(".")[2]: value for key, value in settings.items()}
    return " ".join(f"{k}={v}" for k, v in named.items() if k not in ("strategy", "merges", "every", "mode"))
