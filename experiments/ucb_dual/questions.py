"""Which runs each question needs, and at which learning rate.

Each method has that of the learning rates by which it was most accurate on validation texts, with the first seed and in
half of the rounds: the mean over tasks and the last evaluations. Variants of ours have ours.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from experiments.cells import Cell, Store
from experiments.ucb_dual.light import TASKS as LIGHT_TASKS
from experiments.ucb_dual.measures import Recording, best_rate
from experiments.ucb_dual.settings import (
    ABLATIONS,
    ARMS,
    BUDGETS,
    COMPARED,
    FLEETS,
    METHODS,
    RATES,
    SEEDS,
    TASKS,
    Scenario,
)

QUESTIONS: Final = ("rates", "compared", "ablations", "budgets", "ranks", "vehicles", "scale", "apart")
OURS: Final = "ucb-dual"
APART: Final[Mapping[str, str]] = {"pooled": "pooled", "alone": "no communication", "majority": "majority"}
LIGHT: Final = Scenario(vehicles=0, columns=8, rows=40, rate=0.05, tasks=tuple(LIGHT_TASKS))


@dataclass(frozen=True)
class Scope:
    """What is asked: ``base`` is the headline scenario, of which each question changes what it is about."""

    command: str
    quick: bool = False
    base: Scenario = field(default_factory=Scenario)
    seeds: Sequence[int] = SEEDS
    rates: Sequence[float] = RATES
    compared: Sequence[str] = COMPARED
    ablations: Sequence[str] = ABLATIONS
    budgets: Sequence[float] = BUDGETS
    ranks: Sequence[int] = ARMS
    fleets: Sequence[int] = FLEETS
    in_fleets: Sequence[str] = (OURS, "homolora")
    apart: Sequence[str] = tuple(APART)
    light: Scenario = LIGHT

    @property
    def half(self) -> Scenario:
        """Return the headline scenario in half of its rounds, in which rates are chosen and fleets compared."""
        return replace(self.base, rounds=max(1, self.base.rounds // 2))

    @property
    def alone(self) -> Scenario:
        """Return the scenario of the rank sweep: one task, which all units host, in half of the rounds."""
        return replace(self.half, tasks=self.base.tasks[:1])


def quick_scope(command: str) -> Scope:
    """Return what is asked with ``--quick``: a look at each question, no result."""
    return Scope(
        command=command,
        quick=True,
        base=Scenario(vehicles=9, rounds=8, evaluate_every=2, tasks=TASKS[:2], test_rows=200),
        seeds=SEEDS[:2],
        rates=RATES[1:4],
        compared=(OURS, "homolora", "smallest"),
        ablations=("no-dual",),
        budgets=(0.7, 1.0, 1.4),
        ranks=(4, 64),
        fleets=(9, 18),
        in_fleets=(OURS,),
        light=replace(LIGHT, rounds=6, evaluate_every=2),
    )


def plain(scenario: Scenario) -> dict[str, Any]:
    """Return a scenario as the settings of a cell."""
    return {**asdict(scenario), "tasks": list(scenario.tasks)}


def title(method: str) -> str:
    """Return the name of a method, or of what stands beside them."""
    return METHODS[method].title if method in METHODS else APART[method]


def rate_cells(scope: Scope, scenario: Scenario) -> list[Cell]:
    """Return the runs by which the rate of a scenario's method is chosen, in the order of ``scope.rates``."""
    return [_cell(replace(scenario, seed=scope.seeds[0], rounds=scope.half.rounds, rate=rate)) for rate in scope.rates]


def needs_rate(scenario: Scenario) -> bool:
    """Return whether anything is trained."""
    return scenario.method != "majority"


class Runs:
    """Runs of a scope by scenario, each at the rate of its method."""

    def __init__(self, scope: Scope, store: Store) -> None:
        self.scope, self.store = scope, store

    def rate(self, scenario: Scenario) -> float:
        """Return the rate of a scenario's method, as chosen in the headline scenario, or of its rank."""
        cells = rate_cells(self.scope, _like(self.scope, scenario))
        return best_rate(self.scope.rates, [Recording(self.store[cell]).mean_accuracy("validation") for cell in cells])

    def cells(self, scenario: Scenario) -> list[Cell]:
        """Return the runs of a scenario, one for each seed."""
        if needs_rate(scenario):
            scenario = replace(scenario, rate=self.rate(scenario))
        return [_cell(replace(scenario, seed=seed)) for seed in self.scope.seeds]

    def of(self, scenario: Scenario) -> list[Recording]:
        """Return what came of them."""
        return [Recording(self.store[cell]) for cell in self.cells(scenario)]

    def seconds(self, cell: Cell) -> float:
        """Return how long a cell took [s]."""
        return float(self.store[cell]["seconds"])


def scenarios(scope: Scope, question: str) -> list[Scenario]:
    """Return the scenarios of a question that are run with all seeds."""
    base = scope.base
    of: dict[str, Iterable[Scenario]] = {
        "rates": (),
        "compared": (replace(base, method=method) for method in scope.compared),
        "ablations": (replace(base, method=method) for method in (OURS, *scope.ablations)),
        "budgets": (replace(base, budget=budget) for budget in scope.budgets),
        "ranks": (replace(scope.alone, rank=rank) for rank in scope.ranks),
        "vehicles": (replace(scope.half, method=m, vehicles=count) for count in scope.fleets for m in scope.in_fleets),
        "scale": (),
        "apart": (replace(base, method=method) for method in scope.apart),
    }
    return list(of[question])


def to_choose(scope: Scope, questions: Sequence[str]) -> list[Scenario]:
    """Return the scenarios whose rates the questions need, each once."""
    asked = [s for question in questions for s in scenarios(scope, question)]
    if "rates" in questions:
        asked += scenarios(scope, "compared")
    return list(dict.fromkeys(_like(scope, scenario) for scenario in asked if needs_rate(scenario)))


def memory_cells(scope: Scope) -> list[Cell]:
    """Return the measurements of memory, one for each rank."""
    return [
        Cell("experiments.ucb_dual.memory:recorded", plain(replace(scope.alone, rank=rank)), f"memory of rank {rank}")
        for rank in scope.ranks
    ]


def light_cell(scope: Scope) -> Cell:
    """Return the run with all cabs."""
    return Cell("experiments.ucb_dual.light:recorded", plain(scope.light), "all cabs of the day, light tasks")


def _like(scope: Scope, scenario: Scenario) -> Scenario:
    """Return the scenario in which the rate of another one is chosen."""
    if scenario.rank:
        return replace(scope.alone, rank=scenario.rank)
    ours = scenario.method in ABLATIONS
    return replace(scope.base, method=OURS if ours else scenario.method)


def _cell(scenario: Scenario) -> Cell:
    module = "apart" if scenario.method in APART else "record"
    what = f"rank {scenario.rank}" if scenario.rank else title(scenario.method)
    told = (
        f"{what}, rate {scenario.rate:g}, {scenario.rounds} rounds, {scenario.vehicles} vehicles, "
        f"room {scenario.budget:g}, seed {scenario.seed}"
    )
    return Cell(f"experiments.ucb_dual.{module}:recorded", plain(scenario), told)
