"""The strategy EMQ: FedAvg over a cell-free uplink, within budgets."""

import doctest

import numpy as np
import pytest
from toy_federation import examples_of, initial, step_of, toy_app

from eafl_flower.aggregation.emam import EMAMAggregator
from eafl_flower.codecs import Int8Codec
from eafl_flower.codecs.emq.codec import EMQCodec
from eafl_flower.engines.inline import InlineGrid
from eafl_flower.errors import ConfigError
from eafl_flower.power.cell_free_radio import CellFree, CellFreeRadio
from eafl_flower.runs.limits import StopRule
from eafl_flower.strategies import EMQ, emq

CLIENTS = 5


def run(strategy, rounds=4, codec=None):
    return strategy.start(InlineGrid(toy_app(codec=codec), CLIENTS), initial(), num_rounds=rounds)


def flat(arrays):
    return np.concatenate([a.ravel() for a in arrays.to_numpy_ndarrays()])


def moved(result):
    return flat(result.arrays) - flat(initial())


# what FedAvg moves in a round: client k adds its step, weighed by its examples
STEP = sum(examples_of(k) * step_of(k) for k in range(CLIENTS)) / sum(examples_of(k) for k in range(CLIENTS))


def test_the_examples_of_the_docstrings_hold():
    assert doctest.testmod(emq).failed == 0


def test_with_plain_arrays_it_is_fedavg():
    assert moved(run(EMQ(codec=None))) == pytest.approx(4 * STEP, rel=1e-5)


def test_with_its_codec_it_is_fedavg_up_to_the_codecs_error():
    off = moved(run(EMQ(), codec=EMQCodec())) - 4 * STEP
    # each upload is off by at most a tenth of itself, each download by a hundredth of what has changed since
    assert np.linalg.norm(off) <= (0.1 + 0.01) * 4 * STEP * np.sqrt(len(off))


def test_the_ledger_has_what_rounds_took_and_the_budget_is_kept():
    free = EMQ(codec=None, seed=4)
    run(free, rounds=6)
    budget_j = 0.6 * free.run.ledger.total().energy_j
    bound = EMQ(codec=None, seed=4, energy_j=budget_j)
    result = run(bound, rounds=6)
    rounds = max(result.evaluate_metrics_clientapp)
    assert rounds == 3  # all rounds are alike: 0.6 of 6 are 3.6
    assert bound.run.ledger.total().energy_j == pytest.approx(free.run.ledger.total().energy_j / 2, rel=1e-9)
    assert "the next round would take" in bound.run.stop_reason


def test_other_seeds_are_other_places():
    joules = []
    for seed in (1, 1, 2):
        strategy = EMQ(codec=None, seed=seed)
        run(strategy)
        joules.append(strategy.run.ledger.total("uplink").energy_j)
    assert joules[0] == joules[1] != joules[2]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"energy_j": -1.0}, "energy_j = -1.0"),
        ({"time_s": float("nan")}, "time_s = nan"),
        ({"energy_j": 1.0, "stop": StopRule(time_s=1.0)}, "stop and energy_j or time_s say the same"),
        ({"network": CellFree(power="full"), "radio": CellFreeRadio()}, "radio and network say the same"),
        ({"fraction_fit": 0.5}, "fraction_fit is called fraction_train here"),
    ],
)
def test_arguments_that_are_wrong_or_contradict_each_other_are_refused(arguments, words):
    with pytest.raises(ConfigError, match=words):
        EMQ(**arguments)


def test_another_codec_and_another_rule_to_merge_take_their_places():
    codec = Int8Codec()
    half = EMQ(codec=codec, aggregator=EMAMAggregator(alpha=0.5))
    assert moved(run(half, rounds=1, codec=codec)) == pytest.approx(STEP / 2, abs=0.02)
