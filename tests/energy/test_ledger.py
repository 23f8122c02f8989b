import copy

import numpy as np
import pytest

from eafl_flower.core.rng import generator
from eafl_flower.core.state import flatten, restore
from eafl_flower.energy import Ledger, Spent

KINDS = ("compute", "uplink", "downlink", "evaluate")


def book_randomly(ledger, rng, *, num_bookings, num_clients):
    for _ in range(num_bookings):
        ledger.book(
            int(rng.integers(num_clients)),
            KINDS[rng.integers(len(KINDS))],
            energy_j=float(rng.exponential()),
            payload_bytes=int(rng.integers(10**6)),
            framed_bytes=int(rng.integers(10**6)),
            time_s=float(rng.exponential()),
        )


def test_the_total_is_the_sum_of_its_parts():
    ledger, num_bookings, num_clients = Ledger(), 3000, 50
    book_randomly(ledger, generator(1, "ledger"), num_bookings=num_bookings, num_clients=num_clients)
    parts = [ledger.of(client, kind) for client in range(num_clients) for kind in KINDS]
    # each addition of non-negative numbers rounds by at most half an ulp of the sum
    tolerance = num_bookings * np.finfo(float).eps
    assert ledger.total().energy_j == pytest.approx(sum(p.energy_j for p in parts), rel=tolerance)
    assert ledger.total().time_s == pytest.approx(sum(p.time_s for p in parts), rel=tolerance)
    assert ledger.total().payload_bytes == sum(p.payload_bytes for p in parts)
    assert ledger.total().framed_bytes == sum(p.framed_bytes for p in parts)
    for kind in KINDS:
        of_kind = [ledger.of(client, kind) for client in range(num_clients)]
        assert ledger.total(kind).energy_j == pytest.approx(sum(p.energy_j for p in of_kind), rel=tolerance)
        assert ledger.total(kind).payload_bytes == sum(p.payload_bytes for p in of_kind)
    for client in range(num_clients):
        of_client = [ledger.of(client, kind) for kind in KINDS]
        assert ledger.of(client).energy_j == pytest.approx(sum(p.energy_j for p in of_client), rel=tolerance)


def test_bookings_appear_where_they_were_made_and_nowhere_else():
    ledger = Ledger()
    ledger.book(3, "uplink", energy_j=1.5, payload_bytes=10, framed_bytes=14, time_s=2.0)
    ledger.book(0, "compute", energy_j=0.5, time_s=1.0)
    assert ledger.of(3) == Spent(energy_j=1.5, time_s=2.0, payload_bytes=10, framed_bytes=14)
    assert ledger.of(3, "compute") == ledger.of(1) == ledger.total("evaluate") == ledger.of(10**9)
    assert ledger.of(1) == Spent(energy_j=0.0, time_s=0.0, payload_bytes=0, framed_bytes=0)
    assert ledger.total("uplink").payload_bits == 80


def test_an_empty_ledger_sums_to_zero():
    assert Ledger().total() == Spent(energy_j=0.0, time_s=0.0, payload_bytes=0, framed_bytes=0)


def test_a_stored_ledger_goes_on_as_if_never_stored():
    rng = generator(2, "ledger")
    ledger = Ledger()
    book_randomly(ledger, rng, num_bookings=100, num_clients=9)
    arrays, tree = copy.deepcopy(flatten(ledger))
    resumed, rng_again = restore(Ledger(), arrays, tree), copy.deepcopy(rng)
    book_randomly(ledger, rng, num_bookings=100, num_clients=30)
    book_randomly(resumed, rng_again, num_bookings=100, num_clients=30)
    assert resumed.kinds == ledger.kinds
    assert [resumed.of(c) for c in range(30)] == [ledger.of(c) for c in range(30)]
    assert resumed.total() == ledger.total()


def test_the_room_grows_at_most_to_twice_what_is_needed():
    ledger = Ledger()
    for client in range(1000):
        ledger.book(client, "compute", time_s=1.0)
    assert ledger.amounts.shape[0] < 2000
    ledger.book(99_999, "uplink", time_s=1.0)
    assert ledger.amounts.shape == (100_000, 2, 4)


@pytest.mark.parametrize("wrong", [{"energy_j": -1.0}, {"time_s": float("nan")}, {"payload_bytes": -1}])
def test_an_amount_that_is_negative_or_not_finite_is_refused_and_changes_nothing(wrong):
    ledger = Ledger()
    with pytest.raises(ValueError, match=r"booking of client 1 for 'compute'.*expected finite amounts"):
        ledger.book(1, "compute", **wrong)
    with pytest.raises(ValueError, match="a client of at least 0"):
        ledger.book(-1, "compute")
    assert ledger.kinds == ()
