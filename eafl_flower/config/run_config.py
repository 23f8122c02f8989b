"""The configuration of a run: one frozen tree, read once, with all mistakes reported together.

TOML and Flower's run configuration hold kebab-case keys (``strategy.merges``), the tree holds fields
(``config.strategy.merges``). Groups that choose a part by its ``name`` hold that part: ``codec.int8.block-size`` is
``config.codec.part.block_size``. Lists are comma strings outside (``"32,32"``) and tuples inside. Components receive
values of this tree, never the tree.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import tomli_w

from eafl_flower.config.effects import decisive
from eafl_flower.config.files import nested, read_toml
from eafl_flower.config.foreign import FOREIGN, folded
from eafl_flower.config.parts import GROUPS, is_ours
from eafl_flower.config.reading import checked, every_setting, read_texts, setting_of
from eafl_flower.config.tree import Choice, common_settings, tree_of, values_of
from eafl_flower.core.settings import Count, CountFromOne, NotNegative, Positive, Range, Setting, Value


@dataclass(frozen=True, kw_only=True)
class DataSettings(Choice):
    """Who holds which rows."""

    group: ClassVar[str] = "data"
    name: str = "idm"
    dir: str = ""  # empty: the environment variable EAFL_DATA_DIR
    clients: Count = 60  # the unseen ones included; 0: as many as the data set has, or 20
    unseen: Annotated[int, Range(-1)] = 12  # -1: a fifth of the clients
    # of data sets without clients of their own
    partition: Literal["dirichlet", "dirichlet-equal", "iid", "contiguous"] = "dirichlet"
    dirichlet_alpha: Positive = 0.3


@dataclass(frozen=True, kw_only=True)
class TaskSettings(Choice):
    """What each client trains, and how."""

    group: ClassVar[str] = "task"
    name: str = "tabular"
    learning_rate: Positive = 0.1
    weight_decay: NotNegative = 0.0
    batch_size: CountFromOne = 16
    local_epochs: CountFromOne = 1
    unseen_steps: Count = 50  # training steps of an unseen client's fresh head
    device: Literal["cpu", "cuda", "auto"] = "cpu"


@dataclass(frozen=True, kw_only=True)
class StrategySettings(Choice):
    """How updates become a model."""

    group: ClassVar[str] = "strategy"
    name: str = "emam"
    mode: Literal["async", "sync"] = "async"
    merges: CountFromOne = 2000
    concurrency: Count = 0  # jobs in flight; 0: one for every client that trains
    cohort: Count = 0  # clients of a synchronous round; 0: all
    select: Literal["longest-idle", "random"] = "longest-idle"  # the idle client that gets the next job


@dataclass(frozen=True, kw_only=True)
class StalenessSettings(Choice):
    """What an update is still worth that was computed on old arrays."""

    group: ClassVar[str] = "staleness"
    name: str = "half-life"


@dataclass(frozen=True, kw_only=True)
class CodecSettings(Choice):
    """How arrays become payloads."""

    group: ClassVar[str] = "codec"
    name: str = "int8"
    remembered_clients: Count = 0  # whom differences are sent to; 0: as many as fit into 256 MiB


@dataclass(frozen=True, kw_only=True)
class EnergySettings:
    """What computation costs."""

    switched_capacitance_f: Positive = 1e-28
    cycles_per_sample: Positive = 12000.0  # and epoch
    frequency_hz: Positive = 1e9


@dataclass(frozen=True, kw_only=True)
class RadioSettings(Choice):
    """What transmission costs."""

    group: ClassVar[str] = "radio"
    name: str = "constant-rate"
    measured: bool = True  # in a deployment: rates that are measured take the place of the model's


@dataclass(frozen=True, kw_only=True)
class SchedulerSettings(Choice):
    """What each client is to do next."""

    group: ClassVar[str] = "scheduler"
    name: str = "same"


@dataclass(frozen=True, kw_only=True)
class ClientsSettings:
    """How clients differ."""

    slowdown: tuple[Positive, ...] = (1.0,)  # of computation, given to the clients in turn


@dataclass(frozen=True, kw_only=True)
class ChurnSettings:
    """How long clients stay and stay away: means in median job times; 0: they never leave."""

    on_job_times: NotNegative = 0.0
    off_job_times: NotNegative = 0.0


@dataclass(frozen=True, kw_only=True)
class JobSettings:
    """When a job is given up, and how many may be."""

    deadline_s: NotNegative = 0.0  # virtual, in a deployment real; 0: none
    reply_timeout_s: Positive = 3600.0  # real
    error_budget: Count = 10


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings:
    """When the model is scored."""

    every: Count = 0  # merges; 0: only at the end
    after_training: bool = True


@dataclass(frozen=True, kw_only=True)
class StopSettings:
    """What ends a run before its last merge; empty or 0: nothing."""

    metric: str = ""  # a score of the task and when it is measured, as in accuracy-before, -after or -unseen
    target: float = 0.0
    energy_j: NotNegative = 0.0
    bytes: Count = 0
    virtual_time_s: NotNegative = 0.0  # in a deployment real
    within_budget: bool = False  # stop before the round that would exceed one of the three


@dataclass(frozen=True, kw_only=True)
class CheckpointSettings:
    """How often the run is made safe."""

    every: Count = 0  # merges; 0: only when interrupted
    state_dir: str = ""  # where clients keep their state, unless their node says; empty: in memory
    resume: str = ""  # run directory to go on from, for `flwr run`


@dataclass(frozen=True, kw_only=True)
class ResultsSettings:
    """Where results go, what stands beside them, and what is told while the run goes on."""

    dir: str = "runs"
    baselines: Literal["auto", "all", "cheap", "none"] = "auto"  # auto: all that cost no more than the run
    verbose: bool = False  # a line for each round's worth of updates, and all costs
    status_every_s: NotNegative = 30.0  # real, between two status lines of a deployment; 0: none
    log_format: Literal["text", "json"] = "text"
    sinks: tuple[Literal["tensorboard", "mlflow", "wandb"], ...] = ()
    metrics_address: str = ""  # where Prometheus asks: host:port, or port of this machine alone; empty: nowhere


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """Where clients compute."""

    name: Literal["inline", "ray", "flower"] = "inline"
    num_cpus: Positive = 1.0  # a client
    num_gpus: NotNegative = 0.0  # a client
    workers: Count = 0  # 0: as many as the CPUs allow


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything a run depends on.

    Raises
    ------
    ConfigError
        If any value is of the wrong type or out of range, or values contradict each other; the message
        lists all of them.

    Examples
    --------
    >>> RunConfig().replace(parse_overrides(["task.batch-size=8"])).task.batch_size
    8
    """

    name: str = "emam"
    seed: Annotated[int, Range(0, 2**63 - 1)] = 1  # Flower's records hold 64 bits
    data: DataSettings = field(default_factory=DataSettings)
    task: TaskSettings = field(default_factory=TaskSettings)
    strategy: StrategySettings = field(default_factory=StrategySettings)
    staleness: StalenessSettings = field(default_factory=StalenessSettings)
    codec: CodecSettings = field(default_factory=CodecSettings)
    energy: EnergySettings = field(default_factory=EnergySettings)
    radio: RadioSettings = field(default_factory=RadioSettings)
    scheduler: SchedulerSettings = field(default_factory=SchedulerSettings)
    clients: ClientsSettings = field(default_factory=ClientsSettings)
    churn: ChurnSettings = field(default_factory=ChurnSettings)
    job: JobSettings = field(default_factory=JobSettings)
    evaluate: EvaluateSettings = field(default_factory=EvaluateSettings)
    stop: StopSettings = field(default_factory=StopSettings)
    checkpoint: CheckpointSettings = field(default_factory=CheckpointSettings)
    results: ResultsSettings = field(default_factory=ResultsSettings)
    engine: EngineSettings = field(default_factory=EngineSettings)

    def __post_init__(self) -> None:
        checked(common_settings(RunConfig), self.settings(), source="RunConfig", base=values_of(self))

    @classmethod
    def from_flat(cls, flat: Mapping[str, object], source: str = "run configuration") -> "RunConfig":
        """Return the defaults changed by ``flat``, keys as in Flower's ``context.run_config``.

        ``source`` is what error messages call the mapping.
        """
        common = common_settings(RunConfig)
        defaults = {key: setting.default for key, setting in common.items()}
        return tree_of(RunConfig, checked(common, flat, base=defaults, source=source))

    @classmethod
    def from_toml(cls, path_or_name: str | Path) -> "RunConfig":
        """Return the defaults changed by a TOML file, or by the packaged preset of that name."""
        flat, source = read_toml(path_or_name)
        return cls.from_flat(flat, source)

    def replace(self, flat: Mapping[str, object], *, source: str = "overrides") -> "RunConfig":
        """Return this configuration changed by ``flat``, for example ``{"task.batch-size": 8}``."""
        values = checked(common_settings(RunConfig), flat, base=values_of(self), source=source)
        return tree_of(RunConfig, values)

    def settings(self) -> dict[str, Value]:
        """Every key with its value, those of the chosen parts under the parts' names."""
        return {key: known_setting(key).write(value) for key, value in values_of(self).items()}

    def to_flat(self) -> dict[str, Value]:
        """Every key with its value, as Flower's run configuration holds it.

        Settings of somebody else's parts are one text under the key ``foreign``: Flower refuses keys that an app
        does not declare.
        """
        others = [f"{group}.{name}." for group in GROUPS if not is_ours(group, name := getattr(self, group).name)]
        values = self.settings()
        return folded(values, [key for key in values if key.startswith(tuple(others))])

    def to_toml(self) -> str:
        """Every key with its value as a TOML file that ``from_toml`` reads back."""
        return tomli_w.dumps(nested(self.to_flat()))

    def decisive(self) -> dict[str, Value]:
        """Every key that changes what comes out, with its value (see ``effects``)."""
        return decisive(self.settings())

    def hash(self, *, leave_out: Iterable[str] = ()) -> str:
        """SHA-256 over all settings, without the keys and groups named in ``leave_out``.

        Raises
        ------
        ValueError
            If ``leave_out`` names something that does not exist.
        """
        flat, known = self.settings(), known_settings()
        for name in leave_out:
            if not any(key == name or key.startswith(f"{name}.") for key in known):
                msg = f'leave_out names "{name}", which is neither a key nor a group of keys'
                raise ValueError(msg)
            flat = {key: value for key, value in flat.items() if key != name and not key.startswith(f"{name}.")}
        return hashlib.sha256(json.dumps(flat, sort_keys=True).encode()).hexdigest()


def parse_overrides(texts: Iterable[str], source: str = "--set") -> dict[str, Value]:
    """Return ``["key=value", ...]`` as a flat mapping for ``RunConfig.replace``; a later key wins.

    The type of the key decides how the value is read: ``name=5`` is text, ``seed=5`` an integer.

    Raises
    ------
    ConfigError
        If a text has no ``=``, a key is unknown, or a value cannot be of the key's type.
    """
    return read_texts(common_settings(RunConfig), texts, source=source)


def known_setting(key: str) -> Setting:
    """Return the setting of a key, of any part; raises ``KeyError`` with a whole message if there is none."""
    return setting_of(common_settings(RunConfig), key)


def names_file(key: str) -> bool:
    """Whether a key is one of a file whose content counts; False of a key that nobody here knows."""
    try:
        return known_setting(key).is_file
    except KeyError:
        return False


def known_settings() -> dict[str, Setting]:
    """Return every setting there is, those of all parts of ours included, by key."""
    return every_setting(common_settings(RunConfig))


def declared() -> dict[str, Value]:
    """Return every key that Flower is told of, with its default: what ``pyproject.toml`` has."""
    return {key: setting.write(setting.default) for key, setting in known_settings().items()} | {FOREIGN: ""}
