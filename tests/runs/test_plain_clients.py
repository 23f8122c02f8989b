"""Clients of other people: any ClientApp, and any NumPyClient through the bridge."""

from dataclasses import replace

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.client import NumPyClient
from flwr.clientapp import ClientApp
from toy_federation import START, arrays_of_run, examples_of, run_toy, same_for_all, step_of, toy_app

from eafl_flower.clients import numpy_client_app
from eafl_flower.codecs import Int8Codec, LQGCMCodec
from eafl_flower.strategies import EMAM, AsyncEMAM
from eafl_flower.types import layout_of


def ordinary_app():
    """What the Message API's quick start gives: train and evaluate, nothing of ours."""
    app = ClientApp()

    @app.train()
    def train(message, context):
        client = context.node_config["partition-id"]
        assert message.content["config"]["server-round"] >= 0
        arrays = message.content["arrays"].to_numpy_ndarrays()
        content = {
            "arrays": ArrayRecord([a + step_of(client) for a in arrays]),
            "metrics": MetricRecord({"num-examples": examples_of(client), "train_loss": 0.5}),
        }
        return Message(RecordDict(content), reply_to=message)

    @app.evaluate()
    def evaluate(message, context):
        (first, _) = message.content["arrays"].to_numpy_ndarrays()
        metrics = {"num-examples": 5, "eval_mean": float(first.mean())}
        return Message(RecordDict({"metrics": MetricRecord(metrics)}), reply_to=message)

    return app


@pytest.mark.parametrize("ordered", [True, False])
def test_an_ordinary_client_app_works_and_is_told_apart_where_the_order_of_nodes_is_random(
    flower_log, monkeypatch, ordered
):
    monkeypatch.setattr("eafl_flower.engines.local_grid.LocalGrid.nodes_are_partitions", ordered)
    run, recorder = run_toy(3, 30, app=ordinary_app(), **same_for_all())
    assert run.version == 30
    assert ("3 nodes did not answer the roster query" in flower_log.text) == (not ordered)
    assert ("cannot be reproduced from its seed" in flower_log.text) == (not ordered)
    assert "codec" not in flower_log.text
    assert {e["client"] for e in recorder.of("merge")} == {0, 1, 2}
    assert run.client_scores[30]["eval_mean"] == pytest.approx(float(arrays_of_run(run)[0].mean()))
    assert recorder.of("merge")[0]["metrics"] == {"train_loss": 0.5}


def test_its_number_of_examples_is_that_of_its_first_reply():
    run, recorder = run_toy(3, 12, app=ordinary_app(), strategy=EMAM)
    first = [e for e in recorder.of("merge") if e["merge"] == 1]
    assert sorted(e["num_examples"] for e in first) == [5, 10, 15]
    assert sorted(run.jobs.table.num_examples) == [5, 10, 15]
    # the first job of each is priced as one of 1 example: they only differ in time afterwards
    assert len({e["time_s"] for e in first}) == 1
    assert len({e["time_s"] for e in recorder.of("merge") if e["merge"] == 2}) == 3


def mixed_app(codec):
    """Partitions 0 and 2 are ours, 1 and 3 are strangers."""
    ours, theirs = toy_app(codec=codec), ordinary_app()

    def app(message, context):
        is_ours = context.node_config["partition-id"] % 2 == 0
        if not is_ours and message.metadata.message_type != "query":
            assert "arrays" in message.content
            assert "eafl.arrays" not in message.content
        return (ours if is_ours else theirs)(message, context)

    return app


def test_a_mixed_federation_sends_each_what_it_understands(flower_log):
    codec = Int8Codec(block_size=4)
    run, recorder = run_toy(4, 60, app=mixed_app(codec), codec=codec, **same_for_all())
    assert (run.version, run.tally.errors, run.tally.refused) == (60, 0, 0)
    coded = {e["client"] for e in recorder.of("merge") if e["uplink_bytes"] != e["raw_bytes"]}
    plain = {e["client"] for e in recorder.of("merge") if e["uplink_bytes"] == e["downlink_bytes"] == e["raw_bytes"]}
    assert "2 nodes get plain arrays, the codec is not used with them" in flower_log.text
    assert coded == {0, 2}
    assert plain == {4, 5}  # after the partitions, in the order of their node ids
    assert {"mean", "eval_mean"} <= run.client_scores[60].keys()


def test_a_mixed_federation_gives_nearly_the_arrays_of_one_without_a_codec():
    codec = Int8Codec(block_size=4)
    with_codec, _ = run_toy(4, 40, app=mixed_app(codec), codec=codec, **same_for_all())
    without, _ = run_toy(4, 40, app=mixed_app(None), **same_for_all())
    # each payload errs by at most half a step of its block: values below 6, 127 steps, and 40 merges that forget
    for a, b in zip(arrays_of_run(with_codec), arrays_of_run(without), strict=True):
        np.testing.assert_allclose(a, b, atol=10 * 15 / 127)


@pytest.mark.parametrize(
    "codec", [Int8Codec(block_size=4), LQGCMCodec(tuples=2, downlink_tuples=1)], ids=["whole", "differences"]
)
def test_a_payload_from_a_client_that_was_sent_plain_arrays_is_refused(codec):
    """A right one too: no codec was agreed on with it, and nothing of it is remembered."""

    def spoil(client, counter, reply):
        if client == 1 and counter in (1, 3):
            arrays = tuple(reply.content["arrays"].to_numpy_ndarrays())
            state = replace(codec.init(layout_of(arrays)), counter=counter)
            reply.content["eafl.arrays"] = ConfigRecord({"payload": codec.encode(state, arrays, None)[0].payload})
        return reply

    app = toy_app(codec=codec, plain=(1,), spoil=spoil)
    run, recorder = run_toy(4, 40, app=app, codec=codec, **same_for_all(), backoff_s=0.1)
    refused = recorder.of("refused")
    assert [e["counter"] for e in refused] == [1, 3]
    assert all("its job was sent as plain arrays: expected plain arrays" in e["reason"] for e in refused)
    (client,) = {e["client"] for e in refused}
    assert [e["counter"] for e in recorder.of("merge") if e["client"] == client][:3] == [2, 4, 5]
    assert run.version == 40


class ThirdParty(NumPyClient):
    """Written for Flower's fit/evaluate interface, knows nothing of this package."""

    def __init__(self, context):
        self.client = context.node_config["partition-id"]

    def fit(self, parameters, config):
        assert "server-round" in config
        return [p + step_of(self.client) for p in parameters], examples_of(self.client), {"note": "text", "loss": 1.0}

    def evaluate(self, parameters, config):
        return float(np.mean(parameters[0])), examples_of(self.client), {"accuracy": 0.5}


def test_a_numpy_client_of_other_people_trains_under_async_emam():
    run, recorder = run_toy(4, 20, app=numpy_client_app(ThirdParty), strategy=AsyncEMAM)
    assert run.version == 20
    assert recorder.of("merge")[0]["metrics"] == {"loss": 1.0}
    assert run.client_scores[20] == {
        "loss": pytest.approx(float(arrays_of_run(run)[0].mean()), rel=1e-6),
        "accuracy": 0.5,
    }


def test_a_numpy_client_answers_the_roster_so_its_order_is_reproducible(flower_log):
    hashes = {run_toy(4, 20, app=numpy_client_app(ThirdParty))[0].arrays_sha256() for _ in range(2)}
    assert len(hashes) == 1
    assert "roster" not in flower_log.text


def test_one_round_of_numpy_clients_is_the_weighted_mean():
    run, _ = run_toy(2, 1, app=numpy_client_app(ThirdParty), strategy=EMAM, alpha=1.0)
    np.testing.assert_allclose(arrays_of_run(run)[0], START + (5 * 0.1 + 10 * 0.2) / 15, rtol=1e-6)
