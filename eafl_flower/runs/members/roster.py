"""Who takes part: every node is asked for its partition id and number of examples.

Node ids are random in each run; clients are ordered by partition id, so that a seed means the same thing
on every engine. A node that answers the question with an error (an app without our query handler) is a
*plain* client: it comes after the others, ordered by node id, with one example until its first reply tells.
No single node decides about the others: one that cannot be what it says is left out, with a warning that names it.
Where the run has a codec it is asked once more, by a train message without arrays: a query that an app has no function
for never reaches its mods, and ``compression_mod`` can say that it decodes.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from logging import WARNING

from flwr.app import ConfigRecord, Message, MessageType, RecordDict
from flwr.serverapp import Grid

from eafl_flower.engines.flower_log import log
from eafl_flower.engines.waiting import wait_for
from eafl_flower.errors import RunFailedError
from eafl_flower.runs.members.roster_answers import (
    FARTHEST,
    MOST_CLIENTS,
    Member,
    answer_of,
    believed_total,
    both_claim,
)
from eafl_flower.wire.agreement import Statement
from eafl_flower.wire.records import CONFIG, GREETING, ROSTER

BATCH = 200  # questions that are open at a time
Greeting = Mapping[str, str] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Roster:
    """The nodes that are there, in order, and how many partitions there are as far as they know (0: unknown).

    ``refused`` are nodes left out, each with the node that is in its way, or itself.
    """

    members: tuple[Member, ...]
    num_partitions: int
    refused: dict[int, int] = field(default_factory=dict)


@dataclass(kw_only=True, slots=True)
class _Answers:
    """What came in so far: members by client, plain nodes, why and because of whom nodes were refused, and totals."""

    members: dict[int, Member] = field(default_factory=dict)
    plain: set[int] = field(default_factory=set)
    refused: dict[int, tuple[int, str]] = field(default_factory=dict)
    totals: dict[int, int] = field(default_factory=dict)

    @property
    def known(self) -> set[int]:
        """Nodes that have answered."""
        return {m.node_id for m in self.members.values()} | self.plain | self.refused.keys()

    @property
    def total(self) -> int:
        """Partitions that there are."""
        return believed_total(self.totals.values())

    def refuse(self, node: int, obstacle: int, reason: str) -> None:
        """Leave ``node`` out."""
        log(WARNING, "%s", reason)
        self.refused[node] = obstacle, reason

    def take(self, reply: Message, node: int, most: int, agreed: Statement | None) -> None:
        """Sort one answer in."""
        answer = answer_of(reply, node, most, agreed)
        if answer.refusal:
            self.refuse(node, node, answer.refusal)
        elif answer.member is None:
            self.plain.add(node)
        elif (holder := self.members.get(answer.member.client)) is not None:
            self.refuse(node, holder.node_id, both_claim(holder.node_id, node, holder.client))
        else:
            self.members[answer.member.client] = answer.member
            self.totals[node] = answer.num_partitions

    def leave_out_the_farthest(self) -> None:
        """Refuse members with a partition id far beyond the partitions that most nodes know of."""
        limit = FARTHEST * max(self.total, len(self.members))
        for client in [c for c in self.members if c >= limit]:
            node = self.members.pop(client).node_id
            text = (
                f"node {node} was started with partition-id = {client} and num-partitions = {self.totals.pop(node)}, "
                f"most others with num-partitions = {self.total}: it gets no jobs; start it with the number there are"
            )
            self.refuse(node, node, text)


def roster_question(*, of_mods: bool = False, greeting: Greeting = None) -> tuple[RecordDict, str]:
    """Return content and type of the message that asks a node who it is: the app, or the mods of its train function.

    ``greeting`` is what the node is told with it.
    """
    told = {} if greeting is None else {GREETING: ConfigRecord(dict(greeting))}
    if of_mods:
        return RecordDict({ROSTER: ConfigRecord(), **told}), MessageType.TRAIN
    return RecordDict({CONFIG: ConfigRecord(), **told}), MessageType.QUERY


def take_roster(
    grid: Grid,
    *,
    min_nodes: int,
    timeout_s: float,
    most: int = MOST_CLIENTS,
    ask_mods: bool = False,
    absent: frozenset[int] = frozenset(),
    greeting: Greeting = None,
    agreed: Statement | None = None,
) -> Roster:
    """Ask every node of ``grid`` who it is, and return those that are there, in order.

    Waits until as many nodes as most of the clients themselves say there are (``num-partitions``) have answered,
    or, where none of them says, until ``min_nodes`` are there and their number stays the same for a second (simulations
    on our own grids have all nodes at once). Of nodes with the same partition id the first to answer keeps it.

    Parameters
    ----------
    grid
        Where the nodes are.
    min_nodes
        Fewest nodes to wait for.
    timeout_s
        Longest time to wait [s].
    most
        Largest ``num-partitions`` to believe: a node that says more is left out, with a warning.
    ask_mods
        Ask the mods of nodes whose app has no answer.
    absent
        Clients that are not waited for: a run that resumes had lost them.
    greeting
        What every node is told with the question.
    agreed
        What every node must have alike: one that has not is left out, with a warning that names it.

    Raises
    ------
    RunFailedError
        If too few nodes answer in time, or as many as there may be are left out.
    """
    deadline = time.monotonic() + timeout_s
    answers = _Answers()
    stable_since, seen = time.monotonic(), 0
    in_order = getattr(grid, "nodes_are_partitions", False)
    while True:
        known = answers.known
        new = [n for n in grid.get_node_ids() if n not in known]
        for start in range(0, len(new), BATCH):
            asked = new[start : start + BATCH]
            _ask(grid, asked, answers, most, deadline, greeting=greeting, agreed=agreed)
            if ask_mods and (silent := [node for node in asked if node in answers.plain]):
                answers.plain.difference_update(silent)
                _ask(grid, silent, answers, most, deadline, of_mods=True, greeting=greeting, agreed=agreed)
        count, left_out, total = len(answers.members) + len(answers.plain), len(answers.refused), answers.total
        if count != seen:
            stable_since, seen = time.monotonic(), count
        stable = in_order or time.monotonic() - stable_since >= 1.0
        missing = absent - answers.members.keys()
        least, expected = min_nodes - len(missing), total - sum(client < total for client in missing)
        if count >= max(least, 1) and (count + left_out >= expected if total else stable):
            break
        late = time.monotonic() > deadline or (in_order and left_out > 0)  # nobody else will come to such a grid
        if late and count >= max(least, 1) and len(set(answers.totals.values())) > 1:
            log(WARNING, "%d nodes are there, the nodes do not agree on how many there are: the run starts", count)
            break
        if left_out and (late or left_out >= most):
            msg = f"{left_out} nodes left out, {count} there; {next(iter(answers.refused.values()))[1]}"
            raise RunFailedError(msg)
        if late:
            there = f"{count} of {max(least, expected)} nodes answered within {timeout_s:g} s"
            msg = f"{there}: start the others or expect fewer"
            raise RunFailedError(msg)
        time.sleep(0.02)
    answers.leave_out_the_farthest()
    return _in_order(answers, known=in_order)


def _in_order(answers: _Answers, *, known: bool) -> Roster:
    members, plain, total = answers.members, answers.plain, answers.total
    first_plain = max([total, *(client + 1 for client in members)])
    if plain and not known:
        log(
            WARNING,
            "%d nodes did not answer the roster query: they are ordered by node id, which is random, "
            "so this run cannot be reproduced from its seed",
            len(plain),
        )
    others = [
        Member(client=first_plain + i, node_id=node, num_examples=1, trains=True, plain=True, counted=False)
        for i, node in enumerate(sorted(plain))
    ]
    ordered = [members[client] for client in sorted(members)]
    refused = {node: obstacle for node, (obstacle, _) in answers.refused.items()}
    return Roster(members=(*ordered, *others), num_partitions=total, refused=refused)


def _ask(
    grid: Grid,
    nodes: list[int],
    answers: _Answers,
    most: int,
    deadline: float,
    *,
    greeting: Greeting,
    agreed: Statement | None,
    of_mods: bool = False,
) -> None:
    """Query ``nodes``, or the mods of their train functions, and sort their answers in."""
    questions = ((node, *roster_question(of_mods=of_mods, greeting=greeting)) for node in nodes)
    messages = [Message(content, node, kind) for node, content, kind in questions]
    waiting = {i: None for i in grid.push_messages(messages) if i}
    while waiting and time.monotonic() < deadline:
        for reply in wait_for(grid, waiting, timeout_s=max(0.0, deadline - time.monotonic())):
            waiting.pop(reply.metadata.reply_to_message_id, None)
            node = reply.metadata.src_node_id
            if node in nodes:  # errors made on the way have another sender: such a node is asked again
                answers.take(reply, node, most, agreed)
