"""Both directions build on what went before: whatever happens, server and client hold the same."""

import json
from dataclasses import replace
from statistics import median

import numpy as np
import pytest
from both_sides import WatchedGrid
from flwr.app import ArrayRecord, ConfigRecord
from toy_federation import arrays_of_run, examples_of, initial, network, run_toy, same_for_all, toy_app

from eafl_flower.codecs import Float32Codec, LQGCMCodec
from eafl_flower.conformance.event_log import check_events
from eafl_flower.core.state import flatten, restore
from eafl_flower.engines.inline import InlineGrid
from eafl_flower.simulation.churn import OnOff
from eafl_flower.strategies import EMAM, AsyncEMAM
from eafl_flower.types import layout_of
from eafl_flower.wire.arrays import array_record, arrays_of
from eafl_flower.wire.streams import ClientStreams, Stream

CODEC = LQGCMCodec(tuples=2, downlink_tuples=1)  # so few that much is lost in both directions
OWN_KEY = LQGCMCodec(mode="dithered", session_key=bytes(range(32)), downlink_tuples=1)
LAYOUT = layout_of(arrays_of(initial()))
ARRAYS = tuple(np.full(spec.shape, 2.0, spec.dtype) for spec in LAYOUT)
RAW_BYTES = sum(a.nbytes for a in ARRAYS)
WHOLE_BYTES = len(Float32Codec().encode(Float32Codec().init(LAYOUT), ARRAYS, None)[0].payload)


def watched(merges, *, num_clients=6, app=None, loses=lambda client, counter: False, codec=CODEC, **options):
    """Run with both sides compared at each message; return run, recorder and grid."""
    grid = WatchedGrid(app or toy_app(codec=codec), num_clients, codec, loses=loses)
    strategy = options.pop("strategy", AsyncEMAM)

    def make(**settings):
        made = strategy(**settings)
        grid.run_of = lambda: made.run
        return made

    run, recorder = run_toy(num_clients, merges, strategy=make, grid=grid, codec=codec, **options)
    grid.compare()
    check_events(recorder.events)
    assert grid.compared
    return run, recorder, grid


def whole_jobs(recorder):
    """(client, counter) of the jobs whose arrays were sent whole."""
    ends = [e for e in recorder.events if "counter" in e]
    return {(e["client"], e["counter"]) for e in ends if e["downlink_bytes"] >= WHOLE_BYTES}


def sometimes_broken(client, counter, arrays):
    if (client + 3 * counter) % 11 == 0:
        raise ValueError("out of order")
    return [a * np.nan for a in arrays] if (client + counter) % 13 == 0 else None


def sometimes_altered(client, counter, reply):
    if (5 * client + counter) % 9 == 0 and "payload" in reply.content.get("eafl.arrays", {}):
        payload = reply.content["eafl.arrays"]["payload"]
        reply.content["eafl.arrays"] = ConfigRecord({"payload": payload[:-1] + bytes([payload[-1] ^ 1])})
    return reply


HISTORIES = {
    "nothing special": {},
    "barrier": {"strategy": EMAM, "concurrency": 3},
    "churn": {"churn": OnOff(seed=3, mean_on_s=6.0, mean_off_s=0.7)},
    "deadlines": {"deadline_s": 1.0, **network(slowdown=(1.0, 8.0, 30.0, 60.0))},
    "errors and refusals": {"app": toy_app(codec=CODEC, train=sometimes_broken)},
    "altered uploads": {"app": toy_app(codec=CODEC, spoil=sometimes_altered), "backoff_s": 0.1},
    "lost replies": {"loses": lambda client, counter: (client + counter) % 7 == 0, "backoff_s": 0.1},
    "eviction": {"remembered_clients": 2},
    "a key of one's own": {"codec": OWN_KEY, "app": toy_app(codec=OWN_KEY)},
    "everything": {
        **{"app": toy_app(codec=CODEC, train=sometimes_broken, spoil=sometimes_altered), "backoff_s": 0.1},
        **{"churn": OnOff(seed=3, mean_on_s=6.0, mean_off_s=0.7), "deadline_s": 2.0, "remembered_clients": 4},
        **{**network(slowdown=(1.0, 8.0, 30.0)), "evaluate_every": 10},
        "loses": lambda client, counter: (client + counter) % 17 == 0,
    },
}


@pytest.mark.parametrize("history", HISTORIES)
def test_after_any_history_both_sides_hold_the_same(history):
    options = {"concurrency": 4, "seed": 5, "timeout": 0.0, **HISTORIES[history]}
    merges = 25 if history == "barrier" else 70
    run, recorder, grid = watched(merges, **options)
    assert run.version == merges
    assert run.tally.states_lost == 0  # nobody ever had to start afresh
    assert grid.compared > 100
    assert all(np.isfinite(a).all() for a in arrays_of_run(run))
    if history in ("errors and refusals", "altered uploads", "everything"):
        assert run.tally.refused > 2
    if history in ("lost replies", "everything"):
        assert run.tally.errors > 2
    if history in ("churn", "everything"):
        assert run.tally.lost > 2
    if history == "deadlines":
        assert run.tally.timed_out > 2
    if "remembered_clients" not in options:  # whole arrays are for those who have never made it yet
        made = {(e["client"], e["counter"]) for e in recorder.of("merge")}
        for client, counter in whole_jobs(recorder):
            assert not {(client, earlier) for earlier in range(1, counter)} & made


def test_whole_arrays_are_sent_once_to_each_client_and_differences_ever_after():
    run, recorder, _ = watched(60, **same_for_all())
    assert whole_jobs(recorder) == {(client, 1) for client in range(6)}
    merges = recorder.of("merge")
    assert {e["downlink_bytes"] for e in merges if e["counter"] == 1} == {WHOLE_BYTES}
    assert all(0 < e["downlink_bytes"] <= 28 + 11 for e in merges if e["counter"] > 1)
    assert all(e["downlink_bytes"] < e["downlink_framed_bytes"] for e in merges)
    down = run.ledger.total("downlink")
    ends = [e for e in recorder.events if "downlink_bytes" in e]
    assert down.payload_bytes == sum(e["downlink_bytes"] for e in ends)
    assert down.framed_bytes == sum(e["downlink_framed_bytes"] for e in ends)


def test_time_and_energy_are_those_of_the_bytes_really_sent():
    """10 kbit/s and 0.1 W down, 1 kbit/s and 0.2 W up, and no computation to speak of."""
    run, recorder, _ = watched(40, **network(cycles=1e-9))
    ends = [e for e in recorder.events if "uplink_bytes" in e]
    down, up = (sum(e[f"{way}_bytes"] for e in ends) for way in ("downlink", "uplink"))
    assert run.ledger.total("downlink").time_s == pytest.approx(8 * down / 1e4, rel=0.02)  # unfinished ones by share
    for event in recorder.of("merge"):
        assert event["energy_j"] == pytest.approx(
            0.1 * 8 * event["downlink_bytes"] / 1e4 + 0.2 * 8 * event["uplink_bytes"] / 1e3
        )
    assert run.ledger.total("uplink").time_s == pytest.approx(8 * up / 1e3, rel=0.02)


def test_the_update_is_the_difference_to_what_the_client_decoded():
    """A client that changes nothing moves nothing, although what it decoded is far from what the server has."""
    app = toy_app(codec=CODEC, train=lambda client, counter, arrays: arrays if client == 0 else None)
    _, recorder, _ = watched(60, num_clients=3, app=app)
    sizes = {e["uplink_bytes"] for e in recorder.of("merge") if e["client"] == 0}
    assert sizes == {28}  # a header without a tuple


def times_told(flower_log, words):
    return len({id(record) for record in flower_log.records if words in record.getMessage()})


def test_an_evicted_client_is_sent_whole_arrays_and_told_once(flower_log):
    run, recorder, _ = watched(60, concurrency=2, remembered_clients=2)
    assert len(run.jobs.models.first.side.streams) <= 2
    again = {(client, counter) for client, counter in whole_jobs(recorder) if counter > 1}
    assert again
    assert run.tally.refused == run.tally.states_lost == 0
    assert times_told(flower_log, "more than 2 clients: those unheard of for longest are sent whole arrays again") == 1


def test_whole_arrays_go_to_those_who_are_not_among_the_last_ones_heard_of():
    """One job at a time: what is remembered are the last three different clients."""
    _, recorder, _ = watched(80, concurrency=1, remembered_clients=3)
    last, expected = [], set()
    for event in recorder.of("merge"):
        client = event["client"]
        if client not in last:
            expected.add((client, event["counter"]))
        last = [*[c for c in last if c != client][-2:], client]
    assert whole_jobs(recorder) == expected
    assert len(expected) > 20


@pytest.mark.parametrize("forgets", ["state", "arrays", "nothing but the number", "all but the number"])
def test_a_client_that_lost_what_it_held_loses_that_upload_and_goes_on_from_whole_arrays(forgets, flower_log):
    lost = []

    def forget(grid, client, counter):
        if (client, counter) == (1, 4):
            lost.append(counter)
            state = grid._states[client + 2]
            if forgets == "state":
                grid._states.pop(client + 2)
            elif forgets == "arrays":
                del state["codec.held"]
            elif forgets == "all but the number":  # the state of that number, of another run on the same disk
                held = state["codec.held"]
                state["codec.held"] = array_record(list(held), [a + 1 for a in arrays_of(held)])
            else:
                state["codec"] = ConfigRecord({**state["codec"], "counter": 99})

    class Forgetful(WatchedGrid):
        def _run_client(self, message_id):
            message, _ = self._pending[message_id]
            if message.metadata.message_type == "train":
                forget(self, message.content["eafl"]["client"], message.content["eafl"]["counter"])
            super()._run_client(message_id)

    grid = Forgetful(toy_app(codec=CODEC), 3, CODEC)
    run, recorder = run_toy(3, 40, grid=grid, codec=CODEC, **same_for_all(), error_budget=1)
    assert lost == [4]
    (refused,) = recorder.of("refused")
    assert (refused["client"], refused["counter"]) == (1, 4)
    assert "the arrays of job 3, which those of job 4 build on, are not held any more" in refused["reason"]
    assert (run.tally.refused, run.tally.errors, run.tally.states_lost) == (1, 0, 1)
    assert times_told(flower_log, "client 1 has lost its state and starts afresh") == 1
    assert whole_jobs(recorder) == {(0, 1), (1, 1), (2, 1), (1, 5)}
    merged = [e for e in recorder.of("merge") if e["client"] == 1]
    assert [e["counter"] for e in merged][:5] == [1, 2, 3, 5, 6]
    # whole arrays come at once: no pause, as after an error
    assert merged[3]["time_s"] == pytest.approx(refused["time_s"] + 1.5)
    assert merged[3]["metrics"]["jobs"] == 1


def test_a_client_that_remembers_other_uploads_loses_one_and_goes_on_from_the_state_before():
    """Both know them by number only until the first payload that builds on them."""

    class Mistaken(WatchedGrid):
        def _run_client(self, message_id):
            message, _ = self._pending[message_id]
            terms = message.content.get("eafl", {})
            if message.metadata.message_type == "train" and (terms["client"], terms["counter"]) == (1, 4):
                record = self._states[message.metadata.dst_node_id]["codec"]
                record["data"] = [(np.frombuffer(raw, np.float32) + 1).tobytes() for raw in record["data"]]
            super()._run_client(message_id)

    grid = Mistaken(toy_app(codec=CODEC), 3, CODEC)
    run, recorder = run_toy(3, 40, grid=grid, codec=CODEC, **same_for_all(), backoff_s=0.1)
    (refused,) = recorder.of("refused")
    assert (refused["client"], refused["counter"]) == (1, 4)
    assert "payload 4 predicts from another history than the reconstruction of payload 3" in refused["reason"]
    merged = [e for e in recorder.of("merge") if e["client"] == 1]
    assert [(e["counter"], e["metrics"]["jobs"]) for e in merged][2:5] == [(3, 3), (5, 4), (6, 5)]
    assert whole_jobs(recorder) == {(0, 1), (1, 1), (2, 1)}  # what it holds was never in doubt
    grid.run_of = lambda: run
    grid.compare()
    assert grid.compared


def test_all_clients_may_lose_their_states_at_once():
    """No error of theirs: the budget of errors is not touched."""

    class Forgetful(WatchedGrid):
        def _run_client(self, message_id):
            message, _ = self._pending[message_id]
            if message.metadata.message_type == "train" and message.content["eafl"]["counter"] == 3:
                self._states.pop(message.metadata.dst_node_id)
            super()._run_client(message_id)

    run, _ = run_toy(8, 80, grid=Forgetful(toy_app(codec=CODEC), 8, CODEC), codec=CODEC, error_budget=1)
    assert (run.tally.refused, run.tally.states_lost, run.version) == (8, 8, 80)


def test_hostile_bytes_on_the_way_down_are_errors_of_that_job():
    """Truncated, altered, of another job, or without what they build on: told, and the run goes on."""
    earlier = {}

    class Wiretap(WatchedGrid):
        def push_messages(self, messages):
            for message in messages:
                terms, record = message.content.get("eafl", {}), message.content.get("eafl.arrays", {})
                if message.metadata.message_type == "train" and "onto" in record and terms["client"] == 0:
                    counter, payload = terms["counter"], record["payload"]
                    changed = {
                        3: {"payload": payload[:-1], "onto": record["onto"]},
                        5: {"payload": payload[:-1] + bytes([payload[-1] ^ 1]), "onto": record["onto"]},
                        7: {"payload": earlier.get("payload"), "onto": record["onto"]},
                        9: {"payload": payload, "onto": -1},
                        11: {"payload": payload, "onto": "4"},
                        13: {"payload": payload, "onto": True},
                        15: {"payload": "text", "onto": record["onto"]},
                        17: {"payload": payload},
                    }.get(counter)
                    earlier["payload"] = payload
                    if changed is not None:
                        message.content["eafl.arrays"] = ConfigRecord(changed)
            return super().push_messages(messages)

    grid = Wiretap(toy_app(codec=CODEC), 2, CODEC)
    run, recorder = run_toy(2, 60, grid=grid, codec=CODEC, **same_for_all(), backoff_s=0.0)
    assert [e["counter"] for e in recorder.of("error")] == [3, 5, 9, 11, 13, 15, 17]
    reasons = [e["reason"] for e in recorder.of("error")]
    assert "CodecError" in reasons[0]
    assert "CRC" in reasons[1]
    assert all("ProtocolError" in reason for reason in reasons[2:])
    (refused,) = recorder.of("refused")
    assert refused["counter"] == 7
    assert "or belongs to another job" in refused["reason"]
    assert (0, 8) in whole_jobs(recorder)
    assert run.version == 60


def test_a_reply_without_a_payload_is_refused_and_the_stream_goes_on_from_the_last_one():

    def spoil(client, counter, reply):
        if (client, counter) == (0, 3):
            reply.content["arrays"] = initial()
            del reply.content["eafl.arrays"]
        return reply

    run, recorder, _ = watched(40, num_clients=2, app=toy_app(codec=CODEC, spoil=spoil))
    merged = [e["counter"] for e in recorder.of("merge") if e["client"] == 0]
    assert merged[:4] == [1, 2, 4, 5]
    assert run.tally.refused == 1


def test_plain_clients_always_get_plain_arrays():
    seen = []

    def note(client, counter, arrays):
        seen.append((client, counter))

    app = toy_app(codec=CODEC, plain=(1, 3), train=note)
    run, recorder = run_toy(4, 60, app=app, codec=CODEC, **same_for_all())
    plain = {client for client, member in run.jobs.members.items() if member.plain}
    sizes = {e["downlink_bytes"] for e in recorder.of("merge") if e["client"] in plain}
    assert sizes == {RAW_BYTES}
    assert run.tally.refused == run.tally.errors == 0
    assert not plain & {*run.jobs.models.first.side.streams._resting, *run.jobs.models.first.side.streams._working}


@pytest.mark.parametrize("codec", [CODEC, LQGCMCodec(mode="dithered")], ids=["sign", "dithered"])
def test_on_and_off_times_in_job_times_are_those_of_differences(codec, clocks):
    """A job that is not its client's first: a few bytes in both directions, not the whole model."""
    _, recorder, _ = watched(40, codec=codec, on_job_times=20.0, off_job_times=2.0, **network(cycles=1e-9))
    later = [e for e in recorder.of("merge") if e["counter"] > 1]
    most_down, most_up = (max(e[f"{way}_bytes"] for e in later) for way in ("downlink", "uplink"))
    assert clocks[-1].churn.mean_on_s == pytest.approx(20.0 * (8 * most_down / 1e4 + 8 * most_up / 1e3), rel=0.1)


@pytest.mark.parametrize("strategy", [AsyncEMAM, EMAM])
def test_on_and_off_times_in_job_times_do_not_depend_on_what_the_model_begins_with(strategy, clocks):
    """A model of zeros, as that of softmax regression, takes a header alone; its updates do not."""
    means = []
    for value in (0.0, 1e-3, 1.0):
        made = strategy(codec=CODEC, **network(), clock="auto", on_job_times=4.0, off_job_times=1.0)
        arrays = [np.full((3, 12), value, np.float32), np.full(3, value, np.float32), np.array(3)]
        made.start(InlineGrid(toy_app(codec=CODEC, train=changed), 4), ArrayRecord(arrays), num_rounds=2)
        means.append((clocks[-1].churn.mean_on_s, clocks[-1].churn.mean_off_s))
    assert len(set(means)) == 1
    down_s, up_s = 8 * (28 + 11 + 8) / 1e4, 8 * (28 + 2 * 11 + 8) / 1e3  # one tuple and two, beside an int64
    compute_s = median(examples_of(client) for client in range(4)) / 1000
    assert means[0] == pytest.approx((4 * (down_s + compute_s + up_s), down_s + compute_s + up_s))


def changed(client, counter, arrays):
    return [a + np.float32(0.1) if a.dtype.kind == "f" else a for a in arrays]


# The table itself.


def stream_of(streams, client, counter, value=1.0):
    streams.begin(client, 0, LAYOUT)
    decoded = CODEC.decode(CODEC.init(LAYOUT), payload(counter, value))[1]
    streams.merge(client, counter, decoded)
    streams.end(client, state=counter, arrays=ARRAYS)


def payload(counter, value):
    state = replace(CODEC.init(LAYOUT), counter=counter)
    return CODEC.encode(state, tuple(value * a for a in ARRAYS), None)[0].payload


def test_the_client_unheard_of_for_longest_is_forgotten_first():
    streams = ClientStreams(CODEC, LAYOUT, 2)
    for client in (0, 1):
        stream_of(streams, client, 1)
    streams.begin(0, 1, LAYOUT)
    streams.end(0, state=1)  # heard of again, though nothing came of it
    stream_of(streams, 2, 1)
    assert [streams.of(client).counter for client in (0, 1, 2)] == [1, 0, 1]


def test_a_stream_of_another_state_is_not_built_on():
    streams = ClientStreams(CODEC, LAYOUT)
    stream_of(streams, 0, 3)
    assert streams.begin(0, 2, LAYOUT).counter == 0
    streams.end(0, state=2)
    assert streams.of(0) == Stream(counter=0, arrays=(), acknowledged=0, decoder=streams.of(0).decoder, layout=LAYOUT)


def test_nothing_is_remembered_of_a_client_that_has_no_stream_at_work():
    streams = ClientStreams(CODEC, LAYOUT)
    streams.merge(0, 1, CODEC.init(LAYOUT))
    streams.end(0, state=1, arrays=ARRAYS)
    assert len(streams) == 0


def test_a_table_that_was_stored_goes_on_as_if_it_had_not_been():
    streams = ClientStreams(CODEC, LAYOUT, 3)
    for client in (4, 2, 7):
        stream_of(streams, client, client + 1, value=client)
    streams.begin(2, 3, LAYOUT)
    arrays, tree = flatten(streams.snapshot())
    again = ClientStreams(CODEC, LAYOUT, 3)
    again.restore(restore(again.template(), arrays, json.loads(json.dumps(tree))))
    for table in (streams, again):
        table.end(2, state=3)
        stream_of(table, 9, 1)
    assert [*again._resting] == [*streams._resting] == [7, 2, 9]
    for client in (7, 2, 9):
        mine, theirs = streams.of(client), again.of(client)
        assert (mine.counter, mine.acknowledged) == (theirs.counter, theirs.acknowledged)
        np.testing.assert_array_equal(mine.decoder.history, theirs.decoder.history, strict=True)
        assert mine.decoder.reference == theirs.decoder.reference
        for a, b in zip(mine.arrays, theirs.arrays, strict=True):
            np.testing.assert_array_equal(a, b, strict=True)


def test_without_a_number_as_many_are_remembered_as_fit():
    """256 MiB, two copies of 9 float32 a client."""
    assert ClientStreams(CODEC, LAYOUT).most == 2**28 // (2 * 4 * 9)
    assert ClientStreams(CODEC, (), 0).most > 0
