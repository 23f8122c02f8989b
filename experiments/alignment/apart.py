"""Alignment and channel apart: maps, selections and links of the baselines."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from eafl_flower.alignment.disjoint import (
    Chain,
    EigenK,
    FirstK,
    Link,
    Map,
    Selection,
    TopK,
    broadcast_links,
    eigen_k,
    features_of,
    own_link,
)
from eafl_flower.core.rng import generator
from experiments.alignment.air import over_air
from experiments.alignment.scene import Scene
from experiments.alignment.settings import Disjoint, Scenario

Complex = NDArray[np.complex128]
Real = NDArray[np.float64]


def received(scenario: Scenario, method: Disjoint, scene: Scene) -> list[Real]:
    """Return what each user makes of the test data."""
    pilots, tests = scene.access_point.pilots, scene.access_point.tests
    maps = [method.aligner.fit(pilots, side.pilots) for side in scene.users]
    if method.radio == "none":
        return [aligned.decode(aligned.encode(tests)) for aligned in maps]
    selections = selections_of(scenario, method, maps, pilots)
    last = scenario.rounds
    links = links_of(scenario, method, scene)
    found = []
    for user, (aligned, selection, link) in enumerate(zip(maps, selections, links, strict=True)):
        chain = Chain.of(aligned, selection, link, pilots)
        sent, places = chain.sent(tests)
        rng = generator(scenario.seed, "noise", user)  # the same for all methods
        heard = over_air(sent, scene.channels[last][user], scene.noise_std, rng)
        found.append(chain.latents(heard, places))
    return found


def selections_of(scenario: Scenario, method: Disjoint, maps: Sequence[Map], pilots: Real) -> list[Selection]:
    """Return what is sent to each user: of a broadcast the same to all."""
    size = maps[0].encode(pilots).shape[0]
    count = min(features_of(scenario.uses, scenario.antennas), size)
    if method.select == "first":
        return [FirstK(count=count, size=size)] * len(maps)
    if method.select == "top":
        return [TopK(count=count, size=size)] * len(maps)
    covariance = np.cov(maps[0].encode(pilots))
    if method.radio == "own":
        return [_components(aligned.matrix, count, covariance) for aligned in maps]
    # a user whose latents are large would have all components, were its map not divided by their size
    stacked = np.concatenate([aligned.matrix / _size(aligned.matrix, covariance) for aligned in maps])
    return [_components(stacked, count, covariance)] * len(maps)


def links_of(scenario: Scenario, method: Disjoint, scene: Scene) -> list[Link]:
    """Return the link to each user, made for the channel as it is known in the test."""
    known, uses = scene.known[-1], scenario.uses
    if method.radio == "broadcast":
        count = scene.access_point.pilots.shape[1]
        return list(broadcast_links(known, scenario.snr_db, channel_uses=uses, num_pilots=count))
    if method.radio == "own":
        return [own_link(channel, scene.noise_std, channel_uses=uses) for channel in known]
    return [open_link(channel, scene.noise_std, channel_uses=uses) for channel in known]


def open_link(channel: Complex, noise_std: float, *, channel_uses: int, power: float = 1.0) -> Link:
    r"""Return a link whose precoder knows no channel, :math:`F = a I`, and the linear receiver of least error for it.

    .. math:: a^2 = \frac{P}{K N_T}, \qquad G = \frac{1}{a}\,(H^H H + \tfrac{\sigma^2}{a^2} I)^{-1} H^H
    """
    antennas = channel.shape[1]
    amplitude = math.sqrt(power / (channel_uses * antennas))
    adjoint = channel.conj().T
    loaded = adjoint @ channel + (noise_std / amplitude) ** 2 * np.eye(antennas)
    return Link(
        precoder=amplitude * np.eye(antennas, dtype=np.complex128),
        receiver=np.linalg.pinv(loaded) @ adjoint / amplitude,
        channel_uses=channel_uses,
    )


def _components(matrix: Real, count: int, covariance: Real) -> EigenK:
    return eigen_k(matrix, count, covariance)


def _size(matrix: Real, covariance: Real) -> float:
    return math.sqrt(float(np.trace(matrix @ covariance @ matrix.T)))
