"""Precoder and equalizers learned together, through channels that are known, guessed, heard, or moving."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from eafl_flower.alignment import (
    AccessPoint,
    AccessPointState,
    Answer,
    Pilots,
    Statistics,
    User,
    access_point,
    statistics_of,
)
from eafl_flower.core.rng import generator
from eafl_flower.radio.mimo import through
from experiments.alignment.air import over_air, parted
from experiments.alignment.scene import Scene
from experiments.alignment.settings import Admm, Scenario

Complex = NDArray[np.complex128]
Real = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """What came of the rounds: the access point, its state, and each user's equalizer of its last answer."""

    point: AccessPoint
    state: AccessPointState
    equalizers: Mapping[int, Complex]


@dataclass(frozen=True, kw_only=True, eq=False)
class Alliance:
    """An access point and its users, who align in rounds; see ``Scenario`` for what they know of their channels."""

    scenario: Scenario
    method: Admm
    scene: Scene

    @classmethod
    def of(cls, scenario: Scenario, method: Admm, scene: Scene) -> "Alliance":
        """Return the alliance of a scene, with latents in the form that the method aligns."""
        first = replace(scene.access_point, wide=method.wide)
        users = [replace(side, wide=method.wide, white=method.white) for side in scene.users]
        return cls(scenario=scenario, method=method, scene=replace(scene, access_point=first, users=users))

    @property
    def explicit(self) -> bool:
        """Whether rounds carry pilots."""
        return self.scenario.exchange == "pilots"

    @cached_property
    def known(self) -> list[Pilots | Statistics]:
        """What each user knows of the pilots."""
        white = self.scene.access_point.aligned
        own = [side.aligned for side in self.scene.users]
        return [Pilots(latents=latents) if self.explicit else statistics_of(latents, white) for latents in own]

    def trained(self) -> Trained:
        """Return what comes of the scenario's rounds."""
        scenario, white, users = self.scenario, self.scene.access_point.aligned, range(len(self.scene.users))
        settings = self.method.settings(scenario.uses, noisy_pilots=scenario.pilot_snr_db is not None)
        antennas = scenario.antennas * (2 if self.method.wide else 1)
        point = access_point(settings, white, antennas, scenario.snr_db)
        state = self._start(point, users)
        equalizers: dict[int, Complex] = {}
        for number in range(scenario.rounds):
            answers: dict[int, Answer] = {}
            for user in users:
                if user % 2 and number < scenario.late_from:
                    continue
                heard = self._heard(point.precoder(state, user), number, user)
                equalizers[user], answer = self._user(number, user).answer(heard)
                answers[user] = point.reduced(answer, white) if self.explicit else answer
            state = point.merged(state, answers)
        return Trained(point=point, state=state, equalizers=equalizers)

    def received(self, trained: Trained) -> list[Real]:
        """Return what each user makes of the test data, after the rounds."""
        scene, first, last = self.scene, self.scene.access_point, self.scenario.rounds
        white = first.whitening.apply(first.form(first.tests))
        found = []
        for user, side in enumerate(scene.users):
            precoder = trained.point.deployed(trained.state, user)
            if self.method.deploy == "F_stale" and user in trained.equalizers:
                equalizer = trained.equalizers[user]
            else:
                equalizer = self._user(last, user).equalizer(self._heard(precoder, last, user))
            rng = generator(self.scenario.seed, "noise", user)  # the same for all methods
            channel = scene.channels[last][user]
            heard = over_air(precoder @ white, channel, scene.noise_std, rng, wide=self.method.wide)
            found.append(side.latents(equalizer @ heard))
        return found

    def _start(self, point: AccessPoint, users: range) -> AccessPointState:
        """Return the state before the rounds: all links of all methods start from one precoder."""
        state = point.init(generator(self.scenario.seed, "start"), users)
        first: Complex = next(iter(state.precoders.values()))
        if self.method.wide:
            first = (math.sqrt(2) * first.real).astype(np.complex128)
        return replace(state, precoders=dict.fromkeys(state.precoders, first))

    def _user(self, number: int, user: int) -> User:
        channel, noise_std = self.scene.known[number][user], self.scene.noise_std
        return User(
            channel=parted(channel) if self.method.wide else channel,
            noise_std=noise_std / math.sqrt(2) if self.method.wide else noise_std,
            known=self.known[user],
            regularizer="none" if self.scenario.pilot_snr_db is not None else self.method.regularizer,
        )

    def _heard(self, precoder: Complex, number: int, user: int) -> Complex:
        """Return what a user hears of the pilots, or what it would by the channel as it knows it."""
        wide = self.method.wide
        if not self.explicit:
            known = self.scene.known[number][user]
            return through(parted(known) if wide else known, precoder)
        rng = generator(self.scenario.seed, "pilot noise", number, user)
        sent, channel = precoder @ self.scene.access_point.aligned, self.scene.channels[number][user]
        return over_air(sent, channel, self.scene.pilot_noise_std, rng, wide=wide)
