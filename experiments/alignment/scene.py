"""What a scenario is of: latents of both sides, white and as they are, and channels as they are and as they are known.

Everything here is a function of the scenario. What does not depend on the method is the same for all methods.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eafl_flower.alignment import Whitening, fit_whitening, herded_pilots, pack, random_pilots, unpack
from eafl_flower.core.rng import generator
from eafl_flower.radio.mimo import estimated, faded, noise_std, user_channel
from experiments.alignment.settings import VARIANCES, WORLDS, Scenario
from experiments.alignment.spaces import classifier_of, latents_of, users_of

Complex = NDArray[np.complex128]
Real = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Side:
    """Latents of one encoder, real, ``(dimensions, n)``, and how they are aligned: packed, or real (``wide``)."""

    name: str
    pilots: Real
    tests: Real
    wide: bool = False
    white: bool = True

    @cached_property
    def whitening(self) -> Whitening:
        """What is done to them before they are aligned."""
        return fit_whitening(self.form(self.pilots)) if self.white else fit_scaling(self.form(self.pilots))

    @cached_property
    def aligned(self) -> Complex:
        """The pilots as they are aligned, a column each."""
        return self.whitening.apply(self.form(self.pilots))

    def form(self, latents: Real) -> Complex:
        """Return latents in the form in which they are aligned, neither white nor scaled."""
        return latents.astype(np.complex128) if self.wide else pack(latents)

    def latents(self, aligned: Complex) -> Real:
        """Return the latents of what is aligned."""
        formed = self.whitening.undo(aligned)
        return formed.real.copy() if self.wide else unpack(formed, len(self.pilots))


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    r"""What is aligned.

    Parameters
    ----------
    access_point, users
        Their latents of the same data.
    labels, classify
        Classes of the test data, and what each user makes of latents ``(dimensions, n)``.
    channels, known
        Of each round, and behind them of the test, those of each user: as they are, and as the user knows them.
    noise_std, pilot_noise_std
        Of the test, and of the pilots.
    """

    access_point: Side
    users: Sequence[Side]
    labels: NDArray[np.int64]
    classify: Sequence[Callable[[Real], NDArray[np.int64]]]
    channels: Sequence[Sequence[Complex]]
    known: Sequence[Sequence[Complex]]
    noise_std: float
    pilot_noise_std: float


def scene_of(scenario: Scenario) -> Scene:
    """Return what a scenario is of."""
    names = users_of(scenario.world, scenario.group)
    first = latents_of(scenario.world, WORLDS[scenario.world].access_point)
    all_pilots = first.rows("train").absolute.T.astype(np.float64)
    chosen = chosen_pilots(scenario, all_pilots)
    channels = channels_of(scenario, len(names))
    return Scene(
        access_point=_side(scenario.world, first.encoder, chosen),
        users=[_side(scenario.world, name, chosen) for name in names],
        labels=first.rows("test").labels,
        classify=[_reader(classifier_of(scenario.world, name, scenario.seed)) for name in names],
        channels=channels,
        known=known_channels(scenario, channels),
        noise_std=_noise_std(scenario, scenario.snr_db),
        pilot_noise_std=0.0 if scenario.pilot_snr_db is None else _noise_std(scenario, scenario.pilot_snr_db),
    )


def chosen_pilots(scenario: Scenario, latents: Real) -> NDArray[np.int64]:
    """Return which of the access point's latents ``(dimensions, n)`` are pilots; with all of them, in their order."""
    total = latents.shape[1]
    count = max(2, round(scenario.share * total))
    if count == total:
        return np.arange(total)
    if scenario.pilots == "herded":
        return herded_pilots(latents, count)
    return random_pilots(total, count, generator(scenario.seed, "pilots"))


def channels_of(scenario: Scenario, num_users: int) -> list[list[Complex]]:
    """Return the channels of each round, and behind them those of the test; one list if they stay."""
    antennas, variance = scenario.antennas, VARIANCES[scenario.convention]
    now = [user_channel(scenario.seed, user, antennas, antennas, variance) for user in range(num_users)]
    if scenario.correlation == 1:
        return [now] * (scenario.rounds + 1)
    rngs = [generator(scenario.seed, "fading", user) for user in range(num_users)]
    found = [now]
    for _ in range(scenario.rounds):
        found.append([faded(h, scenario.correlation, rng, variance) for h, rng in zip(found[-1], rngs, strict=True)])
    return found


def known_channels(scenario: Scenario, channels: Sequence[Sequence[Complex]]) -> Sequence[Sequence[Complex]]:
    """Return the channels as users know them: with the same error in all rounds if they stay, else with a new one."""
    if scenario.csi_error == 0:
        return channels
    variance = scenario.csi_error * VARIANCES[scenario.convention]
    rngs = [generator(scenario.seed, "estimate", user) for user in range(len(channels[0]))]

    def once(users: Sequence[Complex]) -> list[Complex]:
        return [estimated(h, variance, rng) for h, rng in zip(users, rngs, strict=True)]

    return [once(channels[0])] * len(channels) if scenario.correlation == 1 else [once(users) for users in channels]


def fit_scaling(samples: Complex) -> Whitening:
    """Return the mean of samples ``(q, n)``, and the root of the mean variance, times the identity, as factor."""
    mean = samples.mean(axis=1, keepdims=True)
    variance = float(np.mean(np.abs(samples - mean) ** 2)) * samples.shape[1] / (samples.shape[1] - 1)
    return Whitening(mean=mean, factor=np.sqrt(variance) * np.eye(len(samples), dtype=np.complex128))


def _noise_std(scenario: Scenario, snr_db: float) -> float:
    return noise_std(
        snr_db,
        channel_uses=scenario.uses,
        num_receive=scenario.antennas,
        num_transmit=scenario.antennas,
        convention=scenario.convention,
    )


def _side(world: str, encoder: str, chosen: NDArray[np.int64]) -> Side:
    latents = latents_of(world, encoder)
    pilots = latents.rows("train").absolute[chosen].T.astype(np.float64)
    tests = latents.rows("test").absolute.T.astype(np.float64)
    return Side(name=encoder, pilots=pilots, tests=tests)


def _reader(classifier: Any) -> Callable[[Real], NDArray[np.int64]]:
    def read(latents: Real) -> NDArray[np.int64]:
        found: NDArray[np.int64] = classifier.predict(latents.T)
        return found

    return read
