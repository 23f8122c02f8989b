"""The keywords that every strategy takes: written by scripts/sync-options from ``runs/options.py``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

from eafl_flower.core.events import Observer
from eafl_flower.core.provenance import Plain, Provenance
from eafl_flower.core.scores import Score
from eafl_flower.energy.processors import Processors
from eafl_flower.protocols import Codec, Radio, Scheduler
from eafl_flower.runs.hooks import OnDispatch, OnEvaluate, OnMerge
from eafl_flower.runs.limits import StopRule
from eafl_flower.runs.options import AggregateMetrics, Clock, Select, Unit
from eafl_flower.simulation.churn import Churn


class Options(TypedDict, total=False):
    """Keywords that every strategy of ours takes beside its own; ``RunOptions`` has their defaults and checks them."""

    seed: int
    """Seed of everything random on the server, sent to the clients for theirs."""

    unit: Unit
    """What ``num_rounds`` of ``start``, ``evaluate_every``, ``checkpoint_every``, the number that ``evaluate_fn``
    gets and the keys of the result count. "rounds": rounds' worth of updates, each as many updates as FedAvg
    takes in a round, that is ``max(int(fraction_train * nodes that train), min_train_nodes)`` of the nodes
    that are there at the start, whoever comes or goes later. "merges": merges (with a buffer: flushes). With
    a barrier both are rounds.
    """

    concurrency: int
    """Most clients that work at the same time; 0 means all, or with ``fraction_train`` below 1 as many as are in
    a round's worth.
    """

    select: Select
    """Which idle client gets the next job where more are idle than may work: "longest-idle", so that all take part
    alike and none waits long, or "random", each with the same probability. With a barrier the clients of a round
    are drawn at random.
    """

    scheduler: Scheduler[Any]
    """What each client is to do next; by default all do the same."""

    fraction_train: float
    """How many updates are a round's worth, see ``unit``."""

    min_train_nodes: int
    """How many updates are a round's worth, see ``unit``."""

    fraction_evaluate: float
    """An evaluation asks ``max(int(fraction_evaluate * nodes), min_evaluate_nodes)`` nodes, drawn by the seed;
    fraction 0 asks none.
    """

    min_evaluate_nodes: int
    """An evaluation asks ``max(int(fraction_evaluate * nodes), min_evaluate_nodes)`` nodes, drawn by the seed;
    fraction 0 asks none.
    """

    codec: Codec[Any] | None
    """How arrays are coded in both directions; the ClientApp needs ``compression_mod`` with the same
    codec. None sends Flower's plain arrays.
    """

    remembered_clients: int
    """Clients without a job of whom the server remembers what they hold, where the codec sends only differences
    to it; the others are sent whole arrays again. 0: as many as fit into 256 MiB.
    """

    greeting: Mapping[str, str] | None
    """What every node is told when it is asked who it is, at the start or when it joins; None: nothing."""

    agreed: Mapping[str, Plain]
    """What else nodes must have alike, plain values by name: a node that states another value is refused at the first
    contact. Codec, layout of the model, kind of replies and version of this package are compared in any case.
    """

    radio: Radio
    """Grants rates and powers to those who transfer."""

    measured: bool
    """Whether a deployment measures the rates of its links and prices jobs with them, as far as they can be told from
    pauses (``radio.measured``); the powers, and all rates in a simulation, are those of ``radio``.
    """

    processors: Processors
    """Price the computation of a job."""

    churn: Churn
    """When clients are there, as a function of virtual time. Over a network those are there who are; a run without any
    orders only waits for as long as it says that this will change.
    """

    on_job_times: float
    """Instead of ``churn``: exponential on and off times with these means, in median job times; 0 = none."""

    off_job_times: float
    """Instead of ``churn``: exponential on and off times with these means, in median job times; 0 = none."""

    local_epochs: int
    """Epochs of one job, for its price."""

    deadline_s: float
    """A job that takes longer is given up; 0 means never. Virtual time in a simulation."""

    round_period_s: float
    """With a barrier, rounds of a simulation begin at multiples of this [s of virtual time], so that all who are there
    then take part; 0: the next one begins when the last is over.
    """

    error_budget: int
    """Errors and refusals in a row, without a merge in between, after which the run fails."""

    backoff_s: float
    """Pause of a client after its first error; doubles with each further one in a row."""

    evaluate_every: int | None
    """Units (see ``unit``) between two evaluations; 0 means only at the end. By default 1 where rounds' worth are
    counted, as in FedAvg, and 0 where merges are.
    """

    evaluate_clients: bool
    """Whether the clients evaluate (beside ``evaluate_fn``, if given)."""

    evaluate_first: bool
    """Whether the clients evaluate the initial arrays too. ``evaluate_fn`` gets them anyway where rounds' worth are
    counted.
    """

    scores: tuple[Score, ...]
    """The scores that the clients report, and how each is averaged over them; other metrics are means weighted by
    examples.
    """

    weighted_by_key: str
    """The metric of each reply that is its weight, in updates and in means of metrics."""

    arrayrecord_key: str
    """Names of the records in messages, as the ClientApp sees them."""

    configrecord_key: str
    """Names of the records in messages, as the ClientApp sees them."""

    train_metrics_aggr_fn: AggregateMetrics | None
    """Flower's: called with the replies' metrics and ``weighted_by_key``; None is the weighted mean."""

    evaluate_metrics_aggr_fn: AggregateMetrics | None
    """Flower's: called with the replies' metrics and ``weighted_by_key``; None is the weighted mean."""

    on_dispatch: OnDispatch | None
    """Called before each job with ``server-round`` and the job's own copy of ``train_config``, which it may change
    in place. The same number must give the same configuration.
    """

    on_merge: OnMerge | None
    """Called after each merge of an update with the number of merges and the event, as in the log: ``client``,
    ``staleness``, ``weight``, ``time_s``, ``metrics`` and others.
    """

    on_evaluate: OnEvaluate | None
    """Called after each evaluation with its number (see ``unit``), the arrays and the scores."""

    stop: StopRule
    """Rules to stop early."""

    checkpoint: Path | None
    """File for checkpoints; None means no checkpoints."""

    checkpoint_every: int
    """Units (see ``unit``) between two checkpoints; 0 means only when interrupted."""

    resume: bool
    """Go on from the checkpoint instead of starting afresh."""

    observer: Observer
    """Sees every event."""

    status_every_s: float
    """On the wall clock, seconds between two events ``status``; 0 means none."""

    clock: Clock
    """How time passes. "virtual": arrivals are events in virtual time, the same for the same seed on every engine.
    "wall": replies count when they come (deployment). "auto": virtual where the grid is a simulation, wall over a
    network.
    """

    min_available_nodes: int
    """Fewest nodes to wait for at the start."""

    expected_nodes: int
    """The run fails at once with another number of nodes or, over a network, if the nodes say that they
    belong to another number (``num-partitions``); 0 means any number.
    """

    node_timeout_s: float
    """Longest time to wait for them [s]."""

    run_name: str
    """Names the run to the clients, who keep their state under it; the same after a resume."""

    provenance: Provenance
    """What else the run is made from, such as its data: kept in checkpoints, and a resume with another one is refused.
    """
