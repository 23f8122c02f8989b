import numpy as np
import pytest
from toy_federation import START, arrays_of_run, examples_of, initial, network, run_toy, same_for_all, step_of, toy_app

from eafl_flower.aggregation.reference import FedAvg, FedBuff
from eafl_flower.app.client import client_app
from eafl_flower.app.resolving import resolve
from eafl_flower.app.training import train
from eafl_flower.config import RunConfig
from eafl_flower.core.rng import generator
from eafl_flower.engines.inline import InlineGrid
from eafl_flower.errors import RunFailedError
from eafl_flower.schedulers.same import SameOrder
from eafl_flower.simulation.churn import OnOff
from eafl_flower.strategies import EMAM, AsyncEMAM, AsynchronousStrategy


def fedavg(**options):
    return AsynchronousStrategy(lambda *_: FedAvg(), barrier=True, **options)


def test_one_round_of_all_clients_is_the_mean_weighted_by_examples():
    run, recorder = run_toy(4, 1, strategy=EMAM, alpha=1.0)
    weights = np.array([examples_of(c) for c in range(4)], float)
    mean = sum(w * float(step_of(c)) for c, w in enumerate(weights)) / weights.sum()
    first, second = arrays_of_run(run)
    np.testing.assert_allclose(first, START + mean, rtol=1e-6)
    np.testing.assert_allclose(second, np.full(3, mean), rtol=1e-6)
    assert run.version == 1
    assert [e["merge"] for e in recorder.of("merge")] == [1, 1, 1, 1]
    assert {e["staleness"] for e in recorder.of("merge")} == {0}


def test_alpha_scales_the_step_of_a_round():
    run, _ = run_toy(2, 1, strategy=EMAM, alpha=0.5)
    mean = (5 * 0.1 + 10 * 0.2) / 15
    np.testing.assert_allclose(arrays_of_run(run)[1], np.full(3, 0.5 * mean), rtol=1e-6)


def test_a_client_that_fails_amid_the_uploads_of_others_changes_none_of_them():

    def failing(client, counter, arrays):
        if client == 3:
            raise ValueError("no more")

    slow = network(slowdown=(1.0, 1.0, 1.0, 8.0))  # its 20 examples take 0.16 s, an upload 0.29 s
    clean, told = run_toy(3, 1, strategy=EMAM, **slow)
    run, recorder = run_toy(4, 1, strategy=EMAM, app=toy_app(train=failing), **slow)
    late, early = ([{**e, "wall_s": 0} for e in r.of("merge")] for r in (recorder, told))
    assert late == early
    assert run.ledger.total("uplink") == clean.ledger.total("uplink")
    upload_s = clean.ledger.total("uplink").time_s / 3
    begun_s = [e["time_s"] - upload_s for e in early]
    assert max(begun_s) < recorder.of("error")[0]["time_s"] < min(e["time_s"] for e in early)


@pytest.mark.parametrize("slowdown", [(1.0,), (9.0, 1.0, 4.0, 2.0)])
def test_rounds_do_not_depend_on_who_is_first(slowdown):
    """Sums in the order of clients, so bit for bit."""
    reference, _ = run_toy(4, 5, strategy=fedavg)
    run, recorder = run_toy(4, 5, strategy=fedavg, **network(slowdown=slowdown, up=1e300, down=1e300))
    assert run.arrays_sha256() == reference.arrays_sha256()
    rounds = [[e["client"] for e in recorder.of("merge") if e["merge"] == m] for m in range(1, 6)]
    assert all(sorted(clients) == [0, 1, 2, 3] for clients in rounds)


def test_fedavg_is_the_loop_of_the_textbook():
    """Plain numpy, the clients' training as the only common part; rounding is all that may differ."""
    config = RunConfig.from_flat(
        {
            **{"data.clients": 6, "data.unseen": 1, "data.idm.rows-per-client": 32, "task.name": "softmax"},
            **{"strategy.name": "fedavg", "strategy.mode": "sync", "strategy.merges": 4},
            **{"codec.name": "none", "results.baselines": "none"},
        }
    )
    run = train(resolve(config), InlineGrid(client_app(resolve(config)), resolve(config).source.num_clients))
    workload = resolve(config).workload
    arrays = workload.initial(config.seed)
    for number in range(1, 5):
        results = []
        for client in range(5):
            rows = workload.source.partition(client)
            new, _ = workload.task.train(arrays, rows, generator(config.seed, "train", client, number), epochs=1)
            results.append((new, len(rows.y_train)))
        total = sum(n for _, n in results)
        arrays = tuple(
            sum(new[i].astype(np.float64) * n for new, n in results).astype(np.float64) / total
            for i in range(len(arrays))
        )
        arrays = tuple(a.astype(np.float32) for a in arrays)
    for ours, theirs in zip(arrays_of_run(run), arrays, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=1e-6)


def test_fedbuff_merges_when_its_buffer_is_full_and_rounds_are_merges():
    run, recorder = run_toy(
        4, 5, strategy=lambda **options: AsynchronousStrategy(lambda *_: FedBuff(buffer_size=3), **options)
    )
    assert run.version == 5
    assert run.tally.updates == 15
    assert [e["merge"] for e in recorder.of("merge")] == [m for m in range(1, 6) for _ in range(3)]


def test_num_rounds_counts_merges():
    run, recorder = run_toy(3, 17)
    assert (run.version, run.tally.updates, len(recorder.of("merge"))) == (17, 17, 17)
    run, recorder = run_toy(3, 17, strategy=EMAM)
    assert (run.version, run.tally.updates) == (17, 51)


def test_a_cohort_is_the_number_of_clients_in_a_round():
    _, recorder = run_toy(5, 8, strategy=EMAM, concurrency=2)
    rounds = [[e["client"] for e in recorder.of("merge") if e["merge"] == m] for m in range(1, 9)]
    assert all(len(set(clients)) == 2 for clients in rounds)
    assert len({c for clients in rounds for c in clients}) == 5


def test_a_round_goes_on_without_clients_that_vanish():
    run, _ = run_toy(4, 10, strategy=EMAM, **same_for_all(), churn=OnOff(seed=1, mean_on_s=3.0, mean_off_s=1.0))
    assert run.version == 10
    assert run.tally.lost > 0
    assert 10 < run.tally.updates < 40


def test_a_round_that_nobody_finishes_is_no_merge():
    def fail_once(client, counter, arrays):
        if counter == 1:
            raise ValueError("not yet")

    run, recorder = run_toy(3, 2, strategy=EMAM, app=toy_app(train=fail_once))
    assert [e["event"] for e in recorder.events[:4]] == ["start", "error", "error", "error"]
    assert run.version == 2


def test_alpha_one_of_a_single_fresh_client_is_its_model():
    """Without staleness and compression the merged arrays are the trained ones."""
    run, _ = run_toy(1, 1, strategy=AsyncEMAM, alpha=1.0, min_available_nodes=1)
    expected = [a + step_of(0) for a in initial().to_numpy_ndarrays()]
    for ours, theirs in zip(arrays_of_run(run), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_one_client_does_not_decide_where_a_round_goes(flower_log):
    """Its update is as long as four of the median one, in the first round too, and the log says so once."""

    def train(client, counter, arrays):
        step = np.float32(-1e6 if client == 2 else 0.1)
        return [a + step for a in arrays]

    run, _ = run_toy(5, 3, strategy=EMAM, app=toy_app(train=train))
    honest, _ = run_toy(
        5, 3, strategy=EMAM, app=toy_app(train=lambda client, counter, arrays: [a + np.float32(0.1) for a in arrays])
    )
    share = examples_of(2) / sum(examples_of(c) for c in range(5))
    moved = [a - b for a, b in zip(arrays_of_run(honest), arrays_of_run(run), strict=True)]
    assert all(0 < m.min() <= m.max() <= 3 * 0.1 * (1 + 4) * share * 1.001 for m in moved)
    assert "the update of client 2 has norm" in flower_log.text and "long update 3" in flower_log.text


def test_rounds_with_a_period_begin_at_its_multiples_with_all_who_are_there_then():
    churn = OnOff(seed=2, mean_on_s=8.0, mean_off_s=5.0)
    options = {**same_for_all(), "strategy": EMAM, "churn": churn, "round_period_s": 2.0}
    run, recorder = run_toy(6, 20, **options)
    by_round = {}
    for event in recorder.of("merge"):
        by_round.setdefault(event["base_version"], []).append(event)
    assert len(by_round) == run.version == 20
    for events in by_round.values():
        (start,) = {round(event["time_s"] - 1.5, 9) for event in events}
        assert start % 2.0 == 0
        there = {c for c in range(6) if churn.interval(c, start)[0] and churn.interval(c, start)[1] >= start + 1.5}
        assert {event["client"] for event in events} == there
    at_once, _ = run_toy(6, 20, **{**options, "round_period_s": 0.0})
    assert at_once.time_s < run.time_s


def test_a_run_of_rounds_with_a_period_ends_with_one_line_if_nobody_ever_comes():
    class Never(OnOff):
        def interval(self, client, time_s):
            return time_s < 3.0, 3.0 if time_s < 3.0 else float("inf")

    churn = Never(seed=1, mean_on_s=1.0, mean_off_s=1.0)
    with pytest.raises(RunFailedError, match="no client is left"):
        run_toy(3, 50, **same_for_all(), strategy=EMAM, churn=churn, round_period_s=2.0)


def test_rounds_that_nobody_has_orders_for_pass_whatever_their_period_rounds_to():
    """43 times 0.1 over 0.1 is below 43."""

    class Late(SameOrder):
        def offer(self, state, client, forecast):
            return super().offer(state, client, forecast) if forecast.time_s >= 5.0 else None

    _, recorder = run_toy(3, 2, **same_for_all(), strategy=EMAM, scheduler=Late(), round_period_s=0.1)
    assert min(event["time_s"] for event in recorder.of("merge")) == 5.0 + 1.5
