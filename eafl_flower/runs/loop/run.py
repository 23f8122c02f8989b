"""One run of a strategy: dispatch, merge, evaluate and checkpoint, whatever decides what comes next.

``virtual_time.VirtualRun`` takes the next event of a virtual clock, ``wall_time.WallRun`` the next reply that
comes. Both share what is here. All arithmetic is elsewhere: merging in ``aggregation``, prices in ``simulation``.
"""

import time
from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from logging import INFO, WARNING
from typing import Any

from flwr.app import Message
from flwr.serverapp.strategy import Result

from eafl_flower.aggregation.acceptance import Merged, accept
from eafl_flower.aggregation.barrier import bounded, combine
from eafl_flower.core.excerpt import excerpt
from eafl_flower.energy.ledger import Ledger
from eafl_flower.engines.flower_internals import copy_record
from eafl_flower.engines.flower_log import log
from eafl_flower.errors import CodecError, EAFLError, ProtocolError, RunFailedError, UpdateRefusedError
from eafl_flower.runs.changed_updates import tell_changes, tell_scaled
from eafl_flower.runs.charges import Spent
from eafl_flower.runs.explosion import Explosion
from eafl_flower.runs.jobs import ClientTable, Job
from eafl_flower.runs.keeping.autosave import Autosave
from eafl_flower.runs.keeping.signals import interrupts
from eafl_flower.runs.keeping.snapshot import Scores, Snapshot
from eafl_flower.runs.keeping.take_up import take_up
from eafl_flower.runs.members.mailbox import Interrupted, Mailbox
from eafl_flower.runs.members.roster import Roster, take_roster
from eafl_flower.runs.members.roster_answers import MOST_CLIENTS
from eafl_flower.runs.open_jobs import OpenJobs
from eafl_flower.runs.pace import Pace, announce, updates_in_a_round
from eafl_flower.runs.plan import Plan
from eafl_flower.runs.progress import Progress
from eafl_flower.runs.scoring.evaluation import evaluate_on_clients, sample
from eafl_flower.runs.scoring.train_metrics import NEWEST_KEPT, TrainMetrics
from eafl_flower.runs.tally import Tally
from eafl_flower.types import Arrays, Update, digest, layout_of
from eafl_flower.wire.records import NUM_EXAMPLES, array_record, own_arrays_of
from eafl_flower.wire.replies import MOST_WORDS, is_out_of_step, reason_of, state_was_lost
from eafl_flower.wire.reported import scores_of
from eafl_flower.wire.unregistered import advice, no_tracebacks

MOST_BYTES_OF_MODELS = 2**31  # that an aggregator may keep of its clients


class FederatedRun:
    """State and steps of one run.

    Between two steps of the clock the state is consistent: only there it is evaluated and stored.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan, self.options = plan, plan.options
        self.keys = list(plan.initial_arrays)
        self.initial: Arrays = own_arrays_of(plan.initial_arrays)
        self.layout = layout_of(self.initial)
        self.raw_bytes = sum(a.nbytes for a in self.initial)
        self.mail = Mailbox(plan.grid, plan.timeout_s)
        self.jobs = OpenJobs(plan, self.mail, self.keys, self.layout)
        options = self.options
        self.pending: list[Update] = []
        self.lost_states: dict[int, int] = {}
        self.tally = Tally()
        keep = NEWEST_KEPT if options.unit == "merges" else 0
        self.train_metrics = TrainMetrics(options.train_metrics_aggr_fn, options.weighted_by_key, keep=keep)
        self.explosion = Explosion()
        self.progress = Progress(plan.num_rounds)
        self.result = Result(
            arrays=copy_record(plan.initial_arrays), train_metrics_clientapp=self.train_metrics.records
        )
        self.client_scores: dict[int, Scores] = {}
        self.server_scores: dict[int, Scores] = {}
        self.num_events = self.in_flight = 0
        self.settled = self.evaluated = -1
        self.stop_reason = ""
        self.began_s = time.monotonic()
        self.autosave = Autosave()

    # What a clock adds.

    time_unit = "s"  # of its time, in words

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
        with no_tracebacks():
            return self._execute()

    def _execute(self) -> Result:
        options = self.options
        # Ctrl-C while nodes are waited for stops at once: there is nothing to keep yet.
        roster = take_roster(
            self.plan.grid,
            min_nodes=max(options.min_available_nodes, options.min_train_nodes if options.unit == "rounds" else 0),
            timeout_s=options.node_timeout_s,
            most=self.most_clients,
            ask_mods=options.codec is not None,
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
            text = (
                "%d nodes get plain arrays, the codec is not used with them: only a ClientApp that answers the roster "
            )
            text += "query, as one with compression_mod does on a node that knows its partition-id, is known to decode"
            log(WARNING, text, plain)
        self.check_members()
        self.trainers = trainers = [m.client for m in roster.members if m.trains]
        if not trainers:
            msg = f"none of the {len(jobs.members)} nodes trains: one must answer the roster query with trains = 1"
            raise RunFailedError(msg)
        size = updates_in_a_round(options, len(trainers))
        self.pace = Pace(unit=options.unit, round_size=size, barrier=self.plan.barrier)
        self.set_in_flight(len(trainers))
        self.state = self.aggregator.init(self.initial)
        jobs.table = ClientTable.of_size(max(jobs.members) + 1)
        if options.resume:
            take_up(self)
            self.in_flight = 0  # a round's worth stays what it was, and the aggregator is made for it
            self.set_in_flight(len(trainers))
        for member in jobs.members.values():
            if member.counted or not options.resume:  # what a first reply told is in the checkpoint
                jobs.note_examples(member)
        if options.unit == "rounds":
            announce(self.pace, self.plan.num_rounds, clients=len(trainers), in_flight=self.in_flight)
        self.emit(
            "resume" if options.resume else "start",
            merge=self.version,
            time_s=self.now_s(),
            clients=len(trainers),
            in_flight=self.in_flight,
            merges_planned=self.pace.planned_merges(self.plan.num_rounds),
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
        options = self.options
        sampled = self.pace.round_size if options.fraction_train < 1 else num_trainers
        in_flight = min(options.concurrency or sampled, num_trainers)
        if in_flight != self.in_flight:
            self.in_flight = in_flight
            self.aggregator = self.plan.make_aggregator(max(1, in_flight), self._models_kept(max(1, in_flight)))

    def _models_kept(self, in_flight: int) -> int:
        """Return the clients of a round's worth, as far as memory for a model of each may be taken."""
        wanted, room = max(self.pace.round_size, in_flight), MOST_BYTES_OF_MODELS // max(1, self.raw_bytes)
        if room < wanted and not self.plan.barrier:
            text = "a mean of the clients' newest models is one of the newest %d, not %d: each takes %d bytes"
            log(INFO, text, max(room, in_flight), wanted, self.raw_bytes)
        return wanted if room >= wanted else max(room, in_flight)

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
    def count(self) -> int:
        """Number of whole units (rounds' worth, or merges) done."""
        return self.pace.done(merges=self.version, updates=self.tally.updates)

    @property
    def number(self) -> int:
        """The same, one that has begun included: the number of an evaluation now."""
        return self.pace.begun(merges=self.version, updates=self.tally.updates)

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

    def open_job(self, client: int, ends_s: float) -> Job:
        """Make the next job of ``client`` from the current arrays; it is not sent yet."""
        return self.jobs.open(
            client,
            version=self.version,
            server_round=self.pace.server_round(merges=self.version, updates=self.tally.updates),
            arrays=self.aggregator.arrays(self.state),
            now_s=self.now_s(),
            ends_s=ends_s,
        )

    def note_reply(self, job: Job, reply: Message) -> None:
        """Note that the reply of ``job`` is in."""
        self.jobs.note_reply(job, reply)
        upload = self.options.network.upload(job.client, job.uplink_bytes)
        job.price = replace(job.price, upload=upload)
        if state_was_lost(reply.content):
            self.note_lost_state(job.client, job.load)

    def note_lost_state(self, client: int, load: int) -> None:
        """Count the state ``load`` of a client as lost, once however often it is asked for."""
        if self.lost_states.get(client) != load:
            self.lost_states[client] = load
            self.tally.states_lost += 1
            log(WARNING, "client %d has lost its state and starts afresh", client)

    def merge(self, job: Job, reply: Message) -> bool:
        """Take in the arrived reply of ``job`` and end it; False if it is refused."""
        jobs, before = self.jobs, self.version
        try:
            update, metrics, decoder = jobs.receive(job, reply.content)
            if self.plan.barrier:
                accept(self.aggregator.arrays(self.state), update, version=before)
            else:
                self.state = self.aggregator.apply(self.state, update)
        except (ProtocolError, CodecError, UpdateRefusedError) as error:
            self._refuse(job, reply, error)
            return False
        if self.plan.barrier:
            self.pending.append(replace(update, base=None))
        if not jobs.members[job.client].counted and self.options.weighted_by_key == NUM_EXAMPLES:
            jobs.table.num_examples[job.client] = update.num_examples
        jobs.merged(job, decoder)
        jobs.table.failures[job.client] = 0
        self.tally.merged()
        last = self._last
        tell_changes(jobs.notes, job.client, last, ends_first_round=self.version == self.pace.round_size)
        spent = jobs.close(job, self.charged_until_s(job, "merge"))
        self.train_metrics.note(metrics, update.num_examples)
        self.progress.merged(before - job.base_version)
        self.explosion.note(before + 1, last.norm if last else None, metrics)
        event = self.emit(
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
            metrics=dict(metrics),
        )
        self._close_unit()
        if self.options.on_merge is not None:
            self.options.on_merge(before + 1, event)
        return True

    def _close_unit(self) -> None:
        """Aggregate what clients reported of their training, if a unit has just been done."""
        if self.count > self.train_metrics.closed:
            self.progress.trained(self.train_metrics.close(self.count) or {})

    def flush_barrier(self) -> None:
        """Merge the updates of a finished round, if any came; their order does not depend on who was first."""
        updates, self.pending = sorted(self.pending, key=lambda u: u.client), []
        if updates:
            updates, scaled = bounded(updates, getattr(self.aggregator, "norm_guard", 0.0))
            for client, (norm, limit) in scaled.items():
                tell_scaled(self.jobs.notes, client, norm, limit)
            self.state = self.aggregator.apply(self.state, combine(updates))
            self._close_unit()

    def _refuse(self, job: Job, reply: Message, error: EAFLError) -> None:
        """End ``job`` without its update; its client goes on from the state before it, for both are of one kind.

        A client that lost what its arrays build on did nothing wrong: it gets whole arrays at once. One whose payload
        cannot be decoded may remember other uploads than the server, and would be refused for ever: its stream
        starts afresh.
        """
        self.tally.refused += 1
        reason = excerpt(str(error), MOST_WORDS)
        if is_out_of_step(job.onto, reply.content):
            self.jobs.forget(job)
            self.end(job, "refused", reason=reason)
            return
        self.jobs.table.state[job.client] = job.load
        if isinstance(error, CodecError):
            self.jobs.wire.restart(job.client)
        self.end(job, "refused", reason=reason)
        self._count_failure(job.client, reason)

    def fail(self, job: Job, reply: Message | None) -> None:
        """``job`` ended in an error."""
        wire = self.jobs.wires.get(job.client)
        reason = reason_of(reply) if wire is not None and wire.message_id else "its node is not there"
        reason += advice(reason)
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

    @property
    def _last(self) -> Merged | None:
        """How the newest update was merged, if its aggregator tells; nothing is known before a barrier is reached."""
        return None if self.plan.barrier else getattr(self.state, "last", None)

    def _last_merge(self) -> dict[str, float | None]:
        """Return the same as fields of an event."""
        last = self._last
        if last is None:
            return {"weight": None}
        known: dict[str, float | None] = {"weight": float(last.weight)}
        if last.scale < 1:
            known["scale"] = float(last.scale)
        if last.objective_after is not None:
            known |= {"objective_before": last.objective_before, "objective_after": last.objective_after}
        return known

    # After merges.

    def settle(self) -> None:
        """Evaluate, look at the rules to stop and write a checkpoint, each when it is due after a unit."""
        count, options = self.count, self.options
        if count == self.settled:
            if options.stop.has_budget and not (self.plan.barrier and len(self.jobs)):
                self.stop_reason = self.stop_reason or options.stop.spent(self.ledger, self.now_s())
            return
        every = options.evaluate_every
        if count and every and count % every == 0:
            self.evaluate()
        elif count == 0 and (options.evaluate_first or options.unit == "rounds"):
            self.evaluate(on_clients=options.evaluate_first)
        self.stop_reason = self.stop_reason or options.stop.spent(self.ledger, self.now_s())
        self.settled = count
        self._tell()
        every = options.checkpoint_every
        if count and every and count % every == 0:
            self.checkpoint(scheduled=True)

    @property
    def done(self) -> bool:
        """Whether all units are done or a rule says stop."""
        return self.count >= self.plan.num_rounds or bool(self.stop_reason)

    def evaluate(self, *, on_clients: bool = True) -> None:
        """Evaluate the served arrays: centrally, and on the clients."""
        number, served, plan, options = self.number, self.served(), self.plan, self.options
        told = self.jobs.notes.total
        scores: Scores = {}
        clients = (
            sample(self.jobs, self.clients_to_evaluate(), number) if on_clients and options.evaluate_clients else []
        )
        if clients:  # first, because the user may interrupt it
            rounds = self.pace.evaluation_round(merges=self.version, updates=self.tally.updates)
            record = evaluate_on_clients(
                self.jobs,
                clients,
                plan.evaluate_config,
                version=self.version,
                served=served,
                note_lost=lambda client: self.note_lost_state(client, int(self.jobs.table.state[client])),
                server_round=rounds,
            )
            if not self.jobs.never_evaluate.issuperset(clients):
                scores = self.client_scores[number] = scores_of(record)
                self.result.evaluate_metrics_clientapp[number] = record
        if plan.evaluate_fn is not None:
            central = plan.evaluate_fn(number, array_record(self.keys, served))
            if central is not None:
                self.server_scores[number] = scores_of(central)
                self.result.evaluate_metrics_serverapp[number] = central
                scores = self.server_scores[number] | scores
        self.evaluated = number if on_clients else self.evaluated
        if not scores:
            return
        self.emit(
            "evaluate",
            merge=self.version,
            time_s=self.now_s(),
            wall_s=self.wall_s(),
            left_out=self.jobs.notes.total - told,
            metrics=scores,
        )
        if options.on_evaluate is not None:
            options.on_evaluate(number, array_record(self.keys, served), scores)
        stop = options.stop
        if stop.metric and stop.metric not in scores:
            log(WARNING, "no evaluation reports %s, which the run is to stop at: there are %s", stop.metric, [*scores])
        self.stop_reason = stop.reached(scores) or self.stop_reason

    def _tell(self) -> None:
        """Log how far the run is, where it counts rounds' worth."""
        if self.options.unit == "rounds" and (number := self.number):
            scores = self.client_scores.get(number, {}) | self.server_scores.get(number, {})
            self.progress.tell(number, merges=self.version, time=f"{self.now_s():.6g} {self.time_unit}", scores=scores)

    def finish(self) -> Result:
        """Evaluate if that is still due, charge open jobs until now, say why the run stopped; return its result."""
        if self.number > self.train_metrics.closed:
            self.progress.trained(self.train_metrics.close(self.number) or {})
        if self.number not in (self.evaluated, *self.client_scores, *self.server_scores):
            self.evaluate()
        self._tell()
        for job in tuple(self.jobs):
            spent = self.jobs.close(job, self.charged_until_s(job, "unfinished"))
            self.emit("unfinished", **self._where(job), **spent.fields())
        reason = self.stop_reason or f"{self.version} merges made"
        self.emit("stop", merge=self.version, time_s=self.now_s(), reason=reason)
        self.result.arrays = array_record(self.keys, self.served())
        self.jobs.notes.tell_totals()
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

    @cached_property
    def initial_sha256(self) -> str:
        """Hash of the arrays the run was given to start from."""
        return digest(self.initial)

    def wall_s(self) -> float:
        """Real time since the start, time before a resume included [s]."""
        return time.monotonic() - self.began_s

    def emit(self, event: str, **fields: Any) -> dict[str, Any]:
        """Tell the observer; return what it was told."""
        if event != "resume":
            self.num_events += 1
        told = {"event": event, **fields}
        self.options.observer.write(told)
        return told
