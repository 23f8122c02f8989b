"""What stands beside all methods: everybody's texts in one place, each vehicle alone, and the most frequent class.

Both train adapters of the largest rank and a head from the same start, over each text as often as vehicles do on
average if every unit always serves its share of them.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from eafl_flower.core.rng import generator
from eafl_flower.tasks.finetune import FineTune, TuningRows
from eafl_flower.types import Arrays
from experiments.ucb_dual import record
from experiments.ucb_dual.learning import World, initial_of, world_of
from experiments.ucb_dual.record import scenario_of
from experiments.ucb_dual.settings import ARMS, Scenario

data_digest = record.data_digest


def recorded(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return scores of each task; the method is "pooled", "alone" (the mean over vehicles) or "majority"."""
    scenario = scenario_of(settings)
    world = world_of(scenario)
    passes: dict[str, int] = {}
    if scenario.method == "majority":
        scores = {name: _majority(world, name) for name in world.tasks}
    else:
        initial = initial_of(world, scenario, max(ARMS))
        arrays = {name: tuple(a.numpy() for a in record.values()) for name, record in initial.items()}
        scores = {}
        for name, task in world.tasks.items():
            owned = [world.train[name]] if scenario.method == "pooled" else [v[name].train for v in world.vehicles]
            passes[name] = passes_of(scenario, len(world.train[name]))
            found = [
                _trained(task, arrays[name], rows, world, name, passes[name], scenario.seed, number)
                for number, rows in enumerate(owned)
            ]
            scores[name] = {what: float(np.mean([f[what] for f in found])) for what in ("test", "validation", "loss")}
    return {"passes": passes, "scores": [{"round": scenario.rounds, **scores}]}


def passes_of(scenario: Scenario, texts: int) -> int:
    """Return how often each of so many training texts of a task is trained on."""
    visits = scenario.vehicles * scenario.rounds * scenario.epochs * scenario.rows / len(scenario.tasks)
    return max(1, round(visits / texts))


def _trained(
    task: FineTune, arrays: Arrays, rows: TuningRows, world: World, name: str, passes: int, seed: int, number: int
) -> dict[str, float]:
    trained, _ = task.train(arrays, rows, generator(seed, "apart", name, number), epochs=passes)
    loss, test = task.evaluate(trained, world.test[name])
    _, validation = task.evaluate(trained, world.validation[name])
    return {"test": test["accuracy"], "validation": validation["accuracy"], "loss": loss}


def _majority(world: World, name: str) -> dict[str, float]:
    most = int(np.bincount(world.train[name].labels).argmax())
    shares = {what: float((part[name].labels == most).mean()) for what, part in _parts(world).items()}
    return {**shares, "loss": 0.0}


def _parts(world: World) -> dict[str, Mapping[str, TuningRows]]:
    return {"test": world.test, "validation": world.validation}
