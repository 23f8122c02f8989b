"""What is gathered from events is what the run itself has counted."""

import pytest
from recorded_logs import SIZES, START, merge, status, trouble
from toy_federation import Recorder
from troubled_runs import go

from eafl_flower.results.watch import Watch


def watched(*events):
    watch = Watch()
    for event in events:
        watch.add(event)
    return watch


@pytest.fixture(scope="module")
def troubled(tmp_path_factory):
    recorder = Recorder()
    run = go(tmp_path_factory.mktemp("troubled"), 80, recorder)
    return run, watched(*recorder.events)


def test_jobs_are_counted_as_the_run_counts_them(troubled):
    run, watch = troubled
    tally = run.tally
    assert (watch.merge, watch.updates) == (run.version, tally.updates)
    counts = [watch.ended[kind] for kind in ("lost", "refused", "timeout", "error")]
    assert counts == [tally.lost, tally.refused, tally.timed_out, tally.errors]
    assert all(count > 0 for count in counts[1:])
    for kind in ("lost", "refused", "timeout", "error"):
        assert sum(client.ended[kind] for client in watch.clients.values()) == watch.ended[kind]
    assert sum(client.merges for client in watch.clients.values()) == watch.updates


def test_bytes_and_joules_are_those_of_the_ledger(troubled):
    run, watch = troubled
    for way in ("uplink", "downlink"):
        assert watch.sizes[f"{way}_bytes"] == run.ledger.total(way).payload_bytes
        assert watch.sizes[f"{way}_framed_bytes"] == run.ledger.total(way).framed_bytes
    assert watch.energy_j == pytest.approx(run.ledger.total().energy_j)


def test_the_newest_trouble_of_a_client_stands_beside_the_count():
    watch = watched(
        START, trouble("error", 1, 1.0, "first"), trouble("error", 1, 2.0, "second"), trouble("lost", 1, 3.0)
    )
    assert (watch.clients[1].trouble, watch.clients[1].trouble_s) == ("lost", 3.0)
    assert watch.clients[1].ended == {"error": 2, "lost": 1}


def test_a_client_is_seen_when_it_answers_and_not_when_it_is_lost():
    watch = watched(
        START, merge(1), trouble("lost", 0, 5.0), trouble("error", 1, 6.0, "no"), trouble("timeout", 2, 7.0)
    )
    assert [watch.clients[client].seen_s for client in range(3)] == [1.0, 6.0, None]


def test_the_rate_falls_while_nothing_is_merged():
    watch = watched(START, *(merge(number) for number in range(1, 6)))
    assert watch.rate(5.0) == pytest.approx(1.0)
    assert watch.rate(9.0) == pytest.approx(0.5)
    assert watched(START, merge(1)).rate(1.0) is None


def test_a_log_is_over_only_while_its_last_event_says_so():
    watch = watched(START, {"event": "failed", "merge": 0, "time_s": 1.0, "reason": "no"})
    assert watch.end["reason"] == "no"
    watch.add(merge(1))
    assert watch.end is None


def test_events_of_kinds_that_nobody_knows_change_nothing_but_the_time():
    watch = watched(START, merge(1), {"event": "of-the-future", "time_s": 4.0, "energy_j": 1e9})
    assert (watch.time_s, watch.energy_j, watch.updates) == (4.0, 0.5, 1)


def test_who_sees_only_the_rest_of_a_run_goes_on_from_its_number():
    watch = watched({**START, "event": "resume", "merge": 7, "uploads": 9, "time_s": 3.0, "events": 12}, status(7, 3.5))
    assert (watch.merge, watch.updates, watch.on_the_wall) == (7, 9, True)
    assert watch.sizes.total() == 0 < sum(SIZES.values())
