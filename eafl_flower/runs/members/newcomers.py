"""Nodes that come while a deployment runs: which client each is, or why it is left out."""

from collections.abc import Mapping, Set
from dataclasses import replace
from logging import WARNING

from eafl_flower.engines.flower_log import log
from eafl_flower.runs.members.roster_answers import FARTHEST, Member, both_claim


class Newcomers:
    """Remembers which node had each client first, and which nodes were refused.

    Attributes
    ----------
    refused
        Node that cannot take part -> node that is in its way, or itself.
    first_holders
        Client -> node that had it first.
    """

    def __init__(self) -> None:
        self.refused: dict[int, int] = {}
        self.first_holders: dict[int, int] = {}

    def refuse(self, node: int, obstacle: int, reason: str) -> None:
        """Leave ``node`` out, and ask it again only when it or the node ``obstacle`` has gone."""
        log(WARNING, "%s", reason)
        self.refused[node] = obstacle

    def forget_those_gone(self, online: Set[int]) -> None:
        """Ask nodes again where they, or what was in their way, are no longer online."""
        self.refused = {node: other for node, other in self.refused.items() if {node, other} <= online}

    def identify(
        self, claimed: Member, members: Mapping[int, Member], *, num_partitions: int, named: int, online: Set[int]
    ) -> Member | None:
        """Return the client that a node is, given what it claims to be; None if it is refused.

        ``num_partitions`` are those known so far, ``named`` those that the node speaks of.

        A partition far beyond all others is refused. Of two nodes that claim one client the first holder keeps it. A
        client that got its number before anybody knew of partitions keeps that.
        """
        node = claimed.node_id
        if claimed.client >= FARTHEST * max(num_partitions, len(members), 1):
            text = f"node {node} has partition-id {claimed.client}, the run {num_partitions} partitions"
            self.refuse(node, node, f"{text}: it gets no jobs; start it with the number there are")
            return None
        known = members.get(claimed.client)
        if known is not None and known.plain:
            return replace(claimed, client=next_number(members, max(num_partitions, named)))
        if known is not None and known.node_id in online - {node}:
            # A node id that returns is that of a key: without node authentication each start makes a new one.
            first = self.first_holders.get(claimed.client)
            holder, other = (node, known.node_id) if first == node else (known.node_id, node)
            self.refuse(other, holder, both_claim(holder, other, claimed.client))
            if other == node:
                return None
        return claimed


def next_number(members: Mapping[int, Member], num_partitions: int) -> int:
    """Return the number of a client that nobody has."""
    return max([num_partitions, *(client + 1 for client in members)])
