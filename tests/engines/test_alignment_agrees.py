"""A federated alignment gives the same bits on every engine, whatever rounds carry and whoever waits for whom."""

import pytest
from flwr.serverapp import ServerApp

from eafl_flower.alignment import Alignment
from eafl_flower.app.client import client_app
from eafl_flower.app.resolving import resolve
from eafl_flower.app.training import train
from eafl_flower.codecs.emq.codec import EMQCodec
from eafl_flower.config import RunConfig
from eafl_flower.data.holders import Holders
from eafl_flower.data.sets.latent_world import LatentWorld
from eafl_flower.engines import InlineGrid, RayGrid
from eafl_flower.radio.mimo import user_channel
from eafl_flower.strategies import FederatedAlignment
from eafl_flower.types import digest

pytestmark = pytest.mark.slow
USERS = 4
PRESET = RunConfig.from_toml("alignment").replace(
    {
        **{"data.latent-world.pilots": 200, "data.latent-world.tests": 50, "strategy.merges": 12},
        **{"evaluate.every": 5, "clients.slowdown": "1,5", "results.baselines": "none"},
    }
)
PRESETS = {
    "rounds": PRESET,
    "rounds, private links, int8": PRESET.replace({"strategy.alignment.links": "multi-link", "codec.name": "int8"}),
    "each when it comes, emq": PRESET.replace({"strategy.mode": "async", "codec.name": "emq", "strategy.merges": 40}),
    "rounds that users miss": PRESET.replace({"churn.on-job-times": 4.0, "churn.off-job-times": 2.0}),
}
APIS = {
    "pilots": {"settings": Alignment(exchange="pilots", channel_uses=2)},
    "pilots, stale, each when it comes, emq": {
        "settings": Alignment(exchange="pilots", channel_uses=2, deploy="F_stale"),
        "synchronous": False,
        "codec": EMQCodec(squared_error=1e-4, scope="layer"),
    },
}
FEW = ("rounds that users miss", "pilots, stale, each when it comes, emq")
MORE = [name for name in (*PRESETS, *APIS) if name not in FEW]


class Events:
    def __init__(self):
        self.told = []

    def write(self, event):
        self.told.append({key: value for key, value in event.items() if not key.endswith("wall_s")})

    def close(self):
        pass


def of_preset(name, grid):
    events = Events()
    run = train(resolve(PRESETS[name]), grid, observer=events)
    return outcome(run, events)


def outcome(run, events):
    known = run.state.known
    return (
        run.arrays_sha256(),
        digest([known[key] for key in sorted(known)]),
        events.told,
        run.client_scores,
        run.ledger.total(),
        run.tally,
    )


def factory_of(settings, codec):
    """Return a factory that holds all it needs: workers of Ray cannot import this module."""

    def make_app():
        import numpy as np

        from eafl_flower.alignment import Pilots, User, fit_whitening, pack
        from eafl_flower.alignment.learner import AlignmentLearner, EvaluationData
        from eafl_flower.clients import alignment_app
        from eafl_flower.data.holders import Holders
        from eafl_flower.data.sets.latent_world import LatentWorld
        from eafl_flower.radio.mimo import user_channel

        source = LatentWorld(pilots=150, tests=30).make(Holders(clients=4, unseen=0))

        def learner_of(user):
            rows = source.partition(user)
            own, tests = rows.x_train[:, 48:].T.astype(np.float64), rows.x_test[:, 48:].T.astype(np.float64)
            whitening = fit_whitening(pack(own))
            known = Pilots(latents=whitening.apply(pack(own)))
            receiver = User(channel=user_channel(1, user, 2, 2), noise_std=0.05, known=known)
            judged = EvaluationData(latents=tests)
            return AlignmentLearner(
                user=receiver, whitening=whitening, size=len(own), tests=judged, deploy=settings.deploy
            )

        return alignment_app(learner_of, codec=codec)

    return make_app


def of_api(name, grid):
    events, options = Events(), APIS[name]
    rows = LatentWorld(pilots=150, tests=30).make(Holders(clients=4, unseen=0)).partition(0)
    strategy = FederatedAlignment(
        rows.x_train[:, :48].T,
        test=rows.x_test[:, :48].T,
        num_transmit=2,
        channels=[user_channel(1, user, 2, 2) for user in range(USERS)],
        observer=events,
        node_timeout_s=600.0,
        evaluate_every=4,
        **options,
    )
    strategy.start(grid, num_rounds=8)
    return outcome(strategy.run, events)


def app_of(name):
    if name in PRESETS:
        return lambda: client_app(resolve(PRESETS[name]))
    return factory_of(APIS[name]["settings"], APIS[name].get("codec"))


def run_of(name, grid):
    return of_preset(name, grid) if name in PRESETS else of_api(name, grid)


@pytest.mark.usefixtures("one_ray")
@pytest.mark.parametrize("name", [*FEW, *(pytest.param(name, marks=pytest.mark.long) for name in MORE)])
def test_ray_gives_what_inline_gives(name):
    expected = run_of(name, InlineGrid(app_of(name)(), USERS))
    assert expected[-1].errors == expected[-1].refused == 0
    with RayGrid(app_of(name), USERS, num_cpus=0.5, workers=2) as grid:
        assert run_of(name, grid) == expected


@pytest.mark.usefixtures("ray_leftovers")
@pytest.mark.parametrize(
    "name", ["each when it comes, emq", *(pytest.param(name, marks=pytest.mark.long) for name in ("rounds", "pilots"))]
)
def test_flowers_own_runtime_gives_what_inline_gives(name):
    expected = run_of(name, InlineGrid(app_of(name)(), USERS))
    results, server_app = [], ServerApp()

    @server_app.main()
    def main(grid, context):
        results.append(run_of(name, grid))

    from eafl_flower.engines.flower import run_on_flower

    run_on_flower(server_app, app_of(name), num_nodes=USERS, num_cpus=1.0)
    assert results == [expected]
