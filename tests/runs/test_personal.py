"""Each client may start from arrays of its own: it is sent these, and its update is the difference to these."""

from dataclasses import dataclass

import numpy as np
import pytest
from toy_federation import START, Recorder, arrays_of_run, initial, network, step_of, toy_app

from eafl_flower.aggregation import FedAvg
from eafl_flower.codecs import Float32Codec, Int8Codec, LQGCMCodec
from eafl_flower.engines.inline import InlineGrid
from eafl_flower.strategies import AsynchronousStrategy

CODECS = {
    "plain": None,
    "float32": Float32Codec(),
    "int8": Int8Codec(),
    "lqgcm": LQGCMCodec(tuples=8, downlink_tuples=4),
}


@dataclass(frozen=True)
class Shifted(FedAvg):
    """Client k starts from the model and k, and evaluates the model and 10 k."""

    is_personal = True

    def arrays_of(self, state, client, order=None):
        shift = np.float32(client if order is not None else 10 * client)
        return tuple(array + shift for array in self.arrays(state, order))


@dataclass(frozen=True)
class Alike(Shifted):
    """Says that it has arrays for each, and means nobody."""

    is_personal = False


def run_of(
    aggregator=Shifted, codec=None, *, heard=None, state_dir=None, recorder=None, barrier=True, num_rounds=6, **options
):
    recorder = recorder or Recorder()

    def train(client, counter, arrays):
        if heard is not None:
            heard.append((client, arrays[0]))

    options = {"unit": "merges", "seed": 3, "node_timeout_s": 5.0, **network(), **options}
    strategy = AsynchronousStrategy(lambda *_: aggregator(), barrier=barrier, codec=codec, observer=recorder, **options)
    app = toy_app(codec=codec, state_dir=state_dir, train=train)
    strategy.start(InlineGrid(app, 3), initial(), num_rounds=num_rounds)
    return strategy.run, recorder


def test_each_client_is_sent_its_own_and_its_update_is_the_difference_to_that():
    heard = []
    run, recorder = run_of(heard=heard)
    model = START.copy()
    weights = np.array([1.0, 2.0, 3.0]) / 6  # by examples
    for round_ in range(6):
        for client, array in heard[3 * round_ : 3 * round_ + 3]:
            np.testing.assert_allclose(array, model + client, rtol=1e-6)
        model = model + np.float32(weights @ [step_of(client) for client in range(3)])
    np.testing.assert_allclose(arrays_of_run(run)[0], model, rtol=1e-6)
    assert len(recorder.of("merge")) == 18


def test_each_client_evaluates_its_own():
    run, _ = run_of(evaluate_every=3)
    mean = float(arrays_of_run(run)[0].mean())
    assert run.client_scores[6]["mean"] == pytest.approx(mean + 10 * (0 * 5 + 1 * 10 + 2 * 15) / 30, rel=1e-5)


def test_who_says_that_nobody_has_arrays_of_its_own_sends_all_the_same():
    run, _ = run_of(Alike, evaluate_every=3)
    other, _ = run_of(FedAvg, evaluate_every=3)
    assert run.arrays_sha256() == other.arrays_sha256()
    assert run.client_scores == other.client_scores


@pytest.mark.parametrize("barrier", [True, False])
@pytest.mark.parametrize("codec", CODECS)
def test_a_run_that_was_killed_sends_each_client_its_own_again(tmp_path, codec, barrier):
    def go(name, recorder=None, **more):
        options = {"checkpoint": tmp_path / f"{name}.c", "checkpoint_every": 2, "evaluate_every": 3, **more}
        options |= {"barrier": barrier, "num_rounds": 6 if barrier else 18}
        return run_of(codec=CODECS[codec], state_dir=tmp_path / name, recorder=recorder, **options)

    whole, told = go("whole")
    recorder = Recorder(stop_at=len(told.events) * 2 // 3)
    with pytest.raises(KeyboardInterrupt):
        go("killed", recorder)
    run, recorder = go("killed", recorder, resume=True)
    assert run.arrays_sha256() == whole.arrays_sha256()
    assert recorder.told() == told.told()
