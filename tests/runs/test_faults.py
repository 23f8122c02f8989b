import re

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.client import NumPyClient
from flwr.clientapp import ClientApp
from toy_federation import arrays_of_run, initial, run_toy, same_for_all, step_of, toy_app

from eafl_flower.clients import numpy_client_app
from eafl_flower.codecs import Float32Codec, Int8Codec, LQGCMCodec
from eafl_flower.conformance.event_log import check_events
from eafl_flower.core.rng import generator
from eafl_flower.engines.inline import InlineGrid
from eafl_flower.errors import ConfigError, RunFailedError
from eafl_flower.strategies import EMAM, AsyncEMAM

CODECS = [None, Float32Codec(), Int8Codec(block_size=4), LQGCMCodec(tuples=2, downlink_tuples=2)]


def only(client, result):
    """Train as usual, but give ``result`` in the first job of ``client``."""

    def train(who, counter, arrays):
        if (who, counter) != (client, 1):
            return None
        if isinstance(result, BaseException):
            raise result
        return result(arrays)

    return train


def finite(run):
    return all(np.isfinite(a).all() for a in arrays_of_run(run))


def test_an_error_of_a_client_is_told_in_its_own_words_and_the_run_goes_on():
    app = toy_app(train=only(1, ValueError("the sensor of car 7 is dirty")))
    run, recorder = run_toy(3, 30, app=app)
    (error,) = recorder.of("error")
    assert error["reason"] == "error 2: ValueError: the sensor of car 7 is dirty"
    assert (error["client"], error["counter"]) == (1, 1)
    assert run.tally.errors == 1
    assert run.version == 30
    assert 1 in {e["client"] for e in recorder.of("merge")}


def test_a_client_that_always_fails_rests_twice_as_long_each_time():
    def broken(client, counter, arrays):
        if client == 2:
            raise ValueError("broken")

    run, recorder = run_toy(3, 60, app=toy_app(train=broken), **same_for_all(), backoff_s=2.0)
    times = [e["time_s"] for e in recorder.of("error")]
    # 1.1 s of work, then 2, 4, 8, ... s of rest
    assert np.diff(times) == pytest.approx([2.0 * 2**i + 1.1 for i in range(len(times) - 1)])
    assert len(times) >= 4
    assert run.version == 60


def test_errors_in_a_row_without_a_merge_between_end_the_run_with_the_last_ones_words():
    def broken(client, counter, arrays):
        raise ValueError(f"no data on client {client}")

    with pytest.raises(RunFailedError, match=r"6 errors and refusals .* \(error budget 5\); .* no data on client \d"):
        run_toy(3, 5, app=toy_app(train=broken), error_budget=5)


@pytest.mark.parametrize("codec", CODECS, ids=str)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_update_that_is_not_finite_is_refused_and_counted(codec, value):
    app = toy_app(codec=codec, train=only(1, lambda arrays: [arrays[0], np.full(3, value, np.float32)]))
    run, recorder = run_toy(3, 30, app=app, codec=codec)
    (refused,) = recorder.of("refused")
    assert (refused["client"], refused["counter"]) == (1, 1)
    assert "finite" in refused["reason"]
    assert (run.tally.refused, run.tally.errors, run.version) == (1, 0, 30)
    assert finite(run)
    # its next update is merged, and the state it goes on from is that before the refused job
    later = [e for e in recorder.of("merge") if e["client"] == 1]
    assert [e["counter"] for e in later][:2] == [2, 3]
    assert [e["metrics"]["jobs"] for e in later][:2] == [1, 2]


@pytest.mark.parametrize("codec", CODECS, ids=str)
@pytest.mark.parametrize(
    "result",
    [
        lambda arrays: [arrays[0].T, arrays[1]],
        lambda arrays: [arrays[0]],
        lambda arrays: [*arrays, arrays[0]],
        lambda arrays: [arrays[0] + 1j, arrays[1]],
        lambda arrays: [arrays[0], np.array(["a", "b", "c"])],
    ],
    ids=["shape", "fewer", "more", "complex", "text"],
)
def test_arrays_unlike_the_models_are_refused(codec, result):
    run, recorder = run_toy(3, 20, app=toy_app(codec=codec, train=only(0, result)), codec=codec)
    assert (run.tally.refused, run.tally.errors, run.version) == (1, 0, 20)
    assert "expected" in recorder.of("refused")[0]["reason"]


def test_a_float64_answer_to_a_float32_model_is_taken():
    run, _ = run_toy(
        2, 10, app=toy_app(train=lambda client, counter, arrays: [a.astype(np.float64) + 1 for a in arrays])
    )
    assert (run.tally.refused, run.version) == (0, 10)
    assert [a.dtype for a in arrays_of_run(run)] == [np.float32, np.float32]


def replacing(client, change):
    """Change what a client replies to its first job, behind all mods."""

    def spoil(who, counter, reply):
        if (who, counter) == (client, 1):
            change(reply)
        return reply

    return spoil


def put(name, record):
    def change(reply):
        reply.content[name] = record

    return change


def drop(name):
    def change(reply):
        del reply.content[name]

    return change


@pytest.mark.parametrize(
    "change",
    [
        put("arrays", ArrayRecord({"x": Array(np.zeros((2, 3), np.float32)), "1": Array(np.zeros(3, np.float32))})),
        put("arrays", ArrayRecord({"0": Array(np.zeros((2, 3), np.float32))})),
        put("more", ArrayRecord([np.zeros(3, np.float32)])),
        put("more", MetricRecord({"num-examples": 5})),
        put("metrics", MetricRecord({"num-examples": -5})),
        put("metrics", MetricRecord({"num-examples": float("nan")})),
        put("metrics", MetricRecord({"num-examples": 10**30})),
        put("metrics", MetricRecord({"num-examples": [5, 6]})),
        put("metrics", MetricRecord({"num-examples": 5, "loss": 10**400})),
        put("metrics", MetricRecord({"loss": 5.0})),
        put("metrics", ConfigRecord({"num-examples": 5})),
        put("arrays", ConfigRecord({"payload": b"hello"})),
        put("eafl.arrays", ConfigRecord({"payload": b"hello"})),
        put("eafl.arrays", MetricRecord({"payload": 5})),
        drop("metrics"),
        drop("arrays"),
        put("arrays", ArrayRecord({"0": Array("float32", (2, 3), "numpy.ndarray", b"junk"), "1": Array(np.zeros(3))})),
        put("arrays", ArrayRecord({"0": Array("f4", (2**40, 2**40), "numpy.ndarray", b""), "1": Array(np.zeros(3))})),
        put("arrays", ArrayRecord({"0": Array("float33", (2, 3), "torch", b"junk"), "1": Array(np.zeros(3))})),
    ],
)
def test_a_reply_that_breaks_the_protocol_is_refused(change):
    run, recorder = run_toy(3, 20, app=toy_app(spoil=replacing(0, change)))
    kept = any(e["client"] == 0 and e["counter"] == 1 for e in recorder.of("merge"))
    # a coded record beside plain arrays means nothing where no codec is in use
    assert kept or (run.tally.refused, len(recorder.of("refused"))) == (1, 1)
    assert (run.tally.errors, run.version) == (0, 20)
    check_events(recorder.events)


def mutations(payload, rng):
    """Truncations, changed bits, junk and other types."""
    for cut in (0, 1, 7, len(payload) // 2, len(payload) - 1):
        yield payload[:cut]
    for _ in range(40):
        place = int(rng.integers(len(payload)))
        yield payload[:place] + bytes([payload[place] ^ (1 << int(rng.integers(8)))]) + payload[place + 1 :]
    yield payload + b"\0"
    yield rng.bytes(len(payload))
    yield "text"
    yield 17


@pytest.mark.parametrize("codec", CODECS[1:], ids=str)
def test_every_hostile_payload_is_refused_and_counted_and_the_run_goes_on(codec):
    rng = generator(0, "mutations")
    pending = []

    def spoil(client, counter, reply):
        payload = reply.content["eafl.arrays"]["payload"]
        if client == 0 and counter == 1:
            pending.extend(mutations(payload, rng))
        if client == 0 and pending:
            reply.content["eafl.arrays"] = ConfigRecord({"payload": pending.pop()})
        return reply

    run, recorder = run_toy(3, 400, app=toy_app(codec=codec, spoil=spoil), codec=codec, backoff_s=0.0, **same_for_all())
    assert not pending
    assert run.tally.refused == len(recorder.of("refused")) == 49
    assert run.version == 400
    assert finite(run)


def test_the_payload_of_another_job_is_refused():
    codec, old = Int8Codec(block_size=4), {}

    def replay(client, counter, reply):
        if client == 0:
            old.setdefault("payload", reply.content["eafl.arrays"]["payload"])
            reply.content["eafl.arrays"] = ConfigRecord(old)
        return reply

    _, recorder = run_toy(2, 20, app=toy_app(codec=codec, spoil=replay), codec=codec)
    assert "to job 2 holds the payload of job 1" in recorder.of("refused")[0]["reason"]
    assert [e["counter"] for e in recorder.of("merge") if e["client"] == 0] == [1]


def test_a_client_that_returns_no_message_is_an_error_of_that_client():
    app = toy_app(spoil=lambda client, counter, reply: None if (client, counter) == (0, 1) else reply)
    run, recorder = run_toy(3, 20, app=app)
    assert (run.tally.errors, run.version) == (1, 20)
    assert "NoneType" in recorder.of("error")[0]["reason"]


class Misfit(NumPyClient):
    def __init__(self, context):
        self.client = context.node_config["partition-id"]
        self.device = "cuda:0"

    def fit(self, parameters, config):
        first = self.client == 1 and config["eafl.counter"] == 1
        if first and config["do"] == "none":
            return None
        if first and config["do"] == "oom":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        if first and config["do"] == "exit":
            raise SystemExit(3)
        return [p + step_of(self.client) for p in parameters], 5, {}


@pytest.mark.parametrize(
    ("do", "words"),
    [
        ("none", r"NumPyClient.fit returned NoneType: expected a tuple"),
        ("oom", r'client 1 ran out of memory on device "cuda:0" \(CUDA out of memory.*\): use a smaller batch'),
        ("exit", r"client 1 called sys.exit\(3\)"),
    ],
)
def test_the_bridge_tells_what_a_numpy_client_did(do, words):
    app = numpy_client_app(Misfit)
    _, recorder = run_toy(
        3, 20, app=app, train_config=ConfigRecord({"do": do}), evaluate_clients=False, **same_for_all()
    )
    (error,) = recorder.of("error")
    assert error["client"] == 1
    assert re.search(words, error["reason"])
    assert {e["client"] for e in recorder.of("merge")} == {0, 1, 2}


def test_a_client_without_an_evaluation_is_left_out_of_the_mean_with_a_warning(flower_log):
    app = ClientApp()
    whole = toy_app()

    @app.train()
    def train(message, context):
        return whole(message, context)

    @app.query()
    def query(message, context):
        return whole(message, context)

    @app.evaluate()
    def evaluate(message, context):
        if context.node_config["partition-id"] == 0:
            raise ValueError("no test rows")
        content = RecordDict({"metrics": MetricRecord({"num-examples": 3, "accuracy": 0.5})})
        if context.node_config["partition-id"] == 1:
            content["metrics"]["num-examples"] = -1
        return Message(content, reply_to=message)

    run, _ = run_toy(3, 10, app=app)
    assert run.client_scores[10] == {"accuracy": 0.5}
    assert "evaluation on client 0 failed: error 2: ValueError: no test rows" in flower_log.text
    assert 'evaluation of client 1 reports "num-examples" = -1' in flower_log.text


def test_an_evaluation_that_ends_in_an_error_is_booked_with_what_its_client_was_sent():
    app = toy_app()

    def broken(message, context):
        if message.metadata.message_type == "evaluate" and context.node_config["partition-id"] == 1:
            raise ValueError("no test rows")
        return app(message, context)

    run, _ = run_toy(3, 4, app=broken)
    fine, failed = (run.ledger.of(client, "evaluate") for client in (0, 1))
    assert failed.payload_bytes == fine.payload_bytes == run.models.raw_bytes
    assert failed.payload_bytes < failed.framed_bytes < fine.framed_bytes


def test_an_evaluation_that_reached_nobody_costs_nothing():
    class Deaf(InlineGrid):
        def push_messages(self, messages):
            messages = list(messages)
            return [""] if messages[0].metadata.message_type == "evaluate" else super().push_messages(messages)

    run, _ = run_toy(3, 4, grid=Deaf(toy_app(), 3))
    assert run.ledger.total("evaluate").payload_bytes == 0


def test_a_round_goes_on_when_an_update_is_refused():
    app = toy_app(train=only(1, lambda arrays: [np.full_like(a, np.nan) for a in arrays]))
    run, recorder = run_toy(3, 5, strategy=EMAM, app=app)
    assert (run.tally.refused, run.version) == (1, 5)
    assert [e["client"] for e in recorder.of("merge") if e["merge"] == 1] == [0, 2]


def test_mistakes_in_the_settings_are_told_together():
    with pytest.raises(ConfigError, match="has no setting rounds; it has seed, unit, concurrency"):
        AsyncEMAM(rounds=3)
    words = r"concurrency = -1.*remembered_clients = -2.*error_budget = 0.*clock = 'sun'.*run_name = '../x'"
    with pytest.raises(ConfigError, match=words):
        AsyncEMAM(concurrency=-1, remembered_clients=-2, error_budget=0, clock="sun", run_name="../x")
    grid = InlineGrid(toy_app(), 2)
    with pytest.raises(ConfigError, match="num_rounds = 0"):
        AsyncEMAM().start(grid, initial(), num_rounds=0)
    with pytest.raises(ConfigError, match="initial_arrays is empty"):
        AsyncEMAM().start(grid, ArrayRecord())
