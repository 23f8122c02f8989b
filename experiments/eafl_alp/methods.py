"""The data sets and the rows of the tables: settings, nothing else.

What is common to all rows of a data set (clients, local epochs, batch, rate, merges) was tuned with ``TUNING_SEED``,
which is used for no result; README.md says which of it was chosen with more than the exact row in view.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

from eafl_flower.app.resolving import resolve
from eafl_flower.config import RunConfig
from eafl_flower.config.run_config import DataSettings

Settings = Mapping[str, object]

TUNING_SEED = 100
FIT_SEEDS = (1, 2, 3, 4, 5)
SEEDS = (1, 2, 3)

DATASETS = ("geolife", "ngsim", "ton-weather", "unsw", "iot-devices")

EXACT: Settings = {"codec.name": "float32"}
LQGCM: Settings = {"codec.name": "lqgcm"}
PUBLISHED_CODEC: Settings = {"codec.name": "lqgcm-published"}
PUBLISHED_EMAM: Settings = {
    **EXACT,
    "strategy.emam.alpha": 0.8,
    "strategy.emam.beta": 0.2,
    "strategy.emam.mu": 0.95,
    "staleness.name": "exponential",
    "staleness.exponential.rate": 0.002,
}
FEDASYNC: Settings = {
    **EXACT,
    "strategy.name": "fedasync",
    "strategy.fedasync.mixing": 0.6,
    "staleness.name": "polynomial",
}
FEDBUFF: Settings = {**EXACT, "strategy.name": "fedbuff", "staleness.name": "polynomial"}
FEDAVG: Settings = {**EXACT, "strategy.name": "fedavg", "strategy.mode": "sync", "strategy.concurrency": 0}
FIXED_HEADS: Settings = {**EXACT, "task.fractal.head": "private", "task.fractal.head-sizes": "1x32"}
AS_THEY_ARE: Settings = {**EXACT, "task.fractal.numeric-bins": 0}
IN_BINS: Settings = {**EXACT, "task.fractal.numeric-bins": 4}

METHODS: Mapping[str, Settings] = {
    "exact updates": EXACT,
    "LQGCM": LQGCM,
    "published codec": PUBLISHED_CODEC,
    "EMAM, published constants": PUBLISHED_EMAM,
    "FedAsync": FEDASYNC,
    "FedBuff": FEDBUFF,
    "synchronous FedAvg": FEDAVG,
    "fixed heads (FedPer)": FIXED_HEADS,
    "features as they are": AS_THEY_ARE,
    "features in 4 bins": IN_BINS,
}
FIVE_SEEDS = ("exact updates", "LQGCM", "features as they are", "features in 4 bins")  # the others have three


def preset_of(dataset: str) -> RunConfig:
    """Return the preset of a data set with the newest arrays served, as all rows have them: the row "LQGCM"."""
    return RunConfig.from_toml(f"alp-{dataset}").replace({"strategy.emam.serve": "current", "strategy.emam.mu": 0.95})


def configured(dataset: str, seed: int, settings: Settings, *, quick: bool = False) -> RunConfig:
    """Return the configuration of a row, with as many uploads as the row with exact updates has merges."""
    config = preset_of(dataset)
    merges = max(1, config.strategy.merges // 8) if quick else config.strategy.merges
    config = config.replace({"seed": seed, "results.baselines": "none", "strategy.merges": merges})
    config = config.replace({"evaluate.every": max(1, merges // 8), **settings})
    if "strategy.merges" in settings:
        return config
    per_merge = uploads_per_merge(config)
    return config.replace(
        {
            "strategy.merges": max(1, round(merges / per_merge)),
            "evaluate.every": max(1, round(merges / per_merge / 8)),
        }
    )


def uploads_per_merge(config: RunConfig) -> int:
    """Return how many uploads one merge of this strategy takes."""
    strategy = config.strategy
    if strategy.mode == "sync":
        return strategy.cohort or _num_seen(config.data)
    if strategy.name == "fedbuff":
        return strategy.part.buffer_size or min(10, strategy.concurrency or _num_seen(config.data))
    return 1


@cache
def _num_seen(data: DataSettings) -> int:
    """Return how many clients train, which no seed changes; data are loaded once for that, not for every row."""
    return resolve(replace(RunConfig(), data=data)).source.num_seen


def sizes_text(sizes: Sequence[tuple[int, int]]) -> str:
    """Return (depth, width) of heads as the setting ``task.fractal.head-sizes``."""
    return ",".join(f"{depth}x{width}" for depth, width in sizes)
