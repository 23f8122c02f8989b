import hashlib

import pytest

from eafl_flower.core.provenance import Content, Provenance
from eafl_flower.results.summary import Outcome, order_digest, staleness_of, summarize, versions

MADE_FROM = Provenance(settings={"seed": 1}, data=Content(counts={"clients": 2}, digests={"labels": "ab"}))
OUTCOME = Outcome(
    merges=2, lost=1, virtual_time_s=3.5, wall_s=0.1, uplink_bytes=250, downlink_bytes=200, uplink_framed_bytes=300,
    downlink_framed_bytes=260, energy_j=1.5, metrics={"accuracy-before": 0.7, "loss": 1.0}, arrays_sha256="ab",
)  # fmt: skip


def merge(client, counter, staleness=0):
    return {
        "event": "merge", "client": client, "counter": counter, "staleness": staleness,
        "raw_bytes": 400, "uplink_bytes": 100, "downlink_bytes": 200,
        "uplink_framed_bytes": 120, "downlink_framed_bytes": 260 if counter > 1 else 500,
    }  # fmt: skip


def summary(**changes):
    events = [{"event": "start"}, merge(1, 1), merge(0, 1, 1), {"event": "stop"}]
    given = {"name": "emam", "seed": 1, "provenance": MADE_FROM, "engine": "inline"} | changes
    return summarize(OUTCOME, events, **given)


def test_it_holds_everything_that_is_promised():
    promised = (
        "merges refused lost virtual_time_s wall_s uplink_bytes downlink_bytes uplink_framed_bytes energy_j accuracy "
        "baselines staleness order_sha256 arrays_sha256 engine seed versions"
    )
    assert set(promised.split()) <= set(summary())


def test_the_saved_share_is_that_of_the_merged_uploads():
    found = summary()
    assert found["uplink_saved"] == pytest.approx(1 - 200 / 800)
    assert found["downlink_saved"] == pytest.approx(1 - 400 / 800)
    assert found["uplink_bytes"] == 250  # the lost one's bytes are counted all the same


def test_messages_of_another_size_than_what_comes_down_are_compared_with_themselves():
    events = [merge(1, 1) | {"raw_downlink_bytes": 250}, merge(1, 2) | {"raw_downlink_bytes": 250}]
    found = summarize(OUTCOME, events, name="alignment", seed=1, provenance=MADE_FROM, engine="inline")
    assert found["uplink_saved"] == pytest.approx(1 - 100 / 400)
    assert found["downlink_saved"] == pytest.approx(1 - 200 / 250)
    assert found["both_ways_saved"] == pytest.approx(1 - (120 + 260) / 650)


def test_what_both_ways_save_is_told_with_framing_and_without_each_clients_first_job():
    events = [merge(1, 1), merge(0, 1), merge(1, 2), merge(1, 4), merge(0, 2)]
    found = summarize(OUTCOME, events, name="emam", seed=1, provenance=MADE_FROM, engine="inline")
    assert found["both_ways_saved"] == pytest.approx(1 - (120 + 260) / 800)
    assert found["uplink_framed_saved"] == pytest.approx(1 - 120 / 400)
    assert found["downlink_framed_bytes"] == 260
    assert summary()["both_ways_saved"] is None  # nobody has had a second job


def test_bits_a_value_are_those_of_coded_uploads_and_those_that_were_told():
    coded = [
        merge(1, 1) | {"num_values": 200, "bits_paper": 300, "codec_error": 0.1},
        merge(0, 1) | {"num_values": 50, "bits_paper": 100, "codec_error": 0.3},
        merge(0, 2) | {"num_values": 50},  # coded, but its client told nothing
        merge(2, 1),  # of a plain client
        merge(2, 2) | {"num_values": 0, "bits_paper": 0, "codec_error": 0.0},  # counters alone
    ]
    found = summarize(OUTCOME, coded, name="emam", seed=1, provenance=MADE_FROM, engine="inline")
    assert found["bits_per_value"] == pytest.approx(3 * 800 / 300)
    assert found["bits_per_value_paper"] == pytest.approx(400 / 250)
    assert found["codec_error"] == pytest.approx(0.2)
    assert [summary()[key] for key in ("bits_per_value", "bits_per_value_paper", "codec_error")] == [None] * 3


def test_baselines_that_were_skipped_are_null():
    found = summary(baselines={"majority": {"accuracy-before": 0.6}, "exact": None})["baselines"]
    assert found == dict.fromkeys(("no_communication", "exact", "pooled", "lookup")) | {"majority": {"before": 0.6}}


@pytest.mark.parametrize(
    ("staleness", "expected"),
    [
        ([], {"median": None, "p95": None, "max": None}),
        ([3], {"median": 3, "p95": 3, "max": 3}),
        (list(range(1, 101)), {"median": 50.5, "p95": 95, "max": 100}),
        (list(range(1, 21)), {"median": 10.5, "p95": 19, "max": 20}),
    ],
)
def test_staleness_by_nearest_rank(staleness, expected):
    assert staleness_of(staleness[::-1]) == expected


def test_the_order_digest_is_over_clients_and_counters_in_order():
    merges = [merge(1, 1), merge(0, 1)]
    assert order_digest(merges) == hashlib.sha256(b"1 1\n0 1\n").hexdigest()
    assert order_digest(merges[::-1]) != order_digest(merges)


def test_versions_name_python_and_the_libraries():
    assert versions()["python"].startswith("3.")
    assert versions()["numpy"]


def test_only_of_a_deployment_merges_at_a_measured_rate_are_counted():
    events = [merge(1, 1) | {"rate_source": "model"}, merge(1, 2) | {"rate_source": "measured", "rate_bit_s": 2e6}]
    found = summarize(OUTCOME, events, name="emam", seed=1, provenance=MADE_FROM, engine="deployment")
    assert found["rates_measured"] == 1
    assert "rates_measured" not in summary()
