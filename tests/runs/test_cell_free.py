"""Runs over a cell-free uplink, asynchronous and in rounds: what is booked, resumed amid uploads, and kept to."""

from functools import cached_property

import numpy as np
import pytest
from toy_federation import Recorder, network, run_toy, toy_app

from eafl_flower.codecs.emq.codec import EMQCodec
from eafl_flower.conformance.event_log import check_events
from eafl_flower.power import Uploads, weighted_powers
from eafl_flower.power.cell_free_radio import CellFree, CellFreeRadio
from eafl_flower.runs.limits import StopRule
from eafl_flower.strategies import EMAM

CLIENTS = 4
SLOW = {"bandwidth_hz": 2e3, "noise_dbm": -134.0}  # an upload of the toy takes as long as its computation
PROCESSORS = network(slowdown=(1.0, 3.0))["processors"]


def radio_of(**settings):
    return CellFreeRadio(network=CellFree(**SLOW, **settings), seed=3)


def run(merges=24, *, recorder=None, **options):
    options = {"radio": radio_of(), "processors": PROCESSORS, **options}
    made, recorder = run_toy(CLIENTS, merges, recorder=recorder, **options)
    check_events(recorder.events)
    return made, recorder


class Asked(CellFreeRadio):
    """Keeps every question and its answer."""

    @cached_property
    def log(self):
        return []

    def grants(self, time_s, uploads):
        grants = super().grants(time_s, uploads)
        self.log.append((time_s, uploads, grants))
        return grants


def test_the_energy_booked_is_the_integral_of_the_power_granted():
    radio = Asked(network=CellFree(**SLOW, speed_m_s=30.0), seed=3)
    made, recorder = run(40, radio=radio)
    over = [time_s for time_s, _, _ in radio.log[1:]] + [recorder.events[-1]["time_s"]]
    energy_j = bits = 0.0
    for (time_s, uploads, grants), later_s in zip(radio.log, over, strict=True):
        for upload, grant in zip(uploads, grants, strict=True):
            took_s = min(later_s - time_s, upload.bits_left / grant.rate_bit_s if grant.rate_bit_s else 0.0)
            energy_j += grant.power_w * took_s
            bits += grant.rate_bit_s * took_s
    assert max(len(uploads) for _, uploads, _ in radio.log) == CLIENTS
    assert made.ledger.total("uplink").energy_j == pytest.approx(energy_j, rel=1e-9)
    assert 8 * made.ledger.total("uplink").payload_bytes == pytest.approx(bits, abs=8 * CLIENTS)


def test_a_round_takes_the_powers_of_the_weighted_problem_over_all_its_uploads():
    radio = radio_of()
    made, recorder = run(1, radio=radio, strategy=EMAM, evaluate_clients=False)
    merges = sorted(recorder.of("merge"), key=lambda e: e["client"])
    bits = np.array([8.0 * e["uplink_bytes"] for e in merges])
    starts_s = np.array([e["time_s"] - e["uplink_time_s"] for e in merges])
    uploads = Uploads(gains=radio.gains(range(CLIENTS), 0.0), payload_bits=bits, computation_s=starts_s)
    found = weighted_powers(uploads)
    assert [e["time_s"] for e in merges] == pytest.approx(uploads.latencies_s(found.power), rel=1e-9)
    assert [e["uplink_energy_j"] for e in merges] == pytest.approx(uploads.energies_j(found.power), rel=1e-9)
    assert made.tally.uncertified == 0


@pytest.mark.slow
@pytest.mark.parametrize("strategy", [None, EMAM], ids=["asynchronous", "barrier"])
@pytest.mark.parametrize("merges", [3, 10])
def test_a_run_killed_amid_overlapping_uploads_goes_on_as_if_nothing_had_happened(tmp_path, strategy, merges):
    class Killed(BaseException):
        pass

    class Killing(Recorder):
        def write(self, event):
            super().write(event)
            if event["event"] == "checkpoint" and event["merge"] == merges:
                self.dead = True
            elif getattr(self, "dead", False):
                raise Killed

    codec = EMQCodec()
    options = {"codec": codec, "run_name": "r", "on_job_times": 6.0, "off_job_times": 1.0, "deadline_s": 40.0}
    options |= {} if strategy is None else {"strategy": strategy}

    def go(folder, **more):
        app = toy_app(codec=codec, state_dir=tmp_path / folder)
        where = {"radio": radio_of(speed_m_s=30.0), "processors": PROCESSORS, "app": app}
        return run_toy(CLIENTS, 24, **where, **options, **more)

    whole, expected = go("undisturbed")
    saved = {"checkpoint": tmp_path / "c" / "server.safetensors"}
    with pytest.raises(Killed):
        go("killed", recorder=Killing(), checkpoint_every=1, **saved)
    second = Recorder()
    made, _ = go("killed", recorder=second, resume=True, **saved)
    assert made.arrays_sha256() == whole.arrays_sha256()
    assert made.ledger.total() == whole.ledger.total()
    told = [event for event in second.told() if event["event"] not in ("resume", "checkpoint")]
    assert told == [e for e in expected.told() if e["event"] != "checkpoint"][-len(told) :]


def rounds_of(recorder):
    return len({e["merge"] for e in recorder.of("merge")})


def spent(made):
    sent = sum(made.ledger.total(way).payload_bytes for way in ("downlink", "uplink"))
    return {"energy_j": made.ledger.total().energy_j, "time_s": made.time_s, "payload_bytes": sent}


@pytest.mark.parametrize("kind", ["energy_j", "time_s", "payload_bytes"])
@pytest.mark.parametrize("coupled", [True, False], ids=["cell-free", "constant"])
def test_a_run_ends_before_the_round_that_would_exceed_a_budget_and_does_not_pay_for_it(kind, coupled):
    radio = {} if coupled else {"radio": network()["radio"]}
    four, _ = run(4, strategy=EMAM, **radio)
    five, _ = run(5, strategy=EMAM, **radio)
    between = type(spent(four)[kind])(0.5 * (spent(four)[kind] + spent(five)[kind]))
    made, recorder = run(9, strategy=EMAM, stop=StopRule(**{kind: between}, within_budget=True), **radio)
    assert rounds_of(recorder) == 4
    assert spent(made) == spent(four)
    assert made.arrays_sha256() == four.arrays_sha256()
    assert "next round would" in recorder.of("stop")[0]["reason"]
    _, recorder = run(9, strategy=EMAM, stop=StopRule(**{kind: spent(five)[kind]}, within_budget=True), **radio)
    assert rounds_of(recorder) == 5
    _, recorder = run(9, strategy=EMAM, stop=StopRule(**{kind: between}), **radio)
    assert rounds_of(recorder) == 5, "without the rule the budget is spent first"


def test_a_budget_below_the_first_round_ends_the_run_without_a_merge_and_says_what_a_round_takes():
    made, recorder = run(9, strategy=EMAM, stop=StopRule(energy_j=1e-6, within_budget=True))
    assert (made.version, made.ledger.total().energy_j) == (0, 0.0)
    assert recorder.of("stop")[0]["reason"].startswith("0 J spent, the next round would take")


def test_a_round_that_no_powers_can_send_within_its_budget_ends_the_run_with_what_is_possible():
    made, recorder = run(9, strategy=EMAM, radio=radio_of(round_energy_j=1e-12))
    assert made.version == 0
    assert "round 1 cannot be sent: the energy budget is 1e-12 J, but" in recorder.of("stop")[0]["reason"]


def test_clients_that_fail_do_not_make_the_others_be_asked_about_twice():
    radio = Asked(network=CellFree(**SLOW), seed=3)

    def train(client, counter, arrays):
        if client in (0, 2):
            raise ValueError("no")

    run(3, radio=radio, strategy=EMAM, app=toy_app(train=train), error_budget=100)
    assert [len(uploads) for _, uploads, _ in radio.log] == [2, 2, 2]


def test_allocations_that_are_not_certified_are_counted():
    class Unsure(CellFreeRadio):
        def grants(self, time_s, uploads):
            grants = super().grants(time_s, uploads)
            return [type(g)(rate_bit_s=g.rate_bit_s, power_w=g.power_w, certified=False) for g in grants]

    radio = Unsure(network=CellFree(**SLOW), seed=3)
    made, _ = run(3, radio=radio, strategy=EMAM)
    assert made.tally.uncertified == 3
