"""The experiments of federated alignment: latents that other encoders understand, over MIMO channels.

    python -m experiments.alignment.run [--quick] [--seeds 6] [--jobs 2] [--only compression,snr] [--fresh]

The full form is of CIFAR-10 (``EAFL_DATA_DIR``), with encoders that are trained here once and, where they are in the
data folder, with those of others; ``--quick`` of scikit-learn's digits. Needs torch. Results are kept in
``results/cells.jsonl`` (``results/quick`` with --quick) as they come: the same command goes on where it was stopped.
``--fresh`` begins anew, as it must be after a change of the program. At the end it writes ``rows.csv``,
``claims.csv``, ``tables/QUESTION.md`` and the figures beside them; those of questions that were not asked stay, but for
``rows.csv``, which has those asked.
"""

import csv
import sys
import time
from dataclasses import replace
from pathlib import Path

from eafl_flower.errors import ConfigError, DataError
from experiments.alignment.claimed import claims
from experiments.alignment.figures import draw
from experiments.alignment.measures import COLUMNS, rows
from experiments.alignment.questions import QUESTIONS, Runs, Scope, cell_of, encoder_cells, scenarios
from experiments.alignment.settings import SEEDS
from experiments.alignment.spaces import groups_of, images_of, latents_of, there
from experiments.alignment.tables import written
from experiments.arguments import arguments
from experiments.cells import Store
from experiments.claims import claims_table, write_claims

HERE = Path(__file__).parent
COMMAND = "python -m experiments.alignment.run"


def main() -> int:
    """Measure what is missing, then write rows, tables, claims and figures."""
    given = arguments(__doc__, QUESTIONS, seeds=len(SEEDS), quick="digits")
    began_s = time.monotonic()
    scope = Scope(COMMAND, seeds=SEEDS[: given.seeds])
    if given.quick:
        scope = replace(scope, command=f"{COMMAND} --quick", world="digits")
    try:
        images_of(scope.of.images)
    except (ConfigError, DataError) as error:
        print(error, file=sys.stderr)
        return 1
    for encoder in there(scope.world):
        print(f"latents of {encoder}: {latents_of(scope.world, encoder).size} numbers", flush=True)
    if absent := sorted(set(scope.of.encoders) - set(there(scope.world))):
        print(f"not in the data folder, left out: {', '.join(absent)}")
    scope = replace(scope, groups=groups_of(scope.world))
    folder = HERE / "results" / "quick" if given.quick else HERE / "results"
    store = Store(folder / "cells.jsonl", fresh=given.fresh)
    runs = Runs(scope, store)
    measure(runs, given.only, jobs=given.jobs)
    write(runs, folder, given.only)
    took_min = (time.monotonic() - began_s) / 60
    spent_min = sum(float(result.get("seconds", 0.0)) for result in store.results.values()) / 60
    print(f"took {took_min:.1f} min; {len(store.results)} cells of {spent_min:.1f} min of one process")
    return 0


def measure(runs: Runs, questions: list[str], *, jobs: int) -> None:
    """Train the classifiers first, which all others read, then align."""
    runs.store.run(encoder_cells(runs.scope), jobs=jobs)
    asked = [s for question in questions for s in scenarios(runs.scope, question)]
    if "costs" in questions:
        asked.append(runs.scope.base)
    runs.store.run([cell for scenario in asked for cell in runs.cells(scenario)], jobs=jobs)


def write(runs: Runs, folder: Path, questions: list[str]) -> None:
    """Write what was measured."""
    found = claims(runs, questions)
    write_claims(folder / "claims.csv", found)
    (folder / "tables").mkdir(parents=True, exist_ok=True)
    for question in questions:
        text = written(runs, question)
        if found.get(question):
            text += f"\n\n### Claims\n\n{claims_table(found[question])}"
        (folder / "tables" / f"{question}.md").write_text(text + "\n")
        print(f"\n{text}")
    written_rows = 0
    with (folder / "rows.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for question in questions:
            for scenario in scenarios(runs.scope, question):
                for seed in runs.scope.seeds:
                    of_seed = replace(scenario, seed=seed)
                    of_users = rows(of_seed, runs.store[cell_of(of_seed)], question)
                    writer.writerows(of_users)
                    written_rows += len(of_users)
    figures = draw(runs, folder, questions)
    print(f"\nwritten: {folder}/rows.csv ({written_rows:,} rows), claims.csv, tables, {{{','.join(figures)}}}.png")


if __name__ == "__main__":
    sys.exit(main())
