"""Nodes that do not have alike what a run needs are refused at the first contact; the others go on."""

import json
from dataclasses import replace

import numpy as np
import pytest
from flwr.app import ConfigRecord
from flwr.client import NumPyClient
from flwr.serverapp.strategy import FedAvg
from threaded_grid import ThreadedGrid
from toy_federation import Recorder, initial, toy_app

from eafl_flower.app.client import client_app
from eafl_flower.app.training import train
from eafl_flower.app.workload import Experiment
from eafl_flower.clients import compression_mod, numpy_client_app
from eafl_flower.codecs import Float32Codec, Int8Codec, LQGCMCodec
from eafl_flower.config import RunConfig
from eafl_flower.engines import InlineGrid
from eafl_flower.errors import ConfigError, RunFailedError
from eafl_flower.strategies import AsyncEMAM, Compressed
from eafl_flower.wire.agreement import VERSION

CODEC, OTHER = Int8Codec(block_size=64), Int8Codec(block_size=32)
BLOCKS = (
    "codec.block_size is 32 on the node and 64 in the run: give compression_mod of the ClientApp and the strategy "
    "the same codec with the same settings"
)


class Client(NumPyClient):
    """A client of somebody else; ``agreed`` is what it says of itself."""

    def __init__(self, agreed=None):
        if agreed is not None:
            self.agreed = agreed

    def fit(self, parameters, config):
        return [p + np.float32(0.1) for p in parameters], 5, {}

    def evaluate(self, parameters, config):
        return 0.0, 5, {}


def bridged(codec=CODEC, *, agreed=None, outer=()):
    """A bridged NumPyClient behind the mod of a codec."""
    coded = [] if codec is None else [compression_mod(codec)]
    return numpy_client_app(lambda context: Client(agreed), mods=[*outer, *coded])


def apart(usual, odd, which=1):
    """An app that is another one on node ``which``."""
    return lambda message, context: (odd if context.node_config["partition-id"] == which else usual)(message, context)


def run(app, *, codec=CODEC, num_nodes=3, **options):
    recorder = Recorder()
    strategy = AsyncEMAM(codec=codec, observer=recorder, unit="merges", evaluate_clients=False, **options)
    strategy.start(InlineGrid(app, num_nodes), initial(), num_rounds=6)
    return recorder


def stating(**changed):
    """A mod of a node that states other things of itself than it has."""

    def mod(message, context, call_next):
        reply = call_next(message, context)
        if message.metadata.message_type == "query":
            record = dict(reply.content["roster"])
            record["agreed"] = changed.get("text") or json.dumps(json.loads(record["agreed"]) | changed)
            reply.content["roster"] = ConfigRecord(record)
        return reply

    return mod


def assert_only_node_1_is_refused(recorder, log, line):
    assert {event["client"] for event in recorder.of("merge")} == {0, 2}
    assert not recorder.of("refused") and not recorder.of("error")
    assert refused(log) == f"node 3, partition 1, gets no jobs: {line}"


def refused(log):
    (line,) = {r.getMessage() for r in log.records if "gets no jobs" in r.getMessage()}
    return line


def test_another_setting_of_the_codec(flower_log):
    assert_only_node_1_is_refused(run(apart(bridged(), bridged(OTHER))), flower_log, BLOCKS)


def test_another_codec(flower_log):
    recorder = run(apart(bridged(), bridged(Float32Codec())))
    line = "codec is Float32Codec on the node and Int8Codec in the run: " + BLOCKS.partition(": ")[2]
    assert_only_node_1_is_refused(recorder, flower_log, line)


def test_no_codec_at_all(flower_log):
    recorder = run(apart(bridged(), bridged(None)))
    line = "codec is none on the node and Int8Codec in the run: " + BLOCKS.partition(": ")[2]
    assert_only_node_1_is_refused(recorder, flower_log, line)


def test_a_codec_that_the_run_does_not_use_is_in_nobodys_way():
    assert {event["client"] for event in run(apart(bridged(), bridged(OTHER)), codec=None).of("merge")} == {0, 1, 2}


def test_another_codec_of_an_app_that_has_a_query_function_of_its_own(flower_log):
    assert_only_node_1_is_refused(run(apart(toy_app(codec=CODEC), toy_app(codec=OTHER))), flower_log, BLOCKS)


def test_another_codec_of_an_app_that_has_no_query_function(flower_log):
    from flwr.app import Message, MetricRecord, RecordDict
    from flwr.clientapp import ClientApp

    def template(codec):
        app = ClientApp(mods=[compression_mod(codec)])

        @app.train()
        def _(message, context):
            content = {"arrays": message.content["arrays"], "metrics": MetricRecord({"num-examples": 5})}
            return Message(RecordDict(content), reply_to=message)

        return app

    assert_only_node_1_is_refused(run(apart(template(CODEC), template(OTHER))), flower_log, BLOCKS)


def test_another_version_of_the_package(flower_log):
    recorder = run(apart(bridged(), bridged(outer=[stating(package="0.0.9")])))
    line = (
        f"package is 0.0.9 on the node and {VERSION} in the run: install the same version of eafl-flower on both sides"
    )
    assert_only_node_1_is_refused(recorder, flower_log, line)


def test_another_value_of_what_an_app_wants_to_be_alike(flower_log):
    app = apart(bridged(agreed={"labels": "9 classes"}), bridged(agreed={"labels": "7 classes"}))
    line = "labels is 7 classes on the node and 9 classes in the run: make labels the same on both sides"
    assert_only_node_1_is_refused(run(app, agreed={"labels": "9 classes"}), flower_log, line)


def test_what_should_be_alike_are_plain_values_by_name():
    with pytest.raises(ConfigError, match=r"agreed = .*: expected texts, numbers, true, false or None by name"):
        run(bridged(), agreed={"labels": ["a", "b"]})


def test_several_differences_are_told_in_one_line(flower_log):
    recorder = run(apart(bridged(), bridged(OTHER, outer=[stating(package="7")])))
    assert f"package is 7 on the node and {VERSION} in the run; codec.block_size is 32 on" in refused(flower_log)
    assert {event["client"] for event in recorder.of("merge")} == {0, 2}


@pytest.mark.parametrize("text", ["no json", "[1]", '{"package": {}}', '"' + "x" * 100_000, "[" * 5_000])
def test_a_statement_that_cannot_be_read_is_refused_and_quoted_in_short(flower_log, text):
    recorder = run(apart(bridged(), bridged(outer=[stating(text=text)])))
    assert "package is unreadable: " in refused(flower_log) and len(refused(flower_log)) < 800
    assert {event["client"] for event in recorder.of("merge")} == {0, 2}


def test_where_nobody_is_left_the_run_fails_at_once_with_that_line():
    with pytest.raises(
        RunFailedError, match=rf"3 nodes left out, 0 there; node \d, partition \d, gets no jobs: {BLOCKS}"
    ):
        run(bridged(OTHER))


def experiment(**settings):
    small = {"data.clients": 3, "data.unseen": 0, "data.idm.rows-per-client": 32, "strategy.merges": 6}
    return Experiment(RunConfig.from_flat({**small, "results.baselines": "none", **settings}))


def refusals(node, log):
    """What is said of node 1 of a deployment, which has another configuration there."""
    ours, recorder = experiment(), Recorder()
    train(ours, InlineGrid(apart(client_app(ours), client_app(node)), 3), observer=recorder, clock="wall")
    assert {event["client"] for event in recorder.of("merge")} == {0, 2}
    return refused(log)


def test_a_simulation_without_a_node_says_that_it_was_left_out():
    ours, node = experiment(), experiment(**{"task.batch-size": 4})
    with pytest.raises(RunFailedError, match="has 2 nodes, 1 more left out as warned, the run expects 3"):
        train(ours, InlineGrid(apart(client_app(ours), client_app(node)), 3))


def test_another_task_in_an_experiment(flower_log):
    line = refusals(experiment(**{"task.batch-size": 4}), flower_log)
    assert "task.batch_size is 4 on the node and 16 in the run: give both sides the same task" in line


def test_another_layout_of_the_model_in_an_experiment(flower_log):
    """The same configuration, as where a task of somebody else is another version of it on the node."""
    node = experiment()
    vars(node)["task"] = replace(node.task, hidden=(8,))
    line = refusals(node, flower_log)
    assert "layout is 2 arrays of " in line and "start both sides from the same model" in line


@pytest.mark.slow
def test_a_node_that_joins_a_deployment_with_another_codec_is_refused(flower_log):
    grid = ThreadedGrid(apart(bridged(), bridged(OTHER), which=2), 2, delay=lambda client, number: 0.02)
    recorder = Recorder()

    def join(merge, event):
        if merge == 1:
            grid.start(2, num_partitions=3)

    options = {"unit": "merges", "evaluate_clients": False, "on_merge": join, "node_timeout_s": 10.0}
    strategy = AsyncEMAM(codec=CODEC, observer=recorder, **options)
    try:
        strategy.start(grid, initial(), num_rounds=70)
    finally:
        grid.close()
    assert {event["client"] for event in recorder.of("merge")} == {0, 1}
    assert f"partition 2, gets no jobs: {BLOCKS}" in flower_log.text


def compressed(app, *, rounds=2):
    strategy = Compressed(FedAvg(min_available_nodes=3, min_train_nodes=3, fraction_evaluate=0.0), CODEC)
    strategy.start(InlineGrid(app, 3), initial(), num_rounds=rounds)
    return strategy


def test_around_a_strategy_of_flower_the_first_message_to_a_node_with_another_codec_is_refused(flower_log):
    strategy = compressed(apart(bridged(), bridged(OTHER)))
    assert strategy.refused == 2
    assert f"refused in round 1: the reply of node 3 has no update to send: {BLOCKS}" in flower_log.text


def test_around_a_strategy_of_flower_nothing_is_said_of_codecs_once_a_reply_was_used():
    heard = []

    def ear(message, context, call_next):
        if message.metadata.message_type == "train":
            heard.append("agreed" in message.content["eafl.arrays"])
        return call_next(message, context)

    compressed(bridged(outer=[ear]))
    assert heard == [True] * 3 + [False] * 3


def test_around_a_strategy_of_flower_a_run_without_any_alike_node_fails_with_that_line():
    with pytest.raises(RunFailedError, match=f"no reply could be used in any of 2 rounds: .*{BLOCKS}"):
        compressed(bridged(OTHER))


def test_settings_of_a_codec_that_change_nothing_on_the_wire_are_told_apart_too(flower_log):
    ours, other = LQGCMCodec(tuples=8, downlink_tuples=4), LQGCMCodec(tuples=8, downlink_tuples=8)
    recorder = run(apart(bridged(ours), bridged(other)), codec=ours)
    assert {event["client"] for event in recorder.of("merge")} == {0, 2}
    assert "codec.downlink_tuples is 8 on the node and 4 in the run" in flower_log.text
