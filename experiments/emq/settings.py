"""The rows and columns of the tables: data, quantisers, allocators, local work and budgets; settings, nothing else.

A data set, a model or an optimiser more is one line here. What this program or this machine lacks is left out by
``runnable``, and named.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from eafl_flower.app.resolving import resolve
from eafl_flower.config import RunConfig
from eafl_flower.core.rng import generator
from eafl_flower.energy.model import CMOSEnergy
from eafl_flower.errors import ConfigError, DataError

Settings = Mapping[str, object]

CLIENTS = 20
SEEDS = (1, 2, 3)
DROPS = tuple(range(1001, 1021))  # seeds of places, shadowing and pilots, the same for all rows and seeds

# Constants of computation: 12,000 cycles a sample and epoch at 1 GHz, kappa = 5e-30, of which the source's form of the
# energy, kappa/2 C f^2, takes half.
ENERGY: Settings = {
    "energy.cycles-per-sample": 12_000.0,
    "energy.frequency-hz": 1e9,
    "energy.switched-capacitance-f": 2.5e-30,
}
COMMON: Settings = {
    "data.clients": CLIENTS,
    "data.unseen": 0,
    "task.batch-size": 32,
    "task.local-epochs": 2,
    "strategy.name": "fedavg",
    "strategy.mode": "sync",
    "evaluate.every": 1,
    "evaluate.after-training": False,
    "results.baselines": "none",
    **ENERGY,
}


def optimizer(task: str, name: str, rate: float) -> Settings:
    """Return the settings of an optimiser of a task."""
    return {f"task.{task}.optimizer": name, "task.learning-rate": rate}


@dataclass(frozen=True)
class Workload:
    """A data set, how its rows are shared, and a model; ``rounds`` are those of a recording."""

    title: str
    task: str
    rounds: int
    settings: Settings
    step: Settings


_DIGITS: Settings = {"data.name": "digits", "task.name": "cnn"}
_CIFAR10: Settings = {"data.name": "cifar10", "task.name": "cnn"}
_GTSRB: Settings = {"data.name": "gtsrb", "task.name": "cnn"}
_TRANSFORMER: Settings = {"data.name": "gtsrb", "task.name": "vision-transformer"}
_ADADELTA: Mapping[str, Settings] = {
    task: {**optimizer(task, "adadelta", 1.0), f"task.{task}.adadelta-constants": "keras"} for task in ("cnn",)
}
_IID: Settings = {"data.partition": "iid"}
_SKEWED: Settings = {"data.partition": "dirichlet-equal", "data.dirichlet-alpha": 0.4}

_WHOLE: Mapping[str, Workload] = {
    "digits-iid": Workload("digits, IID", "cnn", 30, {**_DIGITS, **_IID}, _ADADELTA["cnn"]),
    "digits-skewed": Workload("digits, Dirichlet 0.4", "cnn", 30, {**_DIGITS, **_SKEWED}, _ADADELTA["cnn"]),
    "cifar10-iid": Workload("CIFAR-10, IID", "cnn", 36, {**_CIFAR10, **_IID}, _ADADELTA["cnn"]),
    "cifar10-skewed": Workload("CIFAR-10, Dirichlet 0.4", "cnn", 36, {**_CIFAR10, **_SKEWED}, _ADADELTA["cnn"]),
    "gtsrb-iid": Workload("GTSRB, IID", "cnn", 30, {**_GTSRB, **_IID}, _ADADELTA["cnn"]),
    "gtsrb-skewed": Workload("GTSRB, Dirichlet 0.4", "cnn", 30, {**_GTSRB, **_SKEWED}, _ADADELTA["cnn"]),
    "gtsrb-transformer": Workload(
        "GTSRB, IID, transformer",
        "vision-transformer",
        30,
        {**_TRANSFORMER, **_IID},
        optimizer("vision-transformer", "adamw", 3e-3),
    ),
}
_QUICK = {f"quick-{split}": replace(_WHOLE[f"digits-{split}"], rounds=15) for split in ("iid", "skewed")}
WORKLOADS: Mapping[str, Workload] = {**_WHOLE, **_QUICK}
FULL, QUICK = tuple(_WHOLE), tuple(_QUICK)

# The way down is free here, as in the source, so it is as good as exact.
EMQ: Settings = {"codec.name": "emq", "codec.emq.downlink-squared-error": 1e-6}
QUANTISERS: Mapping[str, Settings] = {
    "EMQ": EMQ,
    "AQUILA": {"codec.name": "aquila", "codec.aquila.rounding": "authors"},
    "LAQ": {"codec.name": "laq"},
    "float32": {"codec.name": "float32"},
}
FEW_BITS: Mapping[str, Settings] = {
    "r = 0": {**EMQ, "codec.emq.choose-digits": False, "codec.emq.digits": 0},
    "literal": {**EMQ, "codec.emq.variant": "literal"},
}
BINARY: Settings = {**EMQ, "codec.emq.variant": "binary"}
# Not part of the grid. LAQ and AQUILA quantise weights there, as the authors run them; they may quantise updates, too.
BASE_2: Mapping[str, Settings] = {"EMQ, base 2 (ours)": BINARY}
CANONICAL: Mapping[str, Settings] = {
    "AQUILA, canonical rounding": {"codec.name": "aquila", "codec.aquila.rounding": "canonical"}
}
OF_UPDATES: Mapping[str, Settings] = {
    "AQUILA, canonical, of updates": {
        "codec.name": "aquila",
        "codec.aquila.target": "update",
        "codec.aquila.rounding": "canonical",
    },
    "LAQ, of updates": {"codec.name": "laq", "codec.laq.target": "update"},
}

ALLOCATORS: Mapping[str, Settings] = {
    name: {"radio.name": "cell-free", "radio.cell-free.power": power}
    for name, power in {
        "SQP": "weighted",
        "Dinkelbach": "dinkelbach",
        "max-sum-rate": "max-sum-rate",
        "full power": "full",
    }.items()
}

OPTIMIZERS: Mapping[str, tuple[str, float]] = {
    "AdaDelta": ("adadelta", 1.0),
    "Adam": ("adam", 1e-3),
    "RMSProp": ("rmsprop", 1e-4),
    "SGD": ("sgd", 1e-3),
}
SCHEDULES: Mapping[str, Settings] = {
    "2 epochs": {},
    "schedule": {"scheduler.name": "schedule"},
    "clients stop": {"scheduler.name": "until-enough"},
}
# The authors' saved run: full CIFAR-10, AdaDelta, 50 clients with equal shares, two epochs, float32; accuracy by round.
ANCHORS: Mapping[int, float] = {1: 0.216, 3: 0.419, 10: 0.545, 20: 0.596}
ANCHOR_WORKLOAD, ANCHOR_CLIENTS = "cifar10-iid", 50

ENERGY_WEIGHTS = (0.1, 0.3, 0.5, 0.7, 0.9)

# Budgets (energy, latency) of a whole run, in units: what one round of float32 under SQP takes, the median over drops.
# From nobody makes all rounds to everybody does, in every drop; two have little of one and much of the other.
BUDGETS: tuple[tuple[float, float], ...] = (
    (1, 1),
    (3, 3),
    (10, 10),
    (30, 30),
    (100, 100),
    (3, 30),
    (30, 3),
    (1_000_000, 1_000_000),
)


def configured(workload: str, seed: int, *settings: Settings, rounds: int = 0) -> RunConfig:
    """Return the configuration of a recording; ``settings`` come last, ``rounds`` are the workload's unless given."""
    of = WORKLOADS[workload]
    flat: dict[str, object] = {**COMMON, **of.settings, **of.step}
    for more in settings:
        flat |= more
    return RunConfig().replace({**flat, "seed": seed, "strategy.merges": rounds or of.rounds})


def processor_of(config: RunConfig) -> CMOSEnergy:
    """Return what prices computation."""
    return CMOSEnergy(**vars(config.energy))


def runnable(names: Iterable[str], config_of: Callable[[str], RunConfig]) -> Iterable[str]:
    """Yield the names whose configurations can be run here; say why the others cannot."""
    for name in names:
        try:
            _ = resolve(config_of(name)).task
        except (DataError, ConfigError, ModuleNotFoundError) as error:
            _tell(f"left out: {name}: {' '.join(str(error).split())}")
        else:
            yield name


@cache
def _tell(text: str) -> None:
    """Say it, once."""
    print(text, file=sys.stderr)


@cache
def parameters_of(config: RunConfig) -> int:
    """Return how many values a client sends."""
    task = resolve(config).task
    return sum(array.size for array in task.init(generator(config.seed, "init"))[: task.num_shared])


@cache
def samples_of(config: RunConfig) -> tuple[int, ...]:
    """Return how many rows each client trains on."""
    source = resolve(config).source
    return tuple(len(source.partition(client).y_train) for client in range(source.num_seen))


def mean_samples(config: RunConfig) -> int:
    """Return the rows of a client where all have as many."""
    return round(float(np.mean(samples_of(config))))
