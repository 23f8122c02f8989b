"""How many epochs clients make: ordered round by round, or their own affair and priced as they were made."""

import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import pytest
from shared_link import SharedLink
from toy_federation import Recorder, examples_of, network, run_toy, toy_app

from eafl_flower.core.orders import Enough, Order
from eafl_flower.schedulers.same import Fixed, SameOrder
from eafl_flower.schedulers.stalling import WhenStalled
from eafl_flower.schedulers.until_enough import UntilEnough
from eafl_flower.simulation.churn import OnOff
from eafl_flower.strategies import EMAM, AsyncEMAM

EPOCH_S = 1e-3  # of one example
UP_S = 8e-3  # of one byte


def reporting(report, *, state_dir=None, hear=None):
    """A ClientApp whose clients report also what ``report(client, counter)`` says."""

    def add(client, counter, reply):
        if reply.has_content():
            reply.content["metrics"].update(report(client, counter))
        return reply

    return toy_app(state_dir=state_dir, spoil=add, hear=hear)


def falling(client, counter):
    """A loss that falls by 10 % a job for three jobs and then hardly."""
    return {"loss": 0.9 ** min(counter, 3) * (1 + 0.01 * client)}


def rounds_of(recorder):
    """Return the epochs of the merged updates of each round."""
    found = defaultdict(set)
    for event in recorder.of("merge"):
        found[event["merge"]].add(event["epochs"])
    return [found[merge] for merge in sorted(found)]


def test_behind_a_barrier_all_clients_make_the_same_epochs_and_more_once_the_loss_stalls():
    scheduler = WhenStalled(share=0.02)
    run, recorder = run_toy(4, 7, strategy=EMAM, app=reporting(falling), scheduler=scheduler)
    assert rounds_of(recorder) == [{2}, {2}, {2}, {2}, {3}, {4}, {5}]
    assert run.plans.epochs == 5  # of the last round that began


def test_epochs_that_change_change_what_a_round_costs():
    scheduler = WhenStalled(share=2.0, most=4)
    run, recorder = run_toy(3, 4, strategy=EMAM, app=reporting(falling), scheduler=scheduler)
    epochs = [2, 3, 4, 4]
    assert rounds_of(recorder) == [{n} for n in epochs]
    samples = sum(epochs) * sum(examples_of(client) for client in range(3))
    one, _ = run_toy(3, 1, strategy=EMAM, scheduler=SameOrder(order=Order(epochs=1)))
    per_sample = one.ledger.total("compute").energy_j / sum(examples_of(client) for client in range(3))
    assert run.ledger.total("compute").energy_j == pytest.approx(samples * per_sample)


def test_asynchronously_a_rounds_worth_of_updates_is_a_round():
    """Here every round stalls, so that a job which was sent after n updates belongs to round 1 + n // 4."""
    _, recorder = run_toy(4, 40, app=reporting(falling), scheduler=WhenStalled(share=2.0), min_train_nodes=4)
    merges = recorder.of("merge")
    assert [e["epochs"] for e in merges] == [2 + e["base_version"] // 4 for e in merges]
    assert {e["epochs"] for e in merges} == set(range(2, 12))


def test_the_mean_loss_of_a_rounds_worth_is_that_of_the_updates_counted_in_it():
    class Listening(WhenStalled):
        def learn(self, state, outcome):
            heard.append(outcome)
            return super().learn(state, outcome)

    heard = []
    _, recorder = run_toy(4, 20, app=reporting(falling), scheduler=Listening(), min_train_nodes=4)
    merged = [outcome for outcome in heard if outcome.kind == "merged"]
    assert [outcome.server_round for outcome in merged] == [1 + n // 4 for n in range(20)]
    assert [outcome.num_examples for outcome in merged] == [e["num_examples"] for e in recorder.of("merge")]
    for outcome, event in zip(merged, recorder.of("merge"), strict=True):
        assert outcome.upload.time_s == pytest.approx(UP_S * event["uplink_bytes"])
        assert outcome.upload.energy_j == pytest.approx(0.2 * outcome.upload.time_s)
    begun = [outcome.server_round for outcome in heard if outcome.kind == "begun"]
    assert begun == sorted(begun)


def test_a_forecast_tells_what_an_epoch_takes():
    class Listening(UntilEnough):
        def offer(self, state, client, forecast):
            epochs[client] = forecast.epoch
            return super().offer(state, client, forecast)

    epochs = {}
    run_toy(3, 6, scheduler=Listening(), **network(slowdown=(1.0, 2.0, 3.0)))
    for client, epoch in epochs.items():
        assert epoch.time_s == pytest.approx(EPOCH_S * examples_of(client) * (client + 1))
    assert epochs.keys() == {0, 1, 2}


@pytest.mark.parametrize("strategy", [AsyncEMAM, EMAM], ids=["asynchronous", "barrier"])
@pytest.mark.parametrize("stop_at", [13, 22, 31])
def test_a_run_that_was_killed_goes_on_with_the_epochs_it_had_come_to(tmp_path, stop_at, strategy):
    churn = OnOff(seed=1, mean_on_s=30.0, mean_off_s=10.0)
    options = {"scheduler": WhenStalled(share=0.05), "checkpoint_every": 2, "strategy": strategy, "churn": churn}
    merges = 36 if strategy is AsyncEMAM else 9
    whole, told = run_toy(5, merges, app=reporting(falling), checkpoint=tmp_path / "whole", **options)
    recorder = Recorder(stop_at=stop_at)
    app = reporting(falling, state_dir=tmp_path / "states")
    with pytest.raises(KeyboardInterrupt):
        run_toy(5, merges, recorder=recorder, checkpoint=tmp_path / "killed", app=app, **options)
    run, recorder = run_toy(
        5, merges, recorder=recorder, checkpoint=tmp_path / "killed", resume=True, app=app, **options
    )
    assert recorder.told() == told.told()
    assert (run.plans, run.arrays_sha256()) == (whole.plans, whole.arrays_sha256())
    assert len({e["epochs"] for e in recorder.of("merge")}) > 2


def made(client, counter):
    """From two epochs to five, each client and job another number."""
    return {"loss": 1.0, "epochs": 2 + (client + counter) % 4}


RULE = SameOrder(order=Order(stop=Enough(most=5)))


def test_a_client_that_stops_by_itself_pays_for_the_epochs_it_made():
    run, recorder = run_toy(1, 6, app=reporting(made), scheduler=RULE, min_available_nodes=1, min_train_nodes=1)
    epochs = [e["epochs"] for e in recorder.of("merge")]
    assert epochs == [2 + counter % 4 for counter in range(1, 7)]
    ordered = Replay(tuple(epochs))
    like, told = run_toy(1, 6, app=reporting(made), scheduler=ordered, min_available_nodes=1, min_train_nodes=1)
    assert [e["energy_j"] for e in recorder.of("merge")] == [e["energy_j"] for e in told.of("merge")]
    assert run.ledger.total("compute") == like.ledger.total("compute")
    assert [e["time_s"] for e in recorder.of("merge")] == [e["time_s"] for e in told.of("merge")]


@dataclass(frozen=True)
class Replay:
    """Orders of the only client's jobs what somebody made."""

    epochs: tuple[int, ...]

    def init(self, clients):
        return ()

    def offer(self, state, client, forecast):
        return Order(epochs=self.epochs[forecast.jobs % len(self.epochs)])

    def learn(self, state, outcome):
        return state


@pytest.mark.parametrize("said", [{}, {"epochs": 1}, {"epochs": 77}, {"epochs": 2.5}, {"epochs": math.nan}])
def test_who_says_nothing_believable_pays_for_the_most(said):
    app = reporting(lambda client, counter: {"loss": 1.0, **said})
    run, recorder = run_toy(2, 6, app=app, scheduler=RULE)
    five, told = run_toy(2, 6, app=app, scheduler=SameOrder(order=Order(epochs=5)))
    assert [e["epochs"] for e in recorder.of("merge")] == [5] * 6
    assert run.ledger.total("compute") == five.ledger.total("compute")
    assert [e["time_s"] for e in recorder.of("merge")] == [e["time_s"] for e in told.of("merge")]


@pytest.mark.parametrize("strategy", [AsyncEMAM, EMAM], ids=["asynchronous", "barrier"])
def test_each_uploads_when_it_has_computed_what_it_made(strategy):
    epochs = {0: 5, 1: 2, 2: 3}
    options = {**network(cycles=1e8), "strategy": strategy, "scheduler": RULE, "evaluate_clients": False}
    app = reporting(lambda client, counter: {"epochs": epochs[client]})
    _, recorder = run_toy(3, 9 if strategy is AsyncEMAM else 1, app=app, **options)
    first = {e["client"]: e for e in reversed(recorder.of("merge"))}
    assert first.keys() == epochs.keys()
    for client, event in first.items():
        download_s, upload_s = 8e-4 * event["downlink_bytes"], UP_S * event["uplink_bytes"]
        computes_s = 100 * EPOCH_S * examples_of(client) * epochs[client]
        assert event["time_s"] == pytest.approx(download_s + computes_s + upload_s)


def test_a_shared_link_is_asked_about_a_round_with_the_times_at_which_its_uploads_really_begin():
    class Told(SharedLink):
        def grants(self, time_s, uploads):
            starts_s.update({upload.client: upload.start_s for upload in uploads})
            return super().grants(time_s, uploads)

    epochs, radio, starts_s = {0: 5, 1: 2, 2: 3}, Told(), {}
    app = reporting(lambda client, counter: {"epochs": epochs[client]})
    run_toy(3, 1, strategy=EMAM, app=app, radio=radio, scheduler=RULE, processors=network(cycles=1e8)["processors"])
    computes_s = {c: 100 * EPOCH_S * examples_of(c) * n for c, n in epochs.items()}
    ((asked_s, clients),) = radio.asked
    assert (asked_s, clients) == (0.0, [0, 1, 2])
    # a model of nine numbers goes down
    assert starts_s == pytest.approx({client: 8e-4 * 36 + time_s for client, time_s in computes_s.items()})


@pytest.mark.parametrize("strategy", [AsyncEMAM, EMAM], ids=["asynchronous", "barrier"])
def test_a_client_that_is_gone_while_it_computes_on_is_charged_for_that_long(strategy):
    options = {**network(cycles=1e8), "strategy": strategy, "scheduler": RULE, "deadline_s": 4.0}
    app = reporting(lambda client, counter: {"epochs": 5 if client == 1 else 2})
    run, recorder = run_toy(2, 4 if strategy is AsyncEMAM else 2, app=app, **options)
    assert {e["client"] for e in recorder.of("merge")} == {0}
    late = recorder.of("timeout")
    assert {e["client"] for e in late} == {1}
    power_w = run.ledger.total("compute").energy_j / run.ledger.total("compute").time_s
    download = 0.8e-3 * late[0]["downlink_bytes"]
    assert late[0]["energy_j"] == pytest.approx((4.0 - download) * power_w + 0.1 * download)
    assert late[0]["uplink_bytes"] == 0


def test_a_shared_link_is_not_asked_about_whoever_is_gone_before_it_has_computed():
    radio = SharedLink()
    app = reporting(lambda client, counter: {"epochs": 5 if client == 1 else 2})
    options = {"radio": radio, "processors": network(cycles=1e8)["processors"], "deadline_s": 4.0}
    _, recorder = run_toy(2, 3, strategy=EMAM, app=app, scheduler=RULE, **options)
    assert [clients for _, clients in radio.asked] == [[0]] * 3
    assert {e["client"] for e in recorder.of("timeout")} == {1}


@pytest.mark.parametrize("strategy", [AsyncEMAM, EMAM], ids=["asynchronous", "barrier"])
@pytest.mark.parametrize("radio", [None, SharedLink], ids=["apart", "shared"])
@pytest.mark.parametrize("stop_at", [9, 17, 24])
def test_a_run_killed_while_clients_compute_on_goes_on_as_if_nothing_had_happened(tmp_path, stop_at, strategy, radio):
    options = {"scheduler": UntilEnough(most=5, round_time_s=0.5), "checkpoint_every": 1, "strategy": strategy}
    options |= {"churn": OnOff(seed=1, mean_on_s=30.0, mean_off_s=10.0), **network(cycles=1e7)}
    merges = 30 if strategy is AsyncEMAM else 8

    def go(name, recorder=None, **more):
        radios = {} if radio is None else {"radio": radio()}
        app = reporting(made, state_dir=tmp_path / name)
        more = {**options, **radios, **more}
        return run_toy(5, merges, recorder=recorder, checkpoint=tmp_path / f"{name}.c", app=app, **more)

    whole, told = go("whole")
    recorder = Recorder(stop_at=stop_at)
    with pytest.raises(KeyboardInterrupt):
        go("killed", recorder)
    run, recorder = go("killed", recorder, resume=True)
    assert recorder.told() == told.told()
    assert run.arrays_sha256() == whole.arrays_sha256()
    assert run.ledger.total() == whole.ledger.total()
    assert all(np.array_equal(a, b) for a, b in zip(vars(run.plans).values(), vars(whole.plans).values(), strict=True))


def test_on_the_wall_a_client_pays_for_the_epochs_it_made():
    run, recorder = run_toy(
        1, 6, clock="wall", app=reporting(made), scheduler=RULE, min_train_nodes=1, min_available_nodes=1
    )
    epochs = sum(e["epochs"] for e in recorder.of("merge"))
    assert epochs == sum(2 + counter % 4 for counter in range(1, 7))
    assert not recorder.of("unfinished")
    assert run.ledger.total("compute").time_s == pytest.approx(EPOCH_S * examples_of(0) * epochs)


def test_without_an_order_of_epochs_an_event_has_none():
    _, recorder = run_toy(2, 4)
    assert not any("epochs" in e for e in recorder.of("merge"))
    _, recorder = run_toy(2, 4, scheduler=Fixed(epochs=3).make())
    assert {e["epochs"] for e in recorder.of("merge")} == {3}
