"""How many examples clients are believed to have: each may claim any number, and all others are the measure."""

from collections.abc import Mapping

import numpy as np

from eafl_flower.aggregation.example_counts import largest_believed, too_many
from eafl_flower.runs.jobs import ClientTable
from eafl_flower.runs.members.roster_answers import Member
from eafl_flower.wire.notes import Notes


class Claims:
    """Bounds what clients claim; the notes tell of it."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._most = 0.0  # that a client is believed to have; 0: to be computed

    def believed(self, table: ClientTable, client: int, count: float) -> float:
        """Return the examples of ``client`` that its update is weighed with, given what it and all others claim.

        Who has not sent an update yet claims what it said at the start, unless that is the 1 of a client that was not
        asked for a number.
        """
        if table.claimed[client] != count or not self._most:
            table.claimed[client] = count
            asked = np.where(table.num_examples > 1, table.num_examples, 0)
            self._most = largest_believed(np.where(table.claimed > 0, table.claimed, asked).tolist())
        if count > self._most:
            self._notes.tell("weight", too_many(f"the update of client {client}", count, self._most))
        return min(count, self._most)

    def note(self, table: ClientTable, members: Mapping[int, Member], member: Member) -> None:
        """Note what ``member`` says that it has: its jobs are priced with it, unless nobody else has nearly as much."""
        most = largest_believed([m.num_examples for m in members.values() if m.num_examples > 1])
        if member.num_examples > most:
            whose = f"node {member.node_id}, client {member.client},"
            self._notes.tell("price", f"{too_many(whose, member.num_examples, most)} in the price of a job")
        table.num_examples[member.client] = min(member.num_examples, most)
