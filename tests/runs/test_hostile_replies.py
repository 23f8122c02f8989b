"""One client answers like an attacker: the run goes on, and is right about the others."""

import json

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from toy_federation import arrays_of_run, initial, run_toy, same_for_all, toy_app

from eafl_flower.aggregation import FedAsync, FedBuff
from eafl_flower.codecs import Int8Codec
from eafl_flower.strategies import EMAM, AsyncEMAM
from eafl_flower.strategies.asynchronous import AsynchronousStrategy
from eafl_flower.wire.replies import MOST_WORDS

EMPTY_ZIP = b"PK\x05\x06" + bytes(18)


def always(client, change):
    def spoil(who, counter, reply):
        if who == client:
            change(reply)
        return reply

    return spoil


def put(name, record):
    def change(reply):
        reply.content[name] = record

    return change


def plain(reply):
    del reply.content["eafl.arrays"]
    reply.content["arrays"] = initial()


def run_with(change, codec=None, **options):
    app = toy_app(codec=codec, spoil=always(0, change))
    return run_toy(4, 40, app=app, codec=codec, backoff_s=0.01, **same_for_all(), **options)


def broken(dtype="float32", shape=(2, 3), data=b"", key="0"):
    bad = Array(dtype, shape, "numpy.ndarray", data)
    return put("arrays", ArrayRecord({key: bad, "1": Array(np.zeros(3, np.float32))}))


@pytest.mark.parametrize("clock", ["virtual", "wall"])
@pytest.mark.parametrize(
    "change",
    [
        broken(data=EMPTY_ZIP),
        broken(dtype="x" * 10**6),
        broken(key="k" * 10**6),
        broken(shape=(10**5000,)),
        broken(shape=(1,) * 10**5),
        put("x" * 10**6, ArrayRecord([np.zeros(3)])),
        put("metrics", MetricRecord({"num-examples": [1] * 10**5})),
    ],
    ids=["empty zip", "dtype", "key", "huge integer", "dimensions", "record", "list"],
)
def test_a_hostile_reply_is_refused_in_few_words(change, clock):
    run, recorder = run_with(change, clock=clock)
    assert run.version == 40
    assert run.tally.refused == len(recorder.of("refused")) > 0
    assert max(len(json.dumps(event)) for event in recorder.events) < 3 * MOST_WORDS
    assert 0 not in {e["client"] for e in recorder.of("merge")}


def test_plain_arrays_are_not_taken_where_coded_ones_were_agreed():
    codec = Int8Codec(block_size=4)
    run, recorder = run_with(plain, codec)
    assert 0 not in {e["client"] for e in recorder.of("merge")}
    assert run.version == 40
    assert "is not coded, its job was" in recorder.of("refused")[0]["reason"]


def test_the_words_of_a_refusal_are_bounded_and_cannot_drive_a_terminal():
    reason = "\x1b]0;owned\x07\x1b[2J" + "x " * 5_000_000
    _, recorder = run_with(put("eafl.arrays", ConfigRecord({"refused": reason})), Int8Codec(block_size=4))
    words = recorder.of("refused")[0]["reason"]
    assert len(words) < MOST_WORDS + 200
    assert words.isprintable()


def test_metrics_of_training_are_bounded_in_number_and_length():
    metrics = {"num-examples": 10, **{f"{'k' * 1000}{i}": 1.0 for i in range(3000)}, "hist": [1.0]}
    run, recorder = run_with(put("metrics", MetricRecord(metrics)))
    assert run.jobs.notes.counts["name"] == 3000 * len([e for e in recorder.of("merge") if e["client"] == 0])
    assert run.jobs.notes.counts["list"] > 0
    assert max(len(json.dumps(event)) for event in recorder.events) < 1000


def evaluating(metrics_of):
    """The app of the federation, whose evaluations report what ``metrics_of`` says."""
    app = toy_app()

    def evaluate(message, context):
        if message.metadata.message_type != "evaluate":
            return app(message, context)
        metrics = metrics_of(context.node_config["partition-id"])
        return Message(RecordDict({"metrics": MetricRecord(metrics)}), reply_to=message)

    return evaluate


def test_an_evaluation_of_the_largest_numbers_changes_nothing_but_a_count():
    liar = {"num-examples": 2**53, "accuracy": 1e308, "loss": float("nan")}
    honest = {"num-examples": 10, "accuracy": 0.5, "loss": 0.25}
    run, recorder = run_toy(4, 8, app=evaluating(lambda client: liar if client == 0 else honest))
    assert run.client_scores[8] == {"accuracy": 0.5, "loss": 0.25}
    assert recorder.of("evaluate")[-1]["left_out"] == 3  # a weight and two values
    assert np.isfinite(arrays_of_run(run)[0]).all()


def test_each_omission_of_an_evaluation_is_told_once_in_a_run(flower_log):
    metrics = {"num-examples": 0, "accuracy": float("nan"), "hist": [1.0]}
    run_toy(3, 20, app=evaluating(lambda client: metrics), evaluate_every=2)
    for words in ('"num-examples" is 0', '"accuracy" of client 0 is nan', 'the first "hist"'):
        assert len({record.getMessage() for record in flower_log.records if words in record.getMessage()}) == 1


def claims(reply):
    reply.content["metrics"]["num-examples"] = 2**53


@pytest.mark.parametrize("strategy", [AsyncEMAM, EMAM])
def test_an_update_of_all_examples_is_weighed_as_a_hundred_of_the_median(strategy, flower_log):
    options = {"strategy": strategy, "weight_by_examples": True}
    run, recorder = run_toy(4, 12, app=toy_app(spoil=always(3, claims)), **same_for_all(), **options)
    assert {e["num_examples"] for e in recorder.of("merge") if e["client"] == 3} == {100 * 10}  # of 5, 10, 15 and it
    assert run.state.examples < 12 * 2000
    text = "the update of client 3 counts 9007199254740992 examples"
    assert len({r.getMessage() for r in flower_log.records if text in r.getMessage()}) == 1


def test_what_a_client_claims_is_held_against_the_others_after_a_resume(tmp_path):
    options = {"app": toy_app(spoil=always(3, claims)), **same_for_all(), "checkpoint": tmp_path / "c"}
    _, whole = run_toy(4, 24, **options)
    run_toy(4, 10, checkpoint_every=10, **options)
    _, resumed = run_toy(4, 24, resume=True, **options)
    assert [e["num_examples"] for e in resumed.of("merge")] == [e["num_examples"] for e in whole.of("merge")][10:]


def test_a_count_in_the_roster_prices_no_job_beyond_a_hundred_of_the_median(flower_log):
    app = toy_app()

    def lying(message, context):
        reply = app(message, context)
        if message.metadata.message_type == "query" and context.node_config["partition-id"] == 0:
            reply.content["metrics"]["num-examples"] = 2**53
        return reply

    run, _ = run_toy(4, 12, app=lying, strategy=EMAM)
    assert run.jobs.table.num_examples.tolist() == [100 * 15, 10, 15, 20]
    assert "client 0, counts 9007199254740992 examples" in flower_log.text


@pytest.mark.parametrize("strategy", [AsyncEMAM, FedAsync, FedBuff])
@pytest.mark.parametrize("clock", ["virtual", "wall"])
def test_finite_values_beyond_all_measure_do_not_enter_the_model(strategy, clock, flower_log):
    far = ArrayRecord([np.full((2, 3), 1e17, np.float32), np.zeros(3, np.float32)])
    made = lambda **options: AsynchronousStrategy(lambda *_: strategy(), **options)  # noqa: E731
    run, recorder = run_with(put("arrays", far), strategy=AsyncEMAM if strategy is AsyncEMAM else made, clock=clock)
    assert 0 not in {e["client"] for e in recorder.of("merge")}
    assert np.abs(arrays_of_run(run)[0]).max() < 1000
    assert "more than any training makes" in recorder.of("refused")[0]["reason"]


def test_an_early_outlier_is_scaled_counted_and_told_once(flower_log):
    def far(reply):
        reply.content["arrays"] = ArrayRecord([np.full((2, 3), 1e8, np.float32), np.zeros(3, np.float32)])

    run, recorder = run_with(far)
    scaled = [e for e in recorder.of("merge") if "scale" in e]
    assert {e["client"] for e in scaled} == {0}
    assert run.jobs.notes.counts["long update"] == len(scaled)
    assert np.abs(arrays_of_run(run)[0]).max() < 200
    text = "the update of client 0 has norm 2.45e+08"
    assert len({r.getMessage() for r in flower_log.records if text in r.getMessage()}) == 1
