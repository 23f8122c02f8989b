"""A synthetic semantic world: several encoders look at the same data, of ten classes."""

from dataclasses import dataclass

import numpy as np

from eafl_flower.alignment import (
    Alignment,
    Pilots,
    Receiver,
    Sender,
    User,
    access_point,
    fit_whitening,
    pack,
    sent_pilots,
    statistics_of,
    train,
    users_at_once,
)
from eafl_flower.radio.mimo import noise_std, noisy, through, user_channel


@dataclass(frozen=True)
class World:
    """Latents of pilots and of test data, ``(dimensions, samples)``; labels of the test data, and who reads latents."""

    pilots: tuple  # the access point's first, then each user's
    tests: tuple
    labels: np.ndarray
    readers: tuple  # a linear classifier of each user's latents, (classes, dimensions + 1)


def draw_world(sizes=(24, 32, 40), semantic=12, pilots=400, tests=600, classes=10, seed=0):
    """Return a world; ``sizes`` are the real dimensions of the access point and of each user."""
    rng = np.random.default_rng(seed)
    centres = 2.0 * rng.standard_normal((semantic, classes))
    labels = rng.integers(classes, size=pilots + tests)
    meaning = centres[:, labels] + rng.standard_normal((semantic, pilots + tests))
    common = rng.standard_normal((max(sizes), semantic))
    latents = []
    for size in sizes:
        mixing = 0.6 * common[:size] + 0.8 * rng.standard_normal((size, semantic))
        latents.append(np.tanh(mixing @ meaning / 8) + 0.02 * rng.standard_normal((size, pilots + tests)))
    onehot = np.eye(classes)[:, labels[:pilots]]
    readers = tuple(
        np.linalg.lstsq(np.vstack([own[:, :pilots], np.ones(pilots)]).T, onehot.T, rcond=None)[0].T
        for own in latents[1:]
    )
    return World(
        tuple(own[:, :pilots] for own in latents),
        tuple(own[:, pilots:] for own in latents),
        labels[pilots:],
        readers,
    )


@dataclass(frozen=True)
class Scene:
    """What a training needs: the access point with its white pilots, and users in both forms."""

    access_point: object
    white: np.ndarray
    by_pilots: list
    by_statistics: list
    whitenings: list  # the access point's first


def scene_of(world, settings=None, antennas=2, snr_db=20.0, seed=1, convention="code", num_receive=None, eps=1e-6):
    """Return the access point and the users of a world, each behind its own channel."""
    settings = settings or Alignment()
    num_receive = num_receive or antennas
    whitenings = [fit_whitening(pack(own), eps) for own in world.pilots]
    white, *latents = [w.apply(pack(own)) for w, own in zip(whitenings, world.pilots, strict=True)]
    sigma = noise_std(
        snr_db,
        channel_uses=settings.channel_uses,
        num_receive=num_receive,
        num_transmit=antennas,
        power=settings.power,
        convention=convention,
    )
    by_pilots, by_statistics = [], []
    for number, own in enumerate(latents):
        channel = user_channel(seed, number, num_receive, antennas)
        rest = {"channel": channel, "noise_std": sigma, "regularizer": settings.regularizer}
        by_pilots.append(User(known=Pilots(latents=own), **rest))
        by_statistics.append(User(known=statistics_of(own, white), **rest))
    return Scene(access_point(settings, white, antennas, snr_db), white, by_pilots, by_statistics, whitenings)


def accuracy(world, scene, state, rng):
    """Return the mean accuracy of all users' own classifiers on what they make of the test data that they are sent."""
    scores = []
    for number, user in enumerate(scene.by_statistics):
        precoder = scene.access_point.deployed(state, number)
        equalizer = user.equalizer(user.hears(precoder))
        sent = Sender(whitening=scene.whitenings[0], precoder=precoder).symbols(world.tests[0])
        received = noisy(through(user.channel, sent), user.noise_std, rng)
        own = world.tests[number + 1]
        found = Receiver(whitening=scene.whitenings[number + 1], equalizer=equalizer, size=len(own)).latents(received)
        scores.append(read(world, number, found))
    return float(np.mean(scores))


def read(world, number, latents):
    """Return the accuracy of a user's classifier on latents."""
    scores = world.readers[number] @ np.vstack([latents, np.ones(latents.shape[1])])
    return float(np.mean(scores.argmax(axis=0) == world.labels))


def begun(scene, seed=0):
    return scene.access_point.init(np.random.default_rng(seed), range(len(scene.by_pilots)))


def answers_of(scene, state, users=None):
    """What users answer in an exchange of pilots, ready to merge."""
    found = {}
    for number in users if users is not None else range(len(scene.by_pilots)):
        user = scene.by_pilots[number]
        received = sent_pilots(scene.access_point.precoder(state, number), scene.white, user.channel)
        found[number] = scene.access_point.reduced(user.answer(received)[1], scene.white)
    return found


def in_rounds(scene, rounds=30, seed=0, seen=lambda state: None):
    return train(scene.access_point, users_at_once(scene.by_statistics), begun(scene, seed), rounds, seen)
