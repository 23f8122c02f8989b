import re

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Error, Message, MetricRecord, RecordDict

from eafl_flower.clients import compression, compression_mod
from eafl_flower.codecs import Float32Codec, Int8Codec, LQGCMCodec
from eafl_flower.codecs.differences import decode_onto, encode_onto
from eafl_flower.core.rng import generator
from eafl_flower.engines.flower_internals import become_server, copy_records, set_message_id
from eafl_flower.errors import CodecError, ProtocolError
from eafl_flower.types import digest, layout_of
from eafl_flower.wire.arrays import array_record, arrays_of
from eafl_flower.wire.records import JobTerms, coded_record, difference_record, terms_record

CODEC = Int8Codec(block_size=4)


class Server:
    """The other side: codes what goes down, decodes what comes up, says what it has used."""

    def __init__(self, codec, arrays, keys=None):
        become_server()
        self.codec, self.arrays = codec, arrays
        self.keys = keys or [str(i) for i in range(len(arrays))]
        self.acknowledged = 0

    def message(self, counter, kind="train", load=None):
        start, rng = self.codec.init(layout_of(self.arrays)), generator(0, "down")
        payload = self.codec.encode(start, self.arrays, rng)[0].payload
        load = self.acknowledged if load is None else load
        terms = JobTerms(
            run="run", seed=3, client=0, counter=counter, load=load, acknowledged=self.acknowledged, durable=0
        )
        content = RecordDict(
            {
                "eafl.arrays": coded_record(payload, layout_of(self.arrays), self.keys),
                "eafl": terms_record(terms),
                "config": ConfigRecord({"server-round": 0}),
            }
        )
        message = Message(content, 2, kind)
        set_message_id(message, str(counter))
        return message

    def delta(self, reply):
        payload = reply.content["eafl.arrays"]["payload"]
        return self.codec.decode(self.codec.init(layout_of(self.arrays)), payload)[0]

    def base(self):
        return arrays_of(seen(self.message(1), self.codec)[0])


def seen(message, codec):
    """What the ClientApp behind the mod sees."""
    got = []

    def app(message, context):
        got.append(message.content["arrays"])
        return Message(RecordDict({"arrays": message.content["arrays"]}), reply_to=message)

    compression_mod(codec)(message, Context(1, 2, {}, RecordDict(), {}), app)
    return got


def adding(step):
    def app(message, context):
        record = message.content["arrays"]
        new = [a + np.asarray(step, a.dtype) for a in arrays_of(record)]
        content = {"arrays": array_record(list(record), new), "metrics": MetricRecord({"num-examples": 3})}
        return Message(RecordDict(content), reply_to=message)

    return app


VALUES = (np.linspace(-1, 1, 10, dtype=np.float32).reshape(2, 5), np.ones(3, np.float32))


def test_the_app_sees_flowers_layout_with_the_keys_of_the_server(make_context):
    (record,) = seen(Server(CODEC, VALUES, keys=["w", "b"]).message(1), CODEC)
    assert list(record) == ["w", "b"]
    assert [a.shape for a in arrays_of(record)] == [(2, 5), (3,)]


def test_a_reply_holds_the_payload_and_no_arrays(make_context):
    reply = compression_mod(CODEC)(Server(CODEC, VALUES).message(1), make_context(), adding(0.5))
    assert sorted(reply.content) == ["eafl.arrays", "metrics"]
    assert isinstance(reply.content["eafl.arrays"]["payload"], bytes)


def test_what_the_downlink_lost_does_not_leak_into_the_update(make_context):
    """A client that changes nothing sends zero, although the arrays it got are not those that were sent."""
    server = Server(CODEC, VALUES)
    assert not np.array_equal(server.base()[0], VALUES[0])
    reply = compression_mod(CODEC)(server.message(1), make_context(), adding(0.0))
    assert all(np.array_equal(d, np.zeros_like(d)) for d in server.delta(reply))


def send(server, context, counter, step, used=True):
    reply = compression_mod(server.codec)(server.message(counter), context, adding(step))
    if used:
        server.acknowledged = counter
    return server.delta(reply)


def test_what_a_payload_left_out_is_in_the_next(make_context):
    """Error feedback: the sum of what arrives differs from the sum of the steps by one rounding, not by 20."""
    server, context = Server(CODEC, (np.zeros(8, np.float32),)), make_context()
    step = np.array([1.0, 0.003, -0.003, 0.5, 0.0017, 1e-4, 0.9, -1.0], np.float32)
    total = sum(send(server, context, counter, step)[0] for counter in range(1, 21))
    np.testing.assert_allclose(total, 20 * step, atol=1.01 / 127)
    without = Server(Int8Codec(block_size=4, error_feedback=False), (np.zeros(8, np.float32),))
    total = sum(send(without, make_context(), counter, step)[0] for counter in range(1, 21))
    assert np.abs(total - 20 * step).max() > 5 / 127 / 2


def test_a_lost_upload_does_not_change_the_next_payload(make_context):
    step, other = np.float32(0.3), np.linspace(0, 1, 13, dtype=np.float32)[3:]

    def third(lose):
        server, context = Server(CODEC, (np.zeros(10, np.float32),)), make_context()
        send(server, context, 1, other)
        if lose:
            send(server, context, 2, 7 * other, used=False)
        return send(server, context, 3, step)[0]

    np.testing.assert_array_equal(third(lose=True), third(lose=False))


def test_a_client_that_starts_afresh_has_nothing_to_make_up_for(make_context):
    server, context = Server(CODEC, (np.zeros(10, np.float32),)), make_context()
    send(server, context, 1, np.linspace(0, 1, 10, dtype=np.float32))
    server.acknowledged = 0  # another run with the same context
    again = send(server, context, 1, 0.3)[0]
    np.testing.assert_array_equal(again, send(Server(CODEC, server.arrays), make_context(), 1, 0.3)[0])


def test_codec_state_of_another_model_or_damaged_is_not_used(make_context):
    small, large = Server(CODEC, (np.zeros(4, np.float32),)), Server(CODEC, (np.zeros(10, np.float32),))
    expected = send(Server(CODEC, large.arrays), make_context(), 1, 0.3)[0]
    for spoil in (
        lambda record: None,
        lambda record: record.update({"layout": "f4:10", "tree": "{"}),
        lambda record: record.update({"layout": "f4:10", "data": [b"123"]}),
        lambda record: record.pop("arrays"),
    ):
        context = make_context()
        send(small, context, 1, 0.7)
        spoil(context.state["codec"])
        large.acknowledged = 1
        reply = compression_mod(CODEC)(large.message(2), context, adding(0.3))
        np.testing.assert_array_equal(large.delta(reply)[0], expected)


def test_the_state_is_a_value_of_the_context(make_context):
    """A context that was copied (as on every engine) gives the same next payload."""
    server, context = Server(CODEC, (np.zeros(10, np.float32),)), make_context()
    send(server, context, 1, np.linspace(0, 1, 10, dtype=np.float32))
    twin = make_context()
    twin.state = context.state.copy()
    np.testing.assert_array_equal(send(server, context, 2, 0.3)[0], send(server, twin, 2, 0.3)[0])


@pytest.mark.parametrize("codec", [CODEC, Float32Codec()], ids=str)
def test_booleans_flip_and_counters_wrap(codec, make_context):
    arrays = (np.array([True, False]), np.array([250, 3], np.uint8), np.array(7, np.int64))
    server = Server(codec, arrays)

    def app(message, context):
        mask, small, count = arrays_of(message.content["arrays"])
        new = [~mask, small + np.uint8(10), count - 9]
        return Message(RecordDict({"arrays": array_record(["0", "1", "2"], new)}), reply_to=message)

    mask, small, count = server.delta(compression_mod(codec)(server.message(1), make_context(), app))
    assert mask.tolist() == [True, True]
    assert (arrays[1] + small).tolist() == [4, 13]
    assert count == -9


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ([np.full(3, np.nan, np.float32)], "NaN"),
        ([np.zeros(4, np.float32)], r"returned arrays .*4.* expected those it was given: .*3"),
        ([np.zeros(3, np.float32)] * 2, 'the client\'s reply has unknown "1": expected the 1 arrays'),
        ([np.zeros(3, np.complex64)], "complex64"),
    ],
)
def test_an_update_that_cannot_be_coded_is_answered_with_the_reason(make_context, result, words):
    def app(message, context):
        keys = [str(i) for i in range(len(result))]
        content = {"arrays": array_record(keys, result), "metrics": MetricRecord({"num-examples": 3})}
        return Message(RecordDict(content), reply_to=message)

    context = make_context()
    reply = compression_mod(CODEC)(Server(CODEC, (np.zeros(3, np.float32),)).message(1), context, app)
    assert re.search(words, reply.content["eafl.arrays"]["refused"])
    assert "arrays" not in reply.content
    assert "codec" not in context.state


def test_evaluation_decodes_and_codes_nothing(make_context):
    context = make_context()
    reply = compression_mod(CODEC)(Server(CODEC, VALUES).message(0, kind="evaluate"), context, adding(0.0))
    assert "arrays" in reply.content  # what an app replies to an evaluation is its own affair
    assert not len(context.state)


def test_a_message_without_coded_arrays_passes_untouched(make_context, make_message):
    record = ArrayRecord({"w": Array(np.ones(3, np.float32))})
    reply = compression_mod(CODEC)(make_message("train", record), make_context(), adding(1.0))
    np.testing.assert_array_equal(arrays_of(reply.content["arrays"])[0], [2, 2, 2])
    assert "eafl.arrays" not in reply.content


def test_a_server_that_forgot_the_codec_is_told_of_once(make_context, make_message, monkeypatch):
    compression._warn_of_plain_arrays.cache_clear()
    said = []
    monkeypatch.setattr(compression, "log", lambda level, text: said.append(text))
    record = ArrayRecord({"w": Array(np.ones(3, np.float32))})
    for kind in ("evaluate", "train", "train"):
        compression_mod(CODEC)(make_message(kind, record), make_context(), adding(1.0))
    (text,) = said
    assert "Compressed(strategy, codec)" in text and "codec=" in text


def test_the_question_who_a_node_is_is_not_taken_for_a_forgotten_codec(make_context, monkeypatch):
    compression._warn_of_plain_arrays.cache_clear()
    said = []
    monkeypatch.setattr(compression, "log", lambda level, text: said.append(text))
    become_server()
    question = Message(
        RecordDict({"roster": ConfigRecord()}), 2, "train"
    )  # as an app without a query function is asked
    reply = compression_mod(CODEC)(question, make_context(), adding(1.0))
    assert "agreed" in reply.content["roster"]
    assert said == []


def test_an_error_of_the_client_passes(make_context):
    def app(message, context):
        return Message(Error(2, "broken"), reply_to=message)

    assert compression_mod(CODEC)(Server(CODEC, VALUES).message(1), make_context(), app).has_error()


def test_broken_messages_of_a_server_are_named(make_context):
    server = Server(CODEC, VALUES)

    def changed(**fields):
        message = server.message(1)
        message.content["eafl.arrays"] = ConfigRecord({**message.content["eafl.arrays"], **fields})
        return message

    mod = compression_mod(CODEC)
    with pytest.raises(ProtocolError, match="names 1 different arrays, its layout has 2"):
        mod(changed(keys=["w", "w"]), make_context(), adding(0.0))
    with pytest.raises(ProtocolError, match=r"needs payload \(bytes\)"):
        mod(changed(payload="text"), make_context(), adding(0.0))
    with pytest.raises(CodecError):
        mod(changed(payload=b"short"), make_context(), adding(0.0))
    without_terms = server.message(1)
    del without_terms.content["eafl"]
    with pytest.raises(ProtocolError, match='without the record "eafl"'):
        mod(without_terms, make_context(), adding(0.0))


# Codecs for differences.

DIFFERENCES = LQGCMCodec(tuples=3, downlink_tuples=2)


class DifferencesServer(Server):
    """Sends whole arrays to who holds none, and then the difference to what the client holds."""

    def __init__(self, arrays):
        super().__init__(DIFFERENCES, arrays)
        self.held, self.held_counter = None, 0

    def message(self, counter, kind="train", load=None):
        if self.held is None:
            self.codec = Float32Codec()
            message = super().message(counter, kind, load)
            self.codec, self.base_sent = DIFFERENCES, self.arrays
            return message
        message = super().message(counter, kind, load)
        payload = encode_onto(DIFFERENCES, self.held, self.arrays, counter=counter, rng=None)
        message.content["eafl.arrays"] = difference_record(payload, self.held_counter)
        self.base_sent = decode_onto(DIFFERENCES, self.held, payload, counter=counter)
        return message

    def answered(self, counter):
        self.held, self.held_counter, self.acknowledged = self.base_sent, counter, counter


def told_and_held(server, context, counter, step=0.3):
    """Send one job; return the arrays that the app saw, and the reply."""
    seen_arrays = []

    def app(message, context):
        seen_arrays.append(arrays_of(message.content["arrays"]))
        return adding(step)(message, context)

    reply = compression_mod(DIFFERENCES)(server.message(counter), context, app)
    return (seen_arrays[0] if seen_arrays else None), reply


def test_what_the_app_sees_is_what_the_server_says_it_holds(make_context):
    server, context = DifferencesServer(VALUES), make_context()
    for counter in range(1, 6):
        arrays, _ = told_and_held(server, context, counter)
        assert digest(arrays) == digest(server.base_sent)
        assert digest(arrays_of(context.state["codec.held"])) == digest(arrays)
        assert list(context.state["codec.held"]) == server.keys
        server.answered(counter)
        server.arrays = tuple(a + np.float32(0.1) for a in server.arrays)


def test_who_does_not_hold_what_a_job_builds_on_says_so_and_does_not_train(make_context):
    server, context = DifferencesServer(VALUES), make_context()
    told_and_held(server, context, 1)
    server.answered(1)
    for spoil in (
        lambda state: state.pop("codec.held"),
        lambda state: state.pop("codec"),
        lambda state: state["codec"].update({"counter": 7}),
        lambda state: state.update({"codec.held": array_record(server.keys, [a + np.float32(1) for a in VALUES])}),
        lambda state: state.update({"codec.held": ConfigRecord()}),
    ):
        other = make_context()
        other.state = copy_records(context.state)
        spoil(other.state)
        arrays, reply = told_and_held(server, other, 2)
        assert arrays is None
        assert (
            "the arrays of job 1, which those of job 2 build on, are not held"
            in reply.content["eafl.arrays"]["refused"]
        )
        assert reply.content["eafl"]["state-lost"] is True
        assert sorted(reply.content) == ["eafl", "eafl.arrays"]
    arrays, _ = told_and_held(server, context, 2)
    assert arrays is not None


def test_an_update_that_cannot_be_coded_leaves_what_is_held_as_it_was(make_context):
    server, context = DifferencesServer(VALUES), make_context()
    told_and_held(server, context, 1)
    server.answered(1)
    before = digest(arrays_of(context.state["codec.held"]))
    _, reply = told_and_held(server, context, 2, step=np.nan)
    assert "refused" in reply.content["eafl.arrays"]
    assert digest(arrays_of(context.state["codec.held"])) == before
    assert context.state["codec"]["counter"] == 1
    arrays, _ = told_and_held(server, context, 3)
    assert digest(arrays) == digest(server.base_sent)


def test_an_evaluation_changes_nothing_of_what_is_held(make_context):
    server, context = DifferencesServer(VALUES), make_context()
    told_and_held(server, context, 1)
    server.answered(1)
    before = digest(arrays_of(context.state["codec.held"]))
    whole = DifferencesServer(tuple(a + 1 for a in VALUES))
    compression_mod(DIFFERENCES)(whole.message(0, kind="evaluate"), context, adding(0.0))
    assert digest(arrays_of(context.state["codec.held"])) == before


def test_what_an_app_does_to_its_arrays_does_not_reach_what_is_held(make_context):
    def app(message, context):
        reply = adding(0.5)(message, context)
        message.content["arrays"].clear()
        return reply

    context, server = make_context(), DifferencesServer(VALUES)
    compression_mod(DIFFERENCES)(server.message(1), context, app)
    assert digest(arrays_of(context.state["codec.held"])) == digest(VALUES)


def test_broken_differences_are_named(make_context):
    server, context = DifferencesServer(VALUES), make_context()
    told_and_held(server, context, 1)
    server.answered(1)

    def send(**fields):
        message = server.message(2)
        message.content["eafl.arrays"] = ConfigRecord({**message.content["eafl.arrays"], **fields})
        return compression_mod(DIFFERENCES)(message, context, adding(0.0))

    for onto in (0, -1, "1", True, 1.0):
        with pytest.raises(ProtocolError, match=r"needs payload \(bytes\) and onto \(from 1\)"):
            send(onto=onto)
    with pytest.raises(ProtocolError, match="needs payload"):
        send(payload="text")
    with pytest.raises(CodecError):
        send(payload=b"short")
    other = encode_onto(DIFFERENCES, server.held, server.arrays, counter=9, rng=None)
    reason = send(payload=other).content["eafl.arrays"]["refused"]
    assert re.search("job 2 build on, are not held any more: .* or belongs to another job", reason)
    without_terms = server.message(2)
    del without_terms.content["eafl"]
    with pytest.raises(ProtocolError, match='without the record "eafl"'):
        compression_mod(DIFFERENCES)(without_terms, context, adding(0.0))
    with pytest.raises(ProtocolError, match="knows only whole arrays: both sides must use the same codec"):
        compression_mod(CODEC)(server.message(2), context, adding(0.0))
