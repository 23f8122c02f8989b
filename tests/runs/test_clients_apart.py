"""What one client does to its arrays, its state and its replies is its own affair: no other client sees it."""

import ctypes
import random

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.client import NumPyClient
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg
from toy_federation import START, examples_of, initial, same_for_all, step_of

from eafl_flower.clients import compression_mod, numpy_client_app
from eafl_flower.codecs import Float32Codec, Int8Codec, LQGCMCodec
from eafl_flower.engines.inline import InlineGrid
from eafl_flower.strategies import EMAM, AsyncEMAM, Compressed
from eafl_flower.types import digest
from eafl_flower.wire.arrays import arrays_of

torch = pytest.importorskip("torch")
NUM_CLIENTS = 4
CODECS = {
    "plain": None,
    "float32": Float32Codec(),
    "int8": Int8Codec(block_size=4),
    "lqgcm": LQGCMCodec(tuples=2, downlink_tuples=1),
}


class Copies(NumPyClient):
    """Trains on tensors of its own."""

    def __init__(self, context):
        self.client = context.node_config["partition-id"]

    def tensors(self, parameters):
        return [torch.from_numpy(p.copy()) for p in parameters]

    def fit(self, parameters, config):
        tensors = self.tensors(parameters)
        for tensor in tensors:
            tensor.mul_(0.9).add_(float(step_of(self.client)))
        return [t.numpy() for t in tensors], examples_of(self.client), {}

    def evaluate(self, parameters, config):
        tensors = self.tensors(parameters)
        for tensor in tensors:  # as a layer that keeps running statistics
            tensor.mul_(0.5)
        return float(tensors[0].mean()), examples_of(self.client), {}


class Adopts(Copies):
    """Makes the arrays it is given its weights, as ``layer.weight.data = torch.from_numpy(array)`` does."""

    def tensors(self, parameters):
        return [torch.from_numpy(p) for p in parameters]


def outcome(strategy, codec, app):
    made = strategy(**same_for_all(), evaluate_every=5, codec=codec)
    result = made.start(InlineGrid(app, NUM_CLIENTS), initial(), num_rounds=20)
    return made.run.arrays_sha256(), made.run.client_scores, digest(arrays_of(result.arrays))


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("strategy", [AsyncEMAM, EMAM])
def test_a_client_that_writes_into_the_arrays_it_was_given_changes_nobodys_model(strategy, codec):
    mods = [] if CODECS[codec] is None else [compression_mod(CODECS[codec])]
    own, adopted = (outcome(strategy, CODECS[codec], numpy_client_app(made, mods=mods)) for made in (Copies, Adopts))
    assert own == adopted


@pytest.mark.parametrize("codec", [c for c in CODECS if c != "plain"])
def test_it_changes_nothing_around_flowers_strategies_either(codec):
    codec = CODECS[codec]

    def arrays_after(client):
        fedavg = FedAvg(min_available_nodes=4, min_train_nodes=4, fraction_train=1.0)
        strategy = Compressed(fedavg, codec, secret=bytes(32))
        grid = InlineGrid(numpy_client_app(client, mods=[compression_mod(codec)]), NUM_CLIENTS)
        random.seed(5)  # Flower's samples nodes with the global generator
        result = strategy.start(grid, initial(), num_rounds=5)
        assert strategy.refused == 0
        return digest(arrays_of(result.arrays)), {k: dict(v) for k, v in result.evaluate_metrics_clientapp.items()}

    assert arrays_after(Copies) == arrays_after(Adopts)


def keeping_app(keeps):
    """A client that keeps what it was given, what it replied and its state, and vandalises all that in its next job."""
    app = ClientApp()
    kept = {}

    @app.train()
    def train(message, context):
        client = context.node_config["partition-id"]
        if keeps and client in kept:
            received, replied, state = kept[client]
            junk = Array(np.full(START.shape, 1e3, np.float32))
            for record in (*received.array_records.values(), *replied.content.array_records.values(), state):
                for array in record.values():
                    array.data = junk.data
                for name in list(record):
                    record[name] = junk
            replied.content["metrics"]["num-examples"] = 10**6
            replied.content["metrics"]["list"] += [1.0]
            replied.content.clear()
        count = arrays_of(context.state["net"])[0][0, 0] if "net" in context.state else 0.0
        context.state["net"] = ArrayRecord([np.full(START.shape, count + 1, np.float32)])
        arrays = [a + step_of(client) + np.float32(0.01 * count) for a in message.content["arrays"].to_numpy_ndarrays()]
        metrics = {"num-examples": examples_of(client), "list": [0.5]}
        content = {"arrays": ArrayRecord(arrays), "metrics": MetricRecord(metrics)}
        reply = Message(RecordDict(content), reply_to=message)
        kept[client] = message.content, reply, context.state["net"]
        return reply

    return app


@pytest.mark.parametrize("strategy", [AsyncEMAM, EMAM])
def test_what_a_client_keeps_of_message_reply_and_state_and_changes_later_reaches_nobody(strategy):
    """All replies of a round are made before the first is merged, so that each could still be altered."""

    def after(keeps):
        run = strategy(**same_for_all(), evaluate_clients=False)
        run.start(Eager(keeping_app(keeps), NUM_CLIENTS), initial(), num_rounds=20)
        return run.run.arrays_sha256(), run.run.tally

    assert after(keeps=True) == after(keeps=False)


class Eager(InlineGrid):
    """Runs every client when its message is pushed, as other engines do."""

    def push_messages(self, messages):
        ids = super().push_messages(messages)
        for message_id in ids:
            if message_id in self._pending:
                self._run_client(message_id)
        return ids


def test_initial_arrays_and_what_evaluate_fn_is_given_are_not_the_runs_own():
    def after(vandal):
        start = initial()

        def evaluate(version, arrays):
            if vandal:
                for record in (start, arrays):
                    for array in record.values():
                        values = np.frombuffer(array.data, np.uint8)[128:]  # behind the header
                        ctypes.memset(values.ctypes.data, 1, len(values))
                        array.data = b"not an array"
                    record.clear()
            return MetricRecord({"version": version})

        run = AsyncEMAM(**same_for_all(), evaluate_every=1, evaluate_clients=False)
        result = run.start(InlineGrid(numpy_client_app(Copies), NUM_CLIENTS), start, num_rounds=8, evaluate_fn=evaluate)
        return run.run.arrays_sha256(), digest(arrays_of(result.arrays))

    assert after(vandal=True) == after(vandal=False)
