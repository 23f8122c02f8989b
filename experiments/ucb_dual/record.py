"""One run of a method through the city, as figures."""

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, MetricRecord
from flwr.clientapp import ClientApp
from numpy.typing import NDArray

from eafl_flower.aggregation.lora import LoRAAggregator
from eafl_flower.core.events import Event
from eafl_flower.core.orders import Order
from eafl_flower.data.tables.files import find
from eafl_flower.energy.finetuning import FineTuningEnergy
from eafl_flower.energy.processors import Processors
from eafl_flower.engines.inline import InlineGrid
from eafl_flower.mobility.coverage import Coverage
from eafl_flower.radio.roadside import Roadside, RoadsideRadio
from eafl_flower.roadside.scheduler import RoadsideScheduler
from eafl_flower.schedulers.same import SameOrder
from eafl_flower.strategies import UCBDual
from eafl_flower.types import Arrays, Upload, Work
from experiments.ucb_dual.city import City, coverage_of, day_path, handovers
from experiments.ucb_dual.learning import app_of, bytes_of, encoder_digest, initial_of, scored, world_of
from experiments.ucb_dual.settings import ARMS, LORA_ALPHA, MEMORY, METHODS, RANKS, Method, Scenario

SLOWDOWN, POWER_W = (2.0, 1.0, 0.5), (5.0, 10.0, 20.0)
SPEED = 0.03  # of one core of the machine that was measured: what driving leaves of a vehicle's processor
ROUND_S = 60.0
ROOM = 0.3  # of the way from the smallest ranks' energy to the largest ranks': the default budget
RADIO = Roadside(bandwidth_hz=5e4, noise_dbm=-118.0)  # -174 dBm/Hz in 50 kHz and 9 dB


class Kept:
    """Keeps events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def write(self, event: Event) -> None:
        """Keep an event."""
        self.events.append(dict(event))

    def close(self) -> None:
        """Nothing is open."""


class ByMemory(SameOrder):
    """Each vehicle has the rank of its memory, given to the vehicles in turn."""

    def __init__(self, ranks: tuple[int, ...]) -> None:
        object.__setattr__(self, "order", Order(rank=ranks[0]))
        self.__class__.ranks = ranks

    ranks: tuple[int, ...] = ()

    def offer(self, state: None, client: int, forecast: Any) -> Order:
        """Return the rank of this vehicle."""
        return Order(rank=self.ranks[client % len(self.ranks)])


@dataclass(frozen=True, kw_only=True, eq=False)
class Lesson:
    """What vehicles learn, whatever it is.

    ``initial`` makes the arrays of each task of a rank, ``score`` scores those of each task, ``size`` is that of an
    adapter of a rank with its head [byte].
    """

    tasks: tuple[str, ...]
    app: ClientApp
    initial: Callable[[int], dict[str, ArrayRecord]]
    score: Callable[[Mapping[str, Arrays]], dict[str, dict[str, float]]]
    size: Callable[[int], float]


def recorded(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what came of a run."""
    scenario, method = scenario_of(settings), method_of(scenario_of(settings))
    world = world_of(scenario)
    lesson = Lesson(
        tasks=tuple(world.tasks),
        app=app_of(world, scenario, layers_share=method.layers_share),
        initial=partial(initial_of, world, scenario),
        score=partial(scored, world),
        size=partial(bytes_of, world),
    )
    return played(scenario, method, lesson, coverage_of(city_of(scenario)))


def scenario_of(settings: Mapping[str, Any]) -> Scenario:
    """Return the scenario of a cell."""
    return Scenario(**{**settings, "tasks": tuple(settings["tasks"])})


def method_of(scenario: Scenario) -> Method:
    """Return the method of a scenario; with ``rank``, it is that rank for all."""
    if scenario.rank:
        return replace(METHODS["largest"], ranks=SameOrder(order=Order(rank=scenario.rank)))
    return METHODS[scenario.method]


def city_of(scenario: Scenario) -> City:
    """Return where a scenario takes place."""
    return City(vehicles=scenario.vehicles, columns=scenario.columns)


def played(scenario: Scenario, method: Method, lesson: Lesson, coverage: Coverage) -> dict[str, Any]:
    """Return what came of a run of ``lesson`` under ``coverage``."""
    logging.getLogger("flwr").setLevel(logging.ERROR)
    radio = RoadsideRadio(RADIO, coverage, scenario.seed)
    processors = Processors(energy=FineTuningEnergy.measured(speed=SPEED), slowdown=SLOWDOWN, power_w=POWER_W)
    least_j, most_j = energies_of_round_j(lesson.size, scenario, coverage, radio, processors)
    energy_j = least_j + scenario.budget * ROOM * (most_j - least_j)
    kept, scores, names = Kept(), [], lesson.tasks

    def evaluate(number: int, arrays: ArrayRecord) -> MetricRecord:
        by_task: dict[str, list[Any]] = {name: [] for name in names}
        for key, array in arrays.items():
            by_task[key.split("/")[0]].append(array.numpy())
        found = lesson.score({name: tuple(values) for name, values in by_task.items()})
        scores.append({"round": number, **found})
        return MetricRecord({"accuracy": float(np.mean([v["test"] for v in found.values()]))})

    strategy = UCBDual(
        tasks=names,
        coverage=coverage,
        hosted=hosted_by(scenario.columns, len(names)),
        energy_j=energy_j if method.budget else 0.0,
        ranks=method.ranks or ByMemory(method.by_memory),
        sharing=method.sharing,
        departures=method.departures,
        aggregator=_aggregator(method, scenario),
        radio=radio,
        processors=processors,
        round_period_s=ROUND_S,
        local_epochs=scenario.epochs,
        seed=scenario.seed,
        evaluate_every=scenario.evaluate_every,
        evaluate_clients=False,
        observer=kept,
        error_budget=1000,
    )
    initial = lesson.initial(scenario.rank or _start_rank(method))
    strategy.start(InlineGrid(lesson.app, len(coverage)), initial, num_rounds=scenario.rounds, evaluate_fn=evaluate)
    found = _figures(strategy, kept.events, energy_j)
    moved = handovers(coverage, scenario.rounds * ROUND_S)
    return {
        **found,
        "span_j": [least_j, most_j],
        "covered": _covered(coverage, found),
        "handovers": moved,
        "scores": scores,
    }


def hosted_by(columns: int, tasks: int) -> tuple[int, ...]:
    """Return the task of each unit of the grid: neighbours have different ones."""
    return tuple((i + j) % tasks for i in range(columns) for j in range(columns))


def energies_of_round_j(
    size: Callable[[int], float],
    scenario: Scenario,
    coverage: Coverage,
    radio: RoadsideRadio,
    processors: Processors,
) -> tuple[float, float]:
    """Return what vehicles spend in a round with the smallest rank, and with the largest that each can have [J].

    Both are expected before any run: means over its rounds. Those spend who are covered when a round begins, and expect
    to stay for as long as a job of the smallest rank needs.
    """
    times_s, vehicles = np.arange(scenario.rounds) * ROUND_S, np.arange(len(coverage))
    stays_s = coverage.predicted_stay_s(times_s[:, None], vehicles)
    sums = [0.0, 0.0]
    for vehicle, stay_s in zip(vehicles.tolist(), stays_s.T, strict=True):
        byte_s, byte_j = _costs_of_a_byte(radio, vehicle, times_s[stay_s > 0])
        jobs = [
            processors.compute(vehicle, Work(num_examples=scenario.rows, epochs=scenario.epochs, rank=rank))
            for rank in (ARMS[0], MEMORY[vehicle % len(MEMORY)])
        ]
        needed_s = (jobs[0].time_s + size(ARMS[0]) * byte_s) / (1 - RANKS.dwell_margin)
        share = float((stay_s >= max(needed_s, 1e-9)).mean())
        for place, rank in enumerate((ARMS[0], MEMORY[vehicle % len(MEMORY)])):
            sums[place] += share * (jobs[place].energy_j + size(rank) * byte_j)
    return sums[0], sums[1]


def _costs_of_a_byte(radio: RoadsideRadio, vehicle: int, times_s: NDArray[np.float64]) -> tuple[float, float]:
    """Return what a byte to and from a vehicle takes on average [s], [J], while its link is there; 0 if it never is."""
    found = []
    for time_s in times_s.tolist():
        down = radio.download(vehicle, time_s, 1000)
        (grant,) = radio.grants(time_s, [Upload(client=vehicle, start_s=time_s, num_bits=8000, bits_left=8000.0)])
        if grant.rate_bit_s and np.isfinite(down.time_s):
            up_s = 8000 / grant.rate_bit_s
            found.append((down.time_s + up_s, down.energy_j + grant.power_w * up_s))
    byte_s, byte_j = np.mean(found, axis=0) / 1000 if found else (0.0, 0.0)
    return float(byte_s), float(byte_j)


def _start_rank(method: Method) -> int:
    """Return the rank of the initial arrays: what is evaluated has it, too."""
    if isinstance(method.ranks, SameOrder):
        return method.ranks.order.rank
    return max(method.by_memory or ARMS)


def _aggregator(method: Method, scenario: Scenario) -> Any:
    if method.aggregator is None:
        return LoRAAggregator(
            form="partition", head=2, lora_alpha=LORA_ALPHA, max_rank=max(ARMS), units=True, seed=scenario.seed
        )
    changed: dict[str, Any] = {"lora_alpha": LORA_ALPHA}
    if isinstance(method.aggregator, LoRAAggregator):
        changed |= {"max_rank": max(ARMS), "units": True, "seed": scenario.seed}
    return replace(method.aggregator, **changed)  # type: ignore[type-var]


def _figures(strategy: UCBDual, events: list[Event], energy_j: float) -> dict[str, Any]:
    run = strategy.run
    assert run is not None
    scheduler: RoadsideScheduler = run.options.scheduler  # type: ignore[assignment]
    ended = scheduler.closed(run.plans)
    rounds, short = ended.rounds, scheduler.short_of_energy(ended)
    jobs = [e for e in events if e["event"] in ("merge", "lost", "refused", "timeout", "error")]
    leaving: dict[str, int] = {}
    for event in jobs:
        key = f"{event.get('leaving') or 'stays'}, {event['event']}"
        leaving[key] = leaving.get(key, 0) + 1
    spent = run.ledger.total()
    return {
        "budget_j": energy_j,
        "rounds": {name: _plain(getattr(rounds, name)) for name in rounds.__dataclass_fields__},
        "leaving": leaving,
        "jobs": [
            [e["time_s"], e["client"], e.get("unit", 0), e.get("rank", 0), e["event"], e.get("leaving", "")]
            for e in jobs
        ],
        "short_of_energy": {task: list(both) for task, both in short.items()},  # budget and least energy [J]
        "energy_j": spent.energy_j,
        "upload_bytes": run.ledger.total("uplink").payload_bytes,
        "download_bytes": run.ledger.total("downlink").payload_bytes,
        "time_s": run.time_s,
        "arrays_sha256": run.arrays_sha256(),
    }


def _covered(coverage: Coverage, found: Mapping[str, Any]) -> list[int]:
    """Return how many vehicles were covered when each round began: at the multiple before its first job ended."""
    counts = np.sum(found["rounds"]["jobs"], axis=1).astype(int)
    parts = np.split(np.array([job[0] for job in found["jobs"]]), np.cumsum(counts)[:-1])
    begins_s = [ROUND_S * float(part.min() // ROUND_S) for part in parts if len(part)]
    return [int((coverage.serving(begin_s) >= 0).sum()) for begin_s in begins_s]


def _plain(values: Any) -> list[Any]:
    found = np.round(np.asarray(values, float), 6)
    return np.where(np.isnan(found), -1.0, found).tolist()  # type: ignore[no-any-return]


def data_digest(settings: Mapping[str, Any]) -> str:
    """Return the digest of texts, cabs and encoder."""
    return _digest(str(settings.get("encoder", "")), tuple(settings["tasks"]))


@lru_cache(maxsize=8)
def _digest(encoder: str, tasks: tuple[str, ...]) -> str:
    from eafl_flower.data.texts.files import TEXT_SETS

    sha = hashlib.sha256(encoder_digest(encoder).encode())
    for path in (day_path(), *(find(TEXT_SETS[name].file) for name in tasks)):
        sha.update(path.read_bytes())
    return sha.hexdigest()
