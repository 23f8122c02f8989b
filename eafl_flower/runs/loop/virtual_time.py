"""Virtual time: the next event of the clock decides, so a run depends on its seed and nothing else.

Virtual time never passes the upload start of a job whose reply is not in: at such an event the loop waits
for that one reply, while all other clients train. Where the client itself decides how many epochs it makes, that is
the earliest its upload may start; when it really does, its reply tells.
"""

import math
from collections.abc import Iterable
from statistics import median
from typing import Any

from flwr.app import Message

from eafl_flower.core.orders import End
from eafl_flower.engines.local_grid import LocalGrid
from eafl_flower.errors import CheckpointError, RunFailedError
from eafl_flower.radio.transfers import alone
from eafl_flower.runs.charges import price_as_made
from eafl_flower.runs.clock import ClockSnapshot
from eafl_flower.runs.jobs import Job
from eafl_flower.runs.loop.merging import end, fail, flush_barrier, merge, note_reply
from eafl_flower.runs.loop.offering import fail_without_orders, first_order, new_jobs
from eafl_flower.runs.loop.sharing import price_upload, share_out, share_out_round, uploads
from eafl_flower.runs.members.mailbox import Interrupted
from eafl_flower.runs.members.roster import Roster
from eafl_flower.runs.members.roster_answers import MOST_CLIENTS
from eafl_flower.runs.snapshot import Snapshot
from eafl_flower.runs.state import Run
from eafl_flower.runs.tally import MOST_FRUITLESS
from eafl_flower.simulation.churn import OnOff
from eafl_flower.simulation.event_queue import (
    ARRIVAL,
    DEADLINE,
    JOIN,
    NOBODY,
    ROUND,
    UPLOAD_START,
    VANISH,
    Event,
    EventQueue,
)
from eafl_flower.types import Work


class VirtualClock:
    """The clock of simulations."""

    unit = "s of virtual time"
    most_clients = MOST_CLIENTS

    def __init__(self, run: Run) -> None:
        self.run, self.jobs, self.options = run, run.jobs, run.options
        self.queue = EventQueue()
        self._without_orders = 0  # steps in a row

    def now_s(self) -> float:
        """Virtual time [s]."""
        return self.queue.now_s

    def not_awaited(self) -> frozenset[int]:
        """Nobody: all are there from the start."""
        return frozenset()

    def check(self, roster: Roster) -> None:
        """Refuse another number of nodes: a seed means the same thing only with the same clients."""
        expected, there = self.options.expected_nodes, len(roster.members)
        if expected and there != expected:
            without = f", {len(roster.refused)} more left out as warned," if roster.refused else ","
            msg = f"the federation has {there} nodes{without} the run expects {expected}"
            raise RunFailedError(msg)

    def snapshot(self) -> ClockSnapshot:
        """Return the events to come."""
        return ClockSnapshot(queue=self.queue.snapshot())

    def restore(self, stored: Snapshot) -> None:
        """Take up time, events to come and idle clients."""
        self.queue = EventQueue.restore(stored.queue)
        for client in stored.idle:
            self.jobs.idle.add(client)
        needed = {*stored.idle, *(job.client for job in stored.jobs.jobs)}
        if missing := sorted(needed - self.jobs.members.keys()):
            msg = f"clients {missing} of the checkpoint are not in the federation: start their nodes, then resume"
            raise CheckpointError(msg)

    def begin(self) -> None:
        """All clients that are there are idle; or send open jobs again, unless their clients never get to answer."""
        self.churn = self._churn()
        if not self.options.resume:
            for client in first_order(self.run):
                self._free(client)
            if self._period_s:
                self._schedule_round(0)
        for job in self.jobs:
            if _answers(job):
                self.jobs.send(job)

    def advance(self) -> None:
        """Give idle clients jobs, and take the next event."""
        self._dispatch()
        if self.run.mail.interrupted:  # then jobs may be open that could not be sent
            raise Interrupted
        self._next_event()

    def clients_to_evaluate(self) -> list[int]:
        """All clients; Flower's own runtime loses client state when a node has two messages at a time: wait first."""
        if not isinstance(self.run.plan.grid, LocalGrid):
            for job in self.jobs:
                if job.client in self.jobs.wires:
                    self.jobs.await_reply(job)
        return sorted(self.jobs.members)

    def _churn(self) -> Any:
        """Return when clients are there; on and off times in job times become seconds here."""
        options = self.options
        if not options.on_job_times:
            return options.churn
        down_bytes, up_bytes = self.jobs.models.first.side.downlink.typical_bytes()
        times = []
        for client in self.run.trainers:
            work = Work(num_examples=max(1, self.jobs.members[client].num_examples), epochs=options.local_epochs)
            download = options.radio.download(client, 0.0, down_bytes)
            compute, upload = options.processors.compute(client, work), alone(options.radio, client, up_bytes, 0.0)
            times.append(download.time_s + compute.time_s + upload.segment.time_s)
        job_s = median(times)
        return OnOff(
            seed=options.seed, mean_on_s=options.on_job_times * job_s, mean_off_s=options.off_job_times * job_s
        )

    def _dispatch(self) -> None:
        """Give idle clients a job: as many as may be in flight, or with a barrier a new round when the last is over."""
        if self._period_s and not self._round_begins():
            return
        for job in new_jobs(self.run, now_s=self.now_s, ends_s=self._ends_s):
            self.queue.cancel(job.client, job.counter - 1)  # it no longer just waits to vanish
            if _answers(job):
                self.jobs.send(job)
            self._schedule_start(job)
        has_no_orders = len(self.jobs.idle) and not len(self.jobs)
        if self._period_s and has_no_orders:
            self._schedule_next_round()
        if len(self.jobs) or self.run.mail.interrupted:
            self._without_orders = 0
        elif has_no_orders:  # while nobody is there, it stays as it is
            self._without_orders += 1
        if self._without_orders > MOST_FRUITLESS:  # clients come and go
            fail_without_orders(self.run)

    @property
    def _period_s(self) -> float:
        return self.options.round_period_s if self.run.plan.barrier else 0.0

    def _round_begins(self) -> bool:
        """Return whether a round begins now; if the last one is over, see that the next one will.

        The event of its start is taken only here: a checkpoint before has it still to come.
        """
        event = self.queue.peek()
        if event is not None and event.kind == ROUND:
            self.queue.pop()
            return True
        if not len(self.jobs):
            self._schedule_next_round()
        return False

    def _schedule_next_round(self) -> None:
        number = math.floor(self.now_s() / self._period_s) + 1
        self._schedule_round(number + (number * self._period_s <= self.now_s()))  # the quotient was rounded

    def _schedule_round(self, number: int) -> None:
        """Push the start of the round that begins at so many periods, once."""
        self.queue.cancel(NOBODY, number)
        self.queue.push(Event(time_s=number * self._period_s, client=NOBODY, kind=ROUND, counter=number))

    def _leaves_s(self, client: int) -> float:
        _, until_s = self.churn.interval(client, self.now_s())
        return float(until_s)

    def _ends_s(self, client: int) -> float:
        """When a job that begins now is over, answered or not."""
        return min(self._leaves_s(client), self.now_s() + (self.options.deadline_s or float("inf")))

    def _schedule(self, job: Job, kind: str, time_s: float) -> None:
        self.queue.push(Event(time_s=time_s, client=job.client, kind=kind, counter=job.counter))

    def _schedule_start(self, job: Job) -> None:
        """Push the start of the upload of ``job``, or its end; nothing if both never come.

        Who is gone by then is seen no more.
        """
        if _answers(job):
            self._schedule(job, UPLOAD_START, job.price.upload_start_s)
        elif math.isfinite(job.ends_s):
            self._schedule_loss(job)

    def _schedule_loss(self, job: Job) -> None:
        until_s = min(self._leaves_s(job.client), job.order.until_s)
        self._schedule(job, VANISH if until_s <= job.ends_s else DEADLINE, job.ends_s)

    def _next_event(self) -> None:
        event = self.queue.peek()
        if event is None:
            if len(self.jobs.idle):
                fail_without_orders(self.run)
            left = len(self.jobs)
            what = f"the radio grants nothing to any of {left} uploads" if left else "no client is left"
            msg = f"{what} at {self.now_s():.6g} s: {self.run.made}"
            raise RunFailedError(msg)
        if event.kind == ROUND:  # the dispatch that follows takes it
            return
        job = self.jobs.of(event.client)
        reply = None
        if job is not None and event.kind in (UPLOAD_START, ARRIVAL):
            reply = self.jobs.await_reply(job)  # nothing has changed yet if the user interrupts this
            is_first = event.kind == UPLOAD_START and job.price.upload is None and uploads(reply)
            if is_first and self.run.plan.barrier and (reason := share_out_round(self.run, self.now_s())):
                self.run.stop_reason = reason
                return
        self.queue.pop()
        if event.kind == JOIN:
            self._free(event.client)
        elif job is None:  # an idle client vanishes
            self.jobs.idle.remove(event.client)
            self._free(event.client)
        elif event.kind == UPLOAD_START:
            self._upload_starts(job, reply)
        elif event.kind == ARRIVAL:
            self._arrives(job, reply)
        elif event.kind == DEADLINE:
            self.run.tally.timed_out += 1
            self._end(job, "timeout")
        else:
            self.run.tally.lost += 1
            self._end(job, "lost")

    def _upload_starts(self, job: Job, reply: Message | None) -> None:
        if not uploads(reply):
            self._fail(job, reply)
            return
        price_as_made(self.options, self.jobs.table, job, reply.content)
        if job.price.upload_start_s > self.now_s():  # it computes for longer than it might have
            self._schedule_start(job)
            return
        note_reply(self.run, job, reply)
        if job.price.upload is None:  # in a round with a barrier all have theirs
            self._moved(price_upload(self.run, job, self.now_s()))
        self._schedule_end(job)

    def _moved(self, jobs: Iterable[Job]) -> None:
        """Push the ends of uploads anew that have moved."""
        for job in jobs:
            self.queue.cancel(job.client, job.counter)
            self._schedule_end(job)

    def _schedule_end(self, job: Job) -> None:
        """Push the end of the upload of ``job``: its arrival, or what comes before; nothing if both never come."""
        if math.isfinite(job.price.arrival_s) and job.price.arrival_s <= job.ends_s:
            self._schedule(job, ARRIVAL, max(job.price.arrival_s, self.now_s()))
        elif math.isfinite(job.ends_s):
            self._schedule_loss(job)

    def _arrives(self, job: Job, reply: Message | None) -> None:
        if reply is None or reply.has_error():  # only after a resume: the client answered before, now it does not
            self._fail(job, reply)
        else:
            merged = merge(self.run, job, reply, now_s=self.now_s(), until_s=self.now_s())
            self._after(job, 0.0 if merged else self.run.pause_s(job.client))

    def _fail(self, job: Job, reply: Message | None) -> None:
        fail(self.run, job, reply, now_s=self.now_s(), until_s=self.now_s())
        self._after(job, self.run.pause_s(job.client))

    def _end(self, job: Job, outcome: End) -> None:
        end(self.run, job, outcome, now_s=self.now_s(), until_s=self.now_s())
        self._after(job)

    def _after(self, job: Job, pause_s: float = 0.0) -> None:
        """``job`` is over: its client is free, now or after a pause, and a round may be complete."""
        if job.price.upload is not None and self.options.radio.coupled and not self.run.plan.barrier:
            self._moved(share_out(self.run, self.now_s()))
        if pause_s > 0:
            self.queue.push(Event(time_s=self.now_s() + pause_s, client=job.client, kind=JOIN, counter=job.counter))
        else:
            self._free(job.client)
        if self.run.plan.barrier and not len(self.jobs):
            flush_barrier(self.run)

    def _free(self, client: int) -> None:
        """Make ``client`` idle while it is there, and note when it goes or comes back."""
        is_on, until_s = self.churn.interval(client, self.now_s())
        if is_on:
            self.jobs.idle.add(client)
        if until_s < float("inf"):
            counter = int(self.jobs.table.counter[client])
            self.queue.push(Event(time_s=until_s, client=client, kind=VANISH if is_on else JOIN, counter=counter))


def _answers(job: Job) -> bool:
    """Return whether the client of ``job`` is there when its upload would start, if it ever does."""
    return math.isfinite(job.price.upload_start_s) and job.price.upload_start_s <= job.ends_s
