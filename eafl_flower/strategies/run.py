"""One run of a strategy: dispatch, merge, evaluate and checkpoint, whatever decides what comes next.

``virtual_time.VirtualRun`` takes the next event of a virtual clock, ``wall_time.WallRun`` the next reply that
comes. Both share what is here. All arithmetic is elsewhere: merging in ``aggregation``, prices in ``simulation``.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from logging import INFO, WARNING
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.common.logger import log
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result

from eafl_flower.aggregation.acceptance import accept
from eafl_flower.aggregation.barrier import combine
from eafl_flower.energy.ledger import Ledger
from eafl_flower.engines.waiting import wait_for
from eafl_flower.errors import CheckpointError, CodecError, ProtocolError, RunFailedError, UpdateRefusedError
from eafl_flower.protocols import Aggregator
from eafl_flower.rng import generator
from eafl_flower.simulation.price import JobPrice, StartPrice, UploadPrice
from eafl_flower.strategies.checkpoint import read_checkpoint, write_checkpoint
from eafl_flower.strategies.downlink import Base, Downlink
from eafl_flower.strategies.job import ClientTable, IdleClients, InFlight, Job
from eafl_flower.strategies.options import RunOptions
from eafl_flower.strategies.records import (
    CODED,
    CONFIG,
    NUM_EXAMPLES,
    STATE_LOST,
    TERMS,
    JobTerms,
    array_record,
    arrays_of,
    config_record,
    framed_bytes,
    single_array_record,
    single_metric_record,
    terms_record,
)
from eafl_flower.strategies.roster import Member, take_roster
from eafl_flower.strategies.tally import Tally
from eafl_flower.types import Arrays, Update, Work, digest, layout_of

EvaluateFn = Callable[[int, ArrayRecord], MetricRecord | None]
MakeAggregator = Callable[[int], Aggregator[Any]]
Scores = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run is asked to do: the arguments of ``start`` beside those of the strategy."""

    options: RunOptions
    make_aggregator: MakeAggregator
    barrier: bool
    grid: Grid
    initial_arrays: ArrayRecord
    num_merges: int
    timeout_s: float
    train_config: ConfigRecord
    evaluate_config: ConfigRecord
    evaluate_fn: EvaluateFn | None


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Everything a run needs to go on, as a storable value."""

    run_name: str
    seed: int
    aggregator: Any
    tally: Tally
    table: ClientTable
    ledger: Ledger
    jobs: tuple[Job, ...]
    queue: tuple[Any, ...]
    idle: tuple[int, ...]
    pending: tuple[Update, ...]
    bases: dict[int, Arrays]
    client_scores: dict[int, Scores]
    server_scores: dict[int, Scores]
    num_selections: int
    num_failures: int
    num_events: int
    wall_s: float


class Interrupted(Exception):
    """The user asked to stop; raised only where the state is consistent."""


class FederatedRun:
    """State and steps of one run."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.options, self.grid = plan, plan.options, plan.grid
        self.keys = list(plan.initial_arrays)
        self.initial: Arrays = arrays_of(plan.initial_arrays)
        self.layout = layout_of(self.initial)
        self.raw_bytes = sum(a.nbytes for a in self.initial)
        self.downlink = Downlink(self.options.codec, self.keys, self.options.seed)
        self.members: dict[int, Member] = {}
        self.jobs: dict[int, Job] = {}
        self.wires: dict[int, InFlight] = {}
        self.idle = IdleClients()
        self.pending: list[Update] = []
        self.tally = Tally()
        self.ledger = Ledger()
        self.result = Result(arrays=plan.initial_arrays)
        self.client_scores: dict[int, Scores] = {}
        self.server_scores: dict[int, Scores] = {}
        self.num_selections = self.num_failures = self.num_events = 0
        self.stop_reason = ""
        self.interrupted = False
        self._began_s = time.monotonic()
        self._codec_start = None if self.options.codec is None else self.options.codec.init(self.layout)

    # What a clock adds.

    def now_s(self) -> float:
        """Time of the run [s]."""
        raise AssertionError("a clock defines the time")

    def queue_snapshot(self) -> tuple[Any, ...]:
        """Events to come, for a checkpoint."""
        return ()

    def charged_until_s(self, job: Job, outcome: str) -> float:
        """When ``job`` stopped spending [s]."""
        return self.now_s()

    def before_evaluation(self) -> None:
        """Make sure that clients may be asked to evaluate."""

    # Start.

    def prepare(self) -> None:
        """Find the clients, make the aggregator and, when resuming, take up the checkpoint."""
        options = self.options
        members = take_roster(self.grid, min_nodes=options.min_available_nodes, timeout_s=options.node_timeout_s)
        self.members = {m.client: m for m in members}
        self.trainers = trainers = [m.client for m in members if m.trains]
        if not trainers:
            msg = f"none of the {len(members)} nodes trains: at least one must reply trains = 1 to the roster query"
            raise RunFailedError(msg)
        self.in_flight = min(options.concurrency or len(trainers), len(trainers))
        self.aggregator = self.plan.make_aggregator(self.in_flight)
        self.state = self.aggregator.init(self.initial)
        self.table = ClientTable.of_size(max(self.members) + 1)
        for member in members:
            self.table.num_examples[member.client] = member.num_examples
        if options.resume:
            self._take_up()
        self.emit(
            "resume" if options.resume else "start",
            merge=self.version,
            time_s=self.now_s(),
            clients=len(trainers),
            in_flight=self.in_flight,
            merges_planned=self.plan.num_merges,
            parameters=sum(s.size for s in self.layout),
            raw_bytes=self.raw_bytes,
            events=self.num_events,
        )

    def _take_up(self) -> None:
        """Replace the fresh state by that of the checkpoint."""
        assert self.options.checkpoint is not None
        stored = read_checkpoint(self.options.checkpoint, self._snapshot(template=True))
        if (stored.run_name, stored.seed) != (self.options.run_name, self.options.seed):
            msg = (
                f"checkpoint {self.options.checkpoint} belongs to run {stored.run_name!r} with seed {stored.seed}, "
                f"not to {self.options.run_name!r} with seed {self.options.seed}"
            )
            raise CheckpointError(msg)
        if layout_of(self.aggregator.arrays(stored.aggregator)) != self.layout:
            msg = f"checkpoint {self.options.checkpoint} holds a model with other arrays than the one to be trained"
            raise CheckpointError(msg)
        missing = [j.client for j in stored.jobs if j.client not in self.members]
        if missing:
            msg = f"clients {missing} of the checkpoint are not in the federation: start their nodes, then resume"
            raise CheckpointError(msg)
        self.state, self.tally, self.table, self.ledger = (
            stored.aggregator,
            stored.tally,
            stored.table,
            stored.ledger,
        )
        self.table.grow(max(self.members) + 1)
        for member in self.members.values():
            if not member.plain:
                self.table.num_examples[member.client] = member.num_examples
        self.pending = list(stored.pending)
        self.client_scores, self.server_scores = dict(stored.client_scores), dict(stored.server_scores)
        for scores, records in (
            (self.client_scores, self.result.evaluate_metrics_clientapp),
            (self.server_scores, self.result.evaluate_metrics_serverapp),
        ):
            records.update({merge: MetricRecord(dict(values)) for merge, values in scores.items()})
        self.num_selections, self.num_failures = stored.num_selections, stored.num_failures
        self.num_events = stored.num_events
        self._began_s = time.monotonic() - stored.wall_s
        users: dict[int, int] = {}
        for job in stored.jobs:
            users[job.base_version] = users.get(job.base_version, 0) + 1
        self.downlink.restore(stored.bases, users, self.initial)
        self.jobs = {job.client: job for job in stored.jobs}
        for client in stored.idle:
            self.idle.add(client)
        self._stored_queue = stored.queue
        for job in stored.jobs:
            self.resume_job(job)

    def resume_job(self, job: Job) -> None:
        """Send an open job of a checkpoint again."""
        self.send(job)

    def _snapshot(self, *, template: bool = False) -> Snapshot:
        no_job = Job(client=0, counter=0, load=0, base_version=0, price=_NO_PRICE, ends_s=0.0)
        no_update = Update(client=0, delta=(), base_version=0, num_examples=0)
        return Snapshot(
            run_name=self.options.run_name,
            seed=self.options.seed,
            aggregator=self.state,
            tally=self.tally,
            table=self.table,
            ledger=self.ledger,
            jobs=(no_job,) if template else tuple(self.jobs.values()),
            queue=self.queue_snapshot(),
            idle=tuple(self.idle.clients),
            pending=(no_update,) if template else tuple(self.pending),
            bases=self.downlink.snapshot(),
            client_scores=self.client_scores,
            server_scores=self.server_scores,
            num_selections=self.num_selections,
            num_failures=self.num_failures,
            num_events=self.num_events,
            wall_s=self.wall_s(),
        )

    def checkpoint(self, *, scheduled: bool = False) -> None:
        """Write a checkpoint, if the run has a file for it; only a scheduled one is an event of the run."""
        if self.options.checkpoint is None:
            return
        self.table.durable[:] = self.table.state
        for job in self.jobs.values():
            self.table.durable[job.client] = job.load
        if scheduled:
            self.emit("checkpoint", merge=self.version, time_s=self.now_s())
        write_checkpoint(self.options.checkpoint, self._snapshot())

    # Dispatch.

    @property
    def version(self) -> int:
        """Number of merges so far."""
        return int(self.state.version)

    def draw_idle(self) -> int:
        """Choose an idle client at random, by the seed and the number of choices made."""
        client = self.idle.draw(generator(self.options.seed, "select", self.num_selections))
        self.num_selections += 1
        return client

    def open_job(self, client: int, ends_s: float = float("inf")) -> Job:
        """Make the next job of ``client`` from the current arrays; it is not sent yet."""
        table = self.table
        table.counter[client] += 1
        base = self.downlink.take(self.version, self.aggregator.arrays(self.state))
        work = Work(num_examples=max(1, int(table.num_examples[client])), epochs=self.options.local_epochs)
        job = Job(
            client=client,
            counter=int(table.counter[client]),
            load=int(table.state[client]),
            base_version=self.version,
            price=JobPrice(
                dispatched_s=self.now_s(),
                start=self.options.network.start(client, work, self._payload_bytes(client, base)),
            ),
            ends_s=ends_s,
        )
        self.jobs[client] = job
        return job

    def _payload_bytes(self, client: int, base: Base) -> int:
        return self.raw_bytes if self.members[client].plain else base.payload_bytes

    def send(self, job: Job) -> None:
        """Push the message of ``job``."""
        content = self._content(job.client, self.downlink[job.base_version], self.plan.train_config, job.base_version)
        content[TERMS] = terms_record(self._terms(job.client, job.counter, job.load))
        self.wires[job.client] = InFlight(self._push(job.client, content, MessageType.TRAIN, job.base_version))

    def _content(self, client: int, base: Base, config: ConfigRecord, version: int) -> RecordDict:
        if self.members[client].plain and base.payload is not None:
            content = RecordDict({"arrays": array_record(self.keys, base.arrays)})
        else:
            content = base.content()
        content[CONFIG] = ConfigRecord({**config, "server-round": version})
        return content

    def _terms(self, client: int, counter: int, load: int) -> JobTerms:
        every = self.options.checkpoint_every
        return JobTerms(
            run=self.options.run_name,
            seed=self.options.seed,
            client=client,
            counter=counter,
            load=load,
            acknowledged=int(self.table.acknowledged[client]),
            durable=int(self.table.durable[client]) if every else load,
        )

    def _push(self, client: int, content: RecordDict, kind: str, version: int) -> str:
        message = Message(content, self.members[client].node_id, kind, group_id=str(version))
        ids = list(self.grid.push_messages([message]))
        return ids[0] if ids else ""

    # Replies.

    def await_reply(self, job: Job) -> Message | None:
        """Wait for the reply of ``job``; None if it did not come in time or the node is unknown."""
        wire = self.wires[job.client]
        if wire.reply is None and wire.message_id:
            wire.reply = self.await_message(wire.message_id)
        return wire.reply

    def await_message(self, message_id: str) -> Message | None:
        """Wait for the reply to one message; None after the time-out.

        Raises
        ------
        Interrupted
            If the user asked to stop meanwhile.
        """
        deadline = time.monotonic() + self.plan.timeout_s
        while (left := deadline - time.monotonic()) > 0:
            for reply in wait_for(self.grid, [message_id], timeout_s=min(left, 0.5)):
                return reply
            if self.interrupted:
                raise Interrupted
        return None

    def note_reply(self, job: Job, reply: Message) -> None:
        """Note that the reply of ``job`` is in: its sizes are known, the client holds the state it made."""
        content = reply.content
        coded = config_record(content, CODED)
        payload = coded.get("payload") if coded is not None else None
        if isinstance(payload, bytes):
            job.uplink_bytes = len(payload)
        else:
            records = [r for r in content.values() if isinstance(r, ArrayRecord)]
            job.uplink_bytes = sum(len(a.data) for r in records for a in r.values())
        job.uplink_framed_bytes = framed_bytes(content)
        self.table.state[job.client] = job.counter
        if any(STATE_LOST in r for r in content.values() if isinstance(r, MetricRecord)):
            self.tally.states_lost += 1
            log(WARNING, "client %d has lost its state and starts afresh", job.client)

    def update_of(self, job: Job, reply: Message) -> tuple[Update, Mapping[str, float]]:
        """Decode a reply into an update and its metrics.

        Raises
        ------
        ProtocolError, CodecError, UpdateRefusedError
            If it is not the reply to such a job.
        """
        whose = f"the reply of client {job.client}"
        base = self.downlink[job.base_version].arrays
        record = single_metric_record(reply.content, whose)
        coded = config_record(reply.content, CODED)
        if coded is not None and self.options.codec is not None:
            payload = coded.get("payload")
            if not isinstance(payload, bytes):
                msg = f'{whose} has a record "{CODED}" without payload bytes'
                raise ProtocolError(msg)
            delta, _ = self.options.codec.decode(self._codec_start, payload)
        else:
            arrays = single_array_record(reply.content, whose)
            if list(arrays) != self.keys:
                msg = f"{whose} has arrays {list(arrays)[:8]}, expected {self.keys[:8]} ({len(self.keys)} in all)"
                raise ProtocolError(msg)
            delta = _minus(arrays_of(arrays), base, whose)
        num_examples = int(record[NUM_EXAMPLES])  # type: ignore[arg-type]
        metrics = {k: float(v) for k, v in record.items() if isinstance(v, int | float) and k != NUM_EXAMPLES}
        update = Update(
            client=job.client, delta=delta, base_version=job.base_version, num_examples=num_examples, base=base
        )
        return update, metrics

    # Ends of jobs.

    def close_job(self, job: Job, outcome: str) -> float:
        """End ``job`` now: charge what it spent, forget its message; return its energy [J]."""
        charge = self.options.network.energy_until(job.price, self.charged_until_s(job, outcome))
        base = self.downlink[job.base_version]
        start, upload = job.price.start, job.price.upload
        down = _share(charge.download_s, start.download_s)
        up = 0.0 if upload is None else _share(charge.upload_s, upload.upload_s)
        self.ledger.book(
            job.client,
            "downlink",
            energy_j=charge.download_energy_j,
            time_s=charge.download_s,
            payload_bytes=int(down * self._payload_bytes(job.client, base)),
            framed_bytes=int(down * base.framed_bytes),
        )
        self.ledger.book(job.client, "compute", energy_j=charge.compute_energy_j, time_s=charge.compute_s)
        self.ledger.book(
            job.client,
            "uplink",
            energy_j=charge.upload_energy_j,
            time_s=charge.upload_s,
            payload_bytes=int(up * job.uplink_bytes),
            framed_bytes=int(up * job.uplink_framed_bytes),
        )
        del self.jobs[job.client]
        self.wires.pop(job.client, None)
        self.downlink.release(job.base_version)
        return charge.energy_j

    def merge(self, job: Job, reply: Message) -> bool:
        """Take in the arrived reply of ``job`` and end it; False if it is refused."""
        base = self.downlink[job.base_version]
        try:
            update, metrics = self.update_of(job, reply)
            before, staleness = self.version, self.version - update.base_version
            if self.plan.barrier:
                accept(self.aggregator.arrays(self.state), update, version=before)
            else:
                self.state = self.aggregator.apply(self.state, update)
        except (ProtocolError, CodecError, UpdateRefusedError) as error:
            self.tally.refused += 1
            self.close_job(job, "refused")
            self.emit("refused", **self._where(job), reason=str(error))
            self.count_failure(job.client, str(error))
            return False
        if self.plan.barrier:
            self.pending.append(replace(update, base=None))
        if self.members[job.client].plain:
            self.table.num_examples[job.client] = update.num_examples
        self.table.acknowledged[job.client] = job.counter
        self.table.failures[job.client] = 0
        self.num_failures = 0
        self.tally.updates += 1
        energy_j = self.close_job(job, "merged")
        self.result.train_metrics_clientapp[before + 1] = MetricRecord(dict(metrics))
        self.emit(
            "merge",
            merge=before + 1,
            **self._where(job),
            wall_s=self.wall_s(),
            base_version=job.base_version,
            staleness=staleness,
            weight=self._last_weight(),
            num_examples=update.num_examples,
            uplink_bytes=job.uplink_bytes,
            uplink_framed_bytes=job.uplink_framed_bytes,
            downlink_bytes=self._payload_bytes(job.client, base),
            raw_bytes=self.raw_bytes,
            energy_j=energy_j,
            metrics=dict(metrics),
        )
        if self.version > before:
            self.after_merge()
        return True

    def flush_barrier(self) -> None:
        """Merge the updates of a finished round, if any came."""
        updates, self.pending = self.pending, []
        if updates:
            self.state = self.aggregator.apply(self.state, combine(updates))
            self.after_merge()

    def fail(self, job: Job, reply: Message | None) -> None:
        """``job`` ended in an error."""
        reason = "no answer in time" if reply is None else f"error {reply.error.code}: {_last_line(reply.error.reason)}"
        self.tally.errors += 1
        self.close_job(job, "error")
        self.emit("error", **self._where(job), reason=reason)
        self.count_failure(job.client, reason)

    def count_failure(self, client: int, reason: str) -> None:
        """Note one more failure in a row.

        Raises
        ------
        RunFailedError
            When the error budget is spent.
        """
        self.table.failures[client] += 1
        self.num_failures += 1
        if self.num_failures > self.options.error_budget:
            msg = (
                f"{self.num_failures} errors and refusals without a merge in between (error budget "
                f"{self.options.error_budget}); the last, of client {client}: {reason}"
            )
            raise RunFailedError(msg)

    def pause_s(self, client: int) -> float:
        """Pause of a client after its last failure [s]."""
        return float(self.options.backoff_s * 2.0 ** min(int(self.table.failures[client]) - 1, 20))

    def _where(self, job: Job) -> dict[str, Any]:
        return {"time_s": self.now_s(), "client": job.client, "counter": job.counter}

    # After merges.

    def after_merge(self) -> None:
        """Evaluate, check the rules to stop and write a checkpoint, each when it is due."""
        every = self.options.evaluate_every
        if every and self.version % every == 0:
            self.evaluate()
        self.check_stop()
        every = self.options.checkpoint_every
        if every and self.version % every == 0:
            self.checkpoint(scheduled=True)

    def check_stop(self) -> None:
        """Note the reason to stop, if there is one."""
        stop = self.options.stop
        spent = self.ledger.total()
        if stop.energy_j and spent.energy_j >= stop.energy_j:
            self.stop_reason = f"{spent.energy_j:.6g} J spent, budget {stop.energy_j:g} J"
        elif stop.payload_bytes and spent.payload_bytes >= stop.payload_bytes:
            self.stop_reason = f"{spent.payload_bytes} bytes sent, budget {stop.payload_bytes} bytes"
        elif stop.time_s and self.now_s() >= stop.time_s:
            self.stop_reason = f"{self.now_s():.6g} s passed, budget {stop.time_s:g} s"

    @property
    def done(self) -> bool:
        """Whether all merges are made or a rule says stop."""
        return self.version >= self.plan.num_merges or bool(self.stop_reason)

    def evaluate(self) -> None:
        """Evaluate the served arrays: centrally, and on the clients."""
        version = self.version
        served = self.served()
        scores: Scores = {}
        if self.plan.evaluate_fn is not None:
            record = self.plan.evaluate_fn(version, array_record(self.keys, served))
            if record is not None:
                self.server_scores[version] = _floats(record)
                self.result.evaluate_metrics_serverapp[version] = record
                scores |= self.server_scores[version]
        if self.options.evaluate_clients:
            self.client_scores[version] = self._evaluate_clients(version, served)
            self.result.evaluate_metrics_clientapp[version] = MetricRecord(dict(self.client_scores[version]))
            scores |= self.client_scores[version]
        if not scores:
            return
        self.emit("evaluate", merge=version, time_s=self.now_s(), wall_s=self.wall_s(), metrics=scores)
        stop = self.options.stop
        if stop.metric and scores.get(stop.metric, -np.inf) >= stop.target:
            self.stop_reason = f"{stop.metric} reached {scores[stop.metric]:.4f}, target {stop.target:g}"

    def clients_to_evaluate(self) -> Iterable[int]:
        """Clients that are asked to evaluate."""
        return sorted(self.members)

    def _evaluate_clients(self, version: int, served: Arrays) -> Scores:
        """Average each metric over the clients that report it, weighted by their ``num-examples``."""
        self.before_evaluation()
        base = self.downlink.encode(version, served)
        sums: dict[str, float] = {}
        weights: dict[str, float] = {}
        waiting: list[tuple[int, str]] = []
        for client in self.clients_to_evaluate():
            content = self._content(client, base, self.plan.evaluate_config, version)
            content[TERMS] = terms_record(self._terms(client, 0, int(self.table.state[client])))
            waiting.append((client, self._push(client, content, MessageType.EVALUATE, version)))
        for client, message_id in waiting:
            reply = self.await_message(message_id) if message_id else None
            if reply is None or reply.has_error():
                reason = "no answer" if reply is None else _last_line(reply.error.reason)
                log(WARNING, "evaluation on client %d failed: %s", client, reason)
                continue
            self.ledger.book(
                client,
                "evaluate",
                payload_bytes=self._payload_bytes(client, base),
                framed_bytes=base.framed_bytes + framed_bytes(reply.content),
            )
            try:
                record = single_metric_record(reply.content, f"the evaluation of client {client}")
            except ProtocolError as error:
                log(WARNING, "%s", error)
                continue
            weight = float(record[NUM_EXAMPLES])  # type: ignore[arg-type]
            for key, value in _floats(record).items():
                if key != NUM_EXAMPLES and np.isfinite(value):
                    sums[key] = sums.get(key, 0.0) + weight * value
                    weights[key] = weights.get(key, 0.0) + weight
        return {key: sums[key] / weights[key] for key in sums if weights[key] > 0}

    # The end.

    def finish(self) -> Result:
        """Evaluate if that is still due, say why the run stopped, and return its result."""
        if self.version not in self.client_scores and self.version not in self.server_scores:
            self.evaluate()
        reason = self.stop_reason or f"{self.version} merges made"
        self.emit("stop", merge=self.version, time_s=self.now_s(), reason=reason)
        self.result.arrays = array_record(self.keys, self.served())
        log(INFO, "run %s ended: %s", self.options.run_name, reason)
        return self.result

    def served(self) -> Arrays:
        """Return the arrays that are evaluated and saved: the aggregator's choice, else the current ones."""
        choose = getattr(self.aggregator, "served", self.aggregator.arrays)
        arrays: Arrays = choose(self.state)
        return arrays

    def _last_weight(self) -> float | None:
        last = getattr(self.state, "last", None)
        return None if last is None or self.plan.barrier else float(last.weight)

    def arrays_sha256(self) -> str:
        """Hash of the current arrays with shapes and dtypes."""
        return digest(self.aggregator.arrays(self.state))

    def wall_s(self) -> float:
        """Real time since the start, time before a resume included [s]."""
        return time.monotonic() - self._began_s

    def emit(self, event: str, **fields: Any) -> None:
        """Tell the observer."""
        if event != "resume":
            self.num_events += 1
        self.options.observer.write({"event": event, **fields})


_NO_PRICE = JobPrice(
    dispatched_s=0.0,
    start=StartPrice(download_s=0.0, compute_s=0.0, download_energy_j=0.0, compute_energy_j=0.0),
    upload=UploadPrice(upload_s=0.0, energy_j=0.0),
)


def _share(part: float, whole: float) -> float:
    return 1.0 if whole <= 0 else min(1.0, part / whole)


def _minus(new: Arrays, base: Arrays, whose: str) -> Arrays:
    differences = []
    for place, (n, b) in enumerate(zip(new, base, strict=True)):
        if n.shape != b.shape or n.dtype.kind not in "fiub":
            msg = f"{whose} has array {place} of {n.dtype} {n.shape}, expected {b.dtype} {b.shape}"
            raise ProtocolError(msg)
        differences.append(np.subtract(n, b, dtype=b.dtype, casting="unsafe"))
    return tuple(differences)


def _floats(record: MetricRecord) -> Scores:
    return {k: float(v) for k, v in record.items() if isinstance(v, int | float)}


def _last_line(reason: str | None) -> str:
    lines = [line.strip() for line in (reason or "").strip().splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"
