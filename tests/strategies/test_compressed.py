import logging
import random
from dataclasses import replace

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from flwr.client import NumPyClient
from flwr.serverapp.strategy import FedAdam, FedAvg, Krum
from toy_federation import START, examples_of, initial, step_of, toy_app

from eafl_flower.clients import compression_mod, numpy_client_app
from eafl_flower.codecs import Float32Codec, Int8Codec, LQGCMCodec
from eafl_flower.codecs.keys import session_key
from eafl_flower.engines.inline import InlineGrid
from eafl_flower.errors import ConfigError, ProtocolError
from eafl_flower.strategies import AsyncEMAM, Compressed
from eafl_flower.types import digest, layout_of
from eafl_flower.wire.arrays import arrays_of

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


def test_an_update_that_overflows_is_refused_and_the_rounds_go_on():
    codec, layout = Float32Codec(), layout_of(arrays_of(initial()))
    huge = tuple(np.full(spec.shape, 3e38, np.float32) for spec in layout)

    def spoil(client, counter, reply):
        if client == 3:
            state = replace(codec.init(layout), counter=counter)
            reply.content["eafl.arrays"] = ConfigRecord({"payload": codec.encode(state, huge, None)[0].payload})
        return reply

    compressed = Compressed(FedAvg(**EVERYBODY), codec)
    arrays, _ = arrays_after(compressed, codec, app=toy_app(codec=codec, spoil=spoil), rounds=4)
    assert compressed.refused == 3  # all but the first, on top of which there is no room
    assert all(np.isfinite(a).all() for a in arrays)


def test_a_round_in_which_all_replies_are_refused_changes_nothing():
    codec = Int8Codec(block_size=4)
    app = toy_app(codec=codec, train=lambda c, n, arrays: [a * np.nan for a in arrays] if n > 1 else None)
    compressed = Compressed(FedAvg(**EVERYBODY), codec)
    arrays, _ = arrays_after(compressed, codec, app=app, rounds=3)
    assert compressed.refused == 8
    np.testing.assert_allclose(arrays[0], START + 0.3, atol=6 / 127)  # the mean of the first round


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


# Codecs for differences: what a node holds is known, and built on.

DIFFERENCES = LQGCMCodec(tuples=2, downlink_tuples=1)
WHOLE_BYTES = 9 * 4 + 16


class Sent(InlineGrid):
    """Notes the size of every payload on its way down, and holds both sides against each other at each message."""

    def __init__(self, app, num_nodes, compressed):
        super().__init__(app, num_nodes)
        self.compressed, self.sizes, self.compared = compressed, {}, 0

    def push_messages(self, messages):
        messages = list(messages)
        for message in messages:
            node, kind = message.metadata.dst_node_id, message.metadata.message_type
            if kind == "query":
                continue
            record = message.content["eafl.arrays"]
            self.sizes.setdefault((kind, node - 2), []).append(len(record["payload"]))
            stream = next(iter(self.compressed._sides.values())).streams.of(node)
            if stream.counter and node in self._states:
                held = self._states[node]
                if "onto" in record and held["codec"]["counter"] == stream.counter:
                    assert digest(arrays_of(held["codec.held"])) == digest(stream.arrays)
                    self.compared += 1
        return super().push_messages(messages)


def compressed_run(strategy, app, *, rounds, **options):
    compressed = Compressed(strategy, DIFFERENCES, **options)
    grid = Sent(app, 4, compressed)
    random.seed(5)
    result = compressed.start(grid, initial(), num_rounds=rounds)
    return compressed, grid, result


THIRD = numpy_client_app(ThirdParty, mods=[compression_mod(DIFFERENCES)])


def test_whole_arrays_go_down_once_and_to_evaluations():
    compressed, grid, result = compressed_run(FedAvg(**EVERYBODY), THIRD, rounds=5)
    for node in range(4):
        first, *others = grid.sizes["train", node]
        assert first == WHOLE_BYTES
        assert len(others) == 4
        assert all(size <= 28 + 11 for size in others)
        assert grid.sizes["evaluate", node] == [WHOLE_BYTES] * 5
    assert compressed.refused == 0
    assert compressed.downlink_bytes == sum(map(sum, grid.sizes.values()))
    assert grid.compared == 16
    assert result.evaluate_metrics_clientapp[5]["loss"] == pytest.approx(
        float(result.arrays.to_numpy_ndarrays()[0].mean()), rel=1e-6
    )


def test_a_node_that_sat_out_rounds_is_sent_the_difference_to_what_it_has_from_then():
    some = FedAvg(min_available_nodes=4, min_train_nodes=2, fraction_train=0.5, fraction_evaluate=0.0)
    compressed, grid, _ = compressed_run(some, THIRD, rounds=12)
    sizes = [grid.sizes["train", node] for node in range(4)]
    assert sum(map(len, sizes)) == 24
    assert all(first == WHOLE_BYTES and all(size < WHOLE_BYTES for size in rest) for first, *rest in sizes)
    assert compressed.refused == 0


def test_with_much_room_differences_give_the_results_of_fedavg():
    """Two tuples of 5 signs for each 9 values and 20 rounds: errors of one round are made up for in the next."""
    generous = LQGCMCodec(tuples=50, downlink_tuples=50)
    compressed = Compressed(FedAvg(**EVERYBODY), generous)
    ours, _ = arrays_after(compressed, generous, rounds=20)
    plain, _ = arrays_after(FedAvg(**EVERYBODY), None, app=numpy_client_app(ThirdParty), rounds=20)
    for a, b in zip(ours, plain, strict=True):
        np.testing.assert_allclose(a, b, rtol=0.02, atol=0.02)
    assert compressed.refused == 0


@pytest.mark.parametrize("fault", ["refused here", "refused there", "error", "lost state", "altered"])
def test_after_a_reply_that_was_not_used_the_node_is_sent_whole_arrays(fault):
    app = toy_app(codec=DIFFERENCES)

    def faulty(message, context):
        at_fault = context.node_config["partition-id"] == 0 and message.metadata.message_type == "train"
        at_fault = at_fault and message.content["eafl"]["counter"] == 3
        if at_fault and fault == "error":
            raise ValueError("out of order")
        if at_fault and fault == "lost state":
            context.state.clear()
        reply = app(message, context)
        if at_fault and fault == "refused here":
            reply.content["eafl.arrays"] = ConfigRecord({"refused": "no update"})
        if at_fault and fault == "refused there":
            reply.content["eafl.arrays"] = ConfigRecord({"payload": "text"})
        if at_fault and fault == "altered":
            payload = reply.content["eafl.arrays"]["payload"]
            reply.content["eafl.arrays"] = ConfigRecord({"payload": payload[:-1]})
        return reply

    compressed, grid, _ = compressed_run(FedAvg(**EVERYBODY), faulty, rounds=6)
    assert compressed.refused == (fault != "error")
    faults = [size == WHOLE_BYTES for size in grid.sizes["train", 0]]
    assert faults == [True, False, False, True, False, False]
    assert [size == WHOLE_BYTES for size in grid.sizes["train", 1]] == [True] + 5 * [False]
    # what the client keeps for itself goes on from the last job that was used, unless it lost that
    assert grid._states[2]["jobs"]["n"] == (3 if fault == "lost state" else 5)


def test_models_of_different_shapes_in_one_round_are_refused():
    class Two(FedAvg):
        def configure_train(self, *args):
            messages = list(super().configure_train(*args))
            other = {**messages[-1].content, "arrays": ArrayRecord([np.zeros(5, np.float32)])}
            messages[-1].content = RecordDict(other)
            return messages

    compressed = Compressed(Two(**EVERYBODY), DIFFERENCES)
    with pytest.raises(ProtocolError, match="Two trains models of different shapes in one round"):
        compressed.start(InlineGrid(THIRD, 4), initial(), num_rounds=1)


def test_a_forgotten_node_keeps_its_own_state():
    _, grid, _ = compressed_run(FedAvg(**EVERYBODY), toy_app(codec=DIFFERENCES), rounds=5, remembered_clients=1)
    assert sum(size == WHOLE_BYTES for size in grid.sizes["train", 0][1:]) > 0
    assert [grid._states[node]["jobs"]["n"] for node in range(2, 6)] == [5] * 4


def test_only_so_many_nodes_are_remembered():
    _, grid, _ = compressed_run(FedAvg(**EVERYBODY), THIRD, rounds=5, remembered_clients=3)
    later = [size for node in range(4) for size in grid.sizes["train", node][1:]]
    assert sum(size == WHOLE_BYTES for size in later) >= 4  # one of the four each round
    with pytest.raises(ConfigError, match="remembered_clients = -1"):
        Compressed(FedAvg(), DIFFERENCES, remembered_clients=-1)


@pytest.mark.parametrize("codec", [Float32Codec(), DIFFERENCES], ids=["whole", "differences"])
def test_a_second_start_in_another_precision_is_sent_in_that(codec):
    class Noting(InlineGrid):
        def push_messages(self, messages):
            messages = list(messages)
            for message in messages:
                sent.update(code[:2] for code in message.content["eafl.arrays"].get("layout", "f?").split(";"))
            return super().push_messages(messages)

    class Keeps(ThirdParty):
        def fit(self, parameters, config):
            return [p + p.dtype.type(0.1) for p in parameters], examples_of(self.client), {}

    compressed = Compressed(FedAdam(**EVERYBODY, eta=0.05), codec)
    grid = Noting(numpy_client_app(Keeps, mods=[compression_mod(codec)]), 4)
    for dtype, code in ((np.float32, "f4"), (np.float64, "f8"), (np.float32, "f4")):
        sent = set()
        compressed.start(grid, ArrayRecord([START.astype(dtype)]), num_rounds=2)
        assert sent - {"f?"} == {code}
    assert compressed.refused == 0


def test_a_second_start_begins_afresh():
    compressed = Compressed(FedAvg(**EVERYBODY), DIFFERENCES)
    grid = Sent(THIRD, 4, compressed)
    for _ in range(2):
        random.seed(5)
        compressed.start(grid, initial(), num_rounds=3)
    for node in range(4):
        assert [size == WHOLE_BYTES for size in grid.sizes["train", node]] == [True, False, False] * 2
    assert compressed.refused == 0


DITHERED = LQGCMCodec(mode="dithered", downlink_tuples=2)


class Listener(InlineGrid):
    """Reads the session keys on their way down, and the payloads on their way up."""

    def __init__(self):
        super().__init__(numpy_client_app(ThirdParty, mods=[compression_mod(DITHERED)]), 4)
        self.keys, self.payloads = {}, {}

    def push_messages(self, messages):
        messages = list(messages)
        for message in messages:
            terms = message.content.get("eafl", {})
            if message.metadata.message_type == "train":
                self.keys.setdefault(message.metadata.dst_node_id, []).append(terms["key"])
            else:
                assert "key" not in terms
        return super().push_messages(messages)

    def pull_messages(self, ids):
        replies = list(super().pull_messages(ids))
        for reply in replies:
            if reply.metadata.message_type == "train":
                payload = reply.content["eafl.arrays"]["payload"]
                self.payloads.setdefault(reply.metadata.src_node_id, []).append(payload)
        return replies


def heard(compressed, *, starts=1):
    grid = Listener()
    for _ in range(starts):
        random.seed(5)
        compressed.start(grid, initial(), num_rounds=3)
    assert compressed.refused == 0
    return grid


def test_session_keys_are_random_and_sent_to_each_node_with_its_jobs():
    first, second = (heard(Compressed(FedAvg(**EVERYBODY), DITHERED, seed=3)) for _ in range(2))
    keys = [{*grid.keys[node]} for grid in (first, second) for node in grid.keys]
    assert all(len(of_node) == 1 for of_node in keys)
    assert len({key for of_node in keys for key in of_node}) == 8
    layout = layout_of(arrays_of(initial()))
    for node, (payload, *_) in first.payloads.items():
        with_it, without = (DITHERED.keyed(key, node) for key in (first.keys[node][0], session_key(3, node)))
        decoded = [codec.decode(codec.init(layout), payload)[0][1] for codec in (with_it, without)]
        np.testing.assert_allclose(decoded[0], step_of(node - 2), atol=0.01)
        assert not np.array_equal(*decoded)  # the key of a simulation is a function of seed and node


def test_another_start_has_other_keys_for_it_counts_rounds_from_1_again():
    grid = heard(Compressed(FedAvg(**EVERYBODY), DITHERED), starts=2)
    for first, again, third, *later in grid.keys.values():
        assert first == again == third != later[0]
        assert len({*later}) == 1


def test_with_a_secret_of_ones_own_a_run_can_be_repeated():
    secret = bytes(range(32))
    first, second, other = (
        heard(Compressed(FedAvg(**EVERYBODY), DITHERED, secret=s)) for s in (secret, secret, secret[::-1])
    )
    assert (first.keys, first.payloads) == (second.keys, second.payloads)
    assert all(first.payloads[node] != other.payloads[node] for node in first.payloads)
    with pytest.raises(ConfigError, match="secret has 5 bytes: expected 32"):
        Compressed(FedAvg(), DITHERED, secret=b"short")


def test_a_key_of_the_users_own_is_sent_to_nobody():
    codec = replace(DITHERED, session_key=bytes(range(32)))
    grid = InlineGrid(numpy_client_app(ThirdParty, mods=[compression_mod(codec)]), 4)
    sent, push = [], grid.push_messages
    grid.push_messages = lambda messages: push(sent.append(m) or m for m in messages)
    Compressed(FedAvg(**EVERYBODY), codec).start(grid, initial(), num_rounds=2)
    assert sent
    assert not any("key" in message.content["eafl"] for message in sent)


def test_who_uses_a_codec_is_told_that_it_is_no_privacy(flower_log):
    logging.getLogger("flwr").setLevel(logging.INFO)
    for made, is_told in (
        (Compressed(FedAvg(), DIFFERENCES), True),
        (AsyncEMAM(codec=DIFFERENCES), True),
        (AsyncEMAM(), False),
    ):
        flower_log.clear()
        made.summary()
        assert ("no privacy: payloads are coded, not protected" in flower_log.text) == is_told


def test_a_strategy_with_a_start_of_its_own_is_refused():
    with pytest.raises(TypeError, match=r"AsyncEMAM has a start.. of its own.*: use its codec= argument"):
        Compressed(AsyncEMAM(), Int8Codec())
