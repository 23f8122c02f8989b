"""An access point and three users of a synthetic world, as a federation of Flower's on the inline engine."""

from functools import partial

import numpy as np
from latent_world import draw_world
from toy_federation import Recorder, network

from eafl_flower.alignment import (
    Alignment,
    Pilots,
    User,
    access_point,
    fit_whitening,
    from_floats,
    pack,
    statistics_of,
)
from eafl_flower.alignment.learner import AlignmentLearner, EvaluationData
from eafl_flower.clients import alignment_app
from eafl_flower.engines.inline import InlineGrid
from eafl_flower.radio.mimo import noise_std, user_channel
from eafl_flower.strategies import FederatedAlignment

WORLD = draw_world(sizes=(24, 32, 40, 16))
USUAL = Alignment()
USERS, ANTENNAS = 3, 2
SIGMA = partial(noise_std, num_receive=ANTENNAS, num_transmit=ANTENNAS)
CHANNELS = tuple(user_channel(1, user, ANTENNAS, ANTENNAS) for user in range(USERS))
WHITE, *OWN = [fit_whitening(pack(latents)).apply(pack(latents)) for latents in WORLD.pilots]


def learner_of(user, settings=USUAL, snr_db=20.0):
    """The user with this number; it knows its own latents or, if rounds carry statistics, what they sum up to."""
    whitening = fit_whitening(pack(WORLD.pilots[user + 1]))
    statistics = settings.exchange == "statistics"
    sent = fit_whitening(pack(WORLD.pilots[0])).apply(pack(WORLD.tests[0]))
    reader = WORLD.readers[user]
    return AlignmentLearner(
        user=User(
            channel=CHANNELS[user],
            noise_std=SIGMA(snr_db, channel_uses=settings.channel_uses),
            known=statistics_of(OWN[user], WHITE) if statistics else Pilots(latents=OWN[user]),
            regularizer=settings.regularizer,
        ),
        whitening=whitening,
        size=len(WORLD.pilots[user + 1]),
        tests=EvaluationData(
            latents=WORLD.tests[user + 1],
            labels=WORLD.labels,
            classify=lambda latents: (reader @ np.vstack([latents, np.ones(latents.shape[1])])).argmax(axis=0),
            sent=sent if statistics else None,
        ),
        deploy=settings.deploy,
    )


def align(
    settings=USUAL,
    *,
    num_rounds=30,
    users=USERS,
    codec=None,
    app=None,
    mods=(),
    state_dir=None,
    recorder=None,
    **options,
):
    """Run a ``FederatedAlignment``; return it and the recorder."""
    recorder = recorder or Recorder()
    strategy = FederatedAlignment(
        WORLD.pilots[0],
        num_transmit=ANTENNAS,
        settings=settings,
        test=WORLD.tests[0] if settings.exchange == "pilots" else None,
        **{
            "channels": CHANNELS if settings.exchange == "pilots" else (),
            "codec": codec,
            "observer": recorder,
            "seed": 5,
            "node_timeout_s": 60.0,
            **network(),
            **options,
        },
    )
    app = app or alignment_app(partial(learner_of, settings=settings), codec=codec, mods=mods, state_dir=state_dir)
    strategy.start(InlineGrid(app, users), num_rounds=num_rounds)
    return strategy, recorder


def pure(settings=USUAL, *, rounds=30, start):
    """The same alignment by pure functions alone, from the floats ``start``; return access point and state."""
    point = access_point(settings, WHITE, ANTENNAS)
    state = point.init(np.random.default_rng(0), range(USERS))
    state.precoders.update(dict.fromkeys(state.precoders, from_floats(start)))
    learners = [learner_of(user, settings) for user in range(USERS)]
    for _ in range(rounds):
        heard = [one.user.hears(point.precoder(state, k)) for k, one in enumerate(learners)]
        answers = [
            one.user.answer(a if settings.exchange == "statistics" else a @ WHITE)[1]
            for one, a in zip(learners, heard, strict=True)
        ]
        if settings.exchange == "pilots":
            answers = [point.reduced(answer, WHITE) for answer in answers]
        state = point.merged(state, dict(enumerate(answers)))
    return point, state


def objective_of(precoders, settings=USUAL):
    """The objective at one precoder for each user, with equalizers fitted to it."""
    total = 0.0
    for user, precoder in enumerate(precoders):
        known = learner_of(user, settings).user
        heard = known.hears(precoder) if settings.exchange == "statistics" else known.hears(precoder) @ WHITE
        total += known.objective(known.equalizer(heard), heard)
    return total


def deployed(strategy):
    return [strategy.sender(user).precoder for user in range(USERS)]
