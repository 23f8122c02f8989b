"""A client that adopts what it is given, and keeps what it replies, gives the same bits on every engine."""

import numpy as np
import pytest
from flwr.app import ArrayRecord
from flwr.serverapp import ServerApp

from eafl_flower.engines import InlineGrid, RayGrid
from eafl_flower.strategies import EMAM, AsyncEMAM
from eafl_flower.types import digest
from eafl_flower.wire.arrays import arrays_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("ray_leftovers"),
]
NUM_NODES = 4


def factory_of(codec):
    """Return a factory that holds all it needs: workers cannot import this module."""

    def make_app():
        import numpy as np
        import torch
        from flwr.app import ArrayRecord
        from flwr.client import NumPyClient

        from eafl_flower.clients import compression_mod, durable_state_mod, numpy_client_app

        class Adopts(NumPyClient):
            def __init__(self, context):
                self.context, self.client = context, context.node_config["partition-id"]

            def adopt(self, parameters):
                tensors = [torch.from_numpy(p) for p in parameters]
                state = self.context.state
                moments = state["moments"].to_numpy_ndarrays() if "moments" in state else [np.zeros((3, 2), np.float32)]
                tensors[0] += 0.1 * (self.client + 1) - 0.05 * tensors[0] + torch.from_numpy(moments[0])
                moments[0] += np.float32(0.01)
                state["moments"] = ArrayRecord(moments)
                return tensors

            def fit(self, parameters, config):
                return [t.numpy() for t in self.adopt(parameters)], 5 * (self.client + 1), {}

            def evaluate(self, parameters, config):
                return float(self.adopt(parameters)[0].mean()), 5, {}

        mods = [durable_state_mod(), *([] if codec is None else [compression_mod(codec)])]
        return numpy_client_app(Adopts, mods=mods)

    return make_app


def outcomes(codec, grid):
    found = []
    for strategy in (AsyncEMAM, EMAM):
        made = strategy(codec=codec, evaluate_every=5, concurrency=3, seed=3, node_timeout_s=600.0)
        start = ArrayRecord([np.arange(6, dtype=np.float32).reshape(3, 2), np.zeros(200_000, np.float32)])
        result = made.start(grid, start, num_rounds=12)
        found += [made.run.arrays_sha256(), digest(arrays_of(result.arrays)), made.run.client_scores, made.run.tally]
    return found


@pytest.fixture(params=[*(pytest.param(name, marks=pytest.mark.long) for name in ("plain", "int8")), "lqgcm"])
def codec(request):
    from eafl_flower.codecs import Int8Codec, LQGCMCodec

    return {"plain": None, "int8": Int8Codec(), "lqgcm": LQGCMCodec(tuples=8, downlink_tuples=4)}[request.param]


def test_clients_that_write_where_they_like_give_the_same_bits_on_every_engine(codec):
    pytest.importorskip("torch")
    expected = outcomes(codec, InlineGrid(factory_of(codec)(), NUM_NODES))
    with RayGrid(factory_of(codec), NUM_NODES, num_cpus=0.5, workers=2) as grid:
        assert outcomes(codec, grid) == expected
    results, server_app = [], ServerApp()

    @server_app.main()
    def main(grid, context):
        results.append(outcomes(codec, grid))

    from eafl_flower.engines.flower import run_on_flower

    run_on_flower(server_app, factory_of(codec), num_nodes=NUM_NODES, num_cpus=1.0)
    assert results == [expected]
