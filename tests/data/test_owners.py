import numpy as np
import pytest

from eafl_flower.data.owners import dirichlet_partition
from eafl_flower.errors import ConfigError
from eafl_flower.rng import generator


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
