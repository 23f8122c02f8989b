"""What each preset is, told by its own file: nothing here knows a preset by name."""

import sys
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final

from eafl_flower.config import RunConfig
from eafl_flower.config.files import preset_names, preset_text
from eafl_flower.config.parts import GROUPS
from eafl_flower.data.tables.files import DataFile, find
from eafl_flower.errors import DataError

STRATEGIES: Final = {
    "emam": "EMAM",
    "fedasync": "FedAsync",
    "fedbuff": "FedBuff",
    "fedavg": "FedAvg",
    "fedavgm": "FedAvgM",
    "fedadam": "FedAdam",
}
CODECS: Final = {"lqgcm": "LQGCM", "lqgcm-published": "LQGCM", "emq": "EMQ", "laq": "LAQ", "aquila": "AQUILA"}
"""What people call them; others go by their names."""

PACKAGES: Final = {
    ("data", "digits"): ("sklearn", "scikit-learn"),
    ("task", "cnn"): ("torch", "the extra torch"),
    ("task", "vision-transformer"): ("torch", "the extra torch"),
}
"""The package that a part does not run without, and what it is called where people install it."""

JOB_S: Final = {
    **{"tabular": 0.002, "softmax": 0.002, "alignment": 0.004, "cnn": 0.005},
    **{"fractal": 0.015, "vision-transformer": 0.05},
}
"""About how long an epoch of a job takes on one core, with what the server does about it, by the task [s]."""
RADIO_S: Final = {"constant-rate": 0.0, "cell-free": 0.01}
"""What an upload takes besides, by the radio [s]."""
START_S: Final = 5.0  # of imports and data


@dataclass(frozen=True, kw_only=True)
class PresetInfo:
    """A preset in words; ``needs`` names what it does not run without and whether it is there, ``about_s`` is in s."""

    name: str
    system: str
    data: str
    needs: tuple[tuple[str, bool], ...]
    about_s: float
    shows: str


def preset_list() -> list[PresetInfo]:
    """Return all presets of the package."""
    return [_info(name) for name in preset_names()]


def _info(name: str) -> PresetInfo:
    config = RunConfig.from_toml(name)
    return PresetInfo(
        name=name,
        system=_system(config),
        data=config.data.name,
        needs=tuple(_needs(config)),
        about_s=_about_s(config),
        shows=_shows(preset_text(name)),
    )


def _system(config: RunConfig) -> str:
    strategy, codec = config.strategy.name, config.codec.name
    text = STRATEGIES.get(strategy, strategy)
    if codec in CODECS:
        text += f" + {CODECS[codec]}"
    if config.strategy.mode == "sync" and strategy == "emam":
        text += ", in rounds"
    return text if config.radio.name == "constant-rate" else f"{text}, {config.radio.name}"


def _needs(config: RunConfig) -> list[tuple[str, bool]]:
    found = []
    chosen = {("data", config.data.name), ("task", config.task.name)}
    chosen |= {("data", name) for name in [getattr(config.data.part, "data", "")] if ("data", name) in PACKAGES}
    for module, title in sorted({PACKAGES[part] for part in chosen if part in PACKAGES}):
        found.append((title, find_spec(module) is not None))
    if files := _files(config.data.name):
        found.append(("data folder", all(_is_there(file, config.data.dir) for file in files)))
    return found


def _files(data: str) -> list[DataFile]:
    """Return the files that a data set reads from the data folder: constants of its module, or those with its name."""
    module, _, part = GROUPS["data"].parts.get(data, "").partition(":")
    if module not in sys.modules:  # somebody else's
        return []
    found = {
        name: [value] if isinstance(value, DataFile) else list(value)
        for name, value in vars(sys.modules[module]).items()
        if isinstance(value, DataFile) or (isinstance(value, tuple) and value and isinstance(value[0], DataFile))
    }
    own = {name: files for name, files in found.items() if name.startswith(f"{part.upper()}_")}
    return [file for files in (own or found).values() for file in files]


def _is_there(file: DataFile, data_dir: str) -> bool:
    try:
        find(file, data_dir)
    except DataError:
        return False
    return True


def _about_s(config: RunConfig) -> float:
    """Return about how long a run takes on one core, with its baselines [s]."""
    strategy = config.strategy
    many = strategy.cohort or max(1, config.data.clients - max(0, config.data.unseen))
    uploads = strategy.merges * (many if strategy.mode == "sync" else getattr(strategy.part, "buffer_size", 1))
    job_s = config.task.local_epochs * JOB_S.get(config.task.name, max(JOB_S.values()))
    jobs_s = uploads * (job_s + RADIO_S.get(config.radio.name, max(RADIO_S.values())))
    return START_S + jobs_s * (1 if config.results.baselines == "none" else 2)


def _shows(text: str) -> str:
    """Return the comment at the beginning of a preset, up to the number of nodes that it needs."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("# ") or line.startswith("# N = "):
            break
        lines.append(line.removeprefix("# ").strip())
    return " ".join(lines)
