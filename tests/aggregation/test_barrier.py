from dataclasses import replace

import numpy as np
import pytest

from eafl_flower.aggregation import EMAMAggregator, combine
from eafl_flower.aggregation.barrier import bounded
from eafl_flower.errors import UpdateRefusedError
from eafl_flower.types import Update


def _update(*delta, client=0, num_examples=1, base_version=3):
    return Update(client=client, delta=delta, base_version=base_version, num_examples=num_examples)


def test_the_combination_is_the_mean_weighted_by_examples():
    combined = combine([_update(np.array([1.0, 0.0]), num_examples=1), _update(np.array([0.0, 4.0]), num_examples=3)])
    assert combined.delta[0].tolist() == [0.25, 3.0]
    assert (combined.client, combined.base_version, combined.num_examples, combined.base) == (-1, 3, 4, None)


def test_one_update_stays_as_it_is():
    delta = np.array([0.1, -7.3], dtype=np.float32)
    assert combine([_update(delta, num_examples=17)]).delta[0].tobytes() == delta.tobytes()


def test_clients_without_examples_weigh_nothing_unless_all_are():
    ones, twos = np.ones(2), 2 * np.ones(2)
    assert combine([_update(ones, num_examples=0), _update(twos, num_examples=5)]).delta[0].tolist() == [2.0, 2.0]
    assert combine([_update(ones, num_examples=0), _update(twos, num_examples=0)]).delta[0].tolist() == [1.5, 1.5]


def test_counters_add_up():
    counts = [_update(np.array([n]), np.zeros(1), num_examples=n) for n in (2, 5)]
    assert combine(counts).delta[0].tolist() == [7]


def test_at_the_barrier_every_update_is_fresh():
    aggregator = EMAMAggregator(alpha=1.0)
    state = aggregator.init((np.zeros(2),))
    for _ in range(3):
        state, told = aggregator.apply(state, [_update(np.ones(2), base_version=state.version)] * 4)
        assert (told[0].staleness, sum(merged.weight for merged in told)) == (0, 1.0)
    assert state.arrays[0].tolist() == [3.0, 3.0]


def test_what_cannot_be_combined_is_refused():
    good = _update(np.ones(2))
    with pytest.raises(ValueError, match="no updates to combine"):
        combine([])
    with pytest.raises(ValueError, match=r"base versions \[3, 4\], expected one"):
        combine([good, _update(np.ones(2), base_version=4)])
    with pytest.raises(UpdateRefusedError, match=r"update of client 8: array 0 has shape \(3,\)"):
        combine([good, _update(np.ones(3), client=8)])
    with pytest.raises(UpdateRefusedError, match="update of client 8 is not finite"):
        combine([good, _update(np.array([1.0, np.nan]), client=8)])


def test_a_client_that_claims_all_examples_weighs_a_hundred_of_the_median():
    liar = _update(np.ones(1), num_examples=2**53, client=9)
    combined = combine([liar, *[_update(np.zeros(1), num_examples=10)] * 4])
    assert combined.delta[0].tolist() == [pytest.approx(1000 / 1040)]
    assert combined.num_examples == 1040


def test_an_update_far_longer_than_the_others_of_its_round_is_brought_down_to_a_multiple_of_their_median():
    updates = [_update(np.array([n, 0.0]), np.array([1]), client=c) for c, n in enumerate((1.0, 0.0, 3.0, -1e17, 2.0))]
    kept, norms, scales = bounded(updates, 4.0)
    assert norms == [1.0, 0.0, 3.0, 1e17, 2.0]
    assert scales == [1.0, 1.0, 1.0, 8e-17, 1.0]  # the median of 1, 2, 3 and 1e17 is 2
    assert kept[3].delta[0].tolist() == [-8.0, 0.0]
    assert kept[3].delta[1].tolist() == [1]
    assert [k is u for k, u in zip(kept, updates, strict=True)] == [True, True, True, False, True]
    assert bounded(updates, 0.0)[0] == updates
    assert bounded(updates[1:2], 4.0)[0] == updates[1:2]


def test_each_update_of_a_round_is_told_of_as_it_came_and_with_its_share_in_the_mean():
    updates = [_update(np.array([n]), client=c, num_examples=c + 1) for c, n in enumerate((1.0, 1.0, 100.0))]
    aggregator = EMAMAggregator(alpha=1.0)
    state, told = aggregator.apply(
        aggregator.init((np.array([1000.0]),)), [replace(u, base_version=0) for u in updates]
    )
    assert [merged.norm for merged in told] == [1.0, 1.0, 100.0]
    assert [merged.scale for merged in told] == [1.0, 1.0, 0.04]
    assert [merged.weight for merged in told] == [1 / 6, 2 / 6, 3 / 6]
    assert state.arrays[0].tolist() == [1000 + (1 + 2 + 3 * 4) / 6]
