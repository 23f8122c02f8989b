"""Asynchronous against synchronous, and against FedAsync and FedBuff, when devices differ by a factor of 16.

Sixty-four recorded vehicles train (sixteen more never do), slowdown factors 1, 1, 1, 1, 2, 4, 8, 16 of the seconds a
sample takes, dealt out in turn, all in flight at once. The target is 95 % of the way from no communication to
synchronous FedAvg's final score; the time to it is virtual, of the first of the evaluations whose mean with the four
before it is there. Each asynchronous method has twelve settings, tried on the tuning seed; its fastest is then run on
the others. With ``--quick`` there are three.
"""

from collections.abc import Mapping, Sequence
from itertools import product

from eafl_flower.config import RunConfig
from experiments.cells import Cell, Result, Store
from experiments.claims import Claim
from experiments.eafl_alp.federation import Scope
from experiments.eafl_alp.methods import EXACT, TUNING_SEED, Settings, preset_of
from experiments.eafl_alp.statistics import geometric_mean_ratio, mean_of, time_to

DATASET = "ngsim"
SCORE, COLUMN = "before", 2
SLOWDOWN = "1,1,1,1,2,4,8,16"
UPLOADS, ROUNDS, EVERY = 2400, 60, 48
TARGET_SHARE = 0.95
CLAIMED_SPEEDUP, AIM_RATIO, AIM_LOSS = 3.3, 1.05, 0.01
CHURN: Settings = {"churn.on-job-times": 20.0, "churn.off-job-times": 5.0}

FLEET: Settings = {
    **EXACT,
    "data.clients": 80,
    "data.unseen": 16,
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
_RULES = ("constant", "polynomial", "hinge")
GRIDS: Mapping[str, Sequence[Settings]] = {
    "EMAM": [
        {"strategy.alpha": a, "strategy.staleness": rule}
        for a, rule in product((0.05, 0.1, 0.2, 0.4), ("half-life", "constant", "polynomial"))
    ],
    "FedAsync": [
        {"strategy.name": "fedasync", "strategy.mixing": a, "strategy.staleness": rule}
        for a, rule in product((0.05, 0.1, 0.2, 0.4), _RULES)
    ],
    "FedBuff": [
        {
            "strategy.name": "fedbuff",
            "strategy.staleness": "polynomial",
            "strategy.server-rate": rate,
            "strategy.buffer-size": size,
            "strategy.merges": UPLOADS // size,
            "evaluate.every": max(1, EVERY // size),
        }
        for rate, size in product((0.5, 1.0, 2.0, 4.0), (4, 10, 32))
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


def sync_cell(seed: int, *, churn: bool, scope: Scope) -> Cell:
    """Return the cell of synchronous FedAvg, and of its clients without communication."""
    return _cell("synchronous FedAvg", seed, SYNC, churn=churn, scope=scope, function="exact_and_alone")


def points_of(method: str, scope: Scope) -> Sequence[Settings]:
    """Return the settings that are tried."""
    return GRIDS[method][::5] if scope.quick else GRIDS[method]


def grid_cells(scope: Scope) -> list[Cell]:
    """Return the runs on the tuning seed: the target's and every point of the grids."""
    cells = [sync_cell(TUNING_SEED, churn=False, scope=scope)]
    for method in GRIDS:
        points = points_of(method, scope)
        cells += [_cell(f"{method} {_told(p)}", TUNING_SEED, p, churn=False, scope=scope) for p in points]
    return cells


def target_of(sync: Result) -> float:
    """Return the score to be reached."""
    none = float(sync["none"][SCORE])
    return none + TARGET_SHARE * (float(sync[SCORE]) - none)


def chosen(scope: Scope, store: Store) -> dict[str, Settings]:
    """Return each method's fastest point on the tuning seed (the best final score where none gets there)."""
    target = target_of(store[sync_cell(TUNING_SEED, churn=False, scope=scope)])
    found = {}
    for method in GRIDS:
        points = points_of(method, scope)
        results = [store[_cell(f"{method} {_told(p)}", TUNING_SEED, p, churn=False, scope=scope)] for p in points]
        times = [time_to(target, result["curve"], COLUMN) for result in results]
        order = [
            (t is None, t if t is not None else -r[SCORE], i)
            for i, (t, r) in enumerate(zip(times, results, strict=True))
        ]
        found[method] = points[min(order)[2]]
    return found


def race_cells(scope: Scope, store: Store) -> list[Cell]:
    """Return the runs of the chosen points, once the grids are there."""
    cells = []
    for churn, seed in product((False, True), scope.fit_seeds):
        cells.append(sync_cell(seed, churn=churn, scope=scope))
        for method, settings in chosen(scope, store).items():
            cells.append(_cell(method, seed, settings, churn=churn, scope=scope))
    return cells


HEADER = ("method", "setting", "time to target [s]", "final score", "two slowest", "energy to the end [J]")


def tables(scope: Scope, store: Store) -> dict[str, list[tuple[str, ...]]]:
    """Return a table without and one with churn."""
    points = chosen(scope, store)
    found: dict[str, list[tuple[str, ...]]] = {}
    for churn in (False, True):
        lines = []
        for method in ("synchronous FedAvg", *GRIDS):
            results, times = results_of(scope, store, method, churn=churn)
            reached = [t for t in times if t is not None]
            lines.append(
                (
                    method,
                    _told(points[method]) if method in points else "-",
                    f"{mean_of(reached).mean:,.0f} ± {mean_of(reached).sd:,.0f} ({len(reached)} of {len(times)})"
                    if reached
                    else "never",
                    str(mean_of([r[SCORE] for r in results])),
                    str(mean_of([_slowest(r) for r in results])),
                    f"{mean_of([r['energy_j'] for r in results]).mean:,.0f}",
                )
            )
        found["with churn" if churn else "without churn"] = lines
    return found


def results_of(scope: Scope, store: Store, method: str, *, churn: bool) -> tuple[list[Result], list[float | None]]:
    """Return the results of a method over the seeds, and its times to the target."""
    points = chosen(scope, store)
    results, times = [], []
    for seed in scope.fit_seeds:
        sync = store[sync_cell(seed, churn=churn, scope=scope)]
        result = store[_cell(method, seed, points[method], churn=churn, scope=scope)] if method in points else sync
        results.append(result)
        times.append(time_to(target_of(sync), result["curve"], COLUMN))
    return results, times


def claims(scope: Scope, store: Store) -> list[Claim]:
    """Return what the races say."""
    found = []
    for churn in (False, True):
        where = "with churn" if churn else "without churn"
        ours, our_times = results_of(scope, store, "EMAM", churn=churn)
        common = {"seeds": len(ours), "command": scope.command}
        for method, aim, source in (
            ("synchronous FedAvg", 1 / CLAIMED_SPEEDUP, "3.3 times faster convergence"),
            ("FedAsync", AIM_RATIO, "not given"),
            ("FedBuff", AIM_RATIO, "not given"),
        ):
            theirs, times = results_of(scope, store, method, churn=churn)
            pairs = [(a, b) for a, b in zip(our_times, times, strict=True) if a is not None and b is not None]
            if not pairs:
                continue
            ratio, low, high = geometric_mean_ratio([a for a, _ in pairs], [b for _, b in pairs])
            found.append(
                Claim(
                    claim=f"EMAM's virtual time to the target beside {method}, {where}",
                    source="README of EAFL-ALP" if aim < 1 else "-",
                    source_value=source,
                    our_value=f"{1 / ratio:.2f} times faster" if aim < 1 else f"ratio {ratio:.2f}",
                    our_sd=f"95 % interval of the ratio {low:.2f} to {high:.2f}, {len(pairs)} pairs",
                    baseline=method,
                    baseline_value=f"aim: ratio at most {aim:.2f}",
                    holds="yes" if ratio <= aim and len(pairs) == len(our_times) else "no",
                    **common,
                )
            )
            if method == "synchronous FedAvg":
                loss = mean_of([_slowest(s) - _slowest(o) for s, o in zip(theirs, ours, strict=True)])
                found.append(
                    Claim(
                        claim=f"the two slowest clients' final score is as good as synchronous, {where}",
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


def _slowest(result: Result) -> float:
    return float(result["slowest"][SCORE])


def _told(settings: Settings) -> str:
    named = {key.rpartition(".")[2]: value for key, value in settings.items() if key not in ("strategy.name",)}
    return " ".join(f"{k}={v}" for k, v in named.items() if k not in ("merges", "every"))
