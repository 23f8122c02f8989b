import numpy as np
import pytest

from eafl_flower.core.rng import generator
from eafl_flower.data.splits import (
    client_counts,
    content_groups,
    group_boundary,
    seen_and_unseen,
    seen_part,
    shuffled_groups,
    time_split,
    unseen_part,
)
from eafl_flower.errors import ConfigError


def test_a_split_in_time_leaves_a_gap_that_nobody_uses():
    train, test = time_split(64, test_share=0.3, gap=6)
    assert (train, test) == (slice(0, 39), slice(45, 64))
    assert time_split(4, test_share=0.5, gap=6)[0] == slice(0, 0)


def test_seen_and_unseen_parts_keep_the_order_of_time():
    x, y = np.arange(40.0)[:, None], np.arange(40)
    seen = seen_part(x, y, test_share=0.25, gap=6)
    assert (seen.y_train[-1], seen.y_test[0], seen.y_test[-1]) == (23, 30, 39)
    unseen = unseen_part(x, y, gap=6)
    assert (unseen.y_train.tolist(), unseen.y_test[0]) == (list(range(10)), 16)
    assert len(unseen_part(x, y).y_test) == 30


def test_clients_are_drawn_without_repetition_and_each_kind_is_in_order():
    order = seen_and_unseen(20, clients=12, unseen=4, rng=generator(1))
    assert len(set(order)) == 12
    assert (np.diff(order[:8]) > 0).all() and (np.diff(order[8:]) > 0).all()


def test_counts_are_the_data_sets_own_unless_given_and_a_fifth_is_unseen_on_request():
    assert client_counts(0, -1, if_zero=27, available=27) == (27, 5)
    assert client_counts(12, 4, if_zero=27) == (12, 4)
    with pytest.raises(ConfigError, match=r"data\.clients = 21: the data set has 20"):
        client_counts(21, 0, if_zero=20, available=20)
    with pytest.raises(ConfigError, match=r"data\.unseen = 5: expected 0 to 4, one client must train"):
        client_counts(5, 5, if_zero=20)


def test_equal_rows_are_one_group_whatever_the_types():
    a = np.array([1.0, 1.0, 2.0, 1.0, np.nan, np.nan])
    b = np.array(["x", "y", "x", "x", "x", "x"])
    assert content_groups([a, b]).tolist() == [0, 1, 2, 0, 3, 3]


def test_shuffling_keeps_groups_together_and_cuts_fall_between_them():
    groups = np.array([0, 1, 0, 2, 1, 0, 3])
    order = shuffled_groups(groups, generator(3))
    assert sorted(order) == list(range(7))
    ordered = groups[order]
    assert (np.diff(ordered) != 0).sum() == 3
    for target in range(8):
        cut = group_boundary(ordered, target)
        assert 0 < cut < 7 and ordered[cut - 1] != ordered[cut]
    assert group_boundary(np.zeros(5, dtype=int), 2) == 5
