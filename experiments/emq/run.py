"""The experiments of EMQ: quantisers and allocations of power within equal budgets of energy and latency.

    python -m experiments.emq.run [--quick] [--seeds 3] [--jobs 2] [--only grid,local-work,failures,tails]

Needs recorded images (``EAFL_DATA_DIR``) for all but the digits; what is not there is left out, and said to be. Results
are kept in ``results/cells.jsonl`` (``results/quick`` with --quick) as they come: the same command goes on where it was
stopped. ``--fresh`` begins anew, as it must be after a change of the program. At the end it writes ``claims.csv``,
``tables/QUESTION.md`` and the figures beside them; those of questions that were not asked stay.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from experiments.arguments import arguments
from experiments.cells import Store
from experiments.claims import Claim, claims_table, write_claims
from experiments.emq import equal_rounds, failures, grid, local_work, tails, trade_off
from experiments.emq.figures import draw
from experiments.emq.grid import Scope
from experiments.emq.replay import Replays
from experiments.emq.settings import BUDGETS, DROPS, FULL, QUANTISERS, QUICK, SEEDS, WORKLOADS, configured, runnable

QUESTIONS = ("grid", "local-work", "failures", "tails")
HERE = Path(__file__).parent


def main() -> int:
    """Measure what is missing, then write tables, claims and figures."""
    given = arguments(__doc__, QUESTIONS, seeds=len(SEEDS), quick="the digits, two seeds, half of the rounds")
    questions = given.only
    began_s = time.monotonic()
    folder = HERE / "results" / "quick" if given.quick else HERE / "results"
    scope = Scope(
        workloads=list(runnable(QUICK if given.quick else FULL, lambda name: configured(name, SEEDS[0]))),
        seeds=SEEDS[: 2 if given.quick else given.seeds],
        quick=given.quick,
        command="python -m experiments.emq.run" + (" --quick" if given.quick else ""),
    )
    store = Store(folder / "cells.jsonl", fresh=given.fresh)
    modules = {"grid": grid, "local-work": local_work, "failures": failures}
    for question in questions:
        if question in modules:
            store.run(modules[question].recordings(scope), jobs=given.jobs)
            if question == "grid":
                store.run(equal_rounds.recordings(scope), jobs=given.jobs)
            store.run(modules[question].replays_of(scope, store), jobs=given.jobs)
    replays = Replays(store)
    claims: dict[str, list[Claim]] = {}
    texts: dict[str, list[str]] = {}
    swept = list(tails.sweep()) if "tails" in questions else []
    if "grid" in questions:
        claims["grid"], texts["grid"] = _grid(scope, replays)
    if "local-work" in questions:
        texts["local-work"] = _local_work(scope, replays)
    if "failures" in questions:
        texts["failures"] = _failures(scope, replays)
    if "tails" in questions:
        title = f"The error target on random gradients of {tails.SIZE:,} values, means over {len(tails.SEEDS)} seeds"
        texts["tails"] = [_titled(title), _table(tails.HEADER, tails.table(swept))]
    write_claims(folder / "claims.csv", claims)
    (folder / "tables").mkdir(exist_ok=True)
    for question, text in texts.items():
        if question in claims:
            text += [_titled("Claims"), claims_table(claims[question])]
        (folder / "tables" / f"{question}.md").write_text("\n".join(text).strip() + "\n")
        print("\n".join(text))
    figures = draw(scope, replays, folder, questions, swept)
    took_min = (time.monotonic() - began_s) / 60
    print(f"\nwritten: {folder}/claims.csv, tables/{{{','.join(texts)}}}.md, {{{','.join(figures)}}}.png")
    print(f"took {took_min:.1f} min; {_effort(store)}")
    return 0


def _effort(store: Store) -> str:
    """Return how long recordings and replays took one process, by the results that are kept."""
    replayed = [result for result in store.results.values() if "solves" in result]
    recorded = [result for result in store.results.values() if "solves" not in result]
    minutes = [sum(float(result.get("seconds", 0.0)) for result in results) / 60 for results in (recorded, replayed)]
    solves = sum(int(result["solves"]) for result in replayed)
    return (
        f"{len(recorded)} recordings of {minutes[0]:.1f} min of one process, and {solves:,} weighted allocations of "
        f"{minutes[1]:.1f} min"
    )


def _grid(scope: Scope, replays: Replays) -> tuple[list[Claim], list[str]]:
    text, claims = [], equal_rounds.claims(scope, replays)
    for workload in scope.workloads:
        title = WORKLOADS[workload].title
        text += [_titled(f"{title}: equal rounds, {len(scope.seeds)} seeds, mean ± sd")]
        text += [_table(equal_rounds.HEADER, equal_rounds.table(scope, replays, workload))]
    for count, words in grid.COUNTS.items():
        found = grid.Grid(scope, replays, count)
        claims += grid.gap_claims(found)
        for workload in scope.workloads:
            energy_j, latency_s = grid.unit_of(workload)
            left = [int(found.certified(workload, seed).sum()) for seed in scope.seeds]
            text += [
                _titled(f"{WORKLOADS[workload].title}, {words}: accuracy (rounds made) within budgets"),
                f"Budgets of (energy, latency) in units of {energy_j:.3g} J and {latency_s:.3g} s, of "
                f"{WORKLOADS[workload].rounds} rounds; mean over {', '.join(map(str, left))} of {len(DROPS)} drops, "
                f"± sd over {len(scope.seeds)} seeds.\n",
                _table(
                    ("quantiser", "powers", *map(grid.named, BUDGETS)),
                    found.table(workload),
                ),
                _titled(f"{WORKLOADS[workload].title}, {words}: gaps over all budgets [points]"),
                _table(
                    ("gap", "median", "best (budget; common)", "worst", "budgets x combinations"),
                    found.gap_table(workload),
                ),
                _titled(f"{WORKLOADS[workload].title}, {words}: a round under each allocation of power"),
                _table(
                    ("powers", *(f"{name} [mJ, ms]" for name in QUANTISERS), "starved users", "solves", "uncertified"),
                    found.allocation_table(workload),
                ),
            ]
    workload = local_work.workload_of(scope)
    text += [
        _titled(f"{WORKLOADS[workload].title}: energy against latency of one round, medians over drops"),
        _table(trade_off.HEADER, trade_off.table(trade_off.points(scope, replays, workload))),
    ]
    return claims, text


def _local_work(scope: Scope, replays: Replays) -> list[str]:
    title, scheduled = (WORKLOADS[of(scope)].title for of in (local_work.workload_of, local_work.scheduled_of))
    text = [
        _titled(f"{title}: optimisers, exact updates, {len(scope.seeds)} seeds, mean ± sd"),
        _table(local_work.OPTIMIZER_HEADER, local_work.optimizer_table(scope, replays)),
        _titled(f"{scheduled}: number of local epochs L, EMQ under SQP"),
        _table(local_work.SCHEDULE_HEADER, local_work.schedule_table(scope, replays)),
    ]
    if anchors := local_work.anchor_table(scope, replays):
        text += [
            _titled("CIFAR-10, IID, 50 clients, AdaDelta, two epochs, exact updates: accuracy [%]"),
            _table(local_work.ANCHOR_HEADER, anchors),
        ]
    return text


def _failures(scope: Scope, replays: Replays) -> list[str]:
    title, target = WORKLOADS[local_work.workload_of(scope)].title, failures.target_of(scope, replays)
    return [
        _titled(f"{title}: the signs of failure that the source names, {len(scope.seeds)} seeds"),
        f"The target is {100 * target:.1f} %: {100 * failures.SHORT:g} points below what the method settles at. "
        "Budgets are those of the grid, costs medians over drops and seeds.\n",
        _table(failures.HEADER, failures.table(scope, replays)),
    ]


def _titled(title: str) -> str:
    return f"\n### {title}\n"


def _table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([f"| {' | '.join(header)} |", "|" + "---|" * len(header), *rows])


if __name__ == "__main__":
    sys.exit(main())
