"""Scikit-learn's 1,797 handwritten digits of 8 x 8 pixels, which its package brings along.

Pixels are divided by 16, their fixed range. The 360 test images belong to nobody: they are dealt out evenly
to the clients that train, so the mean of the clients' accuracies, weighted by their test rows, is the
accuracy on the pooled test set.
"""

from dataclasses import dataclass

import numpy as np

from eafl_flower.core import rng as randomness
from eafl_flower.data.holders import Holders
from eafl_flower.data.partition import dirichlet_partition
from eafl_flower.data.scaling import Scaler
from eafl_flower.data.source import InMemorySource
from eafl_flower.data.splits import client_counts, unseen_part
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
        return load_digits(dirichlet_alpha=holders.dirichlet_alpha, **holders.counts)


def load_digits(*, clients: int = 100, unseen: int = 0, dirichlet_alpha: float = 0.3, seed: int = 1) -> InMemorySource:
    """Load the digits with training images shared by Dirichlet label skew.

    Parameters
    ----------
    clients, unseen
        Number of clients, and how many of them never train.
    dirichlet_alpha
        Concentration of the clients' class shares.
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
    owned = dirichlet_partition(y[training], clients=clients, alpha=dirichlet_alpha, rng=rng, min_rows=MIN_ROWS)
    num_seen = clients - unseen
    parts = []
    for client, members in enumerate(owned):
        rows = training[rng.permutation(members)]
        if client < num_seen:
            dealt = test[client::num_seen]
            parts.append(Rows(x_train=x[rows], y_train=y[rows], x_test=x[dealt], y_test=y[dealt]))
        else:
            part = unseen_part(x[rows], y[rows])
            parts.append(Rows(x_train=part.x_train, y_train=part.y_train, x_test=part.x_test, y_test=part.y_test))
    return InMemorySource(
        name="digits",
        class_names=tuple(str(digit) for digit in range(10)),
        feature_names=tuple(f"pixel_{row}_{column}" for row in range(8) for column in range(8)),
        num_seen=num_seen,
        parts=tuple(parts),
        scaler=scaler,
    )
