"""Runs over a radio in which uploads share one link."""

from itertools import pairwise

import pytest
from shared_link import SharedLink
from toy_federation import Recorder, network, run_toy, toy_app

from eafl_flower.codecs import LQGCMCodec
from eafl_flower.conformance.event_log import check_events
from eafl_flower.energy import CMOSEnergy, Processors
from eafl_flower.errors import RunFailedError
from eafl_flower.radio.constant_rate import ConstantRate
from eafl_flower.strategies import EMAM
from eafl_flower.types import Phase

CODEC = LQGCMCodec(tuples=2, downlink_tuples=1)
ALIKE = Processors(energy=CMOSEnergy(cycles_per_sample=1e-9))  # computing takes no time


def run(clients=4, merges=30, *, recorder=None, **options):
    radio = options.pop("radio", None) or SharedLink()
    made, recorder = run_toy(clients, merges, recorder=recorder, radio=radio, **options)
    check_events(recorder.events)
    return made, recorder, radio


def ends(recorder):
    return [(e["time_s"], e["client"]) for e in recorder.events if e["event"] in ("merge", "lost", "timeout")]


@pytest.mark.parametrize("clients", [2, 3, 4])
def test_equal_uploads_that_overlap_take_as_many_times_as_long(clients):
    made, recorder, _ = run(clients, clients, processors=ALIKE, evaluate_clients=False)
    up, down = (recorder.of("merge")[0][f"{way}link_bytes"] for way in ("up", "down"))
    assert [e["time_s"] for e in recorder.of("merge")] == pytest.approx([8e-4 * down + clients * 8e-3 * up] * clients)
    assert made.ledger.total("uplink").energy_j == pytest.approx(0.2 * clients * clients * 8e-3 * up)


def test_while_anybody_uploads_the_whole_rate_is_used_and_never_more():
    made, recorder, radio = run(4, 60, processors=network()["processors"])
    over = [*radio.asked, (recorder.events[-1]["time_s"], [])]
    busy_s = 0.0
    for (now, clients), (later, _) in pairwise(over):
        alone = [time_s for time_s, client in ends(recorder) if clients == [client] and time_s > now]
        busy_s += min([later, *alone]) - now  # when the last one ends, nobody is left to be asked about
    arrived = sum(8 * e["uplink_bytes"] for e in recorder.events if "uplink_bytes" in e)
    assert arrived == pytest.approx(1e3 * busy_s, abs=8 * 4)  # whole bytes of the uploads that the end cuts short
    booked = made.ledger.total("uplink")
    assert booked.energy_j == pytest.approx(0.2 * booked.time_s)


def test_it_is_asked_about_all_uploads_whenever_one_begins_or_ends():
    _, _, radio = run(3, 30)
    questions = [set(clients) for _, clients in radio.asked]
    assert max(map(len, questions)) == 3
    assert all(len(a ^ b) == 1 or len(a) == len(b) == 1 for a, b in pairwise(questions))  # one ends unasked: the last


@pytest.mark.parametrize("strategy", [None, EMAM], ids=["asynchronous", "barrier"])
@pytest.mark.parametrize("codec", [None, CODEC], ids=["plain", "coded"])
@pytest.mark.parametrize("merges", [3, 7, 16])
def test_a_run_killed_amid_overlapping_uploads_goes_on_as_if_nothing_had_happened(tmp_path, strategy, codec, merges):
    class Killed(BaseException):
        pass

    class Killing(Recorder):
        def write(self, event):
            super().write(event)
            if event["event"] == "checkpoint" and event["merge"] == merges:
                self.dead = True
            elif getattr(self, "dead", False):
                raise Killed

    options = {"codec": codec, "processors": network(slowdown=(1.0, 3.0))["processors"], "run_name": "r"}
    options["app"] = toy_app(codec=codec, state_dir=tmp_path / "undisturbed")
    options |= {"on_job_times": 6.0, "off_job_times": 1.0, "deadline_s": 40.0}
    options |= {} if strategy is None else {"strategy": strategy}
    whole, expected, _ = run(4, 24, **options)
    saved = {**options, "checkpoint": tmp_path / "c" / "server.safetensors"}
    saved["app"] = toy_app(codec=codec, state_dir=tmp_path / "killed")
    first, second = Killing(), Recorder()
    with pytest.raises(Killed):
        run_toy(4, 24, recorder=first, radio=SharedLink(), checkpoint_every=1, **saved)
    made, _ = run_toy(4, 24, recorder=second, radio=SharedLink(), resume=True, **saved)
    assert made.arrays_sha256() == whole.arrays_sha256()
    assert made.ledger.total() == whole.ledger.total()
    assert ends(second) == ends(expected)[-len(ends(second)) :]


def test_a_round_with_a_barrier_asks_once_about_all_its_uploads():
    _, recorder, radio = run(4, 5, strategy=EMAM, processors=network(slowdown=(1.0, 2.0, 3.0, 4.0))["processors"])
    assert [clients for _, clients in radio.asked] == [[0, 1, 2, 3]] * 5
    last = [max(e["time_s"] for e in recorder.of("merge") if e["merge"] == merge) for merge in range(1, 6)]
    asked = [time_s for time_s, _ in radio.asked]
    assert all(start < end for start, end in zip(asked, last, strict=True))


def test_a_radio_that_grants_nothing_ends_the_run_with_one_sentence():
    class Deaf(SharedLink):
        def grants(self, time_s, uploads):
            return [type(grant)(rate_bit_s=0.0, power_w=0.0) for grant in super().grants(time_s, uploads)]

    with pytest.raises(RunFailedError, match="the radio grants nothing to any of 4 uploads"):
        run(4, 5, radio=Deaf())


def test_downloads_that_never_end_end_the_run_with_the_same_sentence():
    class OutOfReach(ConstantRate):
        def download(self, client, time_s, num_bytes):
            return Phase(time_s=float("inf"), energy_j=0.0)

    with pytest.raises(RunFailedError, match="the radio grants nothing to any of 4 uploads"):
        run(4, 5, radio=OutOfReach())
