"""Who takes part: every node is asked for its partition id and number of examples.

Node ids are random in each run; clients are ordered by partition id, so that a seed means the same thing
on every engine. A node that answers the question with an error (an app without our query handler) is a
*plain* client: it comes after the others, ordered by node id, with one example until its first reply tells.
"""

import time
from dataclasses import dataclass
from itertools import pairwise
from logging import WARNING

from flwr.app import ConfigRecord, Message, MessageType, RecordDict
from flwr.common.logger import log
from flwr.serverapp import Grid

from eafl_flower.engines.waiting import wait_for
from eafl_flower.errors import ProtocolError, RunFailedError
from eafl_flower.strategies.records import CONFIG, NUM_EXAMPLES, single_metric_record

PARTITION = "partition-id"
NUM_PARTITIONS = "num-partitions"
TRAINS = "trains"
BATCH = 200  # questions that are open at a time
MOST_CLIENTS = 1_000_000  # a larger num-partitions is a mistake: tables have a row for each partition


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One node of the federation.

    ``client`` is its number in the run: the partition id, or a number after all partitions for a plain
    client. ``trains`` is False for a client that is only evaluated.
    """

    client: int
    node_id: int
    num_examples: int
    trains: bool
    plain: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Roster:
    """The nodes that are there, in order, and how many partitions there are as far as they know (0: unknown)."""

    members: tuple[Member, ...]
    num_partitions: int


def take_roster(
    grid: Grid, *, min_nodes: int, timeout_s: float, most: int = MOST_CLIENTS, absent: frozenset[int] = frozenset()
) -> Roster:
    """Ask every node of ``grid`` who it is, and return those that are there, in order.

    Waits until as many nodes as the clients themselves say there are (``num-partitions``) have answered,
    or, where none of them says, until ``min_nodes`` are there and their number stays the same for a second.

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
    absent
        Clients that are not waited for: a run that resumes had lost them.

    Raises
    ------
    RunFailedError
        If too few nodes answer in time, or as many as there may be are left out.
    ProtocolError
        If two nodes have the same partition id.
    """
    deadline = time.monotonic() + timeout_s
    members: dict[int, Member] = {}
    plain: set[int] = set()
    refused: dict[int, str] = {}  # node -> why
    total = 0
    stable_since, seen = time.monotonic(), 0
    while True:
        new = [n for n in grid.get_node_ids() if n not in members and n not in plain and n not in refused]
        for start in range(0, len(new), BATCH):
            asked = new[start : start + BATCH]
            total = max(total, _ask(grid, asked, members, plain, refused, most, deadline))
        count = len(members) + len(plain)
        if count != seen:
            stable_since, seen = time.monotonic(), count
        missing = absent - {member.client for member in members.values()}
        least, known = min_nodes - len(missing), total - sum(client < total for client in missing)
        if count >= max(least, 1) and (
            (total > 0 and count >= known) or (total == 0 and time.monotonic() - stable_since >= 1.0)
        ):
            break
        late = time.monotonic() > deadline
        if refused and (late or len(refused) >= most):
            msg = f"{len(refused)} nodes left out, {count} there; {next(iter(refused.values()))}"
            raise RunFailedError(msg)
        if late:
            expected = max(least, known)
            msg = f"{count} of {expected} nodes answered within {timeout_s:g} s: start the others or expect fewer"
            raise RunFailedError(msg)
        time.sleep(0.02)
    first_plain = max([total, *(m.client + 1 for m in members.values())])
    if plain:
        log(
            WARNING,
            "%d nodes did not answer the roster query: they are ordered by node id, which is random, "
            "so this run cannot be reproduced from its seed",
            len(plain),
        )
    others = [
        Member(client=first_plain + i, node_id=node, num_examples=1, trains=True, plain=True)
        for i, node in enumerate(sorted(plain))
    ]
    ordered = sorted(members.values(), key=lambda m: (m.client, m.node_id))
    for a, b in pairwise(ordered):
        if a.client == b.client:
            msg = f"nodes {a.node_id} and {b.node_id} both have partition-id {a.client}: give each SuperNode its own"
            raise ProtocolError(msg)
    return Roster(members=(*ordered, *others), num_partitions=total)


def _ask(
    grid: Grid,
    nodes: list[int],
    members: dict[int, Member],
    plain: set[int],
    refused: dict[int, str],
    most: int,
    deadline: float,
) -> int:
    """Query ``nodes``, sort the answers into the three collections, return the largest ``num-partitions``."""
    messages = [Message(RecordDict({CONFIG: ConfigRecord()}), node, MessageType.QUERY) for node in nodes]
    waiting = {i: None for i in grid.push_messages(messages) if i}
    total = 0
    while waiting and time.monotonic() < deadline:
        for reply in wait_for(grid, waiting, timeout_s=max(0.0, deadline - time.monotonic())):
            waiting.pop(reply.metadata.reply_to_message_id, None)
            node = reply.metadata.src_node_id
            member = member_of(reply, node)
            if member is None:
                if node in nodes:  # errors made on the way have another sender: such a node is asked again
                    plain.add(node)
                continue
            if reason := reason_to_refuse(node, member[1], most):
                log(WARNING, "%s", reason)
                refused[node] = reason
                continue
            members[node] = member[0]
            total = max(total, member[1])
    return total


def reason_to_refuse(node: int, num_partitions: int, most: int) -> str:
    """Return why a node with this ``num-partitions`` (and so, perhaps, a partition id as large) cannot take part."""
    if num_partitions <= most:
        return ""
    return (
        f"node {node} was started with num-partitions = {num_partitions}, the run takes {most} at most: "
        "start it with the number there are, or let the run have more clients (data.clients)"
    )


def member_of(reply: Message, node: int) -> tuple[Member, int] | None:
    """Return the member a roster reply describes and its ``num-partitions``; None for a plain client."""
    if reply.has_error():
        return None
    try:
        record = single_metric_record(reply.content, f"the roster reply of node {node}")
    except ProtocolError:
        return None
    client, total = record.get(PARTITION), record.get(NUM_PARTITIONS)
    if not (isinstance(client, int) and isinstance(total, int) and 0 <= client < max(total, 1)):
        return None
    count = record[NUM_EXAMPLES]
    return Member(
        client=client,
        node_id=node,
        num_examples=int(count),  # type: ignore[arg-type]
        trains=bool(record.get(TRAINS, 1)),
        plain=False,
    ), total
