import random

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord
from flwr.client import NumPyClient
from flwr.serverapp.strategy import FedAdam, FedAvg, Krum
from toy_federation import START, examples_of, initial, step_of, toy_app

from eafl_flower.clients import compression_mod, numpy_client_app
from eafl_flower.codecs import Float32Codec, Int8Codec
from eafl_flower.engines.inline import InlineGrid
from eafl_flower.strategies import AsyncEMAM, Compressed

EVERYBODY = {"min_available_nodes": 4, "min_train_nodes": 4, "min_evaluate_nodes": 4}


class ThirdParty(NumPyClient):
    def __init__(self, context):
        self.client = context.node_config["partition-id"]

    def fit(self, parameters, config):
        assert all(p.dtype == np.float32 for p in parameters)
        return [p * np.float32(0.9) + step_of(self.client) for p in parameters], examples_of(self.client), {}

    def evaluate(self, parameters, config):
        return float(np.mean(parameters[0])), examples_of(self.client), {}


def arrays_after(strategy, codec, *, rounds=4, app=None, arrays=None):
    mods = [] if codec is None else [compression_mod(codec)]
    grid = InlineGrid(app or numpy_client_app(ThirdParty, mods=mods), 4)
    random.seed(5)  # Flower's samples nodes, and so orders its sums, with the global generator
    result = strategy.start(grid, arrays or initial(), num_rounds=rounds)
    return result.arrays.to_numpy_ndarrays(), result


def test_float32_gives_the_results_of_fedavg_without_it_bit_for_bit():
    """The difference of two neighbouring float32 is exact, and so is what adds it back."""

    class Near(ThirdParty):
        def fit(self, parameters, config):  # within a factor of two: Sterbenz' lemma
            return [p * np.float32(1.25 + 0.1 * self.client) for p in parameters], examples_of(self.client), {}

    codec = Float32Codec()
    plain, _ = arrays_after(FedAvg(**EVERYBODY), None, app=numpy_client_app(Near))
    coded = Compressed(FedAvg(**EVERYBODY), codec)
    ours, _ = arrays_after(coded, codec, app=numpy_client_app(Near, mods=[compression_mod(codec)]))
    for a, b in zip(ours, plain, strict=True):
        np.testing.assert_array_equal(a, b)
    assert coded.uplink_bytes > 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: FedAvg(**EVERYBODY),
        lambda: FedAdam(**EVERYBODY, eta=0.05),
        lambda: Krum(**EVERYBODY, num_malicious_nodes=1),
    ],
    ids=["FedAvg", "FedAdam", "Krum"],
)
def test_int8_stays_near_the_results_of_the_strategy_alone(make):
    codec = Int8Codec(block_size=4)
    plain, _ = arrays_after(make(), None, app=numpy_client_app(Cast))
    compressed = Compressed(make(), codec)
    coded, result = arrays_after(compressed, codec)
    for a, b in zip(coded, plain, strict=True):
        np.testing.assert_allclose(a, b, atol=4 * 2 * 6 / 127)  # four rounds, two codings of values below 6
    assert result.evaluate_metrics_clientapp[4]["loss"] == pytest.approx(float(np.mean(coded[0])), abs=6 / 127)
    assert compressed.refused == 0
    per_message = compressed.uplink_bytes / 16
    assert compressed.uplink_bytes == 16 * per_message  # four rounds of four clients
    assert compressed.downlink_bytes == 32 * per_message  # to train and to evaluate


class Cast(ThirdParty):
    """FedAdam alone sends float64."""

    def fit(self, parameters, config):
        return super().fit([p.astype(np.float32) for p in parameters], config)


def test_a_reply_that_cannot_be_decoded_is_left_out_and_counted():
    codec = Int8Codec(block_size=4)

    def spoil(client, counter, reply):
        if client == 0:
            payload = reply.content["eafl.arrays"]["payload"]
            reply.content["eafl.arrays"] = ConfigRecord({"payload": payload[: len(payload) - counter]})
        if client == 1 and counter == 1:
            reply.content["eafl.arrays"] = ConfigRecord({"payload": "text"})
        return reply

    app = toy_app(codec=codec, spoil=spoil)
    compressed = Compressed(FedAvg(**EVERYBODY), codec)
    arrays, _ = arrays_after(compressed, codec, app=app, rounds=2)
    assert compressed.refused == 3
    first = (15 * 0.3 + 20 * 0.4) / 35  # the mean of clients 2 and 3
    second = (10 * 0.2 + 15 * 0.3 + 20 * 0.4) / 45
    np.testing.assert_allclose(arrays[0], START + first + second, atol=4 * 6 / 127)


def test_an_update_that_is_not_finite_is_refused_where_it_is_made():
    codec = Int8Codec(block_size=4)
    app = toy_app(codec=codec, train=lambda c, n, arrays: [a * np.nan for a in arrays] if c == 2 else None)
    compressed = Compressed(FedAvg(**EVERYBODY), codec)
    arrays, _ = arrays_after(compressed, codec, app=app, rounds=2)
    assert compressed.refused == 2
    assert all(np.isfinite(a).all() for a in arrays)


def test_a_round_in_which_all_replies_are_refused_changes_nothing():
    codec = Int8Codec(block_size=4)
    app = toy_app(codec=codec, train=lambda c, n, arrays: [a * np.nan for a in arrays])
    compressed = Compressed(FedAvg(**EVERYBODY), codec)
    arrays, _ = arrays_after(compressed, codec, app=app, rounds=2)
    assert compressed.refused == 8
    assert arrays == []  # Flower's result of a run in which no round gave new arrays


def test_a_client_that_lost_its_state_does_not_end_flowers_round(tmp_path):
    """Flower's strategies want the same metrics of everybody."""
    codec = Int8Codec(block_size=4)
    app, forgotten = toy_app(codec=codec), []

    def forgetful(message, context):
        if context.node_config["partition-id"] == 0 and message.metadata.message_type == "train":
            forgotten.append(len(context.state))
            context.state.clear()
        return app(message, context)

    compressed = Compressed(FedAvg(**EVERYBODY), codec)
    arrays_after(compressed, codec, app=forgetful, rounds=3)
    assert forgotten[1] > 0
    assert compressed.refused == 0


def test_booleans_and_counters_travel_whole():
    class Flips(NumPyClient):
        def fit(self, parameters, config):
            mask, count, values = parameters
            assert (mask.dtype, count.dtype) == (np.bool_, np.uint8)
            return [~mask, count + np.uint8(250), values], 1, {}

    class First(FedAvg):
        """Keeps the arrays of one client: FedAvg cannot average booleans."""

        def aggregate_train(self, server_round, replies):
            return next(r.content["arrays"] for r in replies), None

    arrays = ArrayRecord(
        {
            "mask": Array(np.array([True, False, True])),
            "count": Array(np.array(10, np.uint8)),
            "values": Array(np.ones(2, np.float32)),
        }
    )
    codec = Int8Codec(block_size=4)
    app = numpy_client_app(lambda context: Flips(), mods=[compression_mod(codec)])
    strategy = Compressed(First(**EVERYBODY, fraction_evaluate=0.0), codec)
    (mask, count, _), _ = arrays_after(strategy, codec, app=app, arrays=arrays, rounds=3)
    np.testing.assert_array_equal(mask, [False, True, False])
    assert count == (10 + 3 * 250) % 256


def test_a_strategy_with_a_start_of_its_own_is_refused():
    with pytest.raises(TypeError, match=r"AsyncEMAM has a start.. of its own.*: use its codec= argument"):
        Compressed(AsyncEMAM(), Int8Codec())
