"""Adapters of unequal rank through whole runs: over codecs, behind a barrier and without, killed and resumed."""

import numpy as np
import pytest
from flwr.app import ArrayRecord
from ordered_app import factory_of
from toy_federation import Recorder, network

from eafl_flower.aggregation.lora import LoRAAggregator
from eafl_flower.codecs import Int8Codec, LQGCMCodec
from eafl_flower.core.orders import Order
from eafl_flower.core.rng import generator
from eafl_flower.engines.inline import InlineGrid
from eafl_flower.strategies import AsynchronousStrategy

CODECS = {"plain": None, "int8": Int8Codec(), "lqgcm": LQGCMCodec(tuples=8, downlink_tuples=4)}
RANKS = (1, 2, 4, 5)


class Ranks:
    """Each client has a rank of its own, and another one after every third job."""

    def init(self, clients):
        return None

    def offer(self, state, client, forecast):
        return Order(rank=RANKS[(client + forecast.jobs // 3) % 4])

    def learn(self, state, outcome):
        return None


def initial():
    rng = generator(8, "adapters")
    a = [rng.standard_normal((d, 4)).astype(np.float32) for d in (8, 6)]
    b = [np.zeros((4, d), np.float32) for d in (7, 9)]
    return ArrayRecord([a[0], b[0], a[1], b[1], np.zeros(3, np.float32)])


def run_adapters(codec, *, barrier=False, app=None, recorder=None, num_rounds=24, **options):
    recorder = recorder or Recorder()
    options = {"unit": "merges", **network(), "seed": 3, "node_timeout_s": 5.0, **options}
    strategy = AsynchronousStrategy(
        lambda *_: LoRAAggregator(head=1, alpha=1.0 if barrier else 0.25, lora_alpha=4.0),
        **{"barrier": barrier, "codec": codec, "observer": recorder, "scheduler": Ranks(), **options},
    )
    strategy.start(InlineGrid(app or factory_of(codec)(), 4), initial(), num_rounds=num_rounds)
    return strategy.run, recorder


@pytest.mark.parametrize("barrier", [False, True])
@pytest.mark.parametrize("codec", CODECS)
def test_clients_of_all_ranks_train_one_adapter_and_a_killed_run_ends_as_if_nothing_had_happened(
    tmp_path, codec, barrier
):
    options = {"barrier": barrier, "checkpoint_every": 2, "num_rounds": 8 if barrier else 24}

    def go(name, recorder=None, **more):
        app = factory_of(CODECS[codec], state_dir=tmp_path / name)()
        return run_adapters(
            CODECS[codec], app=app, recorder=recorder, checkpoint=tmp_path / f"{name}.c", **options, **more
        )

    whole, told = go("whole")
    assert not told.of("refused") + told.of("error")
    merges = told.of("merge")
    assert {event["metrics"]["columns"] for event in merges} == set(RANKS)
    assert all(event["metrics"]["columns"] in RANKS for event in merges)
    assert [layer.shape for layer in whole.state.layers] == [(8, 7), (6, 9)]
    assert all(layer.norm > 0 for layer in whole.state.layers)
    recorder = Recorder(stop_at=len(told.events) * 2 // 3)
    with pytest.raises(KeyboardInterrupt):
        go("killed", recorder)
    run, recorder = go("killed", recorder, resume=True)
    assert run.arrays_sha256() == whole.arrays_sha256()
    assert recorder.told() == told.told()


def test_what_goes_up_and_down_is_as_long_as_its_rank_says():
    """Each job pays for (d_in + d_out) r values a layer and the head."""
    _, recorder = run_adapters(None)
    for event in recorder.of("merge"):
        values = (8 + 7 + 6 + 9) * event["metrics"]["columns"] + 3
        assert event["uplink_bytes"] == event["downlink_bytes"] == 4 * values
