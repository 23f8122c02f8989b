"""The experiments of EAFL-ALP: every claim measured.

    python -m experiments.eafl_alp.run [--quick] [--seeds 5] [--jobs 2] [--only federation,heads,asynchrony,staleness]

Needs the recorded data (``EAFL_DATA_DIR``); data sets that are not there are left out, and said to be. Results are
kept in ``results/cells.jsonl`` (``results/quick`` with --quick) as they come: the same command goes on where it was
stopped. ``--fresh`` begins anew, as it must be after a change of the program. At the end it writes ``claims.csv``,
``tables/QUESTION.md`` and the figures beside them; those of questions that were not asked stay.
"""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from eafl_flower.app.resolving import resolve
from eafl_flower.errors import DataError
from experiments.arguments import arguments
from experiments.cells import Store
from experiments.claims import Claim, claims_table, write_claims
from experiments.eafl_alp import asynchrony, federation, heads, staleness
from experiments.eafl_alp.federation import Scope
from experiments.eafl_alp.figures import draw
from experiments.eafl_alp.methods import DATASETS, FIT_SEEDS, SEEDS, preset_of

QUESTIONS = ("federation", "heads", "asynchrony", "staleness")
HERE = Path(__file__).parent
QUICK_DATASETS = ("geolife", "iot-devices")


def main() -> int:
    """Measure what is missing, then write tables, claims and figures."""
    given = arguments(
        __doc__, QUESTIONS, seeds=len(FIT_SEEDS), quick="two data sets, two seeds, an eighth of the uploads"
    )
    questions = given.only
    folder = HERE / "results" / "quick" if given.quick else HERE / "results"
    fit_seeds = FIT_SEEDS[: 2 if given.quick else given.seeds]
    datasets = list(_there(QUICK_DATASETS if given.quick else DATASETS))
    if not datasets:
        return 1
    scope = Scope(
        datasets=datasets,
        fit_seeds=fit_seeds,
        seeds=fit_seeds[: len(SEEDS)],
        quick=given.quick,
        command="python -m experiments.eafl_alp.run" + (" --quick" if given.quick else ""),
    )
    store = Store(folder / "cells.jsonl", fresh=given.fresh)
    claims: dict[str, list[Claim]] = {}
    texts: dict[str, list[str]] = {}
    if "federation" in questions:
        text = texts["federation"] = []
        store.run(federation.cells(scope), jobs=given.jobs)
        short = federation.larger_budgets(scope, store, jobs=given.jobs)
        claims["federation"] = federation.claims(scope, store)
        text.append(_titled(f"Fitness, {len(scope.fit_seeds)} seeds: mean ± sd"))
        text.append(_table(federation.FITNESS_HEADER, federation.fitness_table(scope, store)))
        for dataset in datasets:
            gain = federation.settled(scope, store, dataset)
            text.append(_titled(f"{dataset}: {_rows(scope, store, dataset)}; mean ± sd over seeds"))
            text.append(_table(federation.HEADER, federation.rows_table(scope, store, dataset)))
            text.append(
                f"The last quarter of the exact runs changed the score before training by {100 * gain:+.2f} points.\n"
            )
        if short:
            text.append(_titled("Fit pairs that fall short of 60 % of the gap, and the smallest budget that does not"))
            text.append(_table(federation.BUDGET_HEADER, short))
    if "heads" in questions:
        store.run(heads.first_cells(scope), jobs=given.jobs)
        store.run(heads.control_cells(scope, store), jobs=given.jobs)
        claims["heads"], text = heads.claims(scope, store), []
        texts["heads"] = text
        for dataset in datasets:
            text.append(_titled(f"Private heads, {dataset}"))
            text.append(_table(heads.HEADER, heads.table(scope, store, dataset)))
    if "asynchrony" in questions:
        store.run(asynchrony.sync_grid_cells(scope), jobs=given.jobs)
        store.run(asynchrony.grid_cells(scope, store), jobs=given.jobs)
        store.run(asynchrony.race_cells(scope, store), jobs=given.jobs)
        claims["asynchrony"], text = asynchrony.claims(scope, store), []
        texts["asynchrony"] = text
        for where, lines in asynchrony.tables(scope, store).items():
            text.append(_titled(f"A fleet with slowdown {asynchrony.SLOWDOWN}, {where}"))
            text.append(_table(asynchrony.HEADER, lines))
    if "staleness" in questions:
        store.run(asynchrony.sync_grid_cells(scope), jobs=given.jobs)
        store.run(staleness.tuning_cells(scope), jobs=given.jobs)
        store.run(staleness.cells(scope, store), jobs=given.jobs)
        claims["staleness"], text = staleness.claims(scope, store), []
        texts["staleness"] = text
        for in_flight, lines in staleness.tables(scope, store).items():
            text.append(_titled(f"Staleness weights, the same fleet, {in_flight} in flight"))
            text.append(_table(staleness.HEADER, lines))
    write_claims(folder / "claims.csv", claims)
    (folder / "tables").mkdir(exist_ok=True)
    for question, text in texts.items():
        text += [_titled("Claims"), claims_table(claims[question])]
        (folder / "tables" / f"{question}.md").write_text("\n".join(text) + "\n")
        print("\n".join(text))
    draw(scope, store, folder, questions)
    print(f"\nwritten: {folder}/claims.csv, tables/{{{','.join(texts)}}}.md and figures")
    return 0


def _there(datasets: Sequence[str]) -> Iterable[str]:
    for dataset in datasets:
        try:
            _ = resolve(preset_of(dataset)).source
        except DataError as error:
            print(f"left out: {dataset}: {error}", file=sys.stderr)
        else:
            yield dataset


def _rows(scope: Scope, store: Store, dataset: str) -> str:
    data = store[federation.anchor(scope, dataset, scope.fit_seeds[0])]["data"]
    return (
        f"{data['clients']} clients ({data['unseen']} unseen), {data['train_rows']:,} training and "
        f"{data['test_rows']:,} test rows, {data['features']} features, {data['classes']} classes"
    )


def _titled(title: str) -> str:
    return f"\n### {title}\n"


def _table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([f"| {' | '.join(header)} |", "|" + "---|" * len(header), *rows])


if __name__ == "__main__":
    sys.exit(main())
