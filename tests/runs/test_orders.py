"""What a scheduler orders is what clients do, on every clock, and a run that resumes goes on with it."""

import pytest
from schedulers import Growing, OneAtATime
from toy_federation import Recorder, run_toy, toy_app

from eafl_flower.core.orders import NO_ORDER, Order
from eafl_flower.errors import CheckpointError, ConfigError, RunFailedError
from eafl_flower.runs.tally import MOST_FRUITLESS
from eafl_flower.schedulers.same import SameOrder
from eafl_flower.simulation.churn import OnOff
from eafl_flower.strategies import EMAM

CHURN = OnOff(seed=1, mean_on_s=30.0, mean_off_s=10.0)


def listening(heard, state_dir=None):
    """A ClientApp that notes the terms of all jobs of each client."""
    return toy_app(state_dir=state_dir, hear=lambda client, terms: heard.setdefault(client, []).append(terms))


def test_every_client_is_told_its_own_order():
    heard = {}
    run_toy(6, 30, app=listening(heard), scheduler=Growing(most=3))
    assert {client: [t["epochs"] for t in terms][:3] for client, terms in heard.items() if client < 3} == {
        0: [1, 2, 3],
        1: [2, 3, 3],
        2: [3, 3, 3],
    }
    assert [t["most-epochs"] for t in heard[4]] == [3] * len(heard[4])


def test_without_a_scheduler_nothing_is_told_and_an_order_of_nothing_is_the_same():
    heard = {}
    plain, told = run_toy(4, 20, app=listening(heard))
    ordered, same = run_toy(4, 20, scheduler=SameOrder())
    assert {name for terms in heard.values() for t in terms for name in t} == {
        *("run", "seed", "client", "counter", "load", "acknowledged", "durable")
    }
    assert plain.arrays_sha256() == ordered.arrays_sha256()
    assert told.told() == same.told()


def test_more_epochs_take_more_time_and_energy():
    one, told = run_toy(1, 3, min_available_nodes=1, min_train_nodes=1)
    four, more = run_toy(1, 3, min_available_nodes=1, min_train_nodes=1, scheduler=SameOrder(order=Order(epochs=4)))
    step_s = 5 * 1e6 / 1e9  # examples x cycles / frequency
    assert more.events[-1]["time_s"] - told.events[-1]["time_s"] == pytest.approx(3 * 3 * step_s, abs=0.3)
    assert four.ledger.total("compute").energy_j == pytest.approx(4 * one.ledger.total("compute").energy_j)


def test_a_scheduler_learns_of_each_job_when_it_begins_and_when_it_ends():
    run, recorder = run_toy(4, 20, scheduler=Growing())
    merged = {c: sum(e["client"] == c for e in recorder.of("merge")) for c in range(4)}
    assert run.plans.merged == merged
    assert sum(run.plans.begun.values()) == 20 + len(recorder.of("unfinished"))
    assert run.plans.energy_j == pytest.approx(sum(e["energy_j"] for e in recorder.of("merge")))


def test_whoever_gets_no_order_is_asked_again_when_something_has_happened():
    _, recorder = run_toy(4, 20, scheduler=OneAtATime())
    times = [e["time_s"] for e in recorder.of("merge")]
    assert [e["client"] for e in recorder.of("merge")] != [0] * 20
    assert times == sorted(set(times))
    assert {e["staleness"] for e in recorder.of("merge")} == {0}


@pytest.mark.parametrize("churn", [None, CHURN])
def test_a_run_ends_with_one_line_when_nobody_gets_an_order_and_no_job_is_open(churn):
    options = {} if churn is None else {"churn": churn}
    with pytest.raises(
        RunFailedError, match=r"OneAtATime has no order for any of the . clients that are there, and no"
    ):
        run_toy(4, 20, scheduler=OneAtATime(most=2), **options)


def test_that_nobody_is_there_for_a_while_does_not_put_off_the_end():
    asked = []

    class Counting(OneAtATime):
        def offer(self, state, client, forecast):
            asked.append(client)
            return super().offer(state, client, forecast)

    with pytest.raises(RunFailedError, match="Counting has no order"):
        run_toy(2, 20, scheduler=Counting(most=2), churn=OnOff(seed=1, mean_on_s=10.0, mean_off_s=30.0))
    assert len(asked) < 2 * (MOST_FRUITLESS + 100)  # each of those that are there, at each change but the first few


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_run_on_the_wall_ends_with_the_same_line():
    with pytest.raises(RunFailedError, match="OneAtATime has no order for any of the 4 clients that are there, and no"):
        run_toy(4, 20, clock="wall", scheduler=OneAtATime(most=2))


def test_what_is_no_order_is_refused():
    class Wrong(OneAtATime):
        def offer(self, state, client, forecast):
            return 3

    with pytest.raises(ConfigError, match="Wrong offered 3: expected an Order or None"):
        run_toy(4, 20, scheduler=Wrong())


@pytest.mark.parametrize("strategy", [None, EMAM])
@pytest.mark.parametrize("stop_at", [20, 26, 31])
def test_a_run_that_was_killed_goes_on_with_the_orders_it_had_given(tmp_path, stop_at, strategy):
    options = {"scheduler": Growing(), "checkpoint_every": 4, "churn": CHURN, "concurrency": 3}
    options |= {} if strategy is None else {"strategy": strategy}
    merges = 30 if strategy is None else 12
    heard, again = {}, {}
    whole, told = run_toy(5, merges, app=listening(heard, tmp_path / "a"), checkpoint=tmp_path / "whole", **options)
    path, recorder = tmp_path / "killed", Recorder(stop_at=stop_at)
    with pytest.raises(KeyboardInterrupt):
        run_toy(5, merges, recorder=recorder, checkpoint=path, app=listening(again, tmp_path / "b"), **options)
    run, recorder = run_toy(
        5, merges, recorder=recorder, checkpoint=path, resume=True, app=listening(again, tmp_path / "b"), **options
    )
    assert run.arrays_sha256() == whole.arrays_sha256()
    assert recorder.told() == told.told()
    for client, terms in again.items():  # jobs that were open are sent twice, with the same order
        orders = {t["counter"]: [t.get("epochs"), t.get("most-epochs")] for t in terms}
        assert orders == {t["counter"]: [t.get("epochs"), t.get("most-epochs")] for t in heard[client]}


def test_a_run_is_not_resumed_with_another_scheduler(tmp_path):
    path = tmp_path / "c"
    recorder = Recorder(stop_at=20)
    with pytest.raises(KeyboardInterrupt):
        run_toy(4, 20, recorder=recorder, checkpoint=path, checkpoint_every=5, scheduler=Growing())
    with pytest.raises(CheckpointError, match=r"scheduler\.most"):
        run_toy(4, 20, recorder=recorder, checkpoint=path, checkpoint_every=5, scheduler=Growing(most=9), resume=True)


def test_a_usual_order_is_nothing_at_all():
    assert Order() == NO_ORDER == SameOrder().offer(None, 0, None)


class OnTheWay(SameOrder):
    """Client 0 is done with its job halfway; all others train as ever, for unit 3."""

    def offer(self, state, client, forecast):
        if client == 0:
            return Order(until_s=forecast.time_s + 0.5 * forecast.epoch.time_s, leaving="abandon", unit=1)
        return Order(share=0.5 if client == 1 else 1.0, leaving="early" if client == 1 else "", unit=3)


def test_a_job_that_an_order_gives_up_is_charged_until_then_and_never_merged():
    whole, usual = run_toy(4, 20)
    run, recorder = run_toy(4, 20, scheduler=OnTheWay())
    assert {e["client"] for e in recorder.of("merge")} == {1, 2, 3}
    lost = recorder.of("lost")
    assert lost and {(e["client"], e["leaving"], e["unit"]) for e in lost} == {(0, "abandon", 1)}
    job = next(e for e in usual.of("merge") if e["client"] == 0)
    assert all(0 < e["energy_j"] < job["energy_j"] and e["uplink_bytes"] == 0 for e in lost)
    assert run.tally.lost == len(lost) and whole.tally.lost == 0


def test_examples_of_a_job_that_is_a_share_weigh_so_much():
    _, usual = run_toy(4, 20)
    _, recorder = run_toy(4, 20, scheduler=OnTheWay())
    weights = {e["client"]: e["num_examples"] for e in usual.of("merge")}
    for event in recorder.of("merge"):
        assert event["num_examples"] == weights[event["client"]] * (0.5 if event["client"] == 1 else 1)
        assert event["unit"] == 3 and event.get("leaving", "") == ("early" if event["client"] == 1 else "")


def test_where_a_job_comes_from_and_when_it_is_given_up_is_not_told_to_its_client():
    heard = {}
    run_toy(4, 20, app=listening(heard), scheduler=OnTheWay())
    assert not {"unit", "until-s", "share", "leaving"} & {name for terms in heard.values() for t in terms for name in t}


@pytest.mark.parametrize("wrong", [{"share": 0.0}, {"share": 1.5}, {"until_s": -1.0}, {"unit": -1}])
def test_an_order_that_cannot_be_one_is_refused(wrong):
    with pytest.raises(ConfigError, match="expected"):
        Order(**wrong)
