"""Scikit-learn's 1,797 handwritten digits of 8 x 8 pixels, which its package brings along.

Pixels are divided by 16, their fixed range. The 360 test images belong to nobody: they are dealt out evenly
to the clients that train, so the mean of the clients' accuracies, weighted by their test rows, is the
accuracy on the pooled test set.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from eafl_flower.core import rng as randomness
from eafl_flower.data.holders import Holders
from eafl_flower.data.partition import Partition, partition_rows
from eafl_flower.data.scaling import Scaler
from eafl_flower.data.source import InMemorySource
from eafl_flower.data.splits import client_counts, with_dealt_tests
from eafl_flower.errors import ConfigError
from eafl_flower.types import Rows

NUM_TEST = 360
MIN_ROWS = 2
LARGEST_PIXEL = 16.0


@dataclass(frozen=True, kw_only=True)
class Digits:
    """Handwritten digits of scikit-learn: ``load_digits``."""

    def make(self, holders: Holders) -> InMemorySource:
        """Load it."""
        shared: dict[str, Any] = {"partition": holders.partition, "dirichlet_alpha": holders.dirichlet_alpha}
        return load_digits(**shared, **holders.counts)


def load_digits(
    *,
    clients: int = 100,
    unseen: int = 0,
    partition: Partition = "dirichlet",
    dirichlet_alpha: float = 0.3,
    seed: int = 1,
) -> InMemorySource:
    """Load the digits with training images shared among clients.

    Parameters
    ----------
    clients, unseen
        Number of clients, and how many of them never train.
    partition, dirichlet_alpha
        How training images are shared among clients; concentration of a Dirichlet partition.
    seed
        Decides which images are test images and who owns the others.

    Raises
    ------
    ConfigError
        If scikit-learn is not installed, the counts leave nobody to train, or no draw gives every client two images.
    """
    clients, unseen = client_counts(clients, unseen, if_zero=100)
    try:
        from sklearn import datasets
    except ImportError as error:
        msg = "data.name = 'digits' needs scikit-learn: pip install scikit-learn"
        raise ConfigError(msg) from error
    images, digits = datasets.load_digits(return_X_y=True)
    scaler = Scaler(mean=np.zeros(images.shape[1]), scale=np.full(images.shape[1], LARGEST_PIXEL))
    x = scaler.apply(images)
    y = digits.astype(np.int64)

    rng = randomness.generator(seed, "data", "digits")
    order = rng.permutation(len(y))
    test, training = order[:NUM_TEST], np.sort(order[NUM_TEST:])
    owned = partition_rows(
        y[training], partition=partition, clients=clients, alpha=dirichlet_alpha, rng=rng, min_rows=MIN_ROWS
    )
    num_seen = clients - unseen
    splits = with_dealt_tests([training[members] for members in owned], test, num_seen=num_seen, rng=rng)
    return InMemorySource(
        name="digits",
        class_names=tuple(str(digit) for digit in range(10)),
        feature_names=tuple(f"pixel_{row}_{column}" for row in range(8) for column in range(8)),
        num_seen=num_seen,
        parts=tuple(Rows(x_train=x[a], y_train=y[a], x_test=x[b], y_test=y[b]) for a, b in splits),
        scaler=scaler,
    )
