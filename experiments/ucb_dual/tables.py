"""Tables of what was recorded, a line for each method, budget, rank or fleet."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from experiments.eafl_alp.statistics import mean_of
from experiments.ucb_dual.measures import (
    Floats,
    Recording,
    departures,
    of_all,
    price_share,
    violation,
    worst_window,
)
from experiments.ucb_dual.questions import (
    APART,
    OURS,
    Runs,
    Scope,
    light_cell,
    memory_cells,
    rate_cells,
    title,
    to_choose,
)
from experiments.ucb_dual.settings import METHODS, task_title

Line = tuple[str, ...]
COSTS: Final = ("latency of a round [s]", "of the run [s]", "energy of a round [J]", "over budget [%]", "sent [MB]")
MACHINERY: Final = (
    "method", "mean rank", "priced rounds [%]", "over budget, by task [%]", "worst five rounds [%]",
    "at rank 4 [%]", "hand-overs in 15 rounds", "early", "migrated", "abandoned", "lost", "no job", "jobs",
)  # fmt: skip
NONE: Final = "-"


def number(values: Sequence[float]) -> str:
    """Return mean and standard deviation of values in their unit, with three digits of the mean, or all before the dot.

    >>> number([1150.2, 1150.2]), number([0.51234, 0.51234])
    ('1,150 ± 0', '0.512 ± 0.000')
    """
    found = mean_of(values)
    size = math.floor(math.log10(abs(found.mean))) if found.mean else 1
    digits = min(3, max(0, 2 - size))
    return f"{found.mean:,.{digits}f} ± {found.sd:,.{digits}f}"


def rates(scope: Scope, runs: Runs) -> tuple[Line, list[Line]]:
    """Return header and lines: accuracy on validation texts at each rate [%], and the rate that was taken."""
    lines = []
    for scenario in to_choose(scope, ("rates",)):
        found = [Recording(runs.store[cell]) for cell in rate_cells(scope, scenario)]
        shown = [f"{100 * f.mean_accuracy('validation'):.1f}" for f in found]
        lines.append((title(scenario.method), *shown, f"{runs.rate(scenario):g}"))
    return ("method", *(f"{rate:g}" for rate in scope.rates), "taken"), lines


def compared(scope: Scope, runs: Runs, methods: Sequence[str]) -> tuple[Line, list[Line]]:
    """Return header and lines: accuracy on test texts [%] and costs of each method."""
    tasks = scope.base.tasks
    header = ("method", "rate", "accuracy, mean", *map(task_title, tasks), *COSTS)
    lines: list[Line] = []
    for method in methods:
        scenario = replace(scope.base, method=method)
        rate = NONE if method == "majority" else f"{runs.rate(scenario):g}"
        found = runs.of(scenario)
        costs = [NONE] * len(COSTS) if method in APART else costs_of(found)
        lines.append((title(method), rate, *accuracies(found, tasks), *costs))
    return header, lines


def accuracies(found: Sequence[Recording], tasks: Sequence[str]) -> list[str]:
    """Return the mean accuracy over tasks, and that of each [%]."""
    mean = mean_of([f.mean_accuracy() for f in found])
    return [str(mean), *(str(mean_of([f.accuracy(task) for f in found])) for task in tasks)]


def costs_of(found: Sequence[Recording]) -> list[str]:
    """Return what ``COSTS`` names."""
    return [
        number([float(f.latency_s.mean()) for f in found]),
        number([float(f.latency_s.sum()) for f in found]),
        number([float(f.used_j.mean()) for f in found]),
        number([100 * float(violation(*of_all(f))[0]) for f in found]),
        number([f.found["upload_bytes"] / 1e6 for f in found]),
    ]


def machinery(scope: Scope, runs: Runs, methods: Sequence[str]) -> tuple[Line, list[Line]]:
    """Return header and lines: what was at work in each method; shares are means over tasks, violations worst tasks."""
    lines = []
    for method in methods:
        found = runs.of(replace(scope.base, method=method))
        lines.append((title(method), *machinery_of(found, budget=METHODS[method].budget)))
    return MACHINERY, lines


def machinery_of(found: Sequence[Recording], *, budget: bool) -> list[str]:
    """Return what ``MACHINERY`` names behind the method; counts are means over seeds."""
    priced = over = window = least = NONE
    if budget:
        priced = number([100 * float(price_share(f.by_round("price")).mean()) for f in found])
        over = number([100 * float(violation(*energies(f)).max()) for f in found])
        window = number([100 * float(worst_window(*energies(f)).max()) for f in found])
        least = number([100 * float(worst_window(f.by_round("budget_j"), f.least_used_j).max()) for f in found])
    left = [departures(f.jobs) for f in found]
    counts = (f"{np.mean([counted[name] for counted in left]):.1f}" for name in ("early", "migrate", "abandon", "lost"))
    return [
        number([f.mean_rank for f in found]),
        priced,
        over,
        window,
        least,
        number([f.handovers for f in found]),
        *counts,
        f"{np.mean([f.idle for f in found]):.1f}",
        f"{np.mean([len(f.jobs) for f in found]):.0f}",
    ]


def energies(found: Recording) -> tuple[Floats, Floats]:
    """Return budgets and energies of each round and task [J]."""
    return found.by_round("budget_j"), found.by_round("used_j")


def budgets(scope: Scope, runs: Runs) -> tuple[Line, list[Line]]:
    """Return header and lines: ours under budgets that leave so much room above rank 4, in units of the default."""
    header = (
        "room", "budget [J]", "priced rounds [%]", "mean rank", "over budget, all [%]", "by task [%]",
        "worst five rounds [%]", "at rank 4 [%]", "accuracy, mean", "latency of a round [s]",
    )  # fmt: skip
    lines: list[Line] = []
    for budget in scope.budgets:
        found = runs.of(replace(scope.base, budget=budget))
        rank, priced, over, window, least, *_ = machinery_of(found, budget=True)
        lines.append(
            (
                f"{budget:g}",
                f"{np.mean([f.budget_j for f in found]):,.0f}",
                priced,
                rank,
                number([100 * float(violation(*of_all(f))[0]) for f in found]),
                over,
                window,
                least,
                str(mean_of([f.mean_accuracy() for f in found])),
                number([float(f.latency_s.mean()) for f in found]),
            )
        )
    return header, lines


def ranks(scope: Scope, runs: Runs) -> tuple[Line, list[Line]]:
    """Return header and lines: one task alone, each rank fixed."""
    header = (
        "rank", "rate", "accuracy", "latency of a round [s]", "energy of a round [J]", "adapter and head [kB]",
        "peak memory [MB]", "of it training [MB]",
    )  # fmt: skip
    lines: list[Line] = []
    for rank, cell in zip(scope.ranks, memory_cells(scope), strict=True):
        scenario = replace(scope.alone, rank=rank)
        found, memory = runs.of(scenario), runs.store[cell]
        lines.append(
            (
                str(rank),
                f"{runs.rate(scenario):g}",
                str(mean_of([f.mean_accuracy() for f in found])),
                number([float(f.latency_s.mean()) for f in found]),
                number([float(f.used_j.mean()) for f in found]),
                f"{np.mean([payload_bytes(f) for f in found]) / 1e3:.0f}",
                f"{memory['peak_bytes'] / 1e6:.0f}",
                f"{memory['training_bytes'] / 1e6:.0f}",
            )
        )
    return header, lines


def payload_bytes(found: Recording) -> float:
    """Return the mean bytes of an upload, over the jobs that were merged."""
    return float(found.found["upload_bytes"]) / max(1, sum(job.event == "merge" for job in found.jobs))


def vehicles(scope: Scope, runs: Runs) -> tuple[Line, list[Line]]:
    """Return header and lines: fleets."""
    header = ("vehicles", "method", "accuracy, mean", *COSTS, "mean rank", "minutes of one process")
    lines: list[Line] = []
    for count in scope.fleets:
        for method in scope.in_fleets:
            scenario = replace(scope.half, method=method, vehicles=count)
            found = runs.of(scenario)
            minutes = np.mean([runs.seconds(cell) / 60 for cell in runs.cells(scenario)])
            accuracy = str(mean_of([f.mean_accuracy() for f in found]))
            rank = number([f.mean_rank for f in found])
            lines.append((str(count), title(method), accuracy, *costs_of(found), rank, f"{minutes:.1f}"))
    return header, lines


def scale(scope: Scope, runs: Runs) -> tuple[Line, list[Line]]:
    """Return header and lines: the run with all cabs, a line for each figure."""
    cell = light_cell(scope)
    found, told = Recording(runs.store[cell]), runs.store[cell]
    left, seconds = departures(found.jobs), runs.seconds(cell)
    over = [f"{100 * value:.1f}" for value in violation(*energies(found))]
    accuracy = [f"{task_title(task)} {100 * found.accuracy(task):.1f}" for task in scope.light.tasks]
    return ("figure", "value"), [
        ("vehicles, units, rounds", f"{told['vehicles']}, {told['units']}, {found.rounds}"),
        ("jobs, in the mean of a round", f"{len(found.jobs):,}, {len(found.jobs) / found.rounds:.0f}"),
        ("accuracy [%]", ", ".join(accuracy)),
        ("mean rank", f"{found.mean_rank:.1f}"),
        ("priced rounds, mean over tasks [%]", f"{100 * price_share(found.by_round('price')).mean():.0f}"),
        ("over budget, by task [%]", ", ".join(over)),
        ("hand-overs of a vehicle in 15 rounds", f"{found.handovers:.1f}"),
        ("early, migrated, abandoned, lost, without a job", ", ".join(map(str, [*left.values(), found.idle]))),
        ("time of one process [s], jobs a second", f"{seconds:.0f}, {len(found.jobs) / seconds:.0f}"),
    ]


def table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    rows = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([f"| {' | '.join(header)} |", "|" + "---|" * len(header), *rows])


def written(scope: Scope, runs: Runs, question: str) -> str:
    """Return the tables of a question as text."""
    seeds = f"{len(scope.seeds)} seeds, mean ± sd"
    base = scope.base.encoder or "of `eafl encoder make`, kept in `base/`"
    where = f"base {base}, {scope.base.vehicles} vehicles, {scope.base.rounds} rounds, {seeds}"
    shorter = where.replace(f"{scope.base.rounds} rounds", f"{scope.half.rounds} rounds")
    first = task_title(scope.base.tasks[0])
    variants = [OURS, *scope.ablations]
    made: dict[str, list[tuple[str, Callable[[], tuple[Line, list[Line]]]]]] = {
        "rates": [("Accuracy on validation texts at each learning rate [%], first seed", lambda: rates(scope, runs))],
        "compared": [
            (f"Methods: {where}", lambda: compared(scope, runs, scope.compared)),
            ("What was at work", lambda: machinery(scope, runs, scope.compared)),
        ],
        "ablations": [
            (f"Ablations: {where}", lambda: compared(scope, runs, variants)),
            ("What was at work", lambda: machinery(scope, runs, variants)),
        ],
        "budgets": [(f"UCB-DUAL under {len(scope.budgets)} budgets: {where}", lambda: budgets(scope, runs))],
        "ranks": [(f"One rank for all, {first} alone: {shorter}", lambda: ranks(scope, runs))],
        "vehicles": [(f"Fleets: {scope.half.rounds} rounds, {seeds}", lambda: vehicles(scope, runs))],
        "scale": [("All cabs of the day, light tasks, one seed", lambda: scale(scope, runs))],
        "apart": [(f"Without federation: {seeds}", lambda: compared(scope, runs, scope.apart))],
    }
    return "\n\n".join(f"### {heading}\n\n{table(*make())}" for heading, make in made[question])
