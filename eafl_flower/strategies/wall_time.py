"""Wall-clock time: in a deployment a reply counts when it comes, whoever sends it."""

import time
from dataclasses import replace

from flwr.app import ConfigRecord, Message, MessageType, RecordDict
from flwr.serverapp.strategy import Result

from eafl_flower.engines.waiting import wait_for
from eafl_flower.errors import RunFailedError
from eafl_flower.strategies.job import Job
from eafl_flower.strategies.records import CONFIG
from eafl_flower.strategies.roster import Member, member_of
from eafl_flower.strategies.run import FederatedRun, Interrupted, Plan
from eafl_flower.strategies.signals import interrupts

NODE_POLL_S = 2.0
REPLY_POLL_S = 0.5
MESSAGE_UNAVAILABLE, NODE_UNAVAILABLE = 3, 5


class WallRun(FederatedRun):
    """A run on the clock on the wall.

    Nodes may join, vanish and return at any time. Energy is that of the price model, for the bytes really
    sent; ``time_s`` of its events is real.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self._resting: dict[int, float] = {}  # client -> when it may work again
        self._late: dict[str, int] = {}  # messages of jobs that were given up -> client
        self._asked: dict[str, int] = {}  # roster queries under way -> node id
        self._away: set[int] = set()  # clients whose node is not online
        self._next_look_s = self._last_seen_s = 0.0

    def now_s(self) -> float:
        """Real time since the start [s]."""
        return self.wall_s()

    def charged_until_s(self, job: Job, outcome: str) -> float:
        """Charge a job whose reply came whole: the price model's times are not those of the wall."""
        return float("inf") if outcome in ("merged", "refused") else self.now_s()

    def execute(self) -> Result:
        """Run to the end.

        Raises
        ------
        RunFailedError
            If the error budget is spent or all nodes are gone for too long.
        KeyboardInterrupt
            On Ctrl-C, after a checkpoint was written.
        """
        with interrupts(self):
            self.prepare()
            self._last_seen_s = self.now_s()
            try:
                if self.options.evaluate_first and not self.options.resume:
                    self.evaluate()
                for job in [j for j in self.jobs.values() if not self.wires[j.client].message_id]:
                    self._lose(job)  # resumed, but its node has gone meanwhile
                for client in self.trainers:
                    if client not in self.jobs and client not in self._resting:
                        self.idle.add(client)
                while not self.done:
                    self._look_for_nodes()
                    self._wake()
                    self._dispatch()
                    for reply in self._replies():
                        self._take(reply)
                    self._give_up()
                    if self.interrupted:
                        raise Interrupted
            except Exception as error:
                # `flwr stop` comes as a signal, and then the SuperLink refuses what the loop asks it next
                if not self.interrupted:
                    raise
                self.checkpoint()
                raise KeyboardInterrupt from (None if isinstance(error, Interrupted) else error)
            self.jobs.clear()
            return self.finish()

    def clients_to_evaluate(self) -> list[int]:
        """Clients that are there and have no job: nobody waits for those at work."""
        return [client for client in sorted(self.members) if client not in self.jobs and client not in self._away]

    def _dispatch(self) -> None:
        if self.plan.barrier and self.jobs:
            return
        while len(self.jobs) < self.in_flight and len(self.idle):
            client = self.draw_idle()
            job = self.open_job(client, self.now_s() + (self.options.deadline_s or self.plan.timeout_s))
            self.send(job)
            if not self.wires[client].message_id:
                self._lose(job)

    def _replies(self) -> list[Message]:
        ids = [wire.message_id for wire in self.wires.values()] + list(self._late) + list(self._asked)
        if not ids:
            time.sleep(REPLY_POLL_S)
            return []
        return wait_for(self.grid, ids, timeout_s=REPLY_POLL_S)

    def _take(self, reply: Message) -> None:
        """Sort one message: the reply to an open job, to one that was given up, or to a roster query."""
        message_id = reply.metadata.reply_to_message_id
        if message_id in self._asked:
            self._welcome(reply, self._asked.pop(message_id))
            return
        if message_id in self._late:
            client = self._late.pop(message_id)
            if not reply.has_error():
                self.tally.late += 1
                self._resting.pop(client, None)
                self._free(client)
            return
        job = next((j for j in self.jobs.values() if self.wires[j.client].message_id == message_id), None)
        if job is None:
            self.tally.late += 1  # a second reply to a job that has ended
        elif reply.has_error() and reply.error.code in (MESSAGE_UNAVAILABLE, NODE_UNAVAILABLE):
            self._lose(job)
        elif reply.has_error():
            self.fail(job, reply)
            self._rest(job.client)
        else:
            self.note_reply(job, reply)
            job.price = replace(job.price, upload=self.options.network.upload(job.client, job.uplink_bytes))
            if self.merge(job, reply):
                self._free(job.client)
            else:
                self._rest(job.client)
        self._round_over()

    def _round_over(self) -> None:
        if self.plan.barrier and not self.jobs:
            self.flush_barrier()

    def _lose(self, job: Job) -> None:
        """End ``job``, whose node is gone."""
        self.tally.lost += 1
        self.table.failures[job.client] += 1
        energy_j = self.close_job(job, "lost")
        self.emit("lost", **self._where(job), energy_j=energy_j)
        self._rest(job.client)

    def _give_up(self) -> None:
        """End the jobs that are past their deadline."""
        for job in [j for j in self.jobs.values() if self.now_s() > j.ends_s]:
            self._late[self.wires[job.client].message_id] = job.client
            self.tally.timed_out += 1
            self.table.failures[job.client] += 1
            energy_j = self.close_job(job, "timeout")
            self.emit("timeout", **self._where(job), energy_j=energy_j)
            self._rest(job.client)
            self._round_over()

    def _rest(self, client: int) -> None:
        self._resting[client] = self.now_s() + self.pause_s(client)

    def _wake(self) -> None:
        for client in [c for c, until in self._resting.items() if self.now_s() >= until]:
            del self._resting[client]
            self._free(client)

    def _free(self, client: int) -> None:
        """Make ``client`` idle, if it trains, has no job and its node is there."""
        if self.members[client].trains and client not in self.jobs and client not in self._away:
            self.idle.add(client)

    def _look_for_nodes(self) -> None:
        """See which nodes are online, and ask those that are new who they are.

        Raises
        ------
        RunFailedError
            If there has been none for as long as a reply may take.
        """
        if self.now_s() < self._next_look_s:
            return
        online = list(self.grid.get_node_ids())
        self._next_look_s = self.now_s() + NODE_POLL_S
        if online:
            self._last_seen_s = self.now_s()
        elif self.now_s() > self._last_seen_s + self.plan.timeout_s:
            msg = f"no node has been online for {self.plan.timeout_s:g} s: {self.version} merges made"
            raise RunFailedError(msg)
        self._note_who_is_there(set(online))
        known = {m.node_id for m in self.members.values()} | set(self._asked.values())
        for node in [node for node in online if node not in known]:
            query = Message(RecordDict({CONFIG: ConfigRecord()}), node, MessageType.QUERY)
            for message_id in self.grid.push_messages([query]):
                if message_id:
                    self._asked[message_id] = node

    def _note_who_is_there(self, online: set[int]) -> None:
        """Give no job to a client whose node is offline; one that is back need not rest any longer."""
        for client, member in self.members.items():
            if member.node_id not in online:
                self._away.add(client)
                self.idle.remove(client)
            elif client in self._away:
                self._away.remove(client)
                self._resting.pop(client, None)
                self._free(client)

    def _welcome(self, reply: Message, node: int) -> None:
        """Take a node in that has answered: a new client, or a known one on a new node."""
        answer = member_of(reply, node)
        if answer is not None:
            member = answer[0]
        elif reply.has_error() and reply.error.code not in (MESSAGE_UNAVAILABLE, NODE_UNAVAILABLE):
            number = max(self.members, default=-1) + 1
            member = Member(client=number, node_id=node, num_examples=1, trains=True, plain=True)
        else:
            return  # gone again before it answered
        if member.client in self.jobs:
            self._lose(self.jobs[member.client])
        self.members[member.client] = member
        self._away.discard(member.client)
        self.table.grow(member.client + 1)
        self.table.num_examples[member.client] = member.num_examples
        if member.client not in self._resting:
            self._free(member.client)
        if member.trains and not self.options.concurrency:
            self.in_flight = max(self.in_flight, sum(m.trains for m in self.members.values()))
