"""Orders, messages and several models give the same bits on every engine."""

from dataclasses import dataclass

import numpy as np
import pytest
from flwr.app import ArrayRecord
from flwr.serverapp import ServerApp
from ordered_app import START, Sums, factory_of, initial
from schedulers import Growing
from small_city import city

from eafl_flower.aggregation import FedAvg, NewestMean
from eafl_flower.codecs import Int8Codec, LQGCMCodec
from eafl_flower.core.orders import Order
from eafl_flower.engines import InlineGrid, RayGrid
from eafl_flower.strategies import AsynchronousStrategy
from eafl_flower.types import digest
from eafl_flower.wire.arrays import arrays_of

pytestmark = pytest.mark.slow
NUM_NODES = 4
MODELS = ("speech", "text")
CODECS = {"plain": None, "int8": Int8Codec(), "lqgcm": LQGCMCodec(tuples=8, downlink_tuples=4)}
LONG = pytest.mark.long


@dataclass(frozen=True)
class Changing(Growing):
    """Clients change their model after every second job, and make ever more epochs."""

    def offer(self, state, client, forecast):
        return Order(model=MODELS[(forecast.jobs // 2 + client) % 2], epochs=1 + forecast.jobs % 3)


def two_models():
    return {"speech": initial(), "text": ArrayRecord([2 * START, np.ones(5), np.zeros(3, np.float32)])}


CASES = {
    "epochs": (NewestMean, "full", initial, Growing()),
    "messages": (Sums, "message", initial, Growing()),
    "models": (FedAvg, "full", two_models, Changing()),
    "models, messages": (Sums, "message", two_models, Changing()),
}


def outcomes(case, codec, grid):
    aggregator, _, start, scheduler = CASES[case]
    found = []
    for barrier in (False, True) if aggregator is not NewestMean else (False,):
        strategy = AsynchronousStrategy(
            lambda *_: aggregator(),
            barrier=barrier,
            codec=CODECS[codec],
            scheduler=scheduler,
            concurrency=3,
            seed=3,
            evaluate_every=4,
            node_timeout_s=600.0,
        )
        result = strategy.start(grid, start(), num_rounds=10)
        run = strategy.run
        found += [run.arrays_sha256(), digest(arrays_of(result.arrays)), run.client_scores, run.tally, run.version]
    return found


def factory(case, codec):
    return factory_of(CODECS[codec], kind=CASES[case][1], models=("", *MODELS))


@pytest.mark.usefixtures("one_ray")
@pytest.mark.parametrize("codec", [*(pytest.param(name, marks=LONG) for name in ("plain", "int8")), "lqgcm"])
@pytest.mark.parametrize("case", CASES)
def test_ray_gives_what_inline_gives(case, codec):
    expected = outcomes(case, codec, InlineGrid(factory(case, codec)(), NUM_NODES))
    assert expected[3].errors == expected[3].refused == 0
    with RayGrid(factory(case, codec), NUM_NODES, num_cpus=0.5, workers=2) as grid:
        assert outcomes(case, codec, grid) == expected


@pytest.mark.usefixtures("one_ray")
@pytest.mark.parametrize("workers", [pytest.param(1, marks=LONG), 2])
def test_a_city_gives_the_same_on_ray(workers):
    inline, told = city(num_rounds=12)
    with RayGrid(factory_of(models=("questions", "reviews")), 4, num_cpus=0.5, workers=workers) as grid:
        run, same = city(num_rounds=12, grid=grid)
    assert run.arrays_sha256() == inline.arrays_sha256()
    assert same.told() == told.told()


@pytest.mark.usefixtures("ray_leftovers")
@pytest.mark.parametrize(
    ("case", "codec"),
    [
        *(pytest.param(case, "plain", marks=LONG) for case in ("epochs", "messages")),
        pytest.param("models", "lqgcm", marks=LONG),
        ("models, messages", "int8"),
    ],
)
def test_flowers_own_runtime_gives_what_inline_gives(case, codec):
    expected = outcomes(case, codec, InlineGrid(factory(case, codec)(), NUM_NODES))
    results, server_app = [], ServerApp()

    @server_app.main()
    def main(grid, context):
        results.append(outcomes(case, codec, grid))

    from eafl_flower.engines.flower import run_on_flower

    run_on_flower(server_app, factory(case, codec), num_nodes=NUM_NODES, num_cpus=1.0)
    assert results == [expected]
