"""Both sides of ``Compressed`` agree on codec, names and order of mods, or the run ends with an error that says why."""

import random

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.mod import (
    LocalDpMod,
    adaptiveclipping_mod,
    arrays_size_mod,
    fixedclipping_mod,
    message_size_mod,
)
from flwr.serverapp.strategy import (
    DifferentialPrivacyClientSideAdaptiveClipping,
    DifferentialPrivacyClientSideFixedClipping,
    DifferentialPrivacyServerSideAdaptiveClipping,
    DifferentialPrivacyServerSideFixedClipping,
    FedAvg,
)

from eafl_flower.clients import compression_mod, durable_state_mod
from eafl_flower.codecs import Float32Codec, Int8Codec, LQGCMCodec
from eafl_flower.engines.inline import InlineGrid
from eafl_flower.errors import ConfigError, RunFailedError
from eafl_flower.strategies import AsyncEMAM, Compressed

NUM_CLIENTS = 4
CODECS = [Float32Codec(), Int8Codec(block_size=4), LQGCMCodec(tuples=4, downlink_tuples=4)]
NORM = 1e-6


def initial(name="w"):
    return ArrayRecord({name: Array(np.zeros((3, 2), np.float32)), "b": Array(np.ones(2, np.float32))})


def app_with(mods=(), *, seen=None, change=lambda arrays, context: arrays, record="arrays", evaluate_mods=None):
    """What Flower's templates give: adds 0.1 to "w" and 0.2 to "b"; ``mods`` are those of training."""
    app = ClientApp(mods=[])

    @app.train(mods=list(mods))
    def train(message, context):
        if seen is not None:
            seen.append([(name, type(r).__name__) for name, r in message.content.items()])
        arrays = {k: a.numpy() for k, a in message.content[record].items()}
        arrays["w"] += np.float32(0.1)
        arrays["b"] += np.float32(0.2)
        arrays = {k: Array(a) for k, a in change(arrays, context).items()}
        content = {record: ArrayRecord(arrays), "metrics": MetricRecord({"num-examples": 5})}
        return Message(RecordDict(content), reply_to=message)

    @app.evaluate(mods=[m for m in mods if m not in CLIPPING] if evaluate_mods is None else evaluate_mods)
    def evaluate(message, context):
        metrics = {"num-examples": 5, "mean": float(message.content[record]["w"].numpy().mean())}
        return Message(RecordDict({"metrics": MetricRecord(metrics)}), reply_to=message)

    return app


CLIPPING = [fixedclipping_mod, adaptiveclipping_mod]
EVERYBODY = {"min_available_nodes": NUM_CLIENTS, "min_train_nodes": NUM_CLIENTS, "min_evaluate_nodes": NUM_CLIENTS}


def run(strategy, app, *, rounds=3, arrays=None):
    random.seed(5)  # Flower's samples nodes with the global generator
    result = strategy.start(InlineGrid(app, NUM_CLIENTS), arrays or initial(), num_rounds=rounds)
    return {k: a.numpy() for k, a in result.arrays.items()}, result


# Names.


@pytest.mark.parametrize("codec", CODECS, ids=str)
def test_arrays_are_matched_by_name_whatever_their_order_in_the_reply(codec):
    """Two arrays of one shape: taken by place they would change places."""
    start = ArrayRecord({name: Array(np.full(2, value, np.float32)) for name, value in (("w", 0), ("b", 0), ("c", 5))})
    app = app_with([compression_mod(codec)], change=lambda arrays, context: dict(sorted(arrays.items())))
    strategy = Compressed(FedAvg(**EVERYBODY), codec)
    arrays, _ = run(strategy, app, arrays=start)
    assert strategy.refused == 0
    np.testing.assert_allclose(arrays["w"], 0.3, atol=0.1)
    np.testing.assert_allclose(arrays["b"], 0.6, atol=0.1)
    np.testing.assert_allclose(arrays["c"], 5.0, atol=0.1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: {"w": a["w"]}, 'lacks "b"'),
        (lambda a: {**a, "head": a["w"]}, 'has unknown "head"'),
        (lambda a: {"w": a["w"], "bias": a["b"]}, 'lacks "b" and has unknown "bias"'),
    ],
)
@pytest.mark.parametrize("codec", [None, *CODECS], ids=str)
def test_a_missing_or_unknown_name_is_a_refusal_that_names_it(codec, change, words, flower_log):
    def of_client_0(arrays, context):
        return change(arrays) if context.node_config["partition-id"] == 0 else arrays

    if codec is None:
        strategy = AsyncEMAM(evaluate_clients=False, error_budget=100, backoff_s=0.1)
        run(strategy, app_with(change=of_client_0), rounds=20)
        assert strategy.run.tally.refused > 0
        return
    strategy = Compressed(FedAvg(**EVERYBODY), codec)
    run(strategy, app_with([compression_mod(codec)], change=of_client_0))
    assert strategy.refused == 3
    assert f"the client's reply {words}: expected the 2 arrays of the model by their names" in flower_log.text


def test_a_strategy_of_ours_takes_plain_replies_by_name_too():
    def after(change):
        strategy = AsyncEMAM(evaluate_clients=False)
        run(strategy, app_with(change=change), rounds=12)
        assert strategy.run.tally.refused == 0
        return strategy.run.arrays_sha256()

    assert after(lambda arrays, context: arrays) == after(lambda arrays, context: dict(reversed(arrays.items())))


def test_a_record_of_another_name_arrives_under_that_name():
    for codec in CODECS:
        strategy = Compressed(FedAvg(**EVERYBODY, arrayrecord_key="model", configrecord_key="settings"), codec)
        seen = []
        _, result = run(strategy, app_with([compression_mod(codec)], record="model", seen=seen))
        assert seen[0] == seen[-1] == [("model", "ArrayRecord"), ("settings", "ConfigRecord")]
        assert (strategy.refused, len(result.evaluate_metrics_clientapp)) == (0, 3)


# Codecs.


@pytest.mark.parametrize("client", [None, *CODECS], ids=str)
@pytest.mark.parametrize("server", CODECS, ids=str)
def test_a_client_with_another_codec_or_none_is_an_error_and_no_empty_success(server, client):
    mods = [] if client is None else [compression_mod(client)]
    strategy = Compressed(FedAvg(**EVERYBODY), server)
    if client == server:
        run(strategy, app_with(mods), rounds=2)
        return
    with pytest.raises(RunFailedError, match=r"no reply could be used in .*with the codec of the server, "):
        run(strategy, app_with(mods), rounds=2)
    with pytest.raises(RunFailedError, match="in 3 rounds in a row"):
        run(strategy, app_with(mods), rounds=10)


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("codec", CODECS, ids=str)
def test_plain_arrays_are_not_taken_where_coded_ones_were_agreed(codec, beside, flower_log):
    honest = app_with([compression_mod(codec)])
    poison = ArrayRecord({"w": Array(np.full((3, 2), 1e30, np.float32)), "b": Array(np.full(2, 1e30, np.float32))})

    def app(message, context):
        reply = honest(message, context)
        if context.node_config["partition-id"] == 0 and message.metadata.message_type == "train":
            coded = {"eafl.arrays": reply.content["eafl.arrays"]} if beside else {}
            content = {**coded, "arrays": poison, "metrics": reply.content["metrics"]}
            return Message(RecordDict(content), reply_to=message)
        return reply

    strategy = Compressed(FedAvg(**EVERYBODY), codec)
    arrays, _ = run(strategy, app)
    assert strategy.refused == 3
    assert np.abs(arrays["w"]).max() < 1
    assert "is not coded, its job was" in flower_log.text


def test_an_empty_reply_is_refused_and_the_rounds_go_on():
    honest = app_with([compression_mod(CODECS[0])])

    def app(message, context):
        if context.node_config["partition-id"] == 0 and message.metadata.message_type == "train":
            return Message(RecordDict(), reply_to=message)
        return honest(message, context)

    strategy = Compressed(FedAvg(**EVERYBODY), CODECS[0])
    arrays, _ = run(strategy, app)
    assert strategy.refused == 3
    np.testing.assert_allclose(arrays["w"], 0.3, rtol=1e-6)


def test_a_run_whose_first_rounds_were_empty_and_later_ones_not_is_no_error():
    codec, count = CODECS[0], [0]

    def change(arrays, context):
        count[0] += 1
        return {} if count[0] <= 2 * NUM_CLIENTS else arrays

    strategy = Compressed(FedAvg(**EVERYBODY), codec)
    arrays, _ = run(strategy, app_with([compression_mod(codec)], change=change), rounds=4)
    assert strategy.refused == 2 * NUM_CLIENTS
    np.testing.assert_allclose(arrays["w"], 0.2, rtol=1e-6)


# Differential privacy.

DP = {
    DifferentialPrivacyServerSideFixedClipping: (None, {"clipping_norm": NORM}),
    DifferentialPrivacyServerSideAdaptiveClipping: (None, {"initial_clipping_norm": NORM}),
    DifferentialPrivacyClientSideFixedClipping: (fixedclipping_mod, {"clipping_norm": NORM}),
    DifferentialPrivacyClientSideAdaptiveClipping: (adaptiveclipping_mod, {"initial_clipping_norm": NORM}),
}


def private(kind, strategy):
    return kind(strategy, noise_multiplier=0.0, num_sampled_clients=NUM_CLIENTS, **DP[kind][1])


@pytest.mark.parametrize("codec", CODECS, ids=str)
@pytest.mark.parametrize("kind", DP)
def test_clipping_inside_compressed_clips(kind, codec):
    mod, _ = DP[kind]
    mods = [compression_mod(codec), *([mod] if mod else [])]
    seen = []
    strategy = Compressed(private(kind, FedAvg(**EVERYBODY)), codec)
    arrays, result = run(strategy, app_with(mods, seen=seen))
    # a clip norm that adapts grows by exp(0.2 * 0.5) a round at most; what a codec adds is of the size of the update
    moved = np.abs(arrays["w"]).max()
    assert 0 < moved < 3 * 1.4 * NORM
    assert strategy.refused == 0
    assert len(result.evaluate_metrics_clientapp) == 3
    assert seen[0] == [("arrays", "ArrayRecord"), ("config", "ConfigRecord")]


@pytest.mark.parametrize("kind", DP)
def test_a_wrapper_that_would_clip_payloads_is_refused_with_the_right_order(kind):
    codec = CODECS[1]
    order = (
        rf"{kind.__name__} stands around Compressed: .* write Compressed\({kind.__name__}\(strategy, \.\.\.\), codec\)"
    )
    for inner in (Compressed(FedAvg(**EVERYBODY), codec), Wrapper(Compressed(FedAvg(**EVERYBODY), codec))):
        with pytest.raises(ConfigError, match=order):
            run(private(kind, inner), app_with([compression_mod(codec)]))


class Wrapper(FedAvg):
    """A strategy of the user's own around another one."""

    def __init__(self, strategy):
        super().__init__(**EVERYBODY)
        self.strategy = strategy

    def configure_train(self, *args):
        return self.strategy.configure_train(*args)

    def aggregate_train(self, *args):
        return self.strategy.aggregate_train(*args)

    def configure_evaluate(self, *args):
        return self.strategy.configure_evaluate(*args)


def test_another_wrapper_may_stand_around():
    codec = CODECS[0]
    arrays, _ = run(Wrapper(Compressed(FedAvg(**EVERYBODY), codec)), app_with([compression_mod(codec)]))
    np.testing.assert_allclose(arrays["w"], 0.3, rtol=1e-6)


def test_who_clips_on_clients_is_told_that_the_codec_comes_after_that(flower_log):
    for kind, (mod, _) in DP.items():
        flower_log.clear()
        Compressed(private(kind, FedAvg()), CODECS[1]).summary()
        assert ("clients clip before they code" in flower_log.text) == (mod is not None)


# Mods that flwr ships.

LOCAL = LocalDpMod(clipping_norm=NORM, sensitivity=0.0, epsilon=1.0, delta=1e-5)


@pytest.mark.parametrize("codec", CODECS, ids=str)
@pytest.mark.parametrize("mod", [message_size_mod, arrays_size_mod, LOCAL], ids=["message size", "arrays size", "dp"])
def test_flowers_mods_see_flowers_layout_behind_ours(mod, codec):
    between, seen = [], []

    def noting(message, context, call_next):
        between.append([(name, type(r).__name__) for name, r in message.content.items()])
        reply = call_next(message, context)
        between.append([(name, type(r).__name__) for name, r in reply.content.items()])
        return reply

    strategy = Compressed(FedAvg(**EVERYBODY, fraction_evaluate=0.0), codec)
    arrays, _ = run(strategy, app_with([compression_mod(codec), noting, mod], seen=seen))
    received, replied = [("arrays", "ArrayRecord"), ("config", "ConfigRecord")], ("arrays", "ArrayRecord")
    assert seen[0] == between[0] == received
    assert between[1] == [replied, ("metrics", "MetricRecord")]
    assert strategy.refused == 0
    assert (np.abs(arrays["w"]).max() < 10 * NORM) == (mod is LOCAL)


@pytest.mark.parametrize("mod", [message_size_mod, arrays_size_mod])
def test_mods_that_only_measure_may_stand_before(mod):
    codec = CODECS[1]
    strategy = Compressed(FedAvg(**EVERYBODY), codec)
    run(strategy, app_with([mod, compression_mod(codec)]))
    assert strategy.refused == 0


@pytest.mark.parametrize("mod", [*CLIPPING, LOCAL], ids=["fixed", "adaptive", "local"])
def test_a_mod_that_clips_before_ours_is_an_error_that_says_the_order(mod):
    codec = CODECS[1]
    wrapped = {fixedclipping_mod: DifferentialPrivacyClientSideFixedClipping}.get(mod)
    strategy = FedAvg(**EVERYBODY) if wrapped is None else private(wrapped, FedAvg(**EVERYBODY))
    app = app_with([mod, compression_mod(codec)], evaluate_mods=[compression_mod(codec)])
    with pytest.raises(
        RunFailedError, match=r"come after the one that decodes them: mods=\[compression_mod\(codec\), "
    ):
        run(Compressed(strategy, codec), app)

    def answering_the_roster_query(message, context):  # as an app does that has a query function
        answers = "roster" in message.content
        return compression_mod(codec)(message, context, app) if answers else app(message, context)

    strategy = AsyncEMAM(codec=codec, evaluate_clients=False, error_budget=3, backoff_s=0.1)
    with pytest.raises(
        RunFailedError, match=r"come after the one that decodes them: mods=\[compression_mod\(codec\), "
    ):
        run(strategy, answering_the_roster_query)


def test_durable_state_behind_the_codec_is_an_error_that_says_the_order():
    codec = CODECS[0]
    app = app_with([compression_mod(codec), durable_state_mod()])
    with pytest.raises(RunFailedError, match=r"mods=\[durable_state_mod\(\), compression_mod\(codec\)\]"):
        run(Compressed(FedAvg(**EVERYBODY), codec), app)
