"""A codec of weights: the client's half hands over what was trained, the server's half takes the difference."""

import random
from dataclasses import replace

import numpy as np
import pytest
from both_sides import WatchedGrid
from flwr.app import Array, ArrayRecord, ConfigRecord
from flwr.client import NumPyClient
from flwr.serverapp.strategy import FedAvg
from toy_federation import arrays_of_run, examples_of, initial, run_toy, same_for_all, step_of, toy_app

from eafl_flower.clients import compression_mod, numpy_client_app
from eafl_flower.codecs import AQUILACodec, Float32Codec, LAQCodec
from eafl_flower.codecs.weights import codes_weights
from eafl_flower.conformance.event_log import check_events
from eafl_flower.core.rng import generator
from eafl_flower.engines.inline import InlineGrid
from eafl_flower.simulation.churn import OnOff
from eafl_flower.strategies import EMAM, AsyncEMAM, Compressed
from eafl_flower.types import layout_of
from eafl_flower.wire.arrays import arrays_of

NUM_CLIENTS, ROUNDS = 3, 5
EVERYBODY = {"min_available_nodes": NUM_CLIENTS, "min_train_nodes": NUM_CLIENTS, "fraction_evaluate": 0.0}
CODECS = [LAQCodec(bits=3), LAQCodec(bits=2, rounding="authors"), AQUILACodec()]


def trained_by(client, arrays):
    return tuple(a * np.float32(0.9) + step_of(client) for a in arrays)


def means_of_quantised_weights(codec):
    """FedAvg over what each client's quantiser makes of its weights; it remembers its own last ones alone."""
    arrays = arrays_of(initial())
    states = [codec.init(layout_of(arrays)) for _ in range(NUM_CLIENTS)]
    weights = np.array([examples_of(client) for client in range(NUM_CLIENTS)], float)
    for counter in range(1, ROUNDS + 1):
        quantised = []
        for client, state in enumerate(states):
            sender = replace(state, counter=counter, acknowledged=counter - 1)
            states[client] = codec.encode(sender, trained_by(client, arrays), generator(0))[1]
            quantised.append(states[client].pending.astype(float))
        mean = np.average(quantised, axis=0, weights=weights).astype(np.float32)
        arrays = tuple(np.split(mean, np.cumsum([a.size for a in arrays])[:-1]))
        arrays = tuple(a.reshape(b.shape) for a, b in zip(arrays, arrays_of(initial()), strict=True))
    return arrays


def compressed(codec, server_codec=None):
    def app(context):
        client = context.node_config["partition-id"]

        class Trains(NumPyClient):
            def fit(self, parameters, config):
                return list(trained_by(client, parameters)), examples_of(client), {}

        return Trains()

    strategy = Compressed(FedAvg(**EVERYBODY), server_codec or codec)
    random.seed(5)
    grid = InlineGrid(numpy_client_app(app, mods=[compression_mod(codec)]), NUM_CLIENTS)
    return strategy, strategy.start(grid, initial(), num_rounds=ROUNDS).arrays.to_numpy_ndarrays()


def ours(codec):
    app = toy_app(codec=codec, train=lambda client, counter, arrays: trained_by(client, arrays))
    options = {"strategy": EMAM, "concurrency": NUM_CLIENTS, "norm_guard": 0.0, "weight_by_examples": True}
    run, recorder = run_toy(NUM_CLIENTS, ROUNDS, app=app, codec=codec, unit="rounds", **options)
    check_events(recorder.events)
    assert run.tally.refused == 0
    return arrays_of_run(run)


@pytest.mark.parametrize("codec", CODECS, ids=str)
@pytest.mark.parametrize("side", ["ours", "compressed"])
def test_the_server_ends_with_the_mean_of_the_quantised_weights(codec, side):
    found = ours(codec) if side == "ours" else compressed(codec)[1]
    for array, expected in zip(found, means_of_quantised_weights(codec), strict=True):
        np.testing.assert_allclose(array, expected, atol=1e-5)  # float32 of values up to 6, some sums


def test_what_is_coded_of_an_update_is_something_else():
    update, weights = (compressed(LAQCodec(bits=2, target=target))[1] for target in ("update", "weights"))
    assert any(np.abs(a - b).max() > 0.1 for a, b in zip(update, weights, strict=True))


def test_only_codecs_that_say_so_are_given_weights():
    assert codes_weights(LAQCodec())
    assert codes_weights(AQUILACodec())
    assert not codes_weights(LAQCodec(target="update"))
    assert not codes_weights(Float32Codec())
    assert not codes_weights(None)


def test_counters_and_masks_and_what_is_not_finite_keep_their_meaning():
    class Changes(NumPyClient):
        def fit(self, parameters, config):
            mask, count, values = parameters
            return [~mask, count + np.uint8(250), values + np.float32(1)], 1, {}

    class First(FedAvg):
        """Keeps the arrays of one client: FedAvg cannot average booleans."""

        def aggregate_train(self, server_round, replies):
            return next(r.content["arrays"] for r in replies), None

    arrays = ArrayRecord(
        {
            "mask": Array(np.array([True, False, True])),
            "count": Array(np.array(10, np.uint8)),
            "values": Array(np.array([1.0, -np.inf, 2.0], np.float32)),
        }
    )
    codec = LAQCodec(bits=16)
    strategy = Compressed(First(**EVERYBODY), codec)
    grid = InlineGrid(numpy_client_app(lambda context: Changes(), mods=[compression_mod(codec)]), NUM_CLIENTS)
    mask, count, values = strategy.start(grid, arrays, num_rounds=3).arrays.to_numpy_ndarrays()
    np.testing.assert_array_equal(mask, [False, True, False])
    assert count == (10 + 3 * 250) % 256
    np.testing.assert_allclose(values, [4.0, -np.inf, 5.0], atol=1e-3)
    assert strategy.refused == 0


def sometimes_broken(client, counter, arrays):
    if (client + 3 * counter) % 11 == 0:
        raise ValueError("out of order")
    return [a * np.nan for a in arrays] if (client + counter) % 13 == 0 else None


def sometimes_altered(client, counter, reply):
    if (5 * client + counter) % 9 == 0 and "payload" in reply.content.get("eafl.arrays", {}):
        payload = reply.content["eafl.arrays"]["payload"]
        reply.content["eafl.arrays"] = ConfigRecord({"payload": payload[:-1] + bytes([payload[-1] ^ 1])})
    return reply


def test_after_lost_refused_and_altered_uploads_both_sides_hold_the_same():
    codec = LAQCodec(bits=4)
    app = toy_app(codec=codec, train=sometimes_broken, spoil=sometimes_altered)
    lost = {"loses": lambda client, counter: (client + counter) % 17 == 0}
    grid = WatchedGrid(app, 6, codec, **lost)
    runs = []

    def make(**settings):
        runs.append(AsyncEMAM(**settings))
        grid.run_of = lambda: runs[0].run
        return runs[0]

    churn = OnOff(seed=3, mean_on_s=6.0, mean_off_s=0.7)
    options = {"concurrency": 4, "seed": 5, "timeout": 0.0, "backoff_s": 0.1, "churn": churn, "remembered_clients": 4}
    run, recorder = run_toy(6, 70, strategy=make, grid=grid, codec=codec, **options, **same_for_all())
    grid.compare()
    check_events(recorder.events)
    assert min(run.tally.refused, run.tally.errors, run.tally.lost) > 2
    assert all(np.isfinite(a).all() for a in arrays_of_run(run))


def test_sides_that_disagree_on_what_is_coded_say_so(flower_log):
    with pytest.raises(Exception, match=r"codec\.target is weights on the node and update in the run"):
        compressed(LAQCodec(), LAQCodec(target="update"))
