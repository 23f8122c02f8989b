"""Names become components: the only place that knows every class and the configuration at once."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import ClientAppCallable, Mod

from eafl_flower.aggregation.emam import EMAMAggregator
from eafl_flower.aggregation.newest import NewestMean
from eafl_flower.aggregation.reference import FedAsync, FedAvg, FedBuff
from eafl_flower.aggregation.staleness import (
    Constant,
    Estimated,
    Exponential,
    HalfLife,
    Hinge,
    Polynomial,
    StalenessRule,
)
from eafl_flower.app.limits import build_stop_rule
from eafl_flower.clients.bridge import numpy_client_app
from eafl_flower.clients.compression import compression_mod
from eafl_flower.clients.durable_state import durable_state_mod
from eafl_flower.clients.numpy_client import Workload, federated_client_fn, forget_workloads
from eafl_flower.codecs import Float32Codec, Int8Codec, LQGCMCodec, PublishedLQGCMCodec, read_codebook
from eafl_flower.config import RunConfig
from eafl_flower.config.run_config import DataSettings
from eafl_flower.core.scores import ACCURACY, Score
from eafl_flower.data.tables.stamps import any_changed, forget, noted
from eafl_flower.energy.model import CMOSRadioEnergy
from eafl_flower.protocols import Aggregator, Codec, DataSource, Task
from eafl_flower.radio.constant_rate import ConstantRateNetwork
from eafl_flower.strategies.asynchronous import AsynchronousStrategy
from eafl_flower.types import Link

if TYPE_CHECKING:
    from eafl_flower.data.source import InMemorySource
    from eafl_flower.heads.prior import FeatureRanges


def build_source(config: RunConfig) -> "InMemorySource":
    """Return the data source that ``data.*`` names."""
    return _loaded(config.data, config.seed)


@lru_cache(maxsize=2)
def _loaded(data: DataSettings, seed: int) -> "InMemorySource":
    """Load once for all configurations with the same data."""
    counts: dict[str, Any] = {"clients": data.clients, "unseen": data.unseen, "seed": seed}
    entities = counts | {"data_dir": data.dir}
    shared = {**entities, "partition": data.partition, "dirichlet_alpha": data.dirichlet_alpha}
    if data.name == "idm":
        from eafl_flower.data.sets.idm import simulate_idm_traffic

        return simulate_idm_traffic(rows_per_client=data.rows_per_client, **counts)
    if data.name == "ngsim-us101":
        from eafl_flower.data.sets.ngsim import load_ngsim_us101

        return load_ngsim_us101(**entities)
    if data.name == "geolife":
        from eafl_flower.data.sets.geolife import load_geolife

        return load_geolife(**entities)
    if data.name == "ton-weather":
        from eafl_flower.data.sets.ton_iot import load_ton_weather

        return load_ton_weather(**shared)
    if data.name == "unsw-nb15":
        from eafl_flower.data.sets.unsw_nb15 import load_unsw_nb15

        return load_unsw_nb15(**shared)
    if data.name == "iot-devices":
        from eafl_flower.data.sets.iot_devices import load_iot_devices

        return load_iot_devices(**shared)
    if data.name == "csv":
        from eafl_flower.data.sets.own_csv import load_csv

        shared |= {"label": data.label_column, "client": data.client_column, "time": data.time_column}
        return load_csv(data.csv, features=data.features, **shared)
    from eafl_flower.data.sets.digits import load_digits

    return load_digits(dirichlet_alpha=data.dirichlet_alpha, **counts)


def forget_changed_files() -> None:
    """Forget what this process has loaded, if one of the files has changed since: a run begins with what is there."""
    if any_changed():
        forget()
        forget_workloads()
        _loaded.cache_clear()
        _compression.cache_clear()


def build_ranges(config: RunConfig, source: DataSource) -> "FeatureRanges | None":
    """Return the bins of the entropies that size private heads; None if the heads' sizes follow from no entropy."""
    task = config.task
    if task.name != "fractal" or task.head != "private" or task.head_sizes or not source.num_seen:
        return None
    from eafl_flower.heads.prior import FeatureRanges

    return FeatureRanges.of(np.concatenate([source.partition(client).x_train for client in range(source.num_seen)]))


def build_task(
    config: RunConfig, source: DataSource, *, ranges: "Callable[[], FeatureRanges | None] | None" = None
) -> Task:
    """Return the task that ``task.*`` names, for the features and classes of ``source``.

    Parameters
    ----------
    config, source
        Settings; features, classes and rows.
    ranges
        Gives the bins of the entropies that size private heads, if ``source`` has no rows of its own.
    """
    task, num_features, num_classes = config.task, len(source.feature_names), len(source.class_names)
    if task.name == "softmax":
        from eafl_flower.tasks.softmax import SoftmaxTask

        return SoftmaxTask(
            num_features=num_features,
            num_classes=num_classes,
            learning_rate=task.learning_rate,
            weight_decay=task.weight_decay,
            batch_size=task.batch_size,
        )
    training: dict[str, Any] = {
        "num_features": num_features,
        "num_classes": num_classes,
        "head": task.head,
        "optimizer": task.optimizer,
        "learning_rate": task.learning_rate,
        "weight_decay": task.weight_decay,
        "batch_size": task.batch_size,
        "device": task.device,
    }
    if task.name == "fractal":
        from eafl_flower.heads.size import parse_sizes
        from eafl_flower.tasks.fractal import FractalTask

        return FractalTask(
            **training,
            head_sizes=parse_sizes(task.head_sizes),
            prune_threshold=task.prune_threshold,
            ranges=ranges or (lambda: build_ranges(config, source)),
        )
    from eafl_flower.tasks.tabular import TabularTask

    return TabularTask(**training, hidden=task.hidden)


def build_workload(config: RunConfig) -> Workload:
    """Return what all clients of a run share: task, rows and local work."""
    source = build_source(config)
    return Workload(
        task=build_task(config, source),
        source=source,
        seed=config.seed,
        local_epochs=config.task.local_epochs,
        unseen_steps=config.task.unseen_steps,
    )


def build_codec(config: RunConfig) -> Codec[Any] | None:
    """Return the codec that ``codec.name`` names; None for Flower's plain arrays."""
    codec = config.codec
    codecs: dict[str, Callable[[], Codec[Any] | None]] = {
        "none": lambda: None,
        "float32": Float32Codec,
        "int8": lambda: Int8Codec(block_size=codec.block_size),
        "lqgcm": lambda: LQGCMCodec(
            tuples=codec.tuples,
            downlink_tuples=codec.downlink_tuples,
            prediction=codec.prediction,
            mode=codec.mode,
            codebook=read_codebook(noted(Path(codec.codebook))) if codec.codebook else None,
        ),
        "lqgcm-published": lambda: PublishedLQGCMCodec(l1_clip=codec.l1_clip),
    }
    return codecs[codec.name]()


def build_network(config: RunConfig) -> ConstantRateNetwork:
    """Return the price of jobs: a constant-rate link and a processor."""
    link, energy = config.link, config.energy
    return ConstantRateNetwork(
        link=Link(
            uplink_rate_bit_s=link.uplink_rate_bit_s,
            downlink_rate_bit_s=link.downlink_rate_bit_s,
            uplink_power_w=link.uplink_power_w,
            downlink_power_w=link.downlink_power_w,
        ),
        energy=CMOSRadioEnergy(
            switched_capacitance_f=energy.switched_capacitance_f,
            cycles_per_sample=energy.cycles_per_sample,
            frequency_hz=energy.frequency_hz,
        ),
        slowdown=config.clients.slowdown,
    )


def build_staleness(config: RunConfig, in_flight: int) -> StalenessRule | Estimated:
    """Return the staleness rule that ``strategy.staleness`` names."""
    s = config.strategy
    rules: dict[str, Callable[[], StalenessRule | Estimated]] = {
        "half-life": lambda: HalfLife(s.half_life) if s.half_life else HalfLife.for_in_flight(in_flight),
        "exponential": lambda: Exponential(s.rate),
        "polynomial": lambda: Polynomial(s.exponent),
        "hinge": lambda: Hinge(s.hinge_a, s.hinge_b),
        "constant": Constant,
        "estimated": Estimated,
    }
    return rules[s.staleness]()


def build_aggregator(config: RunConfig, in_flight: int, clients: int) -> Aggregator[Any]:
    """Return the aggregator that ``strategy.name`` names, for so many clients in flight and in a round's worth."""
    s = config.strategy
    if s.name == "emam" and s.mode == "async" and not s.alpha:
        return NewestMean(clients=clients, norm_guard=s.norm_guard)
    staleness = build_staleness(config, in_flight)
    if s.name == "emam":
        return EMAMAggregator(
            alpha=s.alpha or 1.0,
            beta=s.beta,
            mu=s.mu,
            staleness=staleness,
            norm_guard=s.norm_guard,
            weight_by_examples=s.weight_by_examples,
            serve=s.serve,
            self_check=s.self_check,
        )
    if s.name == "fedavg":
        return FedAvg(server_rate=s.server_rate)
    assert not isinstance(staleness, Estimated)  # the configuration refuses it
    if s.name == "fedasync":
        return FedAsync(mixing=s.mixing, staleness=staleness)
    return FedBuff(buffer_size=s.buffer_size or min(10, in_flight), server_rate=s.server_rate, staleness=staleness)


def build_strategy(config: RunConfig, *, scores: Sequence[Score] = (ACCURACY,), **options: Any) -> AsynchronousStrategy:
    """Return the strategy of a run whose clients report these scores; ``options`` are further ``RunOptions``."""
    s = config.strategy
    settings = {
        "seed": config.seed,
        "unit": "merges",
        "concurrency": (s.cohort if s.mode == "sync" else 0) or s.concurrency,
        "select": s.select,
        "codec": build_codec(config),
        "remembered_clients": config.codec.remembered_clients,
        "network": build_network(config),
        "on_job_times": config.churn.on_job_times,
        "off_job_times": config.churn.off_job_times,
        "local_epochs": config.task.local_epochs,
        "deadline_s": config.job.deadline_s,
        "error_budget": max(1, config.job.error_budget),
        "evaluate_every": config.evaluate.every,
        "evaluate_first": bool(config.evaluate.every),
        "scores": tuple(scores),
        "stop": build_stop_rule(config, scores),
        "checkpoint_every": config.checkpoint.every,
    }
    return AsynchronousStrategy(
        lambda in_flight, clients: build_aggregator(config, in_flight, clients),
        barrier=s.mode == "sync",
        **{**settings, **options},
    )


@lru_cache(maxsize=4)
def _config_of_items(items: tuple[tuple[str, Any], ...]) -> RunConfig:
    return RunConfig.from_flat(dict(items))


def config_of(context: Context) -> RunConfig:
    """Return the configuration that Flower hands to an app."""
    return _config_of_items(tuple(context.run_config.items()))


def build_client_app(config: RunConfig | None = None, state_dir: Path | str | None = None) -> ClientApp:
    """Return the ClientApp of a run; without a configuration it takes Flower's, message by message.

    Parameters
    ----------
    config
        Configuration of the run.
    state_dir
        Where clients keep their state; by default ``state-dir`` of the node's configuration.
    """
    client_fn = federated_client_fn(build_workload, lambda context: config or config_of(context))
    # A folder of the run is that of a simulation, whose clients and server fall together.
    durable = durable_state_mod(state_dir, power_safe=state_dir is None)
    chosen = None if config is None else _compression(config)

    def compress(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        mod = chosen or _compression(config_of(context))
        return mod(message, context, call_next)

    def roster(context: Context) -> dict[str, Any]:
        client = client_fn(context)
        return {"num-examples": client.num_examples, "trains": int(client.trains), "kind": "delta"}

    return numpy_client_app(client_fn, mods=[durable, compress], roster_fn=roster)


@lru_cache(maxsize=4)
def _compression(config: RunConfig) -> Mod:
    return compression_mod(build_codec(config) or Float32Codec())  # does nothing to messages that are not coded
