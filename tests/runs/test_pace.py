"""Rounds' worth of updates: a strategy put in FedAvg's place does as much, counts alike and asks alike."""

import signal
from collections import Counter
from contextlib import nullcontext

import numpy as np
import pytest
from flwr.app import MetricRecord
from flwr.serverapp.strategy import FedAvg
from foreign_app import NUM_CLIENTS, of_kind, run_foreign
from toy_federation import initial, run_toy, toy_app

from eafl_flower.aggregation.reference import FedBuff
from eafl_flower.engines.inline import InlineGrid
from eafl_flower.errors import CheckpointError
from eafl_flower.runs.pace import Pace
from eafl_flower.strategies import EMAM, AsyncEMAM, AsynchronousStrategy, StopRule


@pytest.mark.parametrize("strategy", [AsyncEMAM, EMAM], ids=["asynchronous", "barrier"])
@pytest.mark.parametrize(
    "arguments",
    [{}, {"fraction_train": 0.5}, {"fraction_train": 0.4, "min_train_nodes": 4}, {"fraction_evaluate": 0.5}],
    ids=str,
)
def test_it_does_as_many_updates_and_evaluations_as_fedavg(strategy, arguments):
    theirs, before = run_foreign(FedAvg(**arguments), 3)
    ours, after = run_foreign(made := strategy(**arguments), 3)
    assert len(of_kind(after, "train")) - len(of_kind(before, "train")) in range(NUM_CLIENTS)  # those still at work
    assert made.run.tally.updates == len(of_kind(before, "train"))
    for kind in ("train_metrics_clientapp", "evaluate_metrics_clientapp"):
        assert list(getattr(ours, kind)) == list(getattr(theirs, kind)) == [1, 2, 3]
        assert [set(r) for r in getattr(ours, kind).values()] == [set(r) for r in getattr(theirs, kind).values()]
    rounds = [Counter(c["server-round"] for c in of_kind(seen, "evaluate")) for seen in (before, after)]
    assert rounds[0] == rounds[1]


def test_a_round_with_a_barrier_is_fedavgs():
    theirs, _ = run_foreign(FedAvg(), 2)
    ours, _ = run_foreign(EMAM(alpha=1.0, norm_guard=0.0), 2)
    np.testing.assert_allclose(ours.arrays["w"].numpy(), theirs.arrays["w"].numpy(), rtol=1e-6)
    for kind in ("train_metrics_clientapp", "evaluate_metrics_clientapp"):
        for number in (1, 2):
            assert getattr(ours, kind)[number] == pytest.approx(dict(getattr(theirs, kind)[number]))


def test_clients_see_server_round_1_first_and_one_more_after_each_rounds_worth():
    made = AsyncEMAM(concurrency=1)
    _, seen = run_foreign(made, 3)
    trained = [c["server-round"] for c in of_kind(seen, "train")]
    assert trained == [1] * NUM_CLIENTS + [2] * NUM_CLIENTS + [3] * NUM_CLIENTS
    assert sorted(c["server-round"] for c in of_kind(seen, "evaluate")) == [1] * 6 + [2] * 6 + [3] * 6


def test_jobs_count_rounds_worth_where_merges_are_counted_too():
    _, seen = run_foreign(AsyncEMAM(concurrency=1, unit="merges", evaluate_every=5), 10)
    assert [c["server-round"] for c in of_kind(seen, "train")] == [1] * 6 + [2] * 4
    assert [c["server-round"] for c in of_kind(seen, "evaluate")] == [1] * 6 + [2] * 6


def test_evaluate_fn_is_called_with_0_and_after_each_rounds_worth():
    asked = []

    def evaluate(number, arrays):
        asked.append((number, float(arrays["w"].numpy()[0])))
        return MetricRecord({"w": asked[-1][1]})

    result, _ = run_foreign(made := AsyncEMAM(), 3, evaluate_fn=evaluate)
    assert [number for number, _ in asked] == [0, 1, 2, 3]
    assert asked[0][1] == 0.0
    assert asked[-1][1] == result.arrays["w"].numpy()[0]
    assert list(result.evaluate_metrics_serverapp) == [0, 1, 2, 3]
    assert made.run.version == 3 * NUM_CLIENTS


def test_an_evaluate_fn_that_returns_nothing_is_called_no_more_often():
    asked = []
    run_foreign(AsyncEMAM(evaluate_clients=False), 2, evaluate_fn=lambda number, _: asked.append(number))
    assert asked == [0, 1, 2]


def test_merges_are_counted_where_the_user_says_so():
    asked = []
    made = AsyncEMAM(unit="merges", evaluate_every=4)
    result, _ = run_foreign(made, 10, evaluate_fn=lambda number, _: asked.append(number))
    assert made.run.version == 10
    assert asked == list(result.evaluate_metrics_clientapp) == [4, 8, 10]
    assert list(result.train_metrics_clientapp) == list(range(1, 11))


def test_a_run_that_a_rule_ends_within_a_rounds_worth_counts_it_as_a_whole():
    rule = StopRule(payload_bytes=8 * 12 * 2)  # eight jobs of three weights, both ways
    result, _ = run_foreign(made := AsyncEMAM(concurrency=1, stop=rule), 5)
    assert made.run.version == 8
    assert list(result.evaluate_metrics_clientapp) == list(result.train_metrics_clientapp) == [1, 2]


def test_a_rounds_worth_of_a_buffer_is_as_many_updates():
    made = AsynchronousStrategy(lambda *_: FedBuff(buffer_size=4))
    result, _ = run_foreign(made, 2)
    assert (made.run.tally.updates, made.run.version) == (12, 3)
    assert list(result.evaluate_metrics_clientapp) == [1, 2]


def test_concurrency_only_limits_who_works_at_once():
    for given, in_flight in (({"fraction_train": 0.5}, 3), ({"fraction_train": 0.5, "concurrency": 2}, 2), ({}, 6)):
        run_foreign(made := AsyncEMAM(**given), 2)
        assert made.run.in_flight == in_flight
        assert made.run.version == 2 * (3 if given else 6)


@pytest.mark.parametrize("cut", [3, 4, 5])
def test_a_resumed_run_goes_on_in_the_midst_of_a_rounds_worth(tmp_path, cut):
    def run(place, **options):
        given = {"fraction_train": 0.5, "concurrency": 2, "checkpoint": tmp_path / place / "checkpoint"} | options
        made = AsyncEMAM(**given)
        with pytest.raises(KeyboardInterrupt) if "on_merge" in options else nullcontext():
            made.start(InlineGrid(toy_app(state_dir=tmp_path / place), 4), initial(), num_rounds=3)
        return made

    def interrupt(merge, event):
        if merge == cut:
            signal.raise_signal(signal.SIGINT)

    whole = run("whole").run
    run("cut", on_merge=interrupt)
    with pytest.raises(CheckpointError, match="unit: rounds -> merges"):
        run("cut", resume=True, unit="merges")
    resumed = run("cut", resume=True).run
    assert resumed.arrays_sha256() == whole.arrays_sha256()
    for kind in ("train_metrics_clientapp", "evaluate_metrics_clientapp"):
        ours, theirs = ({k: dict(r) for k, r in getattr(r.result, kind).items()} for r in (resumed, whole))
        assert ours == theirs
        assert list(theirs) == [1, 2, 3]


def test_a_line_for_each_rounds_worth_tells_merges_staleness_time_and_scores(progress_log):
    run_foreign(AsyncEMAM(), 2, evaluate_fn=lambda number, _: MetricRecord({"central": float(number)}))
    text = progress_log.text
    assert "2 rounds' worth of 6 updates each, 12 in all, from 6 clients, 6 at a time" in text
    for number in (1, 2):
        assert rf"[ROUND {number}/2] {6 * number} merges, staleness " in text
    assert "s of virtual time; train: loss" in text
    assert "; evaluate: accuracy 3.333, central 2" in text


def test_a_client_cannot_write_to_the_terminal_through_the_name_of_a_metric(progress_log):
    def spoil(client, counter, reply):
        reply.content["metrics"]["\x1b[2Jgone"] = 1.0
        return reply

    run_toy(3, 2, unit="rounds", app=toy_app(spoil=spoil))
    assert "?[2Jgone" in progress_log.text
    assert "\x1b" not in progress_log.text


def test_a_pace_counts_whole_units_and_those_begun():
    pace = Pace(unit="rounds", round_size=4, barrier=False)
    for updates in range(20):
        assert pace.done(merges=updates, updates=updates) == updates // 4
        assert pace.begun(merges=updates, updates=updates) == -(-updates // 4)
        assert pace.server_round(merges=updates, updates=updates) == 1 + updates // 4
