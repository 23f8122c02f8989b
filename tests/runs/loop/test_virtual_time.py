import math

import numpy as np
import pytest
from toy_federation import Recorder, arrays_of_run, examples_of, network, run_toy, same_for_all, toy_app

from eafl_flower.codecs import Int8Codec
from eafl_flower.conformance.event_log import check_events
from eafl_flower.energy import CMOSEnergy, Processors
from eafl_flower.errors import RunFailedError
from eafl_flower.results.summary import order_digest
from eafl_flower.simulation.churn import OnOff

RAW_BYTES = 4 * 9  # six and three float32
CHURN = OnOff(seed=3, mean_on_s=2.0, mean_off_s=0.7)


def busy_run(seed=1, merges=120, **options):
    """Churn, deadlines, slow clients and a codec: everything that makes events."""
    options = {"churn": CHURN, "deadline_s": 1.0, "concurrency": 3, "evaluate_every": 30, **options}
    codec = Int8Codec(block_size=4)
    options = {**network(slowdown=(1.0, 8.0, 30.0, 60.0)), **options}
    return run_toy(6, merges, codec=codec, app=toy_app(codec=codec), seed=seed, **options)


def test_events_never_go_back_in_time_and_no_job_is_merged_twice():
    run, recorder = busy_run()
    check_events(recorder.events)
    times = [e["time_s"] for e in recorder.events]
    assert times == sorted(times)
    assert times[-1] == run.time_s > 0
    assert recorder.of("lost")
    assert recorder.of("timeout")
    ends = [(e["client"], e["counter"]) for e in recorder.events if "counter" in e]
    assert len(ends) == len(set(ends))


def test_the_ledger_is_the_sum_over_the_events():
    run, recorder = busy_run()
    for kind, field in (("uplink", "uplink_bytes"), ("downlink", "downlink_bytes")):
        assert run.ledger.total(kind).payload_bytes == sum(e.get(field, 0) for e in recorder.events)
    framed = sum(e.get("uplink_framed_bytes", 0) for e in recorder.events)
    assert run.ledger.total("uplink").framed_bytes == framed
    assert math.isclose(run.ledger.total().energy_j, sum(e.get("energy_j", 0.0) for e in recorder.events))
    by_client = {c: sum(e["energy_j"] for e in recorder.events if e.get("client") == c) for c in range(6)}
    for client, energy_j in by_client.items():
        assert math.isclose(run.ledger.of(client).energy_j, energy_j)


def test_staleness_is_the_merges_between_dispatch_and_arrival():
    _, recorder = busy_run()
    for event in recorder.of("merge"):
        assert event["staleness"] == event["merge"] - 1 - event["base_version"] >= 0
    assert max(e["staleness"] for e in recorder.of("merge")) > 1


def test_no_more_jobs_are_open_than_allowed(monkeypatch):
    from eafl_flower.runs.open_jobs import OpenJobs

    most = []
    opened = OpenJobs.open

    def counting(self, *args, **kwargs):
        job = opened(self, *args, **kwargs)
        most.append(len(self))
        return job

    monkeypatch.setattr(OpenJobs, "open", counting)
    busy_run(concurrency=2)
    assert max(most) == 2
    most.clear()
    run_toy(4, 20)
    assert max(most) == 4  # 0 means all


def test_the_same_seed_gives_the_same_events_and_arrays_and_another_seed_others():
    (one, first), (two, second) = busy_run(), busy_run()
    assert first.told() == second.told()
    assert one.arrays_sha256() == two.arrays_sha256()
    _, other = busy_run(seed=2)
    assert order_digest(other.of("merge")) != order_digest(first.of("merge"))


def test_which_idle_client_is_chosen_depends_on_the_seed_alone():
    """Not on the arrays, the codec or what clients report: only the prices, here equal, decide who is idle."""

    def dispatches(seed, codec):
        _, recorder = run_toy(5, 40, app=toy_app(codec=codec), codec=codec, concurrency=2, seed=seed, **same_for_all())
        return [(e["client"], e["counter"]) for e in recorder.of("merge")]

    assert dispatches(1, None) == dispatches(1, Int8Codec())
    assert dispatches(1, None) != dispatches(2, None)


def test_a_job_takes_download_computation_and_upload_time():
    """One client at a time: 8 bits x 36 bytes / 10 kbit/s, 5 (k + 1) examples x 1e6 cycles / 1 GHz, / 1 kbit/s."""
    slowdown = (1.0, 3.0)
    _, recorder = run_toy(2, 10, concurrency=1, **network(slowdown=slowdown))
    time_s = 0.0
    for event in recorder.of("merge"):
        client = event["client"]
        compute_s = examples_of(client) * 1e6 / 1e9 * slowdown[client]
        time_s += 8 * RAW_BYTES / 1e4 + compute_s + 8 * RAW_BYTES / 1e3
        assert math.isclose(event["time_s"], time_s)
        # computation: kappa C f^2, whatever the slowdown; radio: 0.1 W down, 0.2 W up
        compute_j = 1e-28 * examples_of(client) * 1e6 * 1e18
        energy_j = compute_j + 0.1 * 8 * RAW_BYTES / 1e4 + 0.2 * 8 * RAW_BYTES / 1e3
        assert math.isclose(event["energy_j"], energy_j, rel_tol=1e-6)
        assert event["staleness"] == 0


def test_what_a_codec_saves_is_time_and_energy_of_the_radio():
    codec = Int8Codec(block_size=4)
    _, coded = run_toy(2, 10, concurrency=1, codec=codec, app=toy_app(codec=codec))
    for event in coded.of("merge"):
        assert event["raw_bytes"] == RAW_BYTES
        up_s, down_s = 8 * event["uplink_bytes"] / 1e3, 8 * event["downlink_bytes"] / 1e4
        compute_s = examples_of(event["client"]) * 1e-3
        radio_j = event["energy_j"] - 1e-28 * compute_s * 1e27
        assert math.isclose(radio_j, 0.2 * up_s + 0.1 * down_s, rel_tol=1e-6)


def test_where_all_jobs_take_equally_long_clients_take_turns_by_partition():
    _, recorder = run_toy(4, 12, **same_for_all())
    merges = recorder.of("merge")
    assert [e["client"] for e in merges] == [0, 1, 2, 3] * 3
    assert [e["time_s"] for e in merges] == pytest.approx([1.5] * 4 + [3.0] * 4 + [4.5] * 4)
    assert [e["staleness"] for e in merges] == [0, 1, 2, 3] + [3] * 8
    assert all(e["energy_j"] == pytest.approx(0.19) for e in merges)


def test_with_infinite_rates_only_computation_takes_time():
    _, recorder = run_toy(4, 30, **network(up=1e300, down=1e300))
    for event in recorder.of("merge"):
        assert event["time_s"] == pytest.approx(event["counter"] * examples_of(event["client"]) * 1e-3)


def test_all_clients_start_at_once_and_the_fastest_is_merged_first():
    _, recorder = run_toy(4, 4, **network(up=1e300, down=1e300, slowdown=(8.0, 1.0, 40.0, 0.1)))
    assert [e["client"] for e in recorder.of("merge")] == [3, 3, 3, 3]  # 2 ms; the next takes 10 ms


def test_a_client_that_vanishes_is_charged_up_to_that_moment():
    class Gone:
        """Client 0 is there for a second, half way through its computation; client 1 for ever."""

        def interval(self, client, time_s):
            if client == 1:
                return True, math.inf
            return (True, 1.0) if time_s < 1.0 else (False, math.inf)

    prices = network(up=1e9, down=1e9, cycles=4e8)  # 2 s for 5 examples
    run, recorder = run_toy(2, 3, churn=Gone(), **prices)
    (lost,) = recorder.of("lost")
    assert lost["time_s"] == 1.0
    assert math.isclose(lost["energy_j"], 1e-28 * 1e18 * 1e9, rel_tol=1e-3)  # 1 s at 1 GHz
    assert lost["uplink_bytes"] == 0
    assert run.tally.lost == 1
    assert {e["client"] for e in recorder.of("merge")} == {1}


def test_a_job_over_its_deadline_is_given_up_and_its_client_gets_another():
    prices = network(up=1e9, down=1e9, cycles=4e8, slowdown=(1.0, 0.1))  # 2 s and 0.4 s
    run, recorder = run_toy(2, 10, deadline_s=1.0, **prices)
    timeouts = recorder.of("timeout")
    assert run.tally.timed_out == len(timeouts) >= 3
    assert [e["time_s"] for e in timeouts] == pytest.approx([1.0 + i for i in range(len(timeouts))])
    assert [e["counter"] for e in timeouts] == list(range(1, len(timeouts) + 1))


def test_jobs_that_never_end_in_an_update_end_the_run():
    with pytest.raises(RunFailedError, match=r"jobs in a row have ended without an update, the last \(timeout\)"):
        run_toy(2, 5, deadline_s=1e-6)


def test_a_federation_whose_clients_are_all_gone_for_ever_ends_the_run():
    class Gone:
        def interval(self, client, time_s):
            return (True, 1.0) if time_s < 1.0 else (False, math.inf)

    with pytest.raises(RunFailedError, match=r"no client is left at 1 s: \d of 500 merges made"):
        run_toy(2, 500, churn=Gone())


def test_another_number_of_nodes_than_expected_is_refused():
    with pytest.raises(RunFailedError, match="has 4 nodes, the run expects 5"):
        run_toy(4, 5, expected_nodes=5)


def test_clients_that_do_not_train_get_no_jobs_but_are_evaluated():
    recorder = Recorder()
    run, _ = run_toy(4, 12, app=toy_app(trains=lambda client: client < 2), recorder=recorder)
    assert {e["client"] for e in recorder.of("merge")} == {0, 1}
    assert run.ledger.of(3, "evaluate").payload_bytes > 0
    with pytest.raises(RunFailedError, match="none of the 4 nodes trains"):
        run_toy(4, 5, app=toy_app(trains=lambda client: False))


def test_metrics_of_clients_are_averaged_by_their_examples():
    run, _ = run_toy(4, 20, evaluate_every=5, evaluate_first=True)
    assert sorted(run.client_scores) == [0, 5, 10, 15, 20]
    mean = float(arrays_of_run(run)[0].mean())
    assert math.isclose(run.client_scores[20]["mean"], mean, rel_tol=1e-6)
    # each client is asked with the state of its last finished job, also if it has computed the next already
    jobs = run.jobs.table.state
    assert run.client_scores[20]["jobs"] == sum(examples_of(c) * jobs[c] for c in range(4)) / 50
    assert dict(run.result.evaluate_metrics_clientapp[20]) == run.client_scores[20]


def test_central_evaluation_sees_the_number_of_merges_and_the_arrays():
    from flwr.app import MetricRecord

    seen = []

    def evaluate(merges, arrays):
        seen.append(merges)
        return MetricRecord({"first": float(arrays.to_numpy_ndarrays()[0][0, 0])})

    run, recorder = run_toy(3, 12, evaluate_every=6, evaluate_clients=False, evaluate_fn=evaluate)
    assert seen == [6, 12]
    assert run.server_scores[12]["first"] == float(arrays_of_run(run)[0][0, 0])
    assert [e["merge"] for e in recorder.of("evaluate")] == [6, 12]
    assert run.client_scores == {}


def test_the_default_price_is_that_of_the_papers():
    from eafl_flower.strategies import RunOptions

    options = RunOptions()
    assert options.processors == Processors(energy=CMOSEnergy(), slowdown=(1.0,))
    assert (options.radio.uplink_rate_bit_s, options.radio.downlink_rate_bit_s) == (1e6, 5e6)
    assert np.isclose(options.radio.uplink_power_w, 0.2)
