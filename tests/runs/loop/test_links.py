"""Deployments price transfers at the rates that they measure; delays are real, nothing asserted depends on them."""

import math

import pytest
from flwr.app import ConfigRecord, Context, Message, MetricRecord, RecordDict
from schedulers import Growing
from threaded_grid import ThreadedGrid
from toy_federation import network, run_toy, toy_app

from eafl_flower.clients.own_time import own_time_mod
from eafl_flower.clients.profile import powers_of
from eafl_flower.errors import ConfigError
from eafl_flower.radio.constant_rate import ConstantRate
from eafl_flower.radio.measured import FEWEST
from eafl_flower.radio.price import JobPrice
from eafl_flower.runs.jobs import Job
from eafl_flower.runs.loop import links
from eafl_flower.runs.loop.links import LONGEST_GAP_S, Links
from eafl_flower.types import Phase

SLOW, FAST = network(up=1e2, down=1e2), network(up=1e12, down=1e12)  # models of links, beside real milliseconds


class Listening(Growing):
    """Orders as ``Growing`` and keeps what it learns."""

    def __init__(self):
        self.__dict__["outcomes"] = []

    def learn(self, state, outcome):
        self.outcomes.append(outcome)
        return super().learn(state, outcome)


def deployed(merges=24, *, app=None, **options):
    """Run two clients that each compute for nearly nothing and are reached over 20 ms."""
    grid = ThreadedGrid(app or toy_app(outer=(own_time_mod,)), 2, delay=lambda client, number: 0.02)
    try:
        return run_toy(merges=merges, grid=grid, timeout=30.0, **options)
    finally:
        grid.close()


def test_once_a_rate_is_known_joules_are_those_of_the_bits_at_that_rate():
    _, recorder = deployed(**SLOW)
    merges = recorder.of("merge")
    measured = [e for e in merges if e["rate_source"] == "measured"]
    assert [e["rate_source"] for e in merges if e["counter"] < FEWEST] == ["model"] * 2 * (FEWEST - 1)
    assert all(e["counter"] >= FEWEST for e in measured) and {e["client"] for e in measured} == {0, 1}
    for event in measured:
        assert event["uplink_time_s"] == pytest.approx(8 * event["uplink_bytes"] / event["rate_bit_s"])
        assert event["uplink_energy_j"] == pytest.approx(0.2 * event["uplink_time_s"])
        both = event["uplink_framed_bytes"] + event["downlink_framed_bytes"]
        assert event["rate_bit_s"] <= 8 * both / 0.02  # each job took the delay at least


def test_the_model_prices_what_pauses_hide():
    _, recorder = deployed(**FAST)
    merges = recorder.of("merge")
    assert {e["rate_source"] for e in merges} == {"model"}
    assert all(e["uplink_time_s"] == pytest.approx(8 * e["uplink_bytes"] / 1e12) for e in merges)


def test_it_can_be_switched_off():
    _, recorder = deployed(**SLOW, measured=False)
    assert {e["rate_source"] for e in recorder.of("merge")} == {"model"}


def test_nodes_that_do_not_tell_how_long_they_were_at_work_are_priced_by_the_model():
    _, recorder = deployed(app=toy_app(), **SLOW)
    assert {e["rate_source"] for e in recorder.of("merge")} == {"model"}


def test_a_scheduler_learns_what_uploads_took_at_the_measured_rate():
    scheduler = Listening()
    _, recorder = deployed(**SLOW, scheduler=scheduler)
    learnt = {(o.client, o.began_s): o for o in scheduler.outcomes if o.kind == "merged"}
    assert sorted(o.upload.energy_j for o in learnt.values()) == sorted(
        e["uplink_energy_j"] for e in recorder.of("merge")
    )
    assert any(e["rate_source"] == "measured" for e in recorder.of("merge"))


def test_simulations_ask_nobody_and_tell_nothing_of_it():
    heard = []
    _, recorder = run_toy(2, 12, app=toy_app(outer=(own_time_mod,), hear=lambda client, terms: heard.append(terms)))
    assert not any("timed" in terms for terms in heard)
    assert not any("rate_source" in event for event in recorder.of("merge"))


def with_powers(**powers_w):
    return toy_app(outer=(stating(powers_w),))


def stating(powers_w):
    """The mod of a node whose configuration has these powers, too."""
    powers_w = {f"{name.replace('_', '-')}-power-w": value for name, value in powers_w.items()}

    def mod(message, context, call_next):
        context.node_config = {**context.node_config, **powers_w}
        return own_time_mod(message, context, call_next)

    return mod


def test_joules_are_those_of_the_powers_that_a_node_states():
    _, recorder = deployed(4, app=with_powers(compute=30, transmit=2.5, receive=0), **SLOW)
    for event in recorder.of("merge"):
        assert event["power_source"] == "node"
        assert event["uplink_energy_j"] == pytest.approx(2.5 * event["uplink_time_s"])
        assert event["uplink_energy_j"] <= event["energy_j"] <= event["uplink_energy_j"] + 30 * event["wall_s"]


def test_nodes_without_powers_of_their_own_have_those_of_the_model():
    _, recorder = deployed(4, **SLOW)
    assert not any("power_source" in event for event in recorder.of("merge"))


@pytest.mark.parametrize("power_w", [-1.0, 1e6, float("nan"), "5 W", True])
def test_a_power_that_cannot_be_is_an_error_of_the_node_that_says_what_can(power_w):
    context = Context(1, 2, {"compute-power-w": power_w}, RecordDict(), {})
    with pytest.raises(ConfigError, match=r"^compute-power-w = .*: expected watts from 0 to 100000$"):
        powers_of(context)


# One exchange after the other, at times that the test says.


class Told:
    def __init__(self, monkeypatch, *, measured=True):
        self.now_s = 0.0
        monkeypatch.setattr(links.time, "monotonic", lambda: self.now_s)
        self.links = Links(ConstantRate(uplink_rate_bit_s=1.0, downlink_rate_bit_s=1.0), measured=measured)
        self.count = 0

    def exchange(self, *, sent_s, seen_s, looked_s, own_s, began_s=None, beside=1, **stated):
        self.count += 1
        nothing = Phase(time_s=0.0, energy_j=0.0)
        job = Job(
            client=3,
            counter=self.count,
            load=0,
            base_version=0,
            price=JobPrice(dispatched_s=0.0, download=nothing, compute=nothing),
            ends_s=1e9,
            downlink_bytes=100,
            downlink_framed_bytes=125,
            uplink_bytes=100,
            uplink_framed_bytes=125,
        )
        self.now_s = sent_s
        self.links.note_sent(job)
        self.now_s = looked_s
        self.links.note_arrivals([], looked_s)
        question = Message(RecordDict(), 7, "train")
        question.metadata.__dict__["_message_id"] = f"job {self.count}"
        told = {} if own_s is None else {"eafl": ConfigRecord({"own-s": own_s, **stated})}
        reply = Message(RecordDict({**told, "metrics": MetricRecord({"num-examples": 1})}), reply_to=question)
        self.now_s = seen_s
        self.links.note_arrivals([reply] * beside, seen_s if began_s is None else began_s)
        return self.links.price(job, reply), job


def test_a_job_takes_the_node_its_own_seconds_at_its_own_powers(monkeypatch):
    stated = {"compute-power-w": 20.0, "transmit-power-w": 0.5, "receive-power-w": 0.25}
    fields, job = Told(monkeypatch).exchange(sent_s=0.0, looked_s=51.0, seen_s=52.0, own_s=48.0, **stated)
    assert fields == {"rate_source": "model", "power_source": "node"}
    assert job.price.compute == Phase(time_s=48.0, energy_j=960.0)
    assert job.price.download == Phase(time_s=800.0, energy_j=200.0)
    assert job.price.until(math.inf).upload == Phase(time_s=800.0, energy_j=400.0)


@pytest.mark.parametrize("lie", [-1.0, 2e5, math.nan, math.inf, "much", [1.0]])
def test_a_power_that_cannot_be_is_not_believed(monkeypatch, lie):
    told = Told(monkeypatch)
    fields, job = told.exchange(sent_s=0.0, looked_s=51.0, seen_s=52.0, own_s=48.0, **{"transmit-power-w": lie})
    assert fields == {"rate_source": "model"} and math.isfinite(job.price.until(math.inf).energy_j)


def test_nodes_are_asked_for_nothing_where_measuring_is_off(monkeypatch):
    told = Told(monkeypatch, measured=False)
    stated = {"compute-power-w": 20.0}
    fields, job = told.exchange(sent_s=0.0, looked_s=51.0, seen_s=52.0, own_s=48.0, **stated)
    assert fields == {"rate_source": "model"} and job.price.compute.energy_j == 0.0


def test_the_nodes_own_time_does_not_count(monkeypatch):
    told = Told(monkeypatch)
    for start_s in range(0, 100 * FEWEST, 100):
        fields, job = told.exchange(sent_s=start_s, looked_s=start_s + 51.0, seen_s=start_s + 52.0, own_s=48.0)
    assert fields == {"rate_source": "measured", "rate_bit_s": 2000 / 4}
    assert job.price.upload.segment.time_s == pytest.approx(800 / 500)
    assert job.price.download.time_s == pytest.approx(800 / 500)


def test_a_look_that_waits_for_a_slow_link_sees_its_reply_come(monkeypatch):
    told = Told(monkeypatch)
    for start_s in range(0, 100 * FEWEST, 100):
        times = {"looked_s": start_s + 48.5, "began_s": start_s + 48.6, "seen_s": start_s + 52.0}
        fields, _ = told.exchange(sent_s=start_s, own_s=48.0, **times)
    assert fields == {"rate_source": "measured", "rate_bit_s": 2000 / 4}


@pytest.mark.parametrize(
    "odd",
    [
        {"looked_s": 52.0 - LONGEST_GAP_S - 0.1},  # nobody looked: it may have been there for long
        {"looked_s": 48.5, "began_s": 48.6, "beside": 2},  # a long look, which may have waited for the other one
        {"own_s": 60.0},  # longer than the job took
        {"own_s": -1.0},
        {"own_s": float("nan")},
        {"own_s": float("inf")},
        {"own_s": "long"},
        {"own_s": None},
    ],
    ids=str,
)
def test_an_exchange_that_is_not_known_in_full_is_not_counted(monkeypatch, odd):
    told = Told(monkeypatch)
    times = {"looked_s": 51.0, "seen_s": 52.0, "own_s": 48.0, **odd}
    for start_s in range(0, 100 * (FEWEST + 3), 100):
        later = {name: start_s + times[name] for name in ("looked_s", "seen_s", "began_s") if name in times}
        beside = times.get("beside", 1)
        fields, _ = told.exchange(sent_s=start_s, own_s=times["own_s"], beside=beside, **later)
    assert fields == {"rate_source": "model"}
