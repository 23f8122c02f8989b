"""FedAvgM and FedAdam: closed forms, and Flower's own strategies on the same updates."""

import numpy as np
import pytest
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import strategy as flowers

from eafl_flower.aggregation import FedAdam, FedAvg, FedAvgM
from eafl_flower.config import RunConfig
from eafl_flower.core.rng import generator
from eafl_flower.engines import InlineGrid
from eafl_flower.errors import ConfigError
from eafl_flower.strategies import AsynchronousStrategy
from eafl_flower.types import Update

ROUNDS, CLIENTS = 6, 3


def update_of(client, number, shape):
    """A client's update of a round: its own direction and size, zeros among them."""
    rng = generator(1, "updates", client, number)
    return rng.standard_normal(shape) * 10.0 ** rng.integers(-4, 1, shape) * (rng.random(shape) < 0.9)


def app():
    """An app of which Flower's strategies and ours get the same updates."""
    made = ClientApp()

    @made.train()
    def train(message, context):
        client, number = context.node_config["partition-id"], message.content["config"]["server-round"]
        arrays = message.content["arrays"].to_numpy_ndarrays()
        new = [a + update_of(client, number, a.shape).astype(a.dtype) for a in arrays]
        metrics = MetricRecord({"num-examples": 5 * (client + 1)})
        return Message(RecordDict({"arrays": ArrayRecord(new), "metrics": metrics}), reply_to=message)

    return made


def each_round(strategy, start):
    """Run a strategy of either side; return its arrays after each round."""
    found = []

    def note(number, arrays):
        found.append(arrays.to_numpy_ndarrays())

    strategy.start(InlineGrid(app(), CLIENTS), ArrayRecord(list(start)), num_rounds=ROUNDS, evaluate_fn=note)
    return found


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    ("ours", "theirs", "magnified"),
    [
        (FedAvgM, {}, 1),
        (FedAvgM, {"server_learning_rate": 0.5}, 1),
        (FedAvgM, {"server_momentum": 0.9}, 10),  # 1 / (1 - momentum): a rounding is added again and again
        (FedAvgM, {"server_learning_rate": 0.3, "server_momentum": 0.5}, 2),
        (FedAdam, {"tau": 0.1}, 1),  # eta / tau: a rounding of an update, where all updates are small
        (FedAdam, {}, 100),
        (FedAdam, {"eta": 0.02, "beta_1": 0.0, "beta_2": 0.5, "tau": 0.01}, 2),
    ],
)
def test_every_round_is_that_of_flowers_own_strategy(ours, theirs, magnified, dtype):
    start = tuple(generator(2, "start", n).standard_normal((3, 2 + n)).astype(dtype) for n in range(2))
    common = {"fraction_evaluate": 0.0, "min_train_nodes": CLIENTS, "min_available_nodes": CLIENTS}
    reference = each_round(getattr(flowers, ours.__name__)(**theirs, **common), start)
    made = AsynchronousStrategy(lambda *_: ours(**theirs), barrier=True, unit="rounds", **common)
    found = each_round(made, start)
    assert len(found) == len(reference) == 1 + ROUNDS
    size = max(np.abs(a).max() for arrays in reference for a in arrays)
    for number, (mine, flower) in enumerate(zip(found, reference, strict=True)):
        # a client's arrays, their mean, the difference and the step are rounded, each by half a unit of the largest
        bound = number * 4 * (CLIENTS + 4) * np.finfo(dtype).eps * size * magnified
        for a, b in zip(mine, flower, strict=True):
            assert a.dtype == dtype
            np.testing.assert_allclose(a, b, rtol=0, atol=bound)
    assert not np.array_equal(found[1][0], found[0][0])


def merged(aggregator, start, deltas):
    """Return the arrays after one round of each of ``deltas``, which one client makes."""
    state, found = aggregator.init(start), []
    for number, delta in enumerate(deltas):
        updates = [Update(client=0, delta=delta, base_version=number, num_examples=1)]
        state, _ = aggregator.apply(state, updates)
        found.append(tuple(a.copy() for a in aggregator.arrays(state)))
    return found


def test_momentum_adds_up_to_a_geometric_series():
    """Equal updates d: after n rounds v = d (1 - b^n) / (1 - b)."""
    start, delta = (np.zeros(4),), (np.array([1.0, -2.0, 0.0, 0.5]),)
    found = merged(FedAvgM(server_momentum=0.5, server_learning_rate=0.1), start, [delta] * 20)
    expected = np.zeros(4)
    for n, (array,) in enumerate(found, start=1):
        expected += 0.1 * delta[0] * (1 - 0.5**n) / (1 - 0.5)
        np.testing.assert_allclose(array, expected, rtol=20 * np.finfo(float).eps)


def test_without_momentum_it_is_fedavg():
    start = (generator(3, "start").standard_normal((3, 4)).astype(np.float32), np.array(7))
    deltas = [(generator(3, "delta", n).standard_normal((3, 4)).astype(np.float32), np.array(n)) for n in range(5)]
    ours = merged(FedAvgM(server_learning_rate=0.3), start, deltas)
    theirs = merged(FedAvg(server_rate=0.3), start, deltas)
    assert all(np.array_equal(a, b) for x, y in zip(ours, theirs, strict=True) for a, b in zip(x, y, strict=True))


def test_adam_moves_by_its_rate_whatever_the_size_of_the_updates():
    """Equal updates d far above tau: after many rounds m = d and v = d^2, so that each round moves by eta sign(d)."""
    start, delta = (np.zeros(3),), (np.array([1e4, -1.0, 1e8]),)
    found = merged(FedAdam(eta=0.1, tau=1e-9), start, [delta] * 3000)
    np.testing.assert_allclose(found[-1][0] - found[-2][0], 0.1 * np.sign(delta[0]), rtol=1e-8)


def test_a_large_tau_makes_it_plain_momentum():
    r"""For tau above all updates the step is eta / tau times m with its correction."""
    start, delta = (np.zeros(3),), (np.array([1.0, -2.0, 0.25]),)
    found = merged(FedAdam(eta=1e9, beta_1=0.5, beta_2=0.0, tau=1e9), start, [delta] * 4)
    expected = np.zeros(3)
    for t, (array,) in enumerate(found, start=1):
        expected += delta[0] * (1 - 0.5**t) / (1 - 0.5 ** (t + 1))
        np.testing.assert_allclose(array, expected, rtol=1e-8)  # 1 + |d| / tau


@pytest.mark.parametrize("aggregator", [FedAvgM(server_momentum=0.9, server_learning_rate=0.1), FedAdam()])
def test_counters_get_the_whole_of_every_update_as_with_fedavg(aggregator):
    start = (np.ones(2, np.float32), np.array([7, 8]), np.array([True, False]))
    delta = (np.ones(2, np.float32), np.array([2, -1]), np.array([False, False]))
    updates = [Update(client=k, delta=delta, base_version=0, num_examples=1) for k in range(3)]
    state, _ = aggregator.apply(aggregator.init(start), updates)
    theirs, _ = FedAvg().apply(FedAvg().init(start), updates)
    for ours, expected in zip(state.arrays[1:], theirs.arrays[1:], strict=True):
        assert (ours.tolist(), ours.dtype) == (expected.tolist(), expected.dtype)
    assert state.arrays[1].tolist() == [13, 5]


def test_squares_of_halves_do_not_vanish():
    start, delta = (np.zeros(2, np.float16),), (np.array([1e-4, -1e-4], np.float16),)
    found = merged(FedAdam(eta=0.125, tau=1e-9), start, [delta] * 40)
    # as with larger updates: the corrected quotient of equal updates goes to 1
    steps = np.diff([a[0][0] for a in found]).astype(float)
    assert steps[-1] == pytest.approx(0.125, rel=0.1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FedAvgM(server_momentum=1.0), "server_momentum = 1.0: expected a number of at least 0 and below 1"),
        (lambda: FedAvgM(server_learning_rate=0.0), "server_learning_rate = 0.0"),
        (lambda: FedAdam(eta=-1.0), "eta = -1.0"),
        (lambda: FedAdam(beta_2=1.0), "beta_2 = 1.0"),
        (lambda: FedAdam(tau=0.0), "tau = 0.0: expected a number above 0"),
    ],
)
def test_settings_out_of_range_are_named(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


@pytest.mark.parametrize("name", ["fedavgm", "fedadam"])
def test_they_stand_behind_a_barrier(name):
    with pytest.raises(ConfigError, match=rf'strategy\.mode = "async": expected "sync" with strategy.name = "{name}"'):
        RunConfig.from_flat({"strategy.name": name})
    assert RunConfig.from_flat({"strategy.name": name, "strategy.mode": "sync"}).strategy.name == name
