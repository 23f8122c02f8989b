"""Settings of a run that are the same for every method."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from flwr.app import MetricRecord, RecordDict

from eafl_flower.core.events import Fanout, Observer
from eafl_flower.core.provenance import Plain, Provenance
from eafl_flower.core.scores import Score
from eafl_flower.energy.processors import Processors
from eafl_flower.errors import ConfigError
from eafl_flower.protocols import Codec, Radio, Scheduler
from eafl_flower.radio.constant_rate import ConstantRate
from eafl_flower.runs.hooks import OnDispatch, OnEvaluate, OnMerge
from eafl_flower.runs.limits import StopRule
from eafl_flower.schedulers.same import SameOrder
from eafl_flower.simulation.churn import AlwaysOn, Churn
from eafl_flower.wire.records import ARRAYS, CONFIG, NUM_EXAMPLES, RUN_NAME

Clock = Literal["auto", "virtual", "wall"]
Unit = Literal["rounds", "merges"]
Select = Literal["longest-idle", "random"]
AggregateMetrics = Callable[[list[RecordDict], str], MetricRecord]

NO_PRIVACY = "no privacy: payloads are coded, not protected"  # said at the start of each run with a codec


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Settings of a run that are the same for every method.

    Parameters
    ----------
    seed
        Seed of everything random on the server, sent to the clients for theirs.
    unit
        What ``num_rounds`` of ``start``, ``evaluate_every``, ``checkpoint_every``, the number that ``evaluate_fn``
        gets and the keys of the result count. "rounds": rounds' worth of updates, each as many updates as FedAvg
        takes in a round, that is ``max(int(fraction_train * nodes that train), min_train_nodes)`` of the nodes
        that are there at the start, whoever comes or goes later. "merges": merges (with a buffer: flushes). With
        a barrier both are rounds.
    concurrency
        Most clients that work at the same time; 0 means all, or with ``fraction_train`` below 1 as many as are in
        a round's worth.
    select
        Which idle client gets the next job where more are idle than may work: "longest-idle", so that all take part
        alike and none waits long, or "random", each with the same probability. With a barrier the clients of a round
        are drawn at random.
    scheduler
        What each client is to do next; by default all do the same.
    fraction_train, min_train_nodes
        How many updates are a round's worth, see ``unit``.
    fraction_evaluate, min_evaluate_nodes
        An evaluation asks ``max(int(fraction_evaluate * nodes), min_evaluate_nodes)`` nodes, drawn by the seed;
        fraction 0 asks none.
    codec
        How arrays are coded in both directions; the ClientApp needs ``compression_mod`` with the same
        codec. None sends Flower's plain arrays.
    remembered_clients
        Clients without a job of whom the server remembers what they hold, where the codec sends only differences
        to it; the others are sent whole arrays again. 0: as many as fit into 256 MiB.
    greeting
        What every node is told when it is asked who it is, at the start or when it joins; None: nothing.
    agreed
        What else nodes must have alike, plain values by name: a node that states another value is refused at the first
        contact. Codec, layout of the model, kind of replies and version of this package are compared in any case.
    radio
        Grants rates and powers to those who transfer.
    measured
        Whether a deployment measures the rates of its links and prices jobs with them, as far as they can be told from
        pauses (``radio.measured``); the powers, and all rates in a simulation, are those of ``radio``.
    processors
        Price the computation of a job.
    churn
        When clients are there, as a function of virtual time. Over a network those are there who are; a run without any
        orders only waits for as long as it says that this will change.
    on_job_times, off_job_times
        Instead of ``churn``: exponential on and off times with these means, in median job times; 0 = none.
    local_epochs
        Epochs of one job, for its price.
    deadline_s
        A job that takes longer is given up; 0 means never. Virtual time in a simulation.
    round_period_s
        With a barrier, rounds of a simulation begin at multiples of this [s of virtual time], so that all who are there
        then take part; 0: the next one begins when the last is over.
    error_budget
        Errors and refusals in a row, without a merge in between, after which the run fails.
    backoff_s
        Pause of a client after its first error; doubles with each further one in a row.
    evaluate_every
        Units (see ``unit``) between two evaluations; 0 means only at the end. By default 1 where rounds' worth are
        counted, as in FedAvg, and 0 where merges are.
    evaluate_clients
        Whether the clients evaluate (beside ``evaluate_fn``, if given).
    evaluate_first
        Whether the clients evaluate the initial arrays too. ``evaluate_fn`` gets them anyway where rounds' worth are
        counted.
    scores
        The scores that the clients report, and how each is averaged over them; other metrics are means weighted by
        examples.
    weighted_by_key
        The metric of each reply that is its weight, in updates and in means of metrics.
    arrayrecord_key, configrecord_key
        Names of the records in messages, as the ClientApp sees them.
    train_metrics_aggr_fn, evaluate_metrics_aggr_fn
        Flower's: called with the replies' metrics and ``weighted_by_key``; None is the weighted mean.
    on_dispatch
        Called before each job with ``server-round`` and the job's own copy of ``train_config``, which it may change
        in place. The same number must give the same configuration.
    on_merge
        Called after each merge of an update with the number of merges and the event, as in the log: ``client``,
        ``staleness``, ``weight``, ``time_s``, ``metrics`` and others.
    on_evaluate
        Called after each evaluation with its number (see ``unit``), the arrays and the scores.
    stop
        Rules to stop early.
    checkpoint
        File for checkpoints; None means no checkpoints.
    checkpoint_every
        Units (see ``unit``) between two checkpoints; 0 means only when interrupted.
    resume
        Go on from the checkpoint instead of starting afresh.
    observer
        Sees every event.
    status_every_s
        On the wall clock, seconds between two events ``status``; 0 means none.
    clock
        How time passes. "virtual": arrivals are events in virtual time, the same for the same seed on every engine.
        "wall": replies count when they come (deployment). "auto": virtual where the grid is a simulation, wall over a
        network.
    min_available_nodes
        Fewest nodes to wait for at the start.
    expected_nodes
        The run fails at once with another number of nodes or, over a network, if the nodes say that they
        belong to another number (``num-partitions``); 0 means any number.
    node_timeout_s
        Longest time to wait for them [s].
    run_name
        Names the run to the clients, who keep their state under it; the same after a resume.
    provenance
        What else the run is made from, such as its data: kept in checkpoints, and a resume with another one is refused.
    """

    seed: int = 0
    unit: Unit = "rounds"
    concurrency: int = 0
    select: Select = "longest-idle"
    scheduler: Scheduler[Any] = field(default_factory=SameOrder)
    fraction_train: float = 1.0
    min_train_nodes: int = 2
    fraction_evaluate: float = 1.0
    min_evaluate_nodes: int = 2
    codec: Codec[Any] | None = None
    remembered_clients: int = 0
    greeting: Mapping[str, str] | None = None
    agreed: Mapping[str, Plain] = field(default_factory=dict)
    radio: Radio = field(default_factory=ConstantRate)
    measured: bool = True
    processors: Processors = field(default_factory=Processors)
    churn: Churn = field(default_factory=AlwaysOn)
    on_job_times: float = 0.0
    off_job_times: float = 0.0
    local_epochs: int = 1
    deadline_s: float = 0.0
    round_period_s: float = 0.0
    error_budget: int = 10
    backoff_s: float = 1.0
    evaluate_every: int | None = None
    evaluate_clients: bool = True
    evaluate_first: bool = False
    scores: tuple[Score, ...] = ()
    weighted_by_key: str = NUM_EXAMPLES
    arrayrecord_key: str = ARRAYS
    configrecord_key: str = CONFIG
    train_metrics_aggr_fn: AggregateMetrics | None = None
    evaluate_metrics_aggr_fn: AggregateMetrics | None = None
    on_dispatch: OnDispatch | None = None
    on_merge: OnMerge | None = None
    on_evaluate: OnEvaluate | None = None
    stop: StopRule = field(default_factory=StopRule)
    checkpoint: Path | None = None
    checkpoint_every: int = 0
    resume: bool = False
    observer: Observer = field(default_factory=lambda: Fanout(()))
    status_every_s: float = 0.0
    clock: Clock = "auto"
    min_available_nodes: int = 2
    expected_nodes: int = 0
    node_timeout_s: float = 120.0
    run_name: str = "run"
    provenance: Provenance = field(default_factory=Provenance)

    def __post_init__(self) -> None:
        if self.evaluate_every is None:
            object.__setattr__(self, "evaluate_every", 1 if self.unit == "rounds" else 0)
        wrong = [
            f"{name} = {getattr(self, name)!r}: expected a number of at least {least:g}"
            for name, least in (
                ("concurrency", 0),
                ("remembered_clients", 0),
                ("on_job_times", 0),
                ("off_job_times", 0),
                ("local_epochs", 1),
                ("deadline_s", 0),
                ("round_period_s", 0),
                ("error_budget", 1),
                ("backoff_s", 0),
                ("evaluate_every", 0),
                ("checkpoint_every", 0),
                ("min_train_nodes", 0),
                ("min_evaluate_nodes", 0),
                ("min_available_nodes", 1),
                ("node_timeout_s", 0),
                ("status_every_s", 0),
            )
            if not (isinstance(getattr(self, name), int | float) and least <= getattr(self, name) < float("inf"))
        ]
        if (self.on_job_times > 0) != (self.off_job_times > 0):
            wrong.append("on_job_times and off_job_times: expected both positive (churn) or both 0 (none)")
        if not (isinstance(self.fraction_train, int | float) and 0 < self.fraction_train <= 1):
            wrong.append(f"fraction_train = {self.fraction_train!r}: expected a number above 0, at most 1")
        if not (isinstance(self.fraction_evaluate, int | float) and 0 <= self.fraction_evaluate <= 1):
            wrong.append(f"fraction_evaluate = {self.fraction_evaluate!r}: expected a number from 0 to 1")
        if self.unit not in ("rounds", "merges"):
            wrong.append(f"unit = {self.unit!r}: expected 'rounds' or 'merges'")
        if self.select not in ("longest-idle", "random"):
            wrong.append(f"select = {self.select!r}: expected 'longest-idle' or 'random'")
        if self.clock not in ("auto", "virtual", "wall"):
            wrong.append(f"clock = {self.clock!r}: expected 'auto', 'virtual' or 'wall'")
        if (self.resume or self.checkpoint_every) and self.checkpoint is None:
            wrong.append("resume and checkpoint_every need a file: set checkpoint")
        if not RUN_NAME.fullmatch(self.run_name):
            wrong.append(f"run_name = {self.run_name!r}: expected up to 128 letters, digits and . _ = , + -")
        if wrong:
            raise ConfigError("; ".join(wrong))
