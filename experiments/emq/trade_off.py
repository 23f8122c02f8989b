"""Energy against latency of one round, as the weight of energy changes, beside the powers that weigh nothing."""

from collections.abc import Mapping

import numpy as np

from eafl_flower.power.cell_free_radio import CellFree
from experiments.emq.costs import Rounds
from experiments.emq.grid import Scope, recorded
from experiments.emq.replay import Replays, over_drops
from experiments.emq.settings import ALLOCATORS, DROPS, ENERGY_WEIGHTS, configured, processor_of

HEADER = ("payload", "powers", "energy of a round [mJ]", "latency [ms]", "uncertified")
QUANTISERS = ("EMQ", "float32")
Point = tuple[float, float, int]


def points(scope: Scope, replays: Replays, workload: str) -> dict[str, dict[str, Point]]:
    """Return energy [J], latency [s] and how many powers are not certified, by payload and powers.

    Medians over those drops whose powers are certified. Payloads and computation are those of the recordings' middle
    round, of the first seed.
    """
    networks: dict[str, CellFree] = {
        f"{weight:g}": CellFree(power="weighted", energy_weight=weight) for weight in ENERGY_WEIGHTS
    }
    networks["least latency"] = CellFree(power="min-max")
    for name, settings in ALLOCATORS.items():
        if name != "SQP":
            networks[name] = configured(workload, 1, settings).radio.part
    return {quantiser: _of(scope, replays, workload, quantiser, networks) for quantiser in QUANTISERS}


def _of(
    scope: Scope, replays: Replays, workload: str, quantiser: str, networks: Mapping[str, CellFree]
) -> dict[str, Point]:
    cell = recorded(workload, quantiser, scope.seeds[0])
    found = replays.recording(cell)
    middle = slice(len(found.loss) // 2, len(found.loss) // 2 + 1)
    rounds = Rounds(
        bits=found.wire[middle].astype(np.float64),
        epochs=found.epochs[middle],
        samples=found.samples,
        processor=processor_of(cell.preset),
    )
    result = {}
    for name, network in networks.items():
        costs = over_drops(rounds, network, DROPS)
        kept = [c for c in costs if not c.uncertified]
        energy_j, latency_s = (np.median([getattr(c, what)[0] for c in kept]) for what in ("energy_j", "latency_s"))
        result[name] = float(energy_j), float(latency_s), len(costs) - len(kept)
    return result


def table(found: Mapping[str, Mapping[str, Point]]) -> list[tuple[str, ...]]:
    """Return a line for each payload and powers."""
    return [
        (
            quantiser,
            f"SQP, weight of energy {name}" if name in {f"{w:g}" for w in ENERGY_WEIGHTS} else name,
            f"{1e3 * energy_j:.3g}",
            f"{1e3 * latency_s:.3g}",
            str(uncertified),
        )
        for quantiser, by_powers in found.items()
        for name, (energy_j, latency_s, uncertified) in by_powers.items()
    ]
