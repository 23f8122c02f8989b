"""How many examples clients are believed to have: each may claim any number, and all others are the measure."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from eafl_flower.aggregation.example_counts import Counts, too_many
from eafl_flower.runs.jobs import ClientTable
from eafl_flower.runs.members.roster_answers import Member
from eafl_flower.wire.notes import Notes


class Claims:
    """Bounds what clients claim; the notes tell of it.

    Both lists of claims are formed once, from the table and the members, and follow them from then on: with very many
    vehicles nothing sorts them all for one update.
    """

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._in_updates: Counts | None = None
        self._at_start: Counts | None = None

    def believed(self, table: ClientTable, client: int, count: float) -> float:
        """Return the examples of ``client`` that its update is weighed with, given what it and all others claim.

        Who has not sent an update yet claims what it said at the start, unless that is the 1 of a client that was not
        asked for a number.
        """
        table.claimed[client] = count
        if self._in_updates is None:
            self._in_updates = Counts(dict(enumerate(_claims(table.claimed, table.num_examples).tolist())))
        self._follow(table, client)
        most = self._in_updates.largest_believed
        if count > most:
            self._notes.tell("weight", too_many(f"the update of client {client}", count, most))
        return min(count, most)

    def note(self, table: ClientTable, members: Mapping[int, Member], member: Member) -> None:
        """Note what ``member``, one of ``members``, says that it has.

        Its jobs are priced with it, unless nobody else has nearly as much.
        """
        if self._at_start is None:
            said = _asked(np.array([m.num_examples for m in members.values()])).tolist()
            self._at_start = Counts(dict(zip(members, said, strict=True)))
        else:
            self._at_start.claim(member.client, int(_asked(member.num_examples)))
        most = self._at_start.largest_believed
        if member.num_examples > most:
            whose = f"node {member.node_id}, client {member.client},"
            self._notes.tell("price", f"{too_many(whose, member.num_examples, most)} in the price of a job")
        self.learn(table, member.client, min(member.num_examples, most))

    def learn(self, table: ClientTable, client: int, num_examples: float) -> None:
        """Note with how many examples the jobs of ``client`` are priced from now on."""
        table.num_examples[client] = num_examples
        self._follow(table, client)

    def _follow(self, table: ClientTable, client: int) -> None:
        """Let the claims be what a run that begins with this table would make of it."""
        if self._in_updates is not None:
            self._in_updates.claim(client, float(_claims(table.claimed[client], table.num_examples[client])))


def _claims(claimed: Any, num_examples: Any) -> Any:
    return np.where(claimed > 0, claimed, _asked(num_examples))


def _asked(num_examples: Any) -> Any:
    """Return the counts that stand for a number; a client that was not asked for one has 1."""
    return np.where(num_examples > 1, num_examples, 0)
