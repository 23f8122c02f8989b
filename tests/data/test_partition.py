import numpy as np
import pytest

from eafl_flower.core.rng import generator
from eafl_flower.data.partition import contiguous_partition, dirichlet_partition, paired_partition
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


@pytest.mark.parametrize("partition", ["dirichlet", "contiguous"])
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


def test_unseen_clients_train_on_a_quarter_of_their_rows():
    labels, options = np.repeat(np.arange(2), 200), {"partition": "dirichlet", "clients": 4, "alpha": 5.0}
    options |= {"min_train": 5, "min_test": 5}
    whole = paired_partition(labels, labels, unseen=0, rng=generator(3), **options)
    fewer = paired_partition(labels, labels, unseen=2, rng=generator(3), **options)
    for client in range(4):
        assert fewer[client][1].tolist() == whole[client][1].tolist()
        size = len(whole[client][0]) + len(whole[client][1])
        assert len(fewer[client][0]) == (len(whole[client][0]) if client < 2 else round(size / 4))
