"""Which alignments each question needs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from experiments.alignment.record import plain
from experiments.alignment.settings import (
    ALIGNERS,
    ANTENNAS,
    EVERYBODY,
    MIXED,
    RADIOS,
    ROUNDS,
    SAME,
    SEEDS,
    SHARES,
    SNRS_DB,
    WORLDS,
    Disjoint,
    Scenario,
    World,
    method_of,
)
from experiments.cells import Cell, Store

QUESTIONS: Final = ("classifiers", "compression", "snr", "groups", "aligners", "conditions", "costs")
COMPARED: Final = (
    "federated", "multi-link", "first-k", "top-k", "eigen-k", "federated-wide", "multi-link-wide", "eigen-k-open",
    "eigen-k-own",
)  # fmt: skip
VARIANTS: Final = ("federated-scaled", "multi-link-scaled", "federated-real", "released")
OVER_SNR: Final = ("federated", "multi-link", "first-k", "top-k", "federated-wide", "eigen-k-open", "released")
CONVENTIONS: Final = ("code", "per_symbol")
IN_CONDITIONS: Final = (
    "federated", "multi-link", "federated-wide", "multi-link-wide", "eigen-k-open", "ridge/open", "eigen-k-own",
)  # fmt: skip


@dataclass(frozen=True)
class Scope:
    """What is asked: of which world, with which seeds and how many of the channel uses."""

    command: str
    world: str = "cifar10"
    seeds: Sequence[int] = SEEDS
    groups: Sequence[str] = (EVERYBODY, SAME, MIXED)

    @property
    def of(self) -> World:
        """The world."""
        return WORLDS[self.world]

    @property
    def base(self) -> Scenario:
        """The scenario of which each question changes what it is about."""
        return Scenario(world=self.world, uses=self.of.usual)

    @property
    def small_groups(self) -> list[str]:
        """Groups of four users that are whole."""
        return [group for group in self.groups if group != EVERYBODY]


@dataclass(frozen=True)
class Condition:
    """What is otherwise than in the figures, in words and as settings."""

    kind: str
    words: str
    changes: Mapping[str, Any]


def conditions(scope: Scope) -> list[Condition]:
    """Return the conditions under which sharing is judged."""
    few, many = scope.of.uses[0], scope.of.uses[-1]
    return [
        Condition("as it is", f"K = {scope.of.usual}, 4 x 4, 20 dB, all pilots", {}),
        Condition("channel uses", f"K = {few}", {"uses": few}),
        Condition("channel uses", f"K = {many}", {"uses": many}),
        Condition("antennas", "1 x 1", {"antennas": 1}),
        Condition("antennas", "2 x 2", {"antennas": 2}),
        Condition("SNR", "0 dB", {"snr_db": 0.0}),
        Condition("SNR", "-10 dB", {"snr_db": -10.0}),
        Condition("SNR", "20 dB a symbol, entries of variance 1", {"convention": "per_symbol"}),
        *(Condition("users", group, {"group": group}) for group in scope.small_groups),
        Condition("channel knowledge", "error of 1 %", {"csi_error": 0.01}),
        Condition("channel knowledge", "error of 10 %", {"csi_error": 0.1}),
        Condition("channel knowledge", "10 %, pilots over the air", {"csi_error": 0.1, "exchange": "pilots"}),
        Condition("channel knowledge", "error of 30 %", {"csi_error": 0.3}),
        Condition("channel knowledge", "30 %, pilots over the air", {"csi_error": 0.3, "exchange": "pilots"}),
        Condition("fading", "correlation 0.99 a round", {"correlation": 0.99}),
        Condition("fading", "0.9", {"correlation": 0.9}),
        Condition("fading", "0.5", {"correlation": 0.5}),
        Condition("noisy pilots", "20 dB", {"exchange": "pilots", "pilot_snr_db": 20.0}),
        Condition("noisy pilots", "0 dB", {"exchange": "pilots", "pilot_snr_db": 0.0}),
        Condition("noisy pilots", "-10 dB", {"exchange": "pilots", "pilot_snr_db": -10.0}),
        Condition("few pilots", "10 %, random", {"share": 0.1}),
        Condition("few pilots", "10 %, herded", {"share": 0.1, "pilots": "herded"}),
        Condition("few pilots", "20 %, random", {"share": 0.2}),
        Condition("few pilots", "20 %, herded", {"share": 0.2, "pilots": "herded"}),
        Condition("late users", "half of them from round 16", {"late_from": ROUNDS // 2}),
        Condition("late users", "half of them in the last round", {"late_from": ROUNDS - 1}),
        Condition("late users", "half of them never", {"late_from": ROUNDS}),
    ]


def scenarios(scope: Scope, question: str) -> list[Scenario]:
    """Return the scenarios of a question that are run with all seeds, each once."""
    base, world = scope.base, scope.of
    of: dict[str, Iterable[Scenario]] = {
        "classifiers": (),
        "compression": [
            *(replace(s, antennas=a) for a in ANTENNAS for m in COMPARED for s in over_uses(base, m, world.uses)),
            *(s for m in VARIANTS for s in over_uses(base, m, world.uses)),
        ],
        "snr": (
            replace(s, snr_db=snr_db, convention=convention)
            for convention in CONVENTIONS
            for m in OVER_SNR
            for s in over_uses(base, m, world.snr_uses)
            for snr_db in SNRS_DB
        ),
        "groups": (
            replace(s, group=group, share=share)
            for group in scope.small_groups
            for share in SHARES
            for m in ("federated", "multi-link")
            for s in over_uses(base, m, world.uses)
        ),
        "aligners": (replace(base, method=name) for name in aligner_methods()),
        "conditions": (
            replace(base, method=m, **condition.changes) for condition in conditions(scope) for m in IN_CONDITIONS
        ),
        "costs": (),
    }
    return list(dict.fromkeys(map(relevant, of[question])))


def aligner_methods() -> list[str]:
    """Return each aligner over each radio, by name."""
    return [f"{aligner}/{radio}" for aligner in ALIGNERS for radio in RADIOS]


def over_uses(base: Scenario, method: str, uses: Sequence[int]) -> list[Scenario]:
    """Return a method's scenarios at channel uses as they are reported; Top-K has half of them, and no odd ones."""
    if method == "top-k":
        return [replace(base, method=method, uses=count // 2) for count in uses if count % 2 == 0]
    return [replace(base, method=method, uses=count) for count in uses]


def relevant(scenario: Scenario) -> Scenario:
    """Return the scenario without what does not matter to its method, so that it is calculated once."""
    usual = Scenario()
    if isinstance(method_of(scenario.method), Disjoint):
        exchange = {"exchange": usual.exchange, "pilot_snr_db": usual.pilot_snr_db, "late_from": usual.late_from}
        scenario = replace(scenario, **exchange)  # type: ignore[arg-type]  # fields of it
    if scenario.share == 1:
        scenario = replace(scenario, pilots=usual.pilots)
    return scenario


class Runs:
    """What came of scenarios, by seed."""

    def __init__(self, scope: Scope, store: Store) -> None:
        self.scope, self.store = scope, store

    def cells(self, scenario: Scenario) -> list[Cell]:
        """Return the cells of a scenario, one for each seed."""
        return [cell_of(replace(relevant(scenario), seed=seed)) for seed in self.scope.seeds]

    def of(self, scenario: Scenario) -> list[Mapping[str, Any]]:
        """Return what came of them."""
        return [self.store[cell] for cell in self.cells(scenario)]

    def encoders(self) -> list[Mapping[str, Any]]:
        """Return how encoders compare, by seed of the classifiers."""
        return [self.store[cell] for cell in encoder_cells(self.scope)]


def encoder_cells(scope: Scope) -> list[Cell]:
    """Return the cells that compare encoders and train their classifiers."""
    function = "experiments.alignment.encoders:recorded"
    return [
        Cell(function, {"world": scope.world, "seed": seed}, f"classifiers on {scope.of.title}, seed {seed}")
        for seed in scope.seeds
    ]


def cell_of(scenario: Scenario) -> Cell:
    """Return the cell of a scenario."""
    usual = plain(Scenario(world=scenario.world))
    told = ", ".join(f"{name} {value}" for name, value in plain(scenario).items() if value != usual[name])
    return Cell("experiments.alignment.record:recorded", plain(scenario), f"{scenario.world}: {told or 'as usual'}")
