r"""Latents of data by encoders of which no two are alike, made from the seed alone: an access point's and each user's.

.. math:: z = \tanh(A s / \sqrt{d_s}) + 0.02\,n, \qquad A = 0.6\,C + 0.8\,E

Data :math:`s` are points around the centre of their class, or handwritten digits. Encoders are random; the rows
:math:`C` they have in common, :math:`E` are their own. All have seen the same data, in the same order.
"""

from dataclasses import dataclass
from typing import Annotated, Final, Literal

import numpy as np
from numpy.typing import NDArray

from eafl_flower.core.rng import generator
from eafl_flower.core.settings import CountFromOne, Range, check_settings
from eafl_flower.data.holders import Holders
from eafl_flower.data.sets.digits import load_digits
from eafl_flower.data.source import InMemorySource
from eafl_flower.data.splits import client_counts
from eafl_flower.errors import ConfigError
from eafl_flower.types import Rows

Real = NDArray[np.float64]
CLASSES: Final = 10
USERS: Final = 4
_IN_COMMON, _OWN, _NOISE, _SPREAD = 0.6, 0.8, 0.02, 2.0


@dataclass(frozen=True, kw_only=True)
class LatentWorld:
    """Latents of the same data by random encoders. A row is the access point's latent, then the user's.

    Parameters
    ----------
    data
        What is encoded: "drawn" points of ten classes, or scikit-learn's "digits".
    access_point
        Real dimensions of the access point's latents.
    users
        Those of the users' latents, given to them in turn.
    pilots, tests
        How many data both sides have encoded, and how many test data there are.
    semantic
        Dimensions of drawn points.

    Raises
    ------
    ConfigError
        If a setting is out of range.
    """

    data: Literal["drawn", "digits"] = "drawn"
    access_point: CountFromOne = 48
    users: tuple[CountFromOne, ...] = (64, 96)
    pilots: Annotated[int, Range(2)] = 1000
    tests: CountFromOne = 500
    semantic: CountFromOne = 24

    def __post_init__(self) -> None:
        check_settings(self, users="" if self.users else 'expected at least one number, as in "64"')

    def make(self, holders: Holders) -> InMemorySource:
        """Make the latents.

        Raises
        ------
        ConfigError
            If there are not so many digits, or scikit-learn is not installed.
        """
        clients, unseen = client_counts(holders.clients, holders.unseen, if_zero=USERS)
        rng = generator(holders.seed, "data", "latent-world")
        count = self.pilots + self.tests
        meaning, labels = self._drawn(count, rng) if self.data == "drawn" else _digits(count, holders.seed, rng)
        sizes = [self.access_point, *(self.users[k % len(self.users)] for k in range(clients))]
        common = rng.standard_normal((max(sizes), len(meaning)))
        sent, *own = (_encoded(meaning, common[:size], rng) for size in sizes)
        halves = [np.vstack([sent, latents]).T.astype(np.float32) for latents in own]
        n = self.pilots
        return InMemorySource(
            name="latent-world",
            class_names=tuple(str(number) for number in range(CLASSES)),
            feature_names=tuple(f"access_point_{number}" for number in range(self.access_point)),
            num_seen=clients - unseen,
            parts=tuple(Rows(x_train=x[:n], y_train=labels[:n], x_test=x[n:], y_test=labels[n:]) for x in halves),
        )

    def _drawn(self, count: int, rng: np.random.Generator) -> tuple[Real, NDArray[np.int64]]:
        labels = rng.integers(CLASSES, size=count)
        centres = _SPREAD * rng.standard_normal((self.semantic, CLASSES))
        return centres[:, labels] + rng.standard_normal((self.semantic, count)), labels


def _digits(count: int, seed: int, rng: np.random.Generator) -> tuple[Real, NDArray[np.int64]]:
    """Return images, each pixel with mean 0 and all with mean variance 1, and their digits."""
    rows = load_digits(clients=1, unseen=0, partition="iid", seed=seed).partition(0)
    x, y = np.concatenate([rows.x_train, rows.x_test]), np.concatenate([rows.y_train, rows.y_test])
    if count > len(y):
        raise ConfigError(f"data.latent-world: {count} pilots and tests: there are {len(y)} digits")
    chosen = rng.permutation(len(y))[:count]
    images = x[chosen].T.astype(np.float64)
    images -= images.mean(axis=1, keepdims=True)
    return images / np.sqrt(np.mean(images**2)), y[chosen]


def _encoded(meaning: Real, common: Real, rng: np.random.Generator) -> Real:
    mixing = _IN_COMMON * common + _OWN * rng.standard_normal(common.shape)
    latents: Real = np.tanh(mixing @ meaning / np.sqrt(len(meaning)))
    return latents + _NOISE * rng.standard_normal(latents.shape)
