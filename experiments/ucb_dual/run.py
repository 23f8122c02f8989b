"""The experiments of UCB-DUAL: cabs that fine-tune adapters of several text tasks within budgets of energy.

    python -m experiments.ucb_dual.run [--quick] [--seeds 3] [--jobs 2] [--only compared,budgets] [--fresh]
        [--encoder FOLDER_OR_NAME]

Needs recorded cabs and texts (``EAFL_DATA_DIR``). The base encoder is that of ``base/``, or any other by ``--encoder``,
a folder or a name on the hub, which has results of its own. Results are kept in ``results/cells.jsonl``
(``results/quick`` with --quick) as they come: the same command goes on where it was stopped. ``--fresh`` begins anew,
as it must be after a change of the program. At the end it writes ``claims.csv``, ``tables/QUESTION.md`` and the figures
beside them; those of questions that were not asked stay.
"""

import sys
import time
from dataclasses import replace
from pathlib import Path

from eafl_flower.errors import ConfigError, DataError
from experiments.arguments import arguments
from experiments.cells import Cell, Store
from experiments.claims import claims_table, write_claims
from experiments.ucb_dual.claimed import claims
from experiments.ucb_dual.figures import draw
from experiments.ucb_dual.questions import (
    QUESTIONS,
    Runs,
    Scope,
    light_cell,
    memory_cells,
    quick_scope,
    rate_cells,
    scenarios,
    to_choose,
)
from experiments.ucb_dual.record import data_digest
from experiments.ucb_dual.settings import SEEDS
from experiments.ucb_dual.tables import written

HERE = Path(__file__).parent
COMMAND = "python -m experiments.ucb_dual.run"


def main() -> int:
    """Measure what is missing, then write tables, claims and figures."""
    given = arguments(
        __doc__,
        QUESTIONS,
        seeds=len(SEEDS),
        quick="nine vehicles, two tasks, eight rounds, two seeds",
        texts={"encoder": "folder or name of the base encoder; that of base/ by default"},
    )
    questions = given.only
    began_s = time.monotonic()
    scope = quick_scope(f"{COMMAND} --quick") if given.quick else replace(Scope(COMMAND), seeds=SEEDS[: given.seeds])
    scope = replace(scope, base=replace(scope.base, encoder=given.encoder))
    try:
        data_digest({"tasks": scope.base.tasks, "encoder": given.encoder})
    except (ConfigError, DataError) as error:
        print(error, file=sys.stderr)
        return 1
    folder = HERE / "results" / (f"of-{Path(given.encoder).name}" if given.encoder else "")
    folder = folder / "quick" if given.quick else folder
    store = Store(folder / "cells.jsonl", fresh=given.fresh)
    runs = Runs(scope, store)
    measure(scope, runs, questions, jobs=given.jobs)
    (folder / "tables").mkdir(exist_ok=True)
    for question in questions:
        text = written(scope, runs, question)
        if question == "compared":
            found = claims(scope, runs)
            write_claims(folder / "claims.csv", {question: found})
            text += f"\n\n### Claims\n\n{claims_table(found)}"
        (folder / "tables" / f"{question}.md").write_text(text + "\n")
        print(f"\n{text}")
    figures = draw(scope, runs, folder, questions)
    took_min = (time.monotonic() - began_s) / 60
    spent_min = sum(float(result.get("seconds", 0.0)) for result in store.results.values()) / 60
    print(f"\nwritten: {folder}/claims.csv, tables/{{{','.join(questions)}}}.md, {{{','.join(figures)}}}.png")
    print(f"took {took_min:.1f} min; {len(store.results)} cells of {spent_min:.1f} min of one process")
    return 0


def measure(scope: Scope, runs: Runs, questions: list[str], *, jobs: int) -> None:
    """Choose the learning rates first, then make the runs at them."""
    store = runs.store
    chosen = to_choose(scope, questions)
    store.run([cell for scenario in chosen for cell in rate_cells(scope, scenario)], jobs=jobs)
    cells: list[Cell] = [
        cell for question in questions for scenario in scenarios(scope, question) for cell in runs.cells(scenario)
    ]
    if "ranks" in questions:
        cells += memory_cells(scope)
    if "scale" in questions:
        cells.append(light_cell(scope))
    store.run(sorted(cells, key=_longest_first), jobs=jobs)


def _longest_first(cell: Cell) -> int:
    assert isinstance(cell.config, dict)
    return -int(cell.config["vehicles"] or 60)


if __name__ == "__main__":
    sys.exit(main())
