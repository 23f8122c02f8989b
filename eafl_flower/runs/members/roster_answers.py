"""What one node says about itself, and whether it can be: a node may say anything."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from logging import WARNING
from typing import Any, Final

from flwr.app import Message

from eafl_flower.core.excerpt import excerpt
from eafl_flower.engines.flower_log import log
from eafl_flower.errors import ProtocolError
from eafl_flower.wire.agreement import Statement, disagreement, stated_in
from eafl_flower.wire.records import (
    DIFFERENCE,
    MESSAGE,
    NOTE,
    NUM_EXAMPLES,
    PARTITION,
    REFUSAL,
    ROSTER,
    ROWS,
    config_record,
    single_metric_record,
)

NUM_PARTITIONS = "num-partitions"
TRAINS = "trains"
COUNTED = "counted"
KIND = "kind"
MOST_CLIENTS: Final = 1_000_000  # a larger num-partitions is a mistake: tables have a row for each partition
FARTHEST: Final = 10  # times the partitions that most nodes know of: a table for more would be mostly empty


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One node of the federation.

    ``client`` is its number in the run: the partition id, or a number after all partitions for a plain
    client. ``trains`` is False for a client that is only evaluated; ``counted`` if ``num_examples`` is its number of
    examples, and not 1 until its first reply tells. ``rows`` is what it tells of rows that it alone has.
    """

    client: int
    node_id: int
    num_examples: int
    trains: bool
    plain: bool
    counted: bool = True
    rows: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a node has said: who it is (None: a plain client), of how many partitions, or why it cannot take part."""

    member: Member | None = None
    num_partitions: int = 0
    refusal: str = ""


def answer_of(reply: Message, node: int, most: int, agreed: Statement | None = None) -> Answer:
    """Read the answer of ``node`` to the roster query; a ``num-partitions`` above ``most`` is not believed.

    A node is refused that does not have alike what the run states in ``agreed``.
    """
    if reply.has_error():
        return Answer()
    try:
        record = single_metric_record(reply.content, f"the roster reply of node {node}")
    except ProtocolError:
        return Answer()
    client, total, count = record.get(PARTITION), record.get(NUM_PARTITIONS), record[NUM_EXAMPLES]
    if not (isinstance(client, int) and isinstance(total, int) and isinstance(count, int | float)):
        return Answer()
    if total > most:
        return Answer(
            refusal=f"node {node} was started with num-partitions = {excerpt(total)}, the run takes {most} at most: "
            "start it with the number there are, or let the run have more clients (data.clients)"
        )
    if not 0 <= client < max(total, 1):
        return Answer(
            refusal=f"node {node} was started with partition-id = {excerpt(client)} and num-partitions = "
            f"{excerpt(total)}: it gets no jobs; partition ids count from 0 to num-partitions - 1"
        )
    about = config_record(reply.content, ROSTER)
    refusal = None if about is None else about.get(REFUSAL)
    if isinstance(refusal, str):
        return Answer(refusal=f"node {node}, partition {client}, gets no jobs: {excerpt(refusal, 1000)}")
    kind = "" if about is None else _kind_of(about.get(KIND))
    if why := disagreement(agreed or {}, {**stated_in(about), **({KIND: kind} if kind else {})}):
        return Answer(refusal=f"node {node}, partition {client}, gets no jobs: {why}")
    if about is not None and isinstance(note := about.get(NOTE), str):
        log(WARNING, "node %d, partition %d: %s", node, client, excerpt(note, 1000))
    trains, counted = bool(record.get(TRAINS, 1)), bool(record.get(COUNTED, 1))
    member = Member(
        client=client,
        node_id=node,
        num_examples=int(count),
        trains=trains,
        plain=False,
        counted=counted,
        rows=config_record(reply.content, ROWS),
    )
    return Answer(member=member, num_partitions=total)


def _kind_of(said: object) -> str:
    """Return the kind of a node's replies; "full" and "delta" are ways in which a difference travels."""
    return MESSAGE if said == MESSAGE else DIFFERENCE if said in ("full", "delta") else ""


def believed_total(named: Iterable[int]) -> int:
    """Return how many partitions there are: the number that most nodes name, of two as frequent the larger; or 0."""
    votes = Counter(n for n in named if n > 0)
    return max(votes, key=lambda n: (votes[n], n), default=0)


def both_claim(holder: int, node: int, client: int) -> str:
    """Say that ``node`` claims the partition that ``holder`` has."""
    return (
        f"nodes {holder} and {node} both have partition-id {client}: the second gets no jobs while the first is there; "
        "give each SuperNode its own"
    )
