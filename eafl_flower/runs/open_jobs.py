"""The jobs under way: opened, sent, answered, and booked when they end."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from flwr.app import Message, MessageType, RecordDict

from eafl_flower.core.orders import NO_ORDER, Order
from eafl_flower.core.rng import generator
from eafl_flower.energy.ledger import Ledger
from eafl_flower.radio.price import JobPrice
from eafl_flower.runs.charges import Spent, book_job, computation
from eafl_flower.runs.claims import Claims
from eafl_flower.runs.jobs import ANY_JOB, ClientTable, IdleClients, InFlight, Job, StoredJobs, WaitingClients
from eafl_flower.runs.members.mailbox import Mailbox
from eafl_flower.runs.members.roster_answers import Member
from eafl_flower.runs.plan import Plan
from eafl_flower.types import Arrays, Kind, Layout, Update
from eafl_flower.wire.downlink import Base
from eafl_flower.wire.models import Models
from eafl_flower.wire.notes import Notes
from eafl_flower.wire.records import JobTerms
from eafl_flower.wire.replies import is_out_of_step, metrics_of, sizes_of
from eafl_flower.wire.server_side import Sent, ServerSide


class OpenJobs:
    """At most one job a client, and what is known of all clients.

    Attributes
    ----------
    members, table
        Who the clients are, and the counters of each.
    idle, never_evaluate
        Clients that may get a job; those whose app has said that it has no evaluate function.
    ledger, models
        What ended jobs have spent; what is trained, coded and decoded.
    wires, notes
        Message and reply of each job that was sent; what was left out or bounded of what clients report.
    kind, is_personal, timed
        What replies are, whether each client starts from arrays of its own, and whether nodes tell how long they took.
    """

    def __init__(self, plan: Plan, mail: Mailbox) -> None:
        self.options, self._train_config = options, _ = plan.options, plan.train_config
        self.mail = mail
        self.models = Models(
            plan.initial_arrays,
            lambda keys, layout: ServerSide(
                options.codec,
                keys,
                layout,
                seed=options.seed,
                record=options.arrayrecord_key,
                remembered_clients=options.remembered_clients,
            ),
        )
        self.members: dict[int, Member] = {}
        self.table = ClientTable.of_size(0)
        waits_longest = options.select == "longest-idle" and not plan.barrier
        self.idle: IdleClients | WaitingClients = WaitingClients() if waits_longest else IdleClients()
        self.ledger = Ledger()
        self.wires: dict[int, InFlight] = {}
        self.notes = Notes()
        self.num_selections = 0
        self.kind: Kind = "difference"
        self.is_personal = self.timed = False
        self.never_evaluate: set[int] = set()
        self.claims = Claims(self.notes)
        self._jobs: dict[int, Job] = {}
        self._sent: dict[int, Sent] = {}
        self._unsent: dict[int, RecordDict] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs.values())

    def __contains__(self, client: int) -> bool:
        return client in self._jobs

    def __getitem__(self, client: int) -> Job:
        return self._jobs[client]

    def side_of(self, job: Job) -> ServerSide:
        """Return what sends and receives the model of ``job``."""
        return self.models[job.order.model].side

    def base_of(self, job: Job) -> Base:
        """Return what ``job`` starts from."""
        return self._sent[job.client].base

    def of(self, client: int) -> Job | None:
        """Return the job of ``client``, if it has one."""
        return self._jobs.get(client)

    def receive(
        self, job: Job, content: RecordDict, *, in_flight: int, expected: tuple[Sequence[str], Layout] | None
    ) -> tuple[Update, dict[str, float], Any]:
        """Return the update in the reply to ``job``, what its client reports, and the state its payload leaves.

        It is a message with the names and layout ``expected``, or a difference where those are None.

        Raises
        ------
        ProtocolError, CodecError, UpdateRefusedError
            If it is not a reply to such a job.
        """
        sent, whose = self._sent[job.client], f"the reply of client {job.client}"
        if expected is None:
            received = self.side_of(job).receive(job.client, job.counter, content, sent, whose=whose)
            delta, base, decoder = received.delta, sent.base.arrays, received.decoder
        else:
            delta = self.side_of(job).receive_message(job.counter, content, sent, *expected, whose=whose)
            base, decoder = None, None
        metrics, weight = metrics_of(content, whose, self.notes, self.options.weighted_by_key)
        believed, share = self.claims.believed(self.table, job.client, weight), job.order.share
        update = Update(
            client=job.client,
            delta=delta,
            base_version=job.base_version,
            num_examples=believed if share == 1 else believed * share,
            base=base,
            order=job.order,
            in_flight=in_flight,
            kind=self.kind,
        )
        return update, metrics, decoder

    def snapshot(self) -> StoredJobs:
        """Return the open jobs, and what is needed to send exactly the same again."""
        payloads = {job.client: self._sent[job.client].base.payload or b"" for job in self if job.onto}
        sides = {model.name: model.side.snapshot() for model in self.models}
        return StoredJobs(
            jobs=tuple(self),
            versions={name: versions for name, (versions, _) in sides.items()},
            payloads={client: np.frombuffer(payload, np.uint8) for client, payload in payloads.items()},
            streams={name: streams for name, (_, streams) in sides.items()},
        )

    def template(self) -> StoredJobs:
        """Return a value that tells the classes of a snapshot's."""
        streams = {model.name: model.side.template() for model in self.models}
        return StoredJobs(jobs=(ANY_JOB,), versions={}, payloads={}, streams=streams)

    def restore(self, stored: StoredJobs) -> None:
        """Take up the jobs of a checkpoint; they are not sent yet."""
        self._jobs = {job.client: job for job in stored.jobs}
        names = {j.client: j.order.base(j.base_version, j.client if self.is_personal else None) for j in self}
        for name in self.models.names:
            whole = [names[job.client] for job in self if job.order.model == name and not job.onto]
            self.models[name].side.restore(stored.versions[name], stored.streams[name], whole)
        for job in self:
            self._sent[job.client] = self.side_of(job).send_again(
                job.client,
                counter=job.counter,
                onto=job.onto,
                version=names[job.client],
                payload=stored.payloads[job.client].tobytes() if job.onto else b"",
                plain=self.is_plain(job.client),
            )

    def draw_idle(self) -> int:
        """Choose the idle client that has waited longest, or one at random by the seed and the choices made."""
        client = self.idle.draw(generator(self.options.seed, "select", self.num_selections))
        self.num_selections += 1
        return client

    def open(
        self,
        client: int,
        order: Order,
        *,
        version: int,
        server_round: int,
        arrays: Arrays,
        now_s: float,
        ends_s: float,
    ) -> Job:
        """Make the next job of ``client``, from ``arrays``; it is not sent yet."""
        table = self.table
        table.counter[client] += 1
        counter, load = int(table.counter[client]), int(table.state[client])
        model, plain = self.models[order.model], self.is_plain(client)
        name = order.base(version, client if self.is_personal else None)
        sent = model.side.send(client, counter=counter, load=load, version=name, arrays=arrays, plain=plain)
        if table.model[client] != model.place:  # what its codec remembers is of another model
            model.side.restart(client)
            table.model[client], table.acknowledged[client] = model.place, 0
        base = sent.base
        content = self._train_content(self._terms_of(client, counter, load, order), base, server_round)
        job = Job(
            client=client,
            counter=counter,
            load=load,
            onto=sent.onto,
            base_version=version,
            order=order,
            server_round=server_round,
            price=JobPrice(
                dispatched_s=now_s,
                download=self.options.radio.download(client, now_s, base.payload_bytes),
                compute=computation(
                    self.options, table, client, order.fewest_epochs(self.options.local_epochs), order.rank
                ),
            ),
            ends_s=min(ends_s, order.until_s),
            downlink_bytes=base.payload_bytes,
            downlink_framed_bytes=base.framed_with(content),
        )
        self._jobs[client], self._sent[client], self._unsent[client] = job, sent, content
        return job

    def send(self, job: Job) -> bool:
        """Push the message of ``job``; return False if its node is not there."""
        content = self._unsent.pop(job.client, None)
        if content is None:  # sent again
            terms = self._terms_of(job.client, job.counter, job.load, job.order)
            content = self._train_content(terms, self._sent[job.client].base, job.server_round)
        node_id = self.members[job.client].node_id
        message_id = self.mail.push(node_id, content, MessageType.TRAIN, job.base_version)
        self.wires[job.client] = InFlight(message_id)
        return bool(message_id)

    def _train_content(self, terms: JobTerms, base: Base, server_round: int) -> RecordDict:
        """Return the content of a job, its configuration as the user's hook leaves it."""
        key, change = self.options.configrecord_key, self.options.on_dispatch
        content = base.message(terms, self._train_config, server_round, key)
        if change is not None:
            change(server_round, content.config_records[key])
        return content

    def terms(
        self,
        client: int,
        counter: int,
        load: int,
        acknowledged: int,
        order: Order = NO_ORDER,
        kind: Kind = "difference",
    ) -> JobTerms:
        """Return the terms of a message.

        Whether or not this run writes checkpoints, it may have come from one and be killed: then that is needed again.
        A client that starts afresh (``load`` 0) deletes nothing.
        """
        return JobTerms(
            run=self.options.run_name,
            seed=self.options.seed,
            client=client,
            counter=counter,
            load=load,
            acknowledged=acknowledged,
            durable=min(int(self.table.durable[client]), load),
            key=self.models.first.side.key_of(client),
            order=order,
            kind=kind,
            timed=self.timed,
        )

    def _terms_of(self, client: int, counter: int, load: int, order: Order) -> JobTerms:
        """Return the terms of a job; where decoding builds on earlier uploads, what is remembered is acknowledged."""
        side, newest = self.models[order.model].side, int(self.table.acknowledged[client])
        return self.terms(client, counter, load, side.acknowledged(client, newest), order, self.kind)

    def is_plain(self, client: int) -> bool:
        """Whether ``client`` knows no codec and gets plain arrays."""
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
        if is_out_of_step(job.onto, reply.content):
            self.forget(job)

    def forget(self, job: Job) -> None:
        """Let the client of ``job``, who does not hold what it was thought to, start afresh from whole arrays.

        Its stream goes when the job ends: until then a checkpoint needs what the job's arrays build on.
        """
        self.table.state[job.client] = 0

    def merged(self, job: Job, decoder: Any) -> None:
        """Note that the update of ``job`` was merged; its payload left ``decoder``, None if it had no payload."""
        self.table.acknowledged[job.client] = job.counter
        self.side_of(job).merged(job.client, job.counter, decoder)

    def note_examples(self, member: Member) -> None:
        """Note what ``member`` says that it has: its jobs are priced with it, as far as it is believed."""
        self.claims.note(self.table, self.members, member)

    def close(self, job: Job, until_s: float) -> Spent:
        """End ``job``: book what it spent until then, forget its message."""
        spent = book_job(self.ledger, job, until_s)
        state = int(self.table.state[job.client])
        self.side_of(job).end(job.client, self._sent.pop(job.client), state=state, is_new=state == job.counter)
        del self._jobs[job.client]
        self.wires.pop(job.client, None)
        self._unsent.pop(job.client, None)
        return spent

    def mark_durable(self) -> None:
        """From now on the states named here are those a checkpoint holds."""
        self.table.durable[:] = self.table.state
        for job in self:
            self.table.durable[job.client] = job.load
