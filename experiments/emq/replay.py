"""Recordings replayed over drops of the network: what their rounds take under an allocation of power, and T_max."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eafl_flower.config import RunConfig
from eafl_flower.power.cell_free_radio import CellFree
from experiments.cells import Cell, Store
from experiments.emq.costs import OF_PAYLOADS, Costs, Rounds, allocator, costs_of, gains_of, rounds_within
from experiments.emq.recording import Recording, spread, squeezed
from experiments.emq.settings import ALLOCATORS, DROPS, Settings, processor_of

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Replay:
    """What the rounds of a recording take over each drop.

    Parameters
    ----------
    energy_j, latency_s
        ``(num_drops, num_rounds)``.
    uncertified
        How many allocations of each drop are not known to be optimal, ``(num_drops,)``.
    starved_fraction
        The share of users at the least power, of each drop.
    solves
        How often power was allocated, over all drops.
    """

    energy_j: Array
    latency_s: Array
    uncertified: NDArray[np.int64]
    starved_fraction: Array
    solves: int

    @property
    def certified(self) -> NDArray[np.bool_]:
        """The drops all of whose allocations are known to be optimal, ``(num_drops,)``."""
        is_certified: NDArray[np.bool_] = self.uncertified == 0
        return is_certified

    def rounds_within(self, budget: tuple[float, float]) -> NDArray[np.int64]:
        """Return how many rounds of each drop keep budgets (energy [J], latency [s])."""
        return rounds_within(self.energy_j, self.latency_s, *budget)


def replay_cell(recorded: Cell, recording: Recording, allocation: Settings, *, title: str, count: str) -> Cell:
    """Return the cell that replays a recording over all drops."""
    given = {
        "bits": squeezed(getattr(recording, count)),
        "epochs": squeezed(recording.epochs),
        "samples": recording.samples.tolist(),
        "drops": list(DROPS),
    }
    config = recorded.preset.replace(allocation)
    return Cell("experiments.emq.replay:replayed", config, title, given)


def replayed(config: RunConfig, given: Mapping[str, Any]) -> dict[str, Any]:
    """Price the rounds that are ``given`` over each drop, by the radio and the processors of ``config``."""
    shape = config.strategy.merges, len(given["samples"])
    rounds = Rounds(
        bits=spread(given["bits"], shape).astype(np.float64),
        epochs=spread(given["epochs"], shape),
        samples=np.array(given["samples"]),
        processor=processor_of(config),
    )
    costs = over_drops(rounds, config.radio.part, given["drops"])
    return {
        "energy_j": [_digits(c.energy_j) for c in costs],
        "latency_s": [_digits(c.latency_s) for c in costs],
        "uncertified": [c.uncertified for c in costs],
        "starved_fraction": [c.starved_fraction for c in costs],
        "solves": sum(c.solves for c in costs),
    }


def over_drops(rounds: Rounds, network: CellFree, drops: Sequence[int]) -> list[Costs]:
    """Price rounds over each drop."""
    found = []
    for seed in drops:
        radio = network.make(seed)
        found.append(costs_of(rounds, gains_of(radio, len(rounds.samples)), allocator(radio)))
    return found


class Replays:
    """Recordings and replays of a store, each taken from it, or made, once."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._recordings: dict[str, Recording] = {}
        self._replays: dict[tuple[str, str, str], Replay] = {}

    def recording(self, cell: Cell) -> Recording:
        """Return the recording that a cell has made."""
        if cell.key not in self._recordings:
            self._recordings[cell.key] = Recording.of(self.store[cell])
        return self._recordings[cell.key]

    def cells(self, recorded: Cell, count: str = "wire") -> list[Cell]:
        """Return the cells of those replays of a recording that take long: powers depend on what is sent."""
        return [
            replay_cell(
                recorded,
                self.recording(recorded),
                allocation,
                title=f"{name}, {count} bits: {recorded.title}",
                count=count,
            )
            for name, allocation in ALLOCATORS.items()
            if allocation["radio.cell-free.power"] in OF_PAYLOADS
        ]

    def of(self, recorded: Cell, allocator_name: str, count: str = "wire") -> Replay:
        """Return the replay of a recording, by one count of bits."""
        key = recorded.key, allocator_name, count
        if key not in self._replays:
            self._replays[key] = self._replay(recorded, ALLOCATORS[allocator_name], count)
        return self._replays[key]

    def _replay(self, recorded: Cell, allocation: Settings, count: str) -> Replay:
        recording = self.recording(recorded)
        config = recorded.preset.replace(allocation)
        if config.radio.part.power not in OF_PAYLOADS:
            costs = over_drops(recording.rounds(processor_of(config), count), config.radio.part, DROPS)
            return _replay_of(costs)
        result = self.store[replay_cell(recorded, recording, allocation, title="", count=count)]
        shape = len(DROPS), len(recording.loss)
        energy_j, latency_s = (
            np.stack([np.broadcast_to(row, shape[1]) for row in result[name]]) for name in ("energy_j", "latency_s")
        )
        uncertified, starved = np.array(result["uncertified"]), np.array(result["starved_fraction"])
        return Replay(energy_j, latency_s, uncertified, starved, result["solves"])


def _replay_of(costs: Sequence[Costs]) -> Replay:
    return Replay(
        np.stack([c.energy_j for c in costs]),
        np.stack([c.latency_s for c in costs]),
        np.array([c.uncertified for c in costs]),
        np.array([c.starved_fraction for c in costs]),
        sum(c.solves for c in costs),
    )


def _digits(values: Array) -> Any:
    """Return values for JSON with six digits, a single one if all are the same."""
    short = [float(f"{value:.6g}") for value in values]
    return short[0] if len(set(short)) == 1 else short
