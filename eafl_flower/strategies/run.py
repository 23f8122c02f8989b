"""One run of a strategy: dispatch, merge, evaluate and checkpoint, whatever decides what comes next.

``virtual_time.VirtualRun`` takes the next event of a virtual clock, ``wall_time.WallRun`` the next reply that
comes. Both share what is here. All arithmetic is elsewhere: merging in ``aggregation``, prices in ``simulation``.
"""

import time
from collections.abc import Iterable
from dataclasses import replace
from logging import INFO, WARNING
from typing import Any

from flwr.app import Message, MetricRecord
from flwr.common.logger import log
from flwr.serverapp.strategy import Result

from eafl_flower.aggregation.acceptance import accept
from eafl_flower.aggregation.barrier import combine
from eafl_flower.energy.ledger import Ledger
from eafl_flower.errors import CodecError, EAFLError, ProtocolError, RunFailedError, UpdateRefusedError
from eafl_flower.strategies.autosave import Autosave
from eafl_flower.strategies.charges import Spent
from eafl_flower.strategies.evaluation import evaluate_on_clients
from eafl_flower.strategies.job import ClientTable, Job
from eafl_flower.strategies.keeping import take_up
from eafl_flower.strategies.mailbox import Interrupted, Mailbox
from eafl_flower.strategies.open_jobs import OpenJobs
from eafl_flower.strategies.plan import Plan
from eafl_flower.strategies.records import array_record, arrays_of
from eafl_flower.strategies.replies import UpdateReader, is_out_of_step, reason_of, scores_of, state_was_lost
from eafl_flower.strategies.roster import MOST_CLIENTS, Roster, take_roster
from eafl_flower.strategies.signals import interrupts
from eafl_flower.strategies.snapshot import Scores, Snapshot
from eafl_flower.strategies.tally import Tally
from eafl_flower.types import Arrays, Update, digest, layout_of


class FederatedRun:
    """State and steps of one run.

    Between two steps of the clock the state is consistent: only there it is evaluated and stored.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan, self.options = plan, plan.options
        self.keys = list(plan.initial_arrays)
        self.initial: Arrays = arrays_of(plan.initial_arrays)
        self.layout = layout_of(self.initial)
        self.raw_bytes = sum(a.nbytes for a in self.initial)
        self.mail = Mailbox(plan.grid, plan.timeout_s)
        self.jobs = OpenJobs(plan, self.mail, self.keys, self.layout)
        self.reader = UpdateReader(self.keys, self.layout, self.options.codec, self.options.seed)
        self.pending: list[Update] = []
        self.tally = Tally()
        self.result = Result(arrays=plan.initial_arrays)
        self.client_scores: dict[int, Scores] = {}
        self.server_scores: dict[int, Scores] = {}
        self.num_events = self.in_flight = 0
        self.settled = -1
        self.stop_reason = ""
        self.began_s = time.monotonic()
        self.autosave = Autosave()

    # What a clock adds.

    def now_s(self) -> float:
        """Time of the run [s]."""
        raise AssertionError("a clock defines the time")

    def begin(self) -> None:
        """Make the first clients idle or, in a run that resumes, send the open jobs again."""
        raise AssertionError("a clock knows who is there")

    def advance(self) -> None:
        """Give idle clients jobs, and take the next event."""
        raise AssertionError("a clock takes the next event")

    def check_members(self) -> None:
        """Raise ``RunFailedError`` if the run cannot start with the clients that are there."""

    @property
    def most_clients(self) -> int:
        """Largest number of partitions that a node is believed."""
        return MOST_CLIENTS

    def queue_snapshot(self) -> tuple[Any, ...]:
        """Events to come, for a checkpoint."""
        return ()

    def restore_clock(self, stored: Snapshot) -> None:
        """Take up what the clock needs of a checkpoint."""

    def charged_until_s(self, job: Job, outcome: str) -> float:
        """When ``job`` stopped spending [s]."""
        return self.now_s()

    def clients_away(self) -> tuple[int, ...]:
        """Clients whose node is not there, for a checkpoint."""
        return ()

    def clients_not_awaited(self) -> frozenset[int]:
        """Clients that a run that resumes need not wait for."""
        return frozenset()

    def clients_to_evaluate(self) -> Iterable[int]:
        """Clients that are asked to evaluate."""
        return sorted(self.jobs.members)

    # From start to end.

    def execute(self) -> Result:
        """Run to the end.

        Raises
        ------
        RunFailedError
            If the error budget is spent or no client is left.
        CheckpointError
            If the run is to be resumed and its checkpoint cannot be used.
        KeyboardInterrupt
            On Ctrl-C, SIGTERM or SIGHUP (then ``Stopped``), after a checkpoint was written if the run had told that it
            starts.
        """
        options = self.options
        # Ctrl-C while nodes are waited for stops at once: there is nothing to keep yet.
        roster = take_roster(
            self.plan.grid,
            min_nodes=options.min_available_nodes,
            timeout_s=options.node_timeout_s,
            most=self.most_clients,
            absent=self.clients_not_awaited(),
        )
        with interrupts(self.mail):
            try:
                self.prepare(roster)
                self.begin()
                self.settle()
                while not self.done:
                    self.autosave.look(self)
                    self.advance()
                    if self.mail.interrupted:
                        raise Interrupted
                    self.settle()
                self.checkpoint()  # what comes after training may be interrupted, too
                result = self.finish()
            except Interrupted:
                self.checkpoint()
                log(INFO, "run %s stopped after %d merges", self.options.run_name, self.version)
                raise self.mail.reason from None
            if self.mail.interrupted:  # when nobody looked any more
                raise self.mail.reason
        return result

    def prepare(self, roster: Roster) -> None:
        """Take in the clients, make the aggregator and, when resuming, take up the checkpoint."""
        options, jobs = self.options, self.jobs
        self.num_partitions = roster.num_partitions
        jobs.members |= {m.client: m for m in roster.members}
        if options.codec is not None and (plain := sum(m.plain for m in roster.members)):
            text = "%d nodes get plain arrays, the codec is not used with them: only a ClientApp that answers the "
            log(WARNING, text + "roster query, as that of numpy_client_app does, is known to decode", plain)
        self.check_members()
        self.trainers = trainers = [m.client for m in roster.members if m.trains]
        if not trainers:
            msg = f"none of the {len(jobs.members)} nodes trains: one must answer the roster query with trains = 1"
            raise RunFailedError(msg)
        self.set_in_flight(len(trainers))
        self.state = self.aggregator.init(self.initial)
        jobs.table = ClientTable.of_size(max(jobs.members) + 1)
        if options.resume:
            take_up(self)
        for member in jobs.members.values():
            if not (member.plain and options.resume):  # what a plain client's first reply told is in the checkpoint
                jobs.table.num_examples[member.client] = member.num_examples
        self.emit(
            "resume" if options.resume else "start",
            merge=self.version,
            time_s=self.now_s(),
            clients=len(trainers),
            in_flight=self.in_flight,
            merges_planned=self.plan.num_merges,
            parameters=sum(s.size for s in self.layout),
            raw_bytes=self.raw_bytes,
            uploads=self.tally.updates,
            events=self.num_events,
        )

    def set_in_flight(self, num_trainers: int) -> None:
        """Let as many jobs be open as there are clients that train, and settings allow.

        The aggregator is made for this number, so another number needs another one. It goes on from the state
        of the last one: an aggregator is only its settings.
        """
        in_flight = min(self.options.concurrency or num_trainers, num_trainers)
        if in_flight != self.in_flight:
            self.in_flight = in_flight
            self.aggregator = self.plan.make_aggregator(max(1, in_flight))

    def checkpoint(self, *, scheduled: bool = False) -> None:
        """Write a checkpoint, if the run has a file for it; only a scheduled one is an event of the run."""
        if self.options.checkpoint is None:
            return
        if scheduled:
            self.emit("checkpoint", merge=self.version, time_s=self.now_s())
        self.autosave.write(self)

    # Jobs and merges.

    @property
    def version(self) -> int:
        """Number of merges so far."""
        return int(self.state.version)

    @property
    def ledger(self) -> Ledger:
        """What ended jobs have spent."""
        return self.jobs.ledger

    def open_job(self, client: int, ends_s: float) -> Job:
        """Make the next job of ``client`` from the current arrays; it is not sent yet."""
        arrays = self.aggregator.arrays(self.state)
        return self.jobs.open(client, version=self.version, arrays=arrays, now_s=self.now_s(), ends_s=ends_s)

    def note_reply(self, job: Job, reply: Message) -> None:
        """Note that the reply of ``job`` is in."""
        self.jobs.note_reply(job, reply)
        upload = self.options.network.upload(job.client, job.uplink_bytes)
        job.price = replace(job.price, upload=upload)
        if state_was_lost(reply.content):
            self.tally.states_lost += 1
            log(WARNING, "client %d has lost its state and starts afresh", job.client)

    def merge(self, job: Job, reply: Message) -> bool:
        """Take in the arrived reply of ``job`` and end it; False if it is refused."""
        jobs, before = self.jobs, self.version
        try:
            base, key = jobs.base_of(job), jobs.key_of(job.client)
            read = self.reader.read(job, reply.content, base, jobs.decoder_of(job), key)
            update = read.update
            if self.plan.barrier:
                accept(self.aggregator.arrays(self.state), update, version=before)
            else:
                self.state = self.aggregator.apply(self.state, update)
        except (ProtocolError, CodecError, UpdateRefusedError) as error:
            self._refuse(job, reply, error)
            return False
        if self.plan.barrier:
            self.pending.append(replace(update, base=None))
        if jobs.members[job.client].plain:
            jobs.table.num_examples[job.client] = update.num_examples
        jobs.merged(job, read.decoder)
        jobs.table.failures[job.client] = 0
        self.tally.merged()
        spent = jobs.close(job, self.charged_until_s(job, "merge"))
        self.result.train_metrics_clientapp[before + 1] = MetricRecord(dict(read.metrics))
        self.emit(
            "merge",
            merge=before + 1,
            **self._where(job),
            wall_s=self.wall_s(),
            base_version=job.base_version,
            staleness=before - job.base_version,
            **self._last_merge(),
            num_examples=update.num_examples,
            raw_bytes=self.raw_bytes,
            **spent.fields(),
            metrics=dict(read.metrics),
        )
        return True

    def flush_barrier(self) -> None:
        """Merge the updates of a finished round, if any came; their order does not depend on who was first."""
        updates, self.pending = sorted(self.pending, key=lambda u: u.client), []
        if updates:
            self.state = self.aggregator.apply(self.state, combine(updates))

    def _refuse(self, job: Job, reply: Message, error: EAFLError) -> None:
        """End ``job`` without its update; its client goes on from the state before it, for both are of one kind.

        A client that lost what its arrays build on did nothing wrong: it gets whole arrays at once. One whose payload
        cannot be decoded may remember other uploads than the server, and would be refused for ever: its stream
        starts afresh.
        """
        self.tally.refused += 1
        reason = str(error)
        if is_out_of_step(job, reply.content):
            self.jobs.forget(job)
            self.end(job, "refused", reason=reason)
            return
        self.jobs.table.state[job.client] = job.load
        if isinstance(error, CodecError) and self.jobs.streams is not None:
            self.jobs.streams.restart(job.client)
        self.end(job, "refused", reason=reason)
        self._count_failure(job.client, reason)

    def fail(self, job: Job, reply: Message | None) -> None:
        """``job`` ended in an error."""
        wire = self.jobs.wires.get(job.client)
        reason = reason_of(reply) if wire is not None and wire.message_id else "its node is not there"
        self.tally.errors += 1
        self.end(job, "error", reason=reason)
        self._count_failure(job.client, reason)

    def end(self, job: Job, outcome: str, **fields: Any) -> Spent:
        """End ``job`` without an update: book what it spent, and tell.

        Raises
        ------
        RunFailedError
            If no job has led to an update for very long.
        """
        spent = self.jobs.close(job, self.charged_until_s(job, outcome))
        self.emit(outcome, **self._where(job), **spent.fields(), **fields)
        self.tally.ended(job.client, outcome, in_flight=self.in_flight)
        return spent

    def _count_failure(self, client: int, reason: str) -> None:
        self.jobs.table.failures[client] += 1
        self.tally.failed(client, reason, budget=self.options.error_budget)

    def pause_s(self, client: int) -> float:
        """Pause of a client after its last failure, if it has failed since its last merged update [s]."""
        failures = int(self.jobs.table.failures[client])
        return float(self.options.backoff_s * 2.0 ** min(failures - 1, 20)) if failures else 0.0

    def _where(self, job: Job) -> dict[str, Any]:
        return {"time_s": self.now_s(), "client": job.client, "counter": job.counter}

    def _last_merge(self) -> dict[str, float | None]:
        """Return how the newest update was merged; nothing is known before a barrier is reached."""
        last = getattr(self.state, "last", None)
        if last is None or self.plan.barrier:
            return {"weight": None}
        known: dict[str, float | None] = {"weight": float(last.weight)}
        if last.objective_after is not None:
            known |= {"objective_before": last.objective_before, "objective_after": last.objective_after}
        return known

    # After merges.

    def settle(self) -> None:
        """Evaluate, look at the rules to stop and write a checkpoint, each when it is due after a merge."""
        version, options = self.version, self.options
        if version == self.settled:
            if options.stop.has_budget and not (self.plan.barrier and len(self.jobs)):
                self.stop_reason = self.stop_reason or options.stop.spent(self.ledger, self.now_s())
            return
        every = options.evaluate_every
        if options.evaluate_first if version == 0 else every and version % every == 0:
            self.evaluate()
        self.stop_reason = self.stop_reason or options.stop.spent(self.ledger, self.now_s())
        self.settled = version
        every = options.checkpoint_every
        if version and every and version % every == 0:
            self.checkpoint(scheduled=True)

    @property
    def done(self) -> bool:
        """Whether all merges are made or a rule says stop."""
        return self.version >= self.plan.num_merges or bool(self.stop_reason)

    def evaluate(self) -> None:
        """Evaluate the served arrays: centrally, and on the clients."""
        version, served, plan = self.version, self.served(), self.plan
        scores: Scores = {}
        if self.options.evaluate_clients:  # first, because the user may interrupt it
            clients = self.clients_to_evaluate()
            scores = evaluate_on_clients(self.jobs, clients, plan.evaluate_config, version=version, served=served)
            self.client_scores[version] = scores
            self.result.evaluate_metrics_clientapp[version] = MetricRecord(dict(scores))
        if plan.evaluate_fn is not None:
            record = plan.evaluate_fn(version, array_record(self.keys, served))
            if record is not None:
                self.server_scores[version] = scores_of(record)
                self.result.evaluate_metrics_serverapp[version] = record
                scores = self.server_scores[version] | scores
        if not scores:
            return
        self.emit("evaluate", merge=version, time_s=self.now_s(), wall_s=self.wall_s(), metrics=scores)
        stop = self.options.stop
        if stop.metric and stop.metric not in scores:
            log(WARNING, "no evaluation reports %s, which the run is to stop at: there are %s", stop.metric, [*scores])
        self.stop_reason = stop.reached(scores) or self.stop_reason

    def finish(self) -> Result:
        """Evaluate if that is still due, charge open jobs until now, say why the run stopped; return its result."""
        if self.version not in self.client_scores and self.version not in self.server_scores:
            self.evaluate()
        for job in tuple(self.jobs):
            spent = self.jobs.close(job, self.charged_until_s(job, "unfinished"))
            self.emit("unfinished", **self._where(job), **spent.fields())
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

    def arrays_sha256(self) -> str:
        """Hash of the current arrays with shapes and dtypes."""
        return digest(self.aggregator.arrays(self.state))

    def wall_s(self) -> float:
        """Real time since the start, time before a resume included [s]."""
        return time.monotonic() - self.began_s

    def emit(self, event: str, **fields: Any) -> None:
        """Tell the observer."""
        if event != "resume":
            self.num_events += 1
        self.options.observer.write({"event": event, **fields})
