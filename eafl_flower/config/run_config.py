"""The configuration of a run: one frozen tree, read once, with all mistakes reported together.

TOML and Flower's run configuration hold kebab-case keys (``strategy.half-life``), the tree holds fields
(``config.strategy.half_life``). Lists are comma strings outside (``"32,32"``) and tuples inside. Components
receive values of this tree, never the tree.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tomli_w

from eafl_flower.config.effects import decisive
from eafl_flower.config.files import nested, read_toml
from eafl_flower.config.reading import checked, read_texts
from eafl_flower.config.settings import (
    Count,
    CountFromOne,
    NotNegative,
    Positive,
    Range,
    Share,
    Value,
    settings_of,
    tree_of,
    values_of,
)


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Who holds which rows."""

    name: Literal["idm", "ngsim-us101", "geolife", "ton-weather", "unsw-nb15", "iot-devices", "digits", "csv"] = "idm"
    dir: str = ""  # empty: the environment variable EAFL_DATA_DIR
    clients: Count = 60  # the unseen ones included; 0: as many as the data set has, or 20
    unseen: Annotated[int, Range(-1)] = 12  # -1: a fifth of the clients
    rows_per_client: Annotated[int, Range(16)] = 64  # of the generated traffic only
    partition: Literal["dirichlet", "contiguous"] = "dirichlet"  # of data sets without clients of their own
    dirichlet_alpha: Positive = 0.3
    csv: str = ""  # of data.name = "csv": the file, here or in the data folder
    label_column: str = ""
    client_column: str = ""  # empty: clients share the rows
    time_column: str = ""  # its last quarter is held out; empty: a random quarter
    features: tuple[str, ...] = ()  # empty: every column of numbers that is left


@dataclass(frozen=True, kw_only=True)
class TaskSettings:
    """What each client trains, and how."""

    name: Literal["tabular", "softmax", "fractal"] = "tabular"
    hidden: tuple[CountFromOne, ...] = (32, 32)  # of "tabular"
    head_sizes: str = ""  # of "fractal": depth x width, as in "1x16,3x24", to the clients in turn; empty: by their data
    prune_threshold: Share = 0.0  # of "fractal": least variation of a subtree of a private head; 0: nothing is pruned
    head: Literal["private", "federated"] = "private"
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: Positive = 0.1
    weight_decay: NotNegative = 0.0
    batch_size: CountFromOne = 16
    local_epochs: CountFromOne = 1
    unseen_steps: Count = 50  # training steps of an unseen client's fresh head
    device: Literal["cpu", "cuda", "auto"] = "cpu"


@dataclass(frozen=True, kw_only=True)
class StrategySettings:
    """How updates become a model."""

    name: Literal["emam", "fedasync", "fedbuff", "fedavg"] = "emam"
    mode: Literal["async", "sync"] = "async"
    merges: CountFromOne = 2000
    concurrency: Count = 0  # jobs in flight; 0: one for every client that trains
    cohort: Count = 0  # clients of a synchronous round; 0: all
    select: Literal["longest-idle", "random"] = "longest-idle"  # the idle client that gets the next job
    alpha: NotNegative = 0.0  # 0: the mean of the clients' newest models, whose step needs no tuning
    beta: NotNegative = 0.0
    mu: Annotated[float, Range(0, 1, below=True)] = 0.95
    staleness: Literal["half-life", "exponential", "polynomial", "hinge", "constant", "estimated"] = "half-life"
    half_life: NotNegative = 0.0  # merges; 0: one less than the jobs in flight, at least 1
    rate: Positive = 0.002  # of exponential staleness, per merge
    exponent: Positive = 0.5  # of polynomial staleness
    hinge_a: Positive = 10.0
    hinge_b: NotNegative = 4.0
    norm_guard: NotNegative = 4.0  # times the median norm; 0: off
    weight_by_examples: bool = False
    serve: Literal["current", "average"] = "current"
    self_check: bool = False  # note the energy that EMAM minimises before and after each merge
    buffer_size: Count = 0  # of FedBuff; 0: the jobs in flight, at most 10
    mixing: Annotated[float, Range(0, 1, above=True)] = 0.6  # of FedAsync
    server_rate: Positive = 1.0  # of FedAvg and FedBuff


@dataclass(frozen=True, kw_only=True)
class CodecSettings:
    """How arrays become payloads."""

    name: Literal["none", "float32", "int8", "lqgcm", "lqgcm-published"] = "int8"
    block_size: Annotated[int, Range(1, 65535)] = 256  # values that share a scale, of int8
    tuples: Annotated[int, Range(0, 65535)] = 0  # of lqgcm, an upload; 0: a fifth of the blocks of 256, at least 18
    downlink_tuples: Annotated[int, Range(0, 65535)] = 0  # 0: 11 a block
    prediction: bool = True  # of lqgcm: from the client's last upload
    mode: Literal["sign", "rvq", "literal", "dithered"] = "sign"  # of lqgcm's tuples
    codebook: str = ""  # file of the modes rvq and literal
    l1_clip: NotNegative = 0.0  # of lqgcm-published, whose source has 1; 0: none
    remembered_clients: Count = 0  # whom differences are sent to; 0: as many as fit into 256 MiB


@dataclass(frozen=True, kw_only=True)
class EnergySettings:
    """What computation costs."""

    switched_capacitance_f: Positive = 1e-28
    cycles_per_sample: Positive = 12000.0  # and epoch
    frequency_hz: Positive = 1e9


@dataclass(frozen=True, kw_only=True)
class LinkSettings:
    """What the radio costs."""

    uplink_rate_bit_s: Positive = 1e6
    downlink_rate_bit_s: Positive = 5e6
    uplink_power_w: NotNegative = 0.2
    downlink_power_w: NotNegative = 0.1


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


@dataclass(frozen=True, kw_only=True)
class CheckpointSettings:
    """How often the run is made safe."""

    every: Count = 0  # merges; 0: only when interrupted
    state_dir: str = ""  # where clients keep their state, unless their node says; empty: in memory
    resume: str = ""  # run directory to go on from, for `flwr run`


@dataclass(frozen=True, kw_only=True)
class ResultsSettings:
    """Where results go and what stands beside them."""

    dir: str = "runs"
    baselines: Literal["all", "cheap", "none"] = "cheap"


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
    codec: CodecSettings = field(default_factory=CodecSettings)
    energy: EnergySettings = field(default_factory=EnergySettings)
    link: LinkSettings = field(default_factory=LinkSettings)
    clients: ClientsSettings = field(default_factory=ClientsSettings)
    churn: ChurnSettings = field(default_factory=ChurnSettings)
    job: JobSettings = field(default_factory=JobSettings)
    evaluate: EvaluateSettings = field(default_factory=EvaluateSettings)
    stop: StopSettings = field(default_factory=StopSettings)
    checkpoint: CheckpointSettings = field(default_factory=CheckpointSettings)
    results: ResultsSettings = field(default_factory=ResultsSettings)
    engine: EngineSettings = field(default_factory=EngineSettings)

    def __post_init__(self) -> None:
        checked(settings_of(RunConfig), self.to_flat(), source="RunConfig")

    @classmethod
    def from_flat(cls, flat: Mapping[str, object], source: str = "run configuration") -> "RunConfig":
        """Return the defaults changed by ``flat``, keys as in Flower's ``context.run_config``.

        ``source`` is what error messages call the mapping.
        """
        return cls().replace(flat, source=source)

    @classmethod
    def from_toml(cls, path_or_name: str | Path) -> "RunConfig":
        """Return the defaults changed by a TOML file, or by the packaged preset of that name."""
        flat, source = read_toml(path_or_name)
        return cls.from_flat(flat, source)

    def replace(self, flat: Mapping[str, object], *, source: str = "overrides") -> "RunConfig":
        """Return this configuration changed by ``flat``, for example ``{"task.batch-size": 8}``."""
        settings = settings_of(RunConfig)
        return tree_of(RunConfig, checked(settings, flat, base=values_of(self), source=source))

    def to_flat(self) -> dict[str, Value]:
        """Every key with its value, as Flower's run configuration holds it."""
        settings = settings_of(RunConfig)
        return {key: settings[key].write(value) for key, value in values_of(self).items()}

    def to_toml(self) -> str:
        """Every key with its value as a TOML file that ``from_toml`` reads back."""
        return tomli_w.dumps(nested(self.to_flat()))

    def decisive(self) -> dict[str, Value]:
        """Every key that changes what comes out, with its value (see ``effects``)."""
        return decisive(self.to_flat())

    def hash(self, *, leave_out: Iterable[str] = ()) -> str:
        """SHA-256 over all settings, without the keys and groups named in ``leave_out``.

        Raises
        ------
        ValueError
            If ``leave_out`` names something that does not exist.
        """
        flat = self.to_flat()
        for name in leave_out:
            keys = [key for key in flat if key == name or key.startswith(f"{name}.")]
            if not keys:
                msg = f'leave_out names "{name}", which is neither a key nor a group of keys'
                raise ValueError(msg)
            for key in keys:
                del flat[key]
        return hashlib.sha256(json.dumps(flat, sort_keys=True).encode()).hexdigest()


def parse_overrides(texts: Iterable[str], source: str = "--set") -> dict[str, Value]:
    """Return ``["key=value", ...]`` as a flat mapping for ``RunConfig.replace``; a later key wins.

    The type of the key decides how the value is read: ``name=5`` is text, ``seed=5`` an integer.

    Raises
    ------
    ConfigError
        If a text has no ``=``, a key is unknown, or a value cannot be of the key's type.
    """
    return read_texts(settings_of(RunConfig), texts, source=source)
