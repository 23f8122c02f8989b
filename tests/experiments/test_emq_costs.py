"""Rounds that are replayed cost what they cost in a run, and budgets end both at the same round."""

import numpy as np
import pytest

from eafl_flower.app.client import client_app
from eafl_flower.app.resolving import resolve
from eafl_flower.app.training import train
from eafl_flower.engines import InlineGrid
from experiments.emq.costs import Rounds, allocator, costs_of, gains_of, rounds_within
from experiments.emq.recording import Recording, recorded
from experiments.emq.settings import ALLOCATORS, QUANTISERS, configured, processor_of

ROUNDS, SEED = 3, 5


class Log:
    def __init__(self):
        self.merges, self.stop = [], ""

    def write(self, event):
        if event["event"] == "merge":
            self.merges.append(event)
        self.stop = event["reason"] if event["event"] == "stop" else self.stop

    def close(self):
        pass


def run(config):
    log = Log()
    made = train(resolve(config), InlineGrid(client_app(resolve(config)), config.data.clients), observer=log)
    return made, log


def of_each_round(log, field):
    return [[e[field] for e in log.merges if e["merge"] == n] for n in sorted({e["merge"] for e in log.merges})]


@pytest.fixture(scope="module")
def settings():
    return {"data.clients": 6, "task.cnn.hidden": 16, "evaluate.every": 0, "data.dirichlet-alpha": 1.0}


@pytest.fixture(scope="module")
def replayed(settings):
    """Return what a recording of EMQ, whose payloads differ, costs under every method, over the drop of its seed."""
    config = configured("digits-skewed", SEED, QUANTISERS["EMQ"], settings, rounds=ROUNDS)
    recording = Recording.of(recorded(config.replace({"evaluate.every": 1})))
    costs = {}
    for name, allocation in ALLOCATORS.items():
        radio = config.replace(allocation).radio.part.make(SEED)
        costs[name] = costs_of(
            recording.rounds(processor_of(config)), gains_of(radio, config.data.clients), allocator(radio)
        )
    return config, recording, costs


@pytest.mark.parametrize("name", ALLOCATORS)
def test_a_round_costs_what_it_costs_in_a_run_over_the_same_network(replayed, name):
    config, recording, costs = replayed
    made, log = run(config.replace(ALLOCATORS[name]))
    ends_s = [max(times) for times in of_each_round(log, "time_s")]
    assert np.diff([0.0, *ends_s]) == pytest.approx(costs[name].latency_s, rel=1e-9)
    assert [sum(e) for e in of_each_round(log, "energy_j")] == pytest.approx(costs[name].energy_j, rel=1e-9)
    assert 8 * made.ledger.total("uplink").payload_bytes == recording.wire.sum()
    assert costs[name].uncertified == made.tally.uncertified == 0


@pytest.mark.parametrize("kind", ["energy", "latency"])
def test_a_run_that_stops_within_its_budget_makes_as_many_rounds(replayed, kind):
    config, _, costs = replayed
    spent = {"energy": np.cumsum(costs["SQP"].energy_j), "latency": np.cumsum(costs["SQP"].latency_s)}
    between = float(spent[kind][:2].mean())  # enough for one round, too little for two
    budgets = {"energy": np.inf, "latency": np.inf, kind: between}
    stop = {"energy": "stop.energy-j", "latency": "stop.virtual-time-s"}[kind]
    made, log = run(config.replace({**ALLOCATORS["SQP"], stop: between, "stop.within-budget": True}))
    expected = rounds_within(costs["SQP"].energy_j, costs["SQP"].latency_s, budgets["energy"], budgets["latency"])
    assert made.version == expected == 1
    assert "next round would" in log.stop


def test_powers_that_do_not_depend_on_payloads_are_solved_once(replayed):
    _, _, costs = replayed
    assert {name: c.solves for name, c in costs.items()} == {
        "SQP": ROUNDS, "Dinkelbach": 1, "max-sum-rate": 1, "full power": 1,
    }  # fmt: skip


def test_equal_rounds_are_solved_once_and_cost_the_same(replayed):
    config, _, _ = replayed
    radio = config.replace(ALLOCATORS["SQP"]).radio.part.make(SEED)
    rounds = Rounds(
        bits=np.full((4, 6), 1e5),
        epochs=np.full((4, 6), 2),
        samples=np.arange(10, 16),
        processor=processor_of(config),
    )
    costs = costs_of(rounds, gains_of(radio, 6), allocator(radio))
    assert costs.solves == 1
    assert len(set(costs.energy_j)) == len(set(costs.latency_s)) == 1


def test_computation_takes_the_cycles_of_all_rows_and_epochs():
    config = configured("digits-iid", 1)
    rounds = Rounds(
        bits=np.ones((1, 2)), epochs=np.array([[2, 3]]), samples=np.array([100, 50]), processor=processor_of(config)
    )
    time_s, energy_j = rounds.computation
    cycles = 12_000 * np.array([[200, 150]])
    assert time_s == pytest.approx(cycles / 1e9)
    assert energy_j == pytest.approx(5e-30 / 2 * cycles * 1e18)  # kappa/2 C f^2


def test_equal_rounds_fit_as_often_as_the_scarcer_budget_holds_them():
    energy_j, latency_s = np.full((3, 50), 0.3), np.full((3, 50), 2.0)
    for energy, latency in ((4.0, np.inf), (np.inf, 31.0), (4.0, 31.0), (0.2, 100.0), (100.0, 100.0)):
        expected = min(np.floor(energy / 0.3), np.floor(latency / 2.0), 50)
        assert (rounds_within(energy_j, latency_s, energy, latency) == expected).all()


def test_a_cheap_round_after_one_that_does_not_fit_is_not_made():
    assert rounds_within(np.array([1.0, 9.0, 0.1]), np.ones(3), 2.0, 10.0) == 1


def test_a_budget_that_is_met_exactly_is_kept():
    assert rounds_within(np.ones(4), np.ones(4), 3.0, 9.0) == 3
