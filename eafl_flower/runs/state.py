"""The state of one run, and what it tells: it asks no clock, for time is an argument."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from logging import WARNING
from typing import Any, Literal

from flwr.app import ArrayRecord, MetricRecord
from flwr.serverapp.strategy import Result

from eafl_flower.aggregation.fleet import models_kept
from eafl_flower.core.forecasts import Forecast, Outcome
from eafl_flower.core.orders import NO_ORDER, End, Order
from eafl_flower.energy.ledger import Ledger
from eafl_flower.engines.flower_log import log
from eafl_flower.errors import ConfigError, RunFailedError
from eafl_flower.runs.charges import computation
from eafl_flower.runs.explosion import Explosion
from eafl_flower.runs.jobs import ClientTable, Job
from eafl_flower.runs.members.mailbox import Mailbox
from eafl_flower.runs.members.roster_answers import Member
from eafl_flower.runs.open_jobs import OpenJobs
from eafl_flower.runs.origin import Origin, origin_of
from eafl_flower.runs.pace import Pace, updates_in_a_round
from eafl_flower.runs.plan import Plan
from eafl_flower.runs.progress import Progress
from eafl_flower.runs.scoring.train_metrics import NEWEST_KEPT, TrainMetrics
from eafl_flower.runs.snapshot import ANY_UPDATE, Scores, Served, Snapshot
from eafl_flower.runs.tally import Tally
from eafl_flower.schedulers.telling import told_by
from eafl_flower.types import Diagnostics, Layout, Update, digest
from eafl_flower.wire.exchange import arrays_for, is_personal, kind_of


class Run:
    """State of one run.

    Between two steps of its clock it is consistent: only there it is evaluated and stored.

    Attributes
    ----------
    clock
        "virtual" or "wall": what its times are of.
    time_s
        Time of the newest event [s].
    """

    def __init__(self, plan: Plan, clock: str) -> None:
        self.plan, self.options, self.clock = plan, plan.options, clock
        self.mail = Mailbox(plan.grid, plan.timeout_s)
        self.jobs = OpenJobs(plan, self.mail)
        self.models = self.jobs.models
        self.pending: list[Update] = []
        self.lost_states: dict[int, int] = {}
        self.tally = Tally()
        keep = NEWEST_KEPT if self.options.unit == "merges" else 0
        options = self.options
        self.train_metrics = TrainMetrics(options.train_metrics_aggr_fn, options.weighted_by_key, keep=keep)
        self.explosion = Explosion()
        self.progress = Progress(plan.num_rounds)
        start = self.models.record({model.name: model.initial for model in self.models})
        self.result = Result(arrays=start, train_metrics_clientapp=self.train_metrics.records)
        self.client_scores: dict[int, Scores] = {}
        self.server_scores: dict[int, Scores] = {}
        self.num_partitions = self.num_events = self.in_flight = 0
        self.trainers: list[int] = []
        self.settled = self.evaluated = -1
        self.stop_reason = ""
        self.time_s = 0.0
        self._began_s = time.monotonic()

    # Who takes part.

    def admit(self, members: Mapping[int, Member], num_partitions: int) -> None:
        """Take in the clients that are there; raise ``RunFailedError`` if none of them trains."""
        self.num_partitions = num_partitions
        self.jobs.members |= members
        self.trainers = [client for client, member in members.items() if member.trains]
        if not self.trainers:
            msg = f"none of the {len(members)} nodes trains: one must answer the roster query with trains = 1"
            raise RunFailedError(msg)
        size = updates_in_a_round(self.options, len(self.trainers))
        self.pace = Pace(unit=self.options.unit, round_size=size, barrier=self.plan.barrier)
        self.set_in_flight(len(self.trainers))
        self.states = {model.name: self.aggregator.init(model.initial) for model in self.models}
        self.plans = self.options.scheduler.init(len(self.trainers))
        self.jobs.table = ClientTable.of_size(max(self.jobs.members) + 1)

    def set_in_flight(self, num_trainers: int) -> None:
        """Let as many jobs be open as there are clients that train, and settings allow.

        The aggregator is made for this number, so another number needs another one. It goes on from the state
        of the last one: an aggregator is only its settings.
        """
        options = self.options
        sampled = self.pace.round_size if options.fraction_train < 1 else num_trainers
        in_flight = min(options.concurrency or sampled, num_trainers)
        if in_flight != self.in_flight:
            self.in_flight = in_flight
            models = models_kept(in_flight, self.pace.round_size, self.models.raw_bytes)
            self.aggregator = self.plan.make_aggregator(max(1, in_flight), models)
            self.jobs.kind, self.jobs.is_personal = kind_of(self.aggregator), is_personal(self.aggregator)

    def offer(self, client: int, now_s: float, ends_s: float) -> Job | None:
        """Make the next job of ``client``, which is not sent yet; None if the scheduler has nothing for it now."""
        table, server_round = self.jobs.table, self.server_round
        forecast = Forecast(
            time_s=now_s,
            ends_s=ends_s,
            num_examples=int(table.num_examples[client]),
            epoch=computation(self.options, table, client, 1),
            jobs=int(table.counter[client]),
            server_round=server_round,
        )
        order = self.options.scheduler.offer(self.plans, client, forecast)
        if order is None:
            return None
        if not isinstance(order, Order):
            msg = f"{type(self.options.scheduler).__name__} offered {order!r}: expected an Order or None"
            raise ConfigError(msg)
        model = self.models[order.model]
        order = order if order.model == model.name else replace(order, model=model.name)
        state = self.states[model.name]
        job = self.jobs.open(
            client,
            order,
            version=int(state.version),
            server_round=server_round,
            arrays=arrays_for(self.aggregator, state, client, order),
            now_s=now_s,
            ends_s=ends_s,
        )
        self.learn(job, "begun", now_s)
        return job

    def learn(self, job: Job, kind: Literal["begun"] | End, now_s: float, **known: Any) -> None:
        """Let the scheduler know that ``job`` has begun or ended, and what is ``known`` of it."""
        known = {"server_round": self.server_round, "began_s": job.price.dispatched_s, **known}
        outcome = Outcome(client=job.client, order=job.order, kind=kind, time_s=now_s, **known)
        self.plans = self.options.scheduler.learn(self.plans, outcome)

    def pause_s(self, client: int) -> float:
        """Pause of a client after its last failure, if it has failed since its last merged update [s]."""
        failures = int(self.jobs.table.failures[client])
        return float(self.options.backoff_s * 2.0 ** min(failures - 1, 20)) if failures else 0.0

    def note_lost_state(self, client: int, load: int) -> None:
        """Count the state ``load`` of a client as lost, once however often it is asked for."""
        if self.lost_states.get(client) != load:
            self.lost_states[client] = load
            self.tally.states_lost += 1
            log(WARNING, "client %d has lost its state and starts afresh", client)

    # How far it is.

    @property
    def state(self) -> Any:
        """State of the aggregator for the only model, or the first."""
        return self.states[self.models.first.name]

    @property
    def version(self) -> int:
        """Number of merges so far, of all models; of several behind a barrier the number of rounds."""
        return self.merges_of(self.states, self.tally)

    def merges_of(self, states: Mapping[str, Any], tally: Tally) -> int:
        """Return how many merges have led to these states."""
        if len(states) == 1:  # asked nine times an update
            (state,) = states.values()
            return int(state.version)
        return tally.rounds if self.plan.barrier else sum(int(state.version) for state in states.values())

    @property
    def server_round(self) -> int:
        """Number, from 1, of the round (or round's worth) that is under way."""
        return self.pace.server_round(merges=self.version, updates=self.tally.updates)

    @property
    def count(self) -> int:
        """Number of whole units (rounds' worth, or merges) done."""
        return self.pace.done(merges=self.version, updates=self.tally.updates)

    @property
    def number(self) -> int:
        """The same, one that has begun included: the number of an evaluation now."""
        return self.pace.begun(merges=self.version, updates=self.tally.updates)

    @property
    def done(self) -> bool:
        """Whether all units are done or a rule says stop."""
        return self.count >= self.plan.num_rounds or bool(self.stop_reason)

    @property
    def made(self) -> str:
        """How far the run is, in words."""
        planned = self.plan.num_rounds
        if self.options.unit == "merges":
            return f"{self.version} of {planned} merges made"
        return f"{self.count} of {planned} rounds' worth of updates made ({self.version} merges)"

    @property
    def ledger(self) -> Ledger:
        """What ended jobs have spent."""
        return self.jobs.ledger

    def expected(self, order: Order) -> tuple[Sequence[str], Layout] | None:
        """Return names and layout of the message that is the reply to a job; None where replies are differences."""
        aggregator: Any = self.aggregator
        return aggregator.expected(self.states[order.model], order) if self.jobs.kind == "message" else None

    def apply(self, updates: Sequence[Update]) -> Diagnostics:
        """Merge an update or those of a whole round, all for one model; return how each was merged."""
        model = updates[0].order.model
        self.states[model], told = self.aggregator.apply(self.states[model], updates)
        return told

    def served(self) -> dict[str, Served]:
        """Return of each model the arrays that are evaluated and saved, and its number of merges."""
        return {name: Served(int(s.version), self.aggregator.arrays(s)) for name, s in self.states.items()}

    def served_record(self) -> ArrayRecord:
        """Return the arrays of all models that are evaluated and saved; those of a model with a name begin with it."""
        return self.models.record({name: served.arrays for name, served in self.served().items()})

    def arrays_sha256(self) -> str:
        """Hash of the arrays that the next job would start from, with shapes and dtypes."""
        states = (self.states[model.name] for model in self.models)
        return digest([array for state in states for array in self.aggregator.arrays(state, NO_ORDER)])

    @cached_property
    def initial_sha256(self) -> str:
        """Hash of the arrays the run was given to start from."""
        return digest(self.models.initial)

    def wall_s(self) -> float:
        """Real time since the start, time before a resume included [s]."""
        return time.monotonic() - self._began_s

    # What it tells.

    def emit(self, event: str, **fields: Any) -> dict[str, Any]:
        """Tell the observer of an event, with its ``time_s`` [s]; return what it was told."""
        if event != "resume":
            self.num_events += 1
        self.time_s = fields["time_s"]
        told = {"event": event, **fields}
        self.options.observer.write(told)
        return told

    def where(self, job: Job, now_s: float) -> dict[str, Any]:
        """Return the fields of an event that say when it was and which job it is of, and what its scheduler tells."""
        order, told = job.order, told_by(self.options.scheduler, self.plans, job.client, job.order, now_s)
        ordered = {name: value for name in ("rank", "unit", "leaving") if (value := getattr(order, name))}
        return {"time_s": now_s, "client": job.client, "counter": job.counter, **ordered, **told}

    # Checkpoints.

    def origin(self, *, in_flight: int) -> Origin:
        """Return what the run was made from, its aggregator for ``in_flight`` clients."""
        return origin_of(self.plan, clock=self.clock, in_flight=in_flight, initial_sha256=self.initial_sha256)

    def snapshot(self, *, queue: tuple[Any, ...], away: tuple[int, ...], template: bool = False) -> Snapshot:
        """Return the run as a value, with the events to come and the clients that are away.

        A ``template`` holds one example of each stored class, which tells them to whoever restores.
        """
        jobs, metrics = self.jobs, self.train_metrics
        return Snapshot(
            origin=self.origin(in_flight=self.in_flight),
            aggregator=self.states,
            scheduler=self.plans,
            tally=self.tally,
            table=jobs.table,
            ledger=jobs.ledger,
            jobs=jobs.template() if template else jobs.snapshot(),
            queue=queue,
            idle=tuple(jobs.idle.clients),
            away=away,
            pending=(ANY_UPDATE,) if template else tuple(self.pending),
            client_scores=self.client_scores,
            server_scores=self.server_scores,
            unit=self.options.unit,
            round_size=self.pace.round_size,
            # Of a run that counts merges they are only the newest of many, all of which are in the event log.
            train_records={n: dict(r) for n, r in metrics.records.items()} if self.options.unit == "rounds" else {},
            train_pending=tuple(metrics.pending),
            num_selections=jobs.num_selections,
            num_events=self.num_events,
            settled=self.settled,
            evaluated=self.evaluated,
            stop_reason=self.stop_reason,
            wall_s=self.wall_s(),
            secret=self.models.secret.hex(),
        )

    def restore(self, stored: Snapshot, pace: Pace) -> None:
        """Replace the fresh state by a stored one, which counts by ``pace``; open jobs are not sent yet."""
        jobs, metrics, result = self.jobs, self.train_metrics, self.result
        self.states, self.plans, self.tally, self.pace = stored.aggregator, stored.scheduler, stored.tally, pace
        jobs.table, jobs.ledger, jobs.num_selections = stored.table, stored.ledger, stored.num_selections
        jobs.table.grow(max(jobs.members) + 1)
        self.pending = list(stored.pending)
        self.client_scores, self.server_scores = dict(stored.client_scores), dict(stored.server_scores)
        for scores, records in (
            (self.client_scores, result.evaluate_metrics_clientapp),
            (self.server_scores, result.evaluate_metrics_serverapp),
        ):
            records.update({merge: MetricRecord(dict(values)) for merge, values in scores.items()})
        metrics.records.update({number: MetricRecord(dict(values)) for number, values in stored.train_records.items()})
        metrics.pending, metrics.closed = list(stored.train_pending), self.count
        self.num_events, self.settled, self.evaluated = stored.num_events, stored.settled, stored.evaluated
        self.stop_reason = stored.stop_reason
        self._began_s = time.monotonic() - stored.wall_s
        # A run with a key of its users' had no secret; open jobs are sent again, with keys of the fresh one.
        self.models.secret = bytes.fromhex(stored.secret) or self.models.secret
        jobs.restore(stored.jobs)
        self.in_flight = 0  # a round's worth stays what it was, and the aggregator is made for it
        self.set_in_flight(len(self.trainers))
