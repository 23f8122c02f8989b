"""The jobs under way: opened, sent, answered, and booked when they end."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, RecordDict

from eafl_flower.energy.ledger import Ledger
from eafl_flower.engines.flower_internals import copy_record, trusted_record
from eafl_flower.rng import generator
from eafl_flower.simulation.price import JobPrice
from eafl_flower.strategies.downlink import Base, Downlink
from eafl_flower.strategies.job import ClientTable, IdleClients, InFlight, Job
from eafl_flower.strategies.mailbox import Mailbox
from eafl_flower.strategies.plan import Plan
from eafl_flower.strategies.records import ARRAYS, CONFIG, TERMS, JobTerms, array_record, terms_record
from eafl_flower.strategies.replies import sizes_of
from eafl_flower.strategies.roster import Member
from eafl_flower.types import Arrays, Work


@dataclass(frozen=True, kw_only=True, slots=True)
class Spent:
    """What one job has cost: energy [J], and bytes that went over the air in both directions."""

    energy_j: float
    uplink_bytes: int
    uplink_framed_bytes: int
    downlink_bytes: int

    def fields(self) -> dict[str, Any]:
        """Return the fields of an event."""
        return {
            "energy_j": self.energy_j,
            "uplink_bytes": self.uplink_bytes,
            "uplink_framed_bytes": self.uplink_framed_bytes,
            "downlink_bytes": self.downlink_bytes,
        }


class OpenJobs:
    """At most one job a client, and what is known of all clients.

    Attributes
    ----------
    members, table
        Who the clients are, and the counters of each.
    idle
        Clients that may get a job.
    ledger
        What ended jobs have spent.
    wires
        Message and reply of each job that was sent.
    """

    def __init__(self, plan: Plan, mail: Mailbox, keys: list[str], raw_bytes: int) -> None:
        self._options, self._train_config = plan.options, plan.train_config
        self.mail, self.keys, self.raw_bytes = mail, keys, raw_bytes
        self.downlink = Downlink(self._options.codec, keys, self._options.seed)
        self.members: dict[int, Member] = {}
        self.table = ClientTable.of_size(0)
        self.idle = IdleClients()
        self.ledger = Ledger()
        self.wires: dict[int, InFlight] = {}
        self.num_selections = 0
        self._jobs: dict[int, Job] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs.values())

    def __contains__(self, client: int) -> bool:
        return client in self._jobs

    def of(self, client: int) -> Job | None:
        """Return the job of ``client``, if it has one."""
        return self._jobs.get(client)

    def restore(self, jobs: tuple[Job, ...]) -> None:
        """Take up the jobs of a checkpoint; they are not sent yet."""
        self._jobs = {job.client: job for job in jobs}

    def draw_idle(self) -> int:
        """Choose an idle client at random, by the seed and the number of choices made."""
        client = self.idle.draw(generator(self._options.seed, "select", self.num_selections))
        self.num_selections += 1
        return client

    def open(self, client: int, *, version: int, arrays: Arrays, now_s: float, ends_s: float) -> Job:
        """Make the next job of ``client``, from ``arrays``; it is not sent yet."""
        table = self.table
        table.counter[client] += 1
        base = self.downlink.take(version, arrays)
        work = Work(num_examples=max(1, int(table.num_examples[client])), epochs=self._options.local_epochs)
        start = self._options.network.start(client, work, self.payload_bytes(client, base))
        job = Job(
            client=client,
            counter=int(table.counter[client]),
            load=int(table.state[client]),
            base_version=version,
            price=JobPrice(dispatched_s=now_s, start=start),
            ends_s=ends_s,
        )
        self._jobs[client] = job
        return job

    def send(self, job: Job) -> bool:
        """Push the message of ``job``; return False if its node is not there."""
        base, terms = self.downlink[job.base_version], self.terms(job.client, job.counter, job.load)
        content = self.content(terms, base, self._train_config, job.base_version)
        node_id = self.members[job.client].node_id
        message_id = self.mail.push(node_id, content, MessageType.TRAIN, job.base_version)
        self.wires[job.client] = InFlight(message_id)
        return bool(message_id)

    def content(self, terms: JobTerms, base: Base, config: ConfigRecord, version: int) -> RecordDict:
        """Return arrays, configuration and terms of a message; a plain client gets plain arrays."""
        arrays: tuple[str, ArrayRecord | ConfigRecord] = (base.name, base.record)
        if base.payload is not None and self._is_plain(terms.client):
            arrays = ARRAYS, array_record(self.keys, base.arrays)
        config = copy_record(config)
        config["server-round"] = version
        return trusted_record(RecordDict, dict([arrays, (CONFIG, config), (TERMS, terms_record(terms))]))

    def terms(self, client: int, counter: int, load: int) -> JobTerms:
        """Return the terms of a message."""
        return JobTerms(
            run=self._options.run_name,
            seed=self._options.seed,
            client=client,
            counter=counter,
            load=load,
            acknowledged=int(self.table.acknowledged[client]),
            durable=int(self.table.durable[client]) if self._options.checkpoint_every else load,
        )

    def payload_bytes(self, client: int, base: Base) -> int:
        """Return what the energy model charges for sending ``base`` to ``client``."""
        return self.raw_bytes if self._is_plain(client) else base.payload_bytes

    def _is_plain(self, client: int) -> bool:
        member = self.members.get(client)  # a client of a checkpoint may be gone
        return member is not None and member.plain

    def await_reply(self, job: Job) -> Message | None:
        """Wait for the reply of ``job``; None if it did not come in time or the node is unknown."""
        wire = self.wires[job.client]
        if wire.reply is None and wire.message_id:
            wire.reply = self.mail.wait(wire.message_id)
        return wire.reply

    def note_reply(self, job: Job, reply: Message) -> None:
        """Note that the reply of ``job`` is in: its sizes are known, the client holds the state it made."""
        job.uplink_bytes, job.uplink_framed_bytes = sizes_of(reply.content)
        self.table.state[job.client] = job.counter

    def close(self, job: Job, until_s: float) -> Spent:
        """End ``job``: book what it spent until then, forget its message."""
        charge = self._options.network.energy_until(job.price, until_s)
        base = self.downlink[job.base_version]
        start, upload = job.price.start, job.price.upload
        down = _share(charge.download_s, start.download_s)
        up = 0.0 if upload is None else _share(charge.upload_s, upload.upload_s)
        spent = Spent(
            energy_j=charge.energy_j,
            uplink_bytes=int(up * job.uplink_bytes),
            uplink_framed_bytes=int(up * job.uplink_framed_bytes),
            downlink_bytes=int(down * self.payload_bytes(job.client, base)),
        )
        book = self.ledger.book
        book(
            job.client,
            "downlink",
            energy_j=charge.download_energy_j,
            time_s=charge.download_s,
            payload_bytes=spent.downlink_bytes,
            framed_bytes=int(down * base.framed_bytes),
        )
        book(job.client, "compute", energy_j=charge.compute_energy_j, time_s=charge.compute_s)
        book(
            job.client,
            "uplink",
            energy_j=charge.upload_energy_j,
            time_s=charge.upload_s,
            payload_bytes=spent.uplink_bytes,
            framed_bytes=spent.uplink_framed_bytes,
        )
        del self._jobs[job.client]
        self.wires.pop(job.client, None)
        self.downlink.release(job.base_version)
        return spent

    def mark_durable(self) -> None:
        """From now on the states named here are those a checkpoint holds."""
        self.table.durable[:] = self.table.state
        for job in self:
            self.table.durable[job.client] = job.load


def _share(part: float, whole: float) -> float:
    return 1.0 if whole <= 0 else min(1.0, part / whole)
