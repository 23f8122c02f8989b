"""Virtual time: the next event of the clock decides, so a run depends on its seed and nothing else.

Virtual time never passes the upload start of a job whose reply is not in: at such an event the loop waits
for that one reply, while all other clients train.
"""

from dataclasses import replace
from statistics import median
from typing import Any

from flwr.serverapp.strategy import Result

from eafl_flower.engines.waiting import WaitingGrid
from eafl_flower.errors import RunFailedError
from eafl_flower.simulation.churn import OnOff
from eafl_flower.simulation.event_queue import ARRIVAL, DEADLINE, JOIN, UPLOAD_START, VANISH, Event, EventQueue
from eafl_flower.strategies.job import Job
from eafl_flower.strategies.run import FederatedRun, Interrupted, Plan
from eafl_flower.strategies.signals import interrupts
from eafl_flower.types import Work


class VirtualRun(FederatedRun):
    """A run on the virtual clock."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.queue = EventQueue()

    def now_s(self) -> float:
        """Virtual time [s]."""
        return self.queue.now_s

    def queue_snapshot(self) -> tuple[Any, ...]:
        """Events to come."""
        return self.queue.snapshot()

    def before_evaluation(self) -> None:
        """Flower's own runtime loses client state when a node has two messages at a time: wait for jobs first."""
        if not isinstance(self.grid, WaitingGrid):
            for client, wire in self.wires.items():
                if wire.message_id and wire.reply is None:
                    self.await_reply(self.jobs[client])

    def execute(self) -> Result:
        """Run to the end.

        Raises
        ------
        RunFailedError
            If the error budget is spent or no client is left.
        KeyboardInterrupt
            On Ctrl-C, after a checkpoint was written.
        """
        with interrupts(self):
            self.prepare()
            expected = self.options.expected_nodes
            if expected and len(self.members) != expected:
                msg = f"the federation has {len(self.members)} nodes, the run expects {expected}"
                raise RunFailedError(msg)
            self.churn = self._churn()
            if self.options.resume:
                self.queue = EventQueue.restore(self._stored_queue)
            else:
                if self.options.evaluate_first:
                    self.evaluate()
                for client in self.trainers:
                    self._free(client)
            try:
                while not self.done:
                    self._dispatch()
                    self._next_event()
                    if self.interrupted:
                        raise Interrupted
            except Interrupted:
                self.checkpoint()
                raise KeyboardInterrupt from None
            return self.finish()

    def _churn(self) -> Any:
        """Return when clients are there; on and off times in job times become seconds here."""
        options = self.options
        if not options.on_job_times:
            return options.churn
        size = self.downlink.encode(0, self.initial).payload_bytes
        times = []
        for client in self.trainers:
            work = Work(num_examples=max(1, self.members[client].num_examples), epochs=options.local_epochs)
            start, upload = options.network.start(client, work, size), options.network.upload(client, size)
            times.append(start.download_s + start.compute_s + upload.upload_s)
        job_s = median(times)
        return OnOff(
            seed=options.seed, mean_on_s=options.on_job_times * job_s, mean_off_s=options.off_job_times * job_s
        )

    def _dispatch(self) -> None:
        """Give idle clients a job: as many as may be in flight, or with a barrier a new round when the last is over."""
        if self.plan.barrier and self.jobs:
            return
        while len(self.jobs) < self.in_flight and len(self.idle):
            client = self.draw_idle()
            _, until_s = self.churn.interval(client, self.now_s())
            self.queue.cancel(client, int(self.table.counter[client]))  # it no longer just waits to vanish
            deadline_s = self.options.deadline_s or float("inf")
            job = self.open_job(client, min(until_s, self.now_s() + deadline_s))
            if job.price.upload_start_s <= job.ends_s:
                self.send(job)
                self._schedule(job, UPLOAD_START, job.price.upload_start_s)
            else:  # its client will not be there when it has computed: nobody would ever see the result
                self._schedule(job, VANISH if until_s <= job.ends_s else DEADLINE, job.ends_s)

    def _schedule(self, job: Job, kind: str, time_s: float) -> None:
        self.queue.push(Event(time_s=time_s, client=job.client, kind=kind, counter=job.counter))

    def resume_job(self, job: Job) -> None:
        """Send an open job again, unless its client never gets to answer."""
        if job.price.upload_start_s <= job.ends_s:
            self.send(job)

    def _next_event(self) -> None:
        event = self.queue.peek()
        if event is None:
            msg = f"no client is left at {self.now_s():.6g} s: {self.version} of {self.plan.num_merges} merges made"
            raise RunFailedError(msg)
        job = self.jobs.get(event.client)
        if job is not None and event.kind in (UPLOAD_START, ARRIVAL):
            self.await_reply(job)  # nothing has changed yet if the user interrupts this
        self.queue.pop()
        if event.kind == UPLOAD_START and job is not None:
            self._upload_starts(job)
        elif event.kind == ARRIVAL and job is not None:
            self._arrives(job)
        elif event.kind == DEADLINE and job is not None:
            self.tally.timed_out += 1
            self._given_up(job, "timeout")
        elif event.kind == VANISH and job is not None:
            self.tally.lost += 1
            self._given_up(job, "lost")
        elif event.kind == VANISH:
            self.idle.remove(event.client)
            self._free(event.client)
        elif event.kind == JOIN:
            self._free(event.client)

    def _upload_starts(self, job: Job) -> None:
        reply = self.wires[job.client].reply
        if reply is None or reply.has_error():
            self.fail(job, reply)
            self._after(job, self.pause_s(job.client))
            return
        self.note_reply(job, reply)
        job.price = replace(job.price, upload=self.options.network.upload(job.client, job.uplink_bytes))
        if job.price.arrival_s <= job.ends_s:
            self._schedule(job, ARRIVAL, job.price.arrival_s)
        else:
            _, until_s = self.churn.interval(job.client, self.now_s())
            self._schedule(job, VANISH if until_s <= job.ends_s else DEADLINE, job.ends_s)

    def _arrives(self, job: Job) -> None:
        reply = self.wires[job.client].reply
        if reply is None or reply.has_error():  # only after a resume: the client answered before, now it does not
            self.fail(job, reply)
            self._after(job, self.pause_s(job.client))
            return
        merged = self.merge(job, reply)
        self._after(job, 0.0 if merged else self.pause_s(job.client))

    def _given_up(self, job: Job, outcome: str) -> None:
        energy_j = self.close_job(job, outcome)
        self.emit(outcome, **self._where(job), energy_j=energy_j)
        self._after(job, 0.0)

    def _after(self, job: Job, pause_s: float) -> None:
        """``job`` is over: its client is free, now or after a pause, and a round may be complete."""
        if pause_s > 0:
            self.queue.push(Event(time_s=self.now_s() + pause_s, client=job.client, kind=JOIN, counter=job.counter))
        else:
            self._free(job.client)
        if self.plan.barrier and not self.jobs:
            self.flush_barrier()

    def _free(self, client: int) -> None:
        """Make ``client`` idle while it is there, and note when it goes or comes back."""
        is_on, until_s = self.churn.interval(client, self.now_s())
        if is_on:
            self.idle.add(client)
        if until_s < float("inf"):
            counter = int(self.table.counter[client])
            self.queue.push(Event(time_s=until_s, client=client, kind=VANISH if is_on else JOIN, counter=counter))
