"""Wall-clock time: in a deployment a reply counts when it comes, whoever sends it."""

import math
import secrets
import time
from collections import deque
from logging import WARNING
from typing import Any

from flwr.app import Message, MessageType

from eafl_flower.codecs.keys import KEY_BYTES, needs_key
from eafl_flower.engines.flower_log import log
from eafl_flower.errors import RunFailedError
from eafl_flower.runs.charges import book_late, price_as_made
from eafl_flower.runs.clock import ClockSnapshot
from eafl_flower.runs.jobs import Job
from eafl_flower.runs.keeping.checkpoint import open_checkpoint
from eafl_flower.runs.loop.links import Links
from eafl_flower.runs.loop.merging import end, fail, flush_barrier, merge, note_reply
from eafl_flower.runs.loop.offering import fail_without_orders, first_order, new_jobs
from eafl_flower.runs.loop.overdue import Overdue
from eafl_flower.runs.members.mailbox import NODE_UNAVAILABLE, Interrupted, still_awaited, was_delivered
from eafl_flower.runs.members.newcomers import Newcomers, next_number
from eafl_flower.runs.members.roster import Roster, roster_question
from eafl_flower.runs.members.roster_answers import MOST_CLIENTS, Member, answer_of
from eafl_flower.runs.snapshot import Snapshot
from eafl_flower.runs.state import Run
from eafl_flower.wire.replies import reason_of, sizes_of

NODE_POLL_S, REPLY_POLL_S = 2.0, 0.5


class WallClock:
    """The clock of deployments.

    Nodes may join, vanish and return at any time. Energy is that of the price model, for the bytes really sent and at
    the rates that are measured; ``time_s`` of its events is real.
    """

    unit = "s"

    def __init__(self, run: Run) -> None:
        self.run, self.jobs, self.options, self.plan = run, run.jobs, run.options, run.plan
        if needs_key(self.options.codec):
            self.jobs.models.secret = secrets.token_bytes(KEY_BYTES)
        self._links = Links(self.options.radio, measured=self.options.measured)
        self.jobs.timed = self.options.measured
        self._inbox: deque[Message] = deque()
        self._resting: dict[int, float] = {}  # client -> when it may work again
        self._late: dict[str, tuple[Job, float]] = {}  # messages of jobs given up -> job, and until when [s]
        self._asked: dict[str, tuple[int, float]] = {}  # roster queries under way -> node id, and until when [s]
        self._online: set[int] = set()  # nodes, at the last look
        self._away: set[int] = set()  # clients whose node is not online
        self._absent: frozenset[int] = frozenset()  # clients that the run had lost when it was interrupted
        self._newcomers, self._overdue = Newcomers(), Overdue(run)
        self._next_look_s = self._last_seen_s = 0.0

    def now_s(self) -> float:
        """Real time since the start [s]."""
        return self.run.wall_s()

    def snapshot(self) -> ClockSnapshot:
        """Return the clients whose node was not there at the last look, or not since a resume."""
        return ClockSnapshot(away=tuple(sorted(self._away | (self._absent - self.jobs.members.keys()))))

    def restore(self, stored: Snapshot) -> None:
        """Take up nothing: who is there now counts, and the run itself knows how long it has taken."""

    def not_awaited(self) -> frozenset[int]:
        """Those that were away when the checkpoint was made; if they are back, they are welcome."""
        path = self.options.checkpoint
        if self.options.resume and path is not None:
            self._absent = frozenset(open_checkpoint(path).restore_field("away", ()))
        return self._absent

    def clients_to_evaluate(self) -> list[int]:
        """Clients that are there, answer and, before the end, have no job: nobody waits for those at work."""
        out = self._away | self._overdue.silent
        return [c for c in sorted(self.jobs.members) if c not in out and (self.run.done or c not in self.jobs)]

    def check(self, roster: Roster) -> None:
        """Fail where the nodes are configured for another number of clients than the data has.

        Which node each client was on first, and which nodes were left out, is remembered.
        """
        self._newcomers.refused |= roster.refused
        self._newcomers.first_holders |= {m.client: m.node_id for m in roster.members}
        expected, named = self.options.expected_nodes, roster.num_partitions
        if expected and named not in (0, expected):
            msg = (
                f"the nodes were started with num-partitions = {named}, the run has {expected} clients: "
                f"start them with num-partitions = {expected}, or set data.clients = {named}"
            )
            raise RunFailedError(msg)

    @property
    def most_clients(self) -> int:
        """As many as the data has, if that is known."""
        return self.options.expected_nodes or MOST_CLIENTS

    def begin(self) -> None:
        """Clients without a job are idle; jobs of a checkpoint are sent again, if their nodes are there."""
        self._last_seen_s = self.now_s()
        for job in list(self.jobs):
            if job.client not in self.jobs.members or not (self.jobs.send(job) or self.run.mail.interrupted):
                self._lose(job)
        for client in first_order(self.run):
            if client not in self._resting:
                self._free(client)

    def advance(self) -> None:
        """Take one reply or, if there is none, look after nodes and jobs and wait for some."""
        if self._inbox:
            self._take(self._inbox.popleft())
            return
        self._look_for_nodes()
        self._wake()
        self._dispatch()
        if self.run.mail.interrupted:  # then jobs may be open that could not be sent
            raise Interrupted
        ids = [wire.message_id for wire in self.jobs.wires.values()]
        if ids := [*ids, *self._late, *self._asked, *self._overdue.questions]:
            began_s = time.monotonic()
            self._inbox += (replies := self.run.mail.wait_for_any(ids, REPLY_POLL_S))
            self._links.note_arrivals(replies, began_s)
        else:
            time.sleep(REPLY_POLL_S)
        self._give_up()
        self._overdue.look(self.now_s(), self._away, self.plan.timeout_s)

    def _dispatch(self) -> None:
        most_s = self.options.deadline_s or self.plan.timeout_s
        for job in new_jobs(self.run, now_s=self.now_s, ends_s=lambda _: self.now_s() + most_s):
            if self.jobs.send(job):
                self._links.note_sent(job)
            elif not self.run.mail.interrupted:
                self._lose(job)
        may_come = self._resting or self._away or self._asked or self.run.mail.interrupted
        if len(self.jobs.idle) and not len(self.jobs) and not may_come and not self._churns():
            fail_without_orders(self.run)

    def _churns(self) -> bool:
        """Return whether a client will come or go that has no order now, as by a timetable: then it may get one."""
        churn, now_s = self.options.churn, self.now_s()
        return any(math.isfinite(churn.interval(client, now_s)[1]) for client in self.jobs.idle.clients)

    def _take(self, reply: Message) -> None:
        """Sort one message: the reply to an open job, to one that was given up, or to a roster query."""
        message_id = reply.metadata.reply_to_message_id
        if message_id in self._asked:
            self._welcome(reply, self._asked.pop(message_id)[0])
            return
        if message_id in self._overdue.questions:
            if (lost := self._overdue.take(reply, self._inbox)) is not None:
                self._lose(lost)
            return
        if message_id in self._late:
            self._note_late(self._late.pop(message_id)[0], reply)
            return
        job = next((j for j in self.jobs if self.jobs.wires[j.client].message_id == message_id), None)
        if job is None:  # a second reply to a job that has ended
            self.run.tally.late += 1
        elif not was_delivered(reply):
            if reply.error.code == NODE_UNAVAILABLE:
                self._away.add(job.client)  # until the node is seen again: another job would be lost too
            self._lose(job)
        elif reply.has_error():
            until_s = max(self.now_s(), job.price.download_end_s)  # an error proves that its download was whole
            fail(self.run, job, reply, now_s=self.now_s(), until_s=until_s)
            self._rest(job.client)
        else:
            note_reply(self.run, job, reply)
            rate = self._price(job, reply)
            # All of it is known to have been sent: the price model's times are not those of the wall.
            if merge(self.run, job, reply, now_s=self.now_s(), until_s=math.inf, **rate):
                self._overdue.note_merged(job, self.now_s())
                self._free(job.client)
            else:
                self._rest(job.client)
        self._end_round()

    def _note_late(self, job: Job, reply: Message) -> None:
        """Take the reply of a job that was given up: what it cost is booked, and its client is free; or it says why."""
        if reply.has_error():
            if was_delivered(reply):
                log(WARNING, "client %d, whose job %d was given up: %s", job.client, job.counter, reason_of(reply))
            return
        self.run.tally.late += 1
        job.uplink_bytes, job.uplink_framed_bytes = sizes_of(reply.content)
        self._price(job, reply)
        spent = book_late(self.run.ledger, job)
        self.run.emit("late", **self.run.where(job, self.now_s()), **spent.fields())
        self._resting.pop(job.client, None)
        self._free(job.client)

    def _price(self, job: Job, reply: Message) -> dict[str, Any]:
        """Price the transfers of ``job`` as if it had the radio to itself: when it was sent, nobody knows."""
        price_as_made(self.options, self.jobs.table, job, reply.content)
        return self._links.price(job, reply)

    def _end_round(self) -> None:
        if self.plan.barrier and not len(self.jobs):
            flush_barrier(self.run)

    def _lose(self, job: Job) -> None:
        """End ``job``, whose node is gone."""
        self.run.tally.lost += 1
        self.jobs.table.failures[job.client] += 1
        end(self.run, job, "lost", now_s=self.now_s(), until_s=self.now_s())
        self._rest(job.client)
        self._end_round()

    def _give_up(self) -> None:
        """End the jobs that are past their deadline, unless their reply is in the inbox."""
        there = {reply.metadata.reply_to_message_id for reply in self._inbox}
        for job in [j for j in self.jobs if self.now_s() > j.ends_s]:
            message_id = self.jobs.wires[job.client].message_id
            if message_id in there:
                continue
            self._late[message_id] = job, self.now_s() + self.plan.timeout_s
            self.run.tally.timed_out += 1
            self.jobs.table.failures[job.client] += 1
            end(self.run, job, "timeout", now_s=self.now_s(), until_s=self.now_s())
            self._rest(job.client)
            self._end_round()

    def _rest(self, client: int) -> None:
        self._resting[client] = self.now_s() + self.run.pause_s(client)

    def _wake(self) -> None:
        for client in [c for c, until in self._resting.items() if self.now_s() >= until]:
            del self._resting[client]
            self._free(client)

    def _free(self, client: int) -> None:
        """Make ``client`` idle, if it trains, has no job and its node is there."""
        member = self.jobs.members.get(client)
        if member is not None and member.trains and client not in self.jobs and client not in self._away:
            self.jobs.idle.add(client)

    def _look_for_nodes(self) -> None:
        """See which nodes are online, and ask those that are new who they are.

        Raises
        ------
        RunFailedError
            If there has been none for as long as a reply may take.
        """
        if self.now_s() < self._next_look_s:
            return
        online = self.run.mail.node_ids()
        self._next_look_s = self.now_s() + NODE_POLL_S
        if online:
            self._last_seen_s = self.now_s()
        elif self.now_s() > self._last_seen_s + self.plan.timeout_s:
            raise RunFailedError(f"no node has been online for {self.plan.timeout_s:g} s: {self.run.made}")
        self._online = set(online)
        self._note_who_is_there(self._online)
        self._newcomers.forget_those_gone(self._online)
        self._late = still_awaited(self._late, self.now_s())
        self._asked = still_awaited(self._asked, self.now_s())
        known = {m.node_id for m in self.jobs.members.values()} | {node for node, _ in self._asked.values()}
        known |= self._newcomers.refused.keys()
        for node in [node for node in online if node not in known]:
            self._ask(node)

    def _ask(self, node: int, *, of_mods: bool = False) -> None:
        """Ask ``node`` who it is."""
        message_id = self.run.mail.push(node, *roster_question(of_mods=of_mods, greeting=self.options.greeting))
        if message_id:
            self._asked[message_id] = node, self.now_s() + self.plan.timeout_s

    def _note_who_is_there(self, online: set[int]) -> None:
        """Give no job to a client whose node is offline; one that is back need not rest any longer."""
        for client, member in self.jobs.members.items():
            if member.node_id not in online:
                self._away.add(client)
                self.jobs.idle.remove(client)
            elif client in self._away:
                self._away.remove(client)
                self._resting.pop(client, None)
                if self.options.greeting is None:
                    self._free(client)
                else:  # a node that has started anew may have forgotten what it was told
                    self._ask(member.node_id)

    def _welcome(self, reply: Message, node: int) -> None:
        """Take a node in that has answered: a new client, or a known one on a new node."""
        answer, jobs = answer_of(reply, node, self.most_clients, self.plan.agreed), self.jobs
        if answer.refusal:
            self._newcomers.refuse(node, node, answer.refusal)
            return
        member = answer.member
        if member is not None:
            partitions, named = self.run.num_partitions, answer.num_partitions
            member = self._newcomers.identify(
                member, jobs.members, num_partitions=partitions, named=named, online=self._online
            )
            if member is None:
                return
            self.run.num_partitions = max(partitions, named)
        elif was_delivered(reply):
            if self.options.codec is not None and reply.metadata.message_type == MessageType.QUERY:
                self._ask(node, of_mods=True)
                return
            number = next_number(jobs.members, self.run.num_partitions)
            member = Member(client=number, node_id=node, num_examples=1, trains=True, plain=True, counted=False)
        else:
            return  # gone again before it answered
        self._newcomers.first_holders.setdefault(member.client, node)
        if (job := jobs.of(member.client)) is not None:
            self._lose(job)
        jobs.members[member.client] = member
        self._away.discard(member.client)
        jobs.table.grow(member.client + 1)
        jobs.note_examples(member)
        if member.client not in self._resting:
            self._free(member.client)
        self.run.set_in_flight(sum(m.trains for m in jobs.members.values()))
