import math

import numpy as np

from eafl_flower.aggregation.example_counts import MOST_TIMES_MEDIAN, Counts, largest_believed


def test_the_limit_is_a_multiple_of_the_median_of_those_who_have_any():
    assert largest_believed([3, 0, 7, 0, 5]) == MOST_TIMES_MEDIAN * 5
    assert largest_believed([]) == largest_believed([0, 0]) == math.inf


def test_a_minority_cannot_lift_the_limit():
    honest = [10] * 5
    assert largest_believed([*honest, *[2**53] * 5]) == MOST_TIMES_MEDIAN * 10
    assert largest_believed([10, 2**53]) == MOST_TIMES_MEDIAN * 10


def test_after_any_changes_the_limit_is_that_of_all_claims():
    rng = np.random.default_rng(1)
    claims = {client: int(rng.integers(0, 5)) for client in range(20)}
    counts = Counts(claims)
    assert counts.largest_believed == largest_believed(claims.values())
    for client, count in zip(rng.integers(0, 30, 500).tolist(), rng.integers(-1, 6, 500).tolist(), strict=True):
        counts.claim(client, count)
        claims[client] = count
        assert counts.largest_believed == largest_believed(claims.values())


def test_without_any_claim_there_is_no_limit():
    counts = Counts({1: 3})
    counts.claim(1, 0)
    assert counts.largest_believed == math.inf
