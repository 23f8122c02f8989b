"""Replies that are taken as they come: their names and shapes are the method's, not those of what was sent."""

import re

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord
from ordered_app import Sums, factory_of, initial
from schedulers import Growing
from toy_federation import Recorder, network

from eafl_flower.aggregation import FedAvg
from eafl_flower.codecs import Float32Codec, Int8Codec, LQGCMCodec
from eafl_flower.conformance import check_aggregator
from eafl_flower.engines.inline import InlineGrid
from eafl_flower.errors import RunFailedError
from eafl_flower.strategies import AsynchronousStrategy

CODECS = {"plain": None, "int8": Int8Codec(), "lqgcm": LQGCMCodec(tuples=8, downlink_tuples=4)}


def run_messages(codec=None, *, app=None, kind="message", barrier=False, aggregator=Sums, recorder=None, **options):
    recorder = recorder or Recorder()
    options = {"unit": "merges", **network(), "seed": 3, "node_timeout_s": 5.0, **options}
    num_rounds = options.pop("num_rounds", 24)
    strategy = AsynchronousStrategy(lambda *_: aggregator(), barrier=barrier, codec=codec, observer=recorder, **options)
    app = app or factory_of(codec, kind=kind)()
    strategy.start(InlineGrid(app, 4), initial(), num_rounds=num_rounds)
    return strategy.run, recorder


def test_a_method_of_messages_keeps_the_contract():
    check_aggregator(Sums(), tuple(initial().to_numpy_ndarrays()))


def test_two_matrices_arrive_as_they_were_sent():
    run, recorder = run_messages(num_rounds=1, concurrency=1)
    (event,) = recorder.of("merge")
    a, k = initial().to_numpy_ndarrays()[0], event["client"]
    np.testing.assert_array_equal(run.state.seen[0], a.T @ a + np.float32(k + 1) * np.eye(3, dtype=np.float32))
    assert run.state.seen[1].tolist() == [[1.0, pytest.approx(float(a.sum())), 0.0, 0.0]]


@pytest.mark.parametrize("codec", CODECS)
def test_messages_are_coded_whole_beside_a_codec(codec):
    run, recorder = run_messages(CODECS[codec])
    assert run.version == 24
    assert not recorder.of("refused")
    sizes = {"plain": 9 * 4 + 4 * 8, "int8": 16 + 9 + 2 + 4 + 2, "lqgcm": 16 + 9 * 4 + 4 * 8}
    assert {e["uplink_bytes"] for e in recorder.of("merge")} == {sizes[codec]}


def test_exact_codecs_change_nothing_of_a_message():
    plain, _ = run_messages()
    coded, _ = run_messages(Float32Codec())
    assert plain.state.seen[0].tolist() == coded.state.seen[0].tolist()


@pytest.mark.parametrize("barrier", [False, True])
@pytest.mark.parametrize("codec", CODECS)
def test_a_run_of_messages_that_was_killed_ends_as_if_nothing_had_happened(tmp_path, codec, barrier):
    options = {"barrier": barrier, "scheduler": Growing(), "checkpoint_every": 2, "num_rounds": 6 if barrier else 24}

    def go(name, recorder=None, **more):
        app = factory_of(CODECS[codec], kind="message", state_dir=tmp_path / name)()
        return run_messages(
            CODECS[codec], app=app, recorder=recorder, checkpoint=tmp_path / f"{name}.c", **options, **more
        )

    whole, told = go("whole")
    recorder = Recorder(stop_at=len(told.events) * 2 // 3)
    with pytest.raises(KeyboardInterrupt):
        go("killed", recorder)
    run, recorder = go("killed", recorder, resume=True)
    assert run.arrays_sha256() == whole.arrays_sha256()
    assert [a.tolist() for a in run.state.seen] == [a.tolist() for a in whole.state.seen]
    assert recorder.told() == told.told()


@pytest.mark.parametrize("codec", ["plain", "int8"])
def test_a_node_that_answers_another_kind_is_refused_at_the_first_contact_by_one_line_that_names_both(codec):
    with pytest.raises(
        RunFailedError,
        match=r"node \d, partition \d, gets no jobs: kind is message on the node and difference in the run",
    ):
        run_messages(CODECS[codec], aggregator=FedAvg)
    with pytest.raises(
        RunFailedError,
        match=r"node \d, partition \d, gets no jobs: kind is difference on the node and message in the run",
    ):
        run_messages(CODECS[codec], kind="full")


def saying(kind, says):
    """An app whose clients say that they answer another kind than they do."""

    def mod(message, context, call_next):
        reply = call_next(message, context)
        if message.metadata.message_type == "query":
            reply.content["roster"] = ConfigRecord({**reply.content["roster"], "kind": says})
        return reply

    return factory_of(None, kind=kind, outer=[mod])()


def test_a_client_that_answers_another_kind_than_it_is_asked_for_says_so():
    with pytest.raises(
        RunFailedError, match="answered with a message, the server expects a difference: return a list of 2"
    ):
        run_messages(aggregator=FedAvg, app=saying("message", "full"), error_budget=2)
    with pytest.raises(
        RunFailedError, match="answered with a difference, the server expects a message: return a mapping"
    ):
        run_messages(app=saying("full", "message"), error_budget=2)


def hostile(change, codec=None):
    """An app whose client 0 sends a message that was changed on its way out."""

    def mod(message, context, call_next):
        reply = call_next(message, context)
        if message.metadata.message_type == "train" and context.node_config["partition-id"] == 0:
            change(reply.content)
        return reply

    return factory_of(codec, kind="message", outer=[mod])()


def replaced(**arrays):
    def change(content):
        known = dict(zip(content["arrays"], content["arrays"].to_numpy_ndarrays(), strict=True))
        values = {name: array for name, array in (known | arrays).items() if array is not None}
        record = ArrayRecord(list(values.values()))
        content["arrays"] = ArrayRecord(dict(zip(values, record.values(), strict=True)))

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (replaced(gram=None), 'lacks "gram": expected the 2 arrays of the message by their names'),
        (replaced(more=np.zeros(2)), 'has unknown "more"'),
        (
            replaced(gram=np.zeros((3, 4), np.float32)),
            r"has arrays float32 \(3, 4\), float64 \(1, 4\), expected float32 \(3",
        ),
        (replaced(gram=np.zeros((3, 3))), r"has arrays float64 \(3, 3\)"),
        (replaced(gram=np.full((3, 3), np.nan, np.float32)), "is not finite: NaN or infinite values in array 0"),
        (replaced(moment=np.full((1, 4), np.inf)), "is not finite: NaN or infinite values in array 1"),
        (lambda content: content.pop("arrays"), "holds 0 ArrayRecords"),
    ],
)
def test_a_message_is_never_believed_about_its_form(change, reason):
    run, recorder = run_messages(app=hostile(change), error_budget=1000, concurrency=4)
    refused = recorder.of("refused")
    assert {e["client"] for e in refused} == {0}
    assert {e["client"] for e in recorder.of("merge")} == {1, 2, 3}
    pattern = re.compile(reason)
    assert all(pattern.search(e["reason"]) for e in refused), refused[0]
    assert np.isfinite(run.state.seen[0]).all()


def recoded(**fields):
    def change(content):
        known = dict(content["eafl.arrays"])
        content["eafl.arrays"] = ConfigRecord({k: v for k, v in (known | fields).items() if v is not None})

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (recoded(layout=None), r"is a difference \(it has neither names nor layout\), expected a message"),
        (recoded(keys=["gram", "other"]), 'lacks "moment" and has unknown "other"'),
        (recoded(layout="f4:3x3;f4:1x4"), 'has array "moment" as float32 \\(3, 3\\), expected float64 \\(1, 4\\)'),
        (recoded(layout="f4:1000000x1000"), "shape|names 2 different arrays"),
        (recoded(payload=b"what is this?"), "cannot be decoded"),
        (recoded(payload=b""), "cannot be decoded"),
    ],
)
def test_a_coded_message_is_never_believed_either(change, reason):
    run, recorder = run_messages(Int8Codec(), app=hostile(change, Int8Codec()), error_budget=1000, concurrency=4)
    refused = recorder.of("refused")
    assert {e["client"] for e in refused} == {0}
    pattern = re.compile(reason)
    assert all(pattern.search(e["reason"]) for e in refused), refused[0]
    assert run.version == 24
