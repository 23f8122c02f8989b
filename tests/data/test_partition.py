import numpy as np
import pytest

from eafl_flower.core.rng import generator
from eafl_flower.data.partition import (
    contiguous_partition,
    dirichlet_partition,
    equal_dirichlet_partition,
    iid_partition,
    paired_partition,
    partition_rows,
)
from eafl_flower.errors import ConfigError


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


def test_contiguous_stretches_are_equally_long_and_groups_stay_together():
    parts = contiguous_partition(10, clients=3)
    assert [p.tolist() for p in parts] == [[0, 1, 2, 3], [4, 5, 6], [7, 8, 9]]
    parts = contiguous_partition(10, clients=3, groups=np.array([0, 1, 2, 3, 4, 5, 6, 0, 1, 7]))
    assert [p.tolist() for p in parts] == [[0, 1, 2, 3, 7, 8], [4, 5, 6], [9]]
    with pytest.raises(ConfigError, match=r"data\.clients = 3 .*a client would have 1 of 10 rows, fewer than 2"):
        contiguous_partition(10, clients=3, groups=np.array([0, 1, 2, 3, 4, 5, 6, 0, 1, 7]), min_rows=2)


EQUAL = {
    "iid": lambda labels, **options: iid_partition(len(labels), **options),
    "dirichlet-equal": lambda labels, **options: equal_dirichlet_partition(labels, alpha=0.3, **options),
}


@pytest.mark.parametrize("name", EQUAL)
def test_equal_partitions_deal_every_row_once_and_sizes_differ_by_at_most_one(name):
    labels = np.random.default_rng(0).integers(0, 7, 1003)
    parts = EQUAL[name](labels, clients=12, rng=generator(1), min_rows=83)
    assert sorted(np.concatenate(parts)) == list(range(1003))
    assert {len(p) for p in parts} == {83, 84}
    with pytest.raises(
        ConfigError, match=rf"data\.partition = '{name}': a client would have 83 of 1003 rows, fewer than"
    ):
        EQUAL[name](labels, clients=12, rng=generator(1), min_rows=84)


@pytest.mark.parametrize("name", EQUAL)
def test_equal_partitions_keep_groups_together_and_deal_equally_many_of_one_size(name):
    labels = np.repeat(np.arange(5), 120)
    groups = np.random.default_rng(0).permutation(100)[np.arange(600) // 6]
    parts = EQUAL[name](labels, clients=8, rng=generator(1), groups=groups)
    assert sorted(np.concatenate(parts)) == list(range(600))
    assert sum(len(np.unique(groups[p])) for p in parts) == 100
    assert {len(p) for p in parts} == {12 * 6, 13 * 6}


def test_an_iid_partition_gives_everybody_the_mixture_of_all_and_depends_on_the_generator_alone():
    labels = np.repeat(np.arange(4), 2500)
    parts = iid_partition(10_000, clients=10, rng=generator(1))
    counts = np.array([np.bincount(labels[p], minlength=4) for p in parts])
    # Without replacement 1,000 of 10,000 rows, a quarter of them of the class: variance 1,000/16 * 3 * 9/10.
    np.testing.assert_allclose(counts, 250, atol=5 * np.sqrt(1000 * 3 / 16 * 0.9))
    again, other = (iid_partition(10_000, clients=10, rng=generator(seed)) for seed in (1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(parts, again, strict=True))
    assert not np.array_equal(parts[0], other[0])


def test_groups_of_different_sizes_are_dealt_as_evenly_as_the_largest_allows():
    groups = np.repeat(np.arange(60), np.random.default_rng(0).integers(1, 8, 60))
    sizes = [len(p) for p in iid_partition(len(groups), clients=6, rng=generator(1), groups=groups)]
    # Each client's stretch begins and ends at most half a group of seven rows away from its share.
    np.testing.assert_allclose(sizes, len(groups) / 6, atol=7)


def test_with_a_tiny_alpha_a_client_owns_one_class_until_it_is_used_up():
    labels = np.repeat(np.arange(10), 70)
    parts = equal_dirichlet_partition(labels, clients=30, alpha=1e-6, rng=generator(1))
    # Proportions are 0 and 1: whenever a client takes of a class, either the client is served or the class is used up.
    assert sum(len(np.unique(labels[p])) for p in parts) <= 30 + 10
    assert {len(p) for p in parts} == {23, 24}


def test_a_large_alpha_makes_equal_dirichlet_mixtures_equal():
    labels = np.repeat(np.arange(4), 2500)
    parts = equal_dirichlet_partition(labels, clients=10, alpha=1e6, rng=generator(1))
    counts = np.array([np.bincount(labels[p], minlength=4) for p in parts])
    # Proportions of 1/4 have deviation sqrt(3/16 / 4e6) of 1,000 rows: 0.22; what is rounded off is given out one by
    # one, at most four rows a client, and the last client takes what the nine before have left.
    np.testing.assert_allclose(counts, 250, atol=9 * 4)


@pytest.mark.parametrize("partition", ["dirichlet", "dirichlet-equal", "iid", "contiguous"])
def test_held_out_rows_go_to_the_clients_in_the_proportions_of_the_training_rows(partition):
    train, test = np.repeat(np.arange(4), 3000), np.repeat(np.arange(4), 1000)
    owned = paired_partition(
        train, test, partition=partition, clients=6, unseen=0, alpha=1.0, rng=generator(2), min_train=1, min_test=1
    )
    for side, labels in enumerate((train, test)):
        assert sorted(np.concatenate([rows[side] for rows in owned])) == list(range(len(labels)))
    for mine, theirs in owned:
        counts = np.bincount(train[mine], minlength=4), np.bincount(test[theirs], minlength=4)
        np.testing.assert_allclose(counts[0], 3 * counts[1], atol=3)


@pytest.mark.parametrize("partition", ["dirichlet", "dirichlet-equal", "iid", "contiguous"])
def test_every_way_to_share_has_its_name(partition):
    labels = np.repeat(np.arange(4), 50)
    parts = partition_rows(labels, partition=partition, clients=5, alpha=5.0, rng=generator(1))
    by_name = {
        "dirichlet": dirichlet_partition(labels, clients=5, alpha=5.0, rng=generator(1)),
        "dirichlet-equal": equal_dirichlet_partition(labels, clients=5, alpha=5.0, rng=generator(1)),
        "iid": iid_partition(200, clients=5, rng=generator(1)),
        "contiguous": contiguous_partition(200, clients=5),
    }
    assert all(np.array_equal(a, b) for a, b in zip(parts, by_name[partition], strict=True))


def test_unseen_clients_train_on_a_quarter_of_their_rows():
    labels, options = np.repeat(np.arange(2), 200), {"partition": "dirichlet", "clients": 4, "alpha": 5.0}
    options |= {"min_train": 5, "min_test": 5}
    whole = paired_partition(labels, labels, unseen=0, rng=generator(3), **options)
    fewer = paired_partition(labels, labels, unseen=2, rng=generator(3), **options)
    for client in range(4):
        assert fewer[client][1].tolist() == whole[client][1].tolist()
        size = len(whole[client][0]) + len(whole[client][1])
        assert len(fewer[client][0]) == (len(whole[client][0]) if client < 2 else round(size / 4))
