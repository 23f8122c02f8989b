"""What clients claim to have is held against what all others claim, without a look at all of them each time."""

import math
from dataclasses import replace

import numpy as np
import pytest

from eafl_flower.aggregation import example_counts
from eafl_flower.aggregation.example_counts import largest_believed
from eafl_flower.runs.claims import Claims
from eafl_flower.runs.jobs import ClientTable
from eafl_flower.runs.members.roster_answers import Member
from eafl_flower.wire.notes import Notes

HUGE = 2**53


def member(client: int, num_examples: int) -> Member:
    return Member(client=client, node_id=100 + client, num_examples=num_examples, trains=True, plain=False)


def limit(table: ClientTable) -> float:
    """The definition: the last update's claim of each client, before it what it said if it was asked."""
    asked = np.where(table.num_examples > 1, table.num_examples, 0)
    return largest_believed(np.where(table.claimed > 0, table.claimed, asked).tolist())


def test_an_update_weighs_no_more_than_all_claims_together_allow():
    rng = np.random.default_rng(1)
    table, claims = ClientTable.of_size(30), Claims(Notes())
    table.num_examples[:] = rng.integers(1, 40, 30)
    for _ in range(400):
        client, count = int(rng.integers(30)), float(rng.choice([0, 1, 7, 20, HUGE]))
        believed = claims.believed(table, client, count)
        assert believed == min(count, limit(table))
        assert table.claimed[client] == count


def test_who_joins_later_counts_among_the_claims():
    table, claims = ClientTable.of_size(4), Claims(Notes())
    members = {client: member(client, 10) for client in range(3)}
    for one in members.values():
        claims.note(table, members, one)
    assert claims.believed(table, 0, 10.0) == 10.0
    members[3] = member(3, HUGE)
    claims.note(table, members, members[3])
    assert table.num_examples[3] == 1000
    assert claims.believed(table, 3, float(HUGE)) == limit(table) == 1000


def test_a_client_that_was_not_asked_is_no_measure():
    table, claims = ClientTable.of_size(3), Claims(Notes())
    members = {0: member(0, 1), 1: member(1, 50), 2: member(2, 70)}
    for one in members.values():
        claims.note(table, members, one)
    assert table.num_examples.tolist() == [1, 50, 70]
    assert claims.believed(table, 1, 6000.0) == 6000.0  # the lower middle one of 70 and 6000 is 70


@pytest.mark.parametrize("seed", range(5))
def test_a_resumed_run_believes_what_an_undisturbed_one_does(seed):
    """Whatever is claimed, with jobs priced by updates too, and in the same type of number."""
    rng = np.random.default_rng(seed)
    table, claims = ClientTable.of_size(9), Claims(Notes())
    members = {client: member(client, int(rng.integers(1, 9))) for client in range(9)}
    for one in members.values():
        claims.note(table, members, one)
    for _ in range(200):
        client, count = int(rng.integers(9)), int(rng.choice([0, 0, 1, 5, 30, 10**6]))
        resumed = replace(table, claimed=table.claimed.copy(), num_examples=table.num_examples.copy())
        again = Claims(Notes()).believed(resumed, client, count)
        believed = claims.believed(table, client, count)
        assert (believed, type(believed)) == (again, type(again))
        if client % 2:  # was not asked: priced with what it counted last
            claims.learn(table, client, believed)


def test_no_update_or_answer_sorts_all_claims(monkeypatch: pytest.MonkeyPatch):
    table, claims = ClientTable.of_size(50), Claims(Notes())
    members = {client: member(client, 10 + client) for client in range(50)}
    claims.note(table, members, members[0])
    claims.believed(table, 0, 10.0)
    looks = []
    monkeypatch.setattr(example_counts, "sorted", lambda *a: looks.append(a) or sorted(*a), raising=False)
    monkeypatch.setattr(np, "where", lambda *a, w=np.where: looks.append(a) if np.size(a[0]) > 1 else w(*a))
    for client in range(1, 50):
        claims.note(table, members, members[client])
        assert math.isfinite(claims.believed(table, client, 12.0))
    assert not looks
