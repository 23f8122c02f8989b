import numpy as np
import pytest

from eafl_flower.data.partition import (
    content_groups,
    dirichlet_partition,
    group_boundary,
    seen_and_unseen,
    seen_part,
    shuffled_groups,
    time_split,
    unseen_part,
)
from eafl_flower.errors import ConfigError
from eafl_flower.rng import generator


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
    with pytest.raises(ConfigError, match="the data set has 20"):
        seen_and_unseen(20, clients=21, unseen=0, rng=generator(1))


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


def test_a_dirichlet_partition_deals_every_row_once_and_groups_to_one_owner():
    rng = np.random.default_rng(0)
    labels, groups = rng.integers(0, 5, 2000), rng.integers(0, 700, 2000)
    parts = dirichlet_partition(labels, clients=12, alpha=0.5, rng=generator(1), groups=groups, min_rows=10)
    assert sorted(np.concatenate(parts)) == list(range(2000))
    assert min(len(p) for p in parts) >= 10
    assert sum(len(np.unique(groups[p])) for p in parts) == len(np.unique(groups))


def test_a_large_alpha_gives_every_client_the_same_mixture():
    labels = np.repeat(np.arange(4), 2500)
    parts = dirichlet_partition(labels, clients=10, alpha=1e6, rng=generator(1))
    # Shares of 1/10 have deviation sqrt(0.09 / 1e7) of 2,500 rows: 0.24; rounding adds one at each end.
    counts = np.array([np.bincount(labels[p], minlength=4) for p in parts])
    np.testing.assert_allclose(counts, 250, atol=4)


def test_the_share_of_a_client_has_the_variance_of_the_dirichlet_distribution():
    labels, alpha, clients = np.repeat(np.arange(50), 400), 0.3, 8
    parts = dirichlet_partition(labels, clients=clients, alpha=alpha, rng=generator(1))
    shares = np.array([np.bincount(labels[p], minlength=50) / 400 for p in parts])
    mean = 1 / clients
    variance = mean * (1 - mean) / (clients * alpha + 1)
    # 50 independent classes; the estimate's relative error is below 25 % with five standard errors of heavy tails.
    assert shares.var() == pytest.approx(variance, rel=0.25)


def test_impossible_draws_say_what_to_change():
    labels = np.zeros(10, dtype=int)
    with pytest.raises(ConfigError, match=r"200 draws left a client with fewer than 2 of 10 rows; raise alpha or use"):
        dirichlet_partition(labels, clients=9, alpha=0.1, rng=generator(1), min_rows=2)
    with pytest.raises(ConfigError, match=r"data\.dirichlet-alpha = 0: expected a positive number"):
        dirichlet_partition(labels, clients=2, alpha=0, rng=generator(1))
