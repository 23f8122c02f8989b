"""What clients tell of the coding of their uploads: it stands beside the bytes, and nobody depends on it."""

import numpy as np
import pytest
from flwr.app import ConfigRecord
from toy_federation import arrays_of_run, initial, run_toy, same_for_all, step_of, toy_app

from eafl_flower.codecs import EMQCodec, Float32Codec, Int8Codec, LAQCodec
from eafl_flower.conformance.event_log import CODING_FIELDS, check_events
from eafl_flower.core.arrays import difference
from eafl_flower.core.rng import generator
from eafl_flower.results.event_fields import check_event
from eafl_flower.types import layout_of
from eafl_flower.wire.arrays import arrays_of

CODEC = Int8Codec(block_size=4)


def first_upload(codec, client):
    """The first upload of a client that starts from the initial arrays, coded here."""
    base = arrays_of(initial())
    new = tuple(a + step_of(client) for a in base)
    update = new if getattr(codec, "codes_weights", False) else difference(new, base)
    return codec.encode(codec.init(layout_of(base)), update, generator(0))[0]


@pytest.mark.parametrize("codec", [Float32Codec(), EMQCodec(), LAQCodec(bits=3)], ids=str)
def test_a_merge_tells_the_bits_of_the_paper_and_the_error_of_the_upload(codec):
    _, recorder = run_toy(4, 12, codec=codec, concurrency=4, **same_for_all())
    check_events(recorder.events)
    first = [e for e in recorder.of("merge") if e["counter"] == 1 and e["base_version"] == 0]
    assert first
    for event in first:
        check_event(event)
        encoded = first_upload(codec, event["client"])
        assert event["num_values"] == 9
        assert event["bits_paper"] == encoded.bits_paper
        assert event["codec_error"] == pytest.approx(encoded.error, rel=1e-5)
        assert event["uplink_bytes"] == len(encoded.payload)


def test_without_a_codec_there_is_nothing_to_tell():
    _, recorder = run_toy(3, 9)
    assert not {*CODING_FIELDS} & {name for event in recorder.events for name in event}


def test_plain_clients_tell_nothing():
    _, recorder = run_toy(2, 20, app=toy_app(codec=CODEC, plain=(1,)), codec=CODEC, **same_for_all())
    told = {(e["client"], name in e) for e in recorder.of("merge") for name in CODING_FIELDS}
    assert len(told) == 2  # one of the two clients has all three, the other one none


def run_telling(told):
    def spoil(client, counter, reply):
        if client == 0:
            others = {k: v for k, v in reply.content["eafl.arrays"].items() if k != "told"}
            reply.content["eafl.arrays"] = ConfigRecord(others if told is None else {**others, "told": told})
        return reply

    return run_toy(2, 12, app=toy_app(codec=CODEC, spoil=spoil), codec=CODEC, **same_for_all())


NONSENSE = [
    *([np.nan, 0.0], [np.inf, 0.0], [-1.0, 0.0], [1e300, 0.0], [100.0, np.nan], [100.0, -0.1], [100.0, 1e9]),
    *([], [1.0], [1.0, 2.0, 3.0], ["1", "2"], [True, False], "text", b"bytes", 7, 0.5),
]


@pytest.mark.parametrize("told", [None, *NONSENSE], ids=str)
def test_what_cannot_be_is_left_out_and_changes_nothing_else(told, flower_log):
    honest, expected = run_telling([100.0, 0.25])
    run, recorder = run_telling(told)
    check_events(recorder.events)
    assert run.tally.refused == run.tally.errors == 0
    for array, same in zip(arrays_of_run(run), arrays_of_run(honest), strict=True):
        np.testing.assert_array_equal(array, same)
    theirs = [e for e in recorder.of("merge") if e["client"] == 0]
    assert all("num_values" in e and not {"bits_paper", "codec_error"} & {*e} for e in theirs)
    assert all(e["bits_paper"] == 100 and e["codec_error"] == 0.25 for e in expected.of("merge") if e["client"] == 0)
    assert run.jobs.notes.counts["coding"] == (0 if told is None else len(theirs))
    lines = {id(r) for r in flower_log.records if "of its coding: expected a count of bits" in r.getMessage()}
    assert len(lines) == (told is not None)
