import numpy as np
import pytest

from eafl_flower.aggregation import Constant, FedAsync, FedAvg, FedBuff, Polynomial
from eafl_flower.core.rng import generator
from eafl_flower.errors import ConfigError, UpdateRefusedError
from eafl_flower.types import Update

START = np.array([1.0, -2.0, 4.0])


def _update(delta, *, base=None, base_version=0, client=0, num_examples=1):
    base = None if base is None else (np.asarray(base, dtype=float),)
    delta = (np.asarray(delta, dtype=float),)
    return Update(client=client, delta=delta, base=base, base_version=base_version, num_examples=num_examples)


def test_fedasync_mixes_the_clients_arrays_not_its_delta():
    aggregator = FedAsync(mixing=0.5, staleness=Constant())
    state = aggregator.init((START,))
    base = np.array([10.0, 20.0, 30.0])  # an old version, far away
    state, _ = aggregator.apply(state, [_update([1.0, 1.0, 1.0], base=base)])
    assert state.arrays[0].tolist() == (0.5 * START + 0.5 * (base + 1.0)).tolist()


def test_fedasync_has_its_closed_form_for_stale_updates():
    aggregator = FedAsync(mixing=0.6, staleness=Polynomial(0.5))
    state = aggregator.init((START,))
    expected = START.copy()
    rng = generator(6, "fedasync")
    versions = [START.copy()]
    for staleness in (0, 1, 0, 3):
        base_version = state.version - staleness
        delta = rng.normal(size=3)
        update = _update(delta, base=versions[base_version], base_version=base_version)
        state, (merged,) = aggregator.apply(state, [update])
        share = 0.6 * (1 + staleness) ** -0.5
        expected = (1 - share) * expected + share * (versions[base_version] + delta)
        versions.append(expected)
        assert (merged.staleness, merged.weight) == (staleness, (1 + staleness) ** -0.5)
    # Ten roundings of float64 on values below 8.
    assert np.abs(state.arrays[0] - expected).max() < 10 * 8 * 2**-53 * 4


def test_fedasync_with_all_the_share_forgets_the_old_arrays():
    aggregator = FedAsync(mixing=1.0)
    state, _ = aggregator.apply(aggregator.init((START,)), [_update([1, 1, 1], base=[0, 0, 0])])
    assert state.arrays[0].tolist() == [1.0, 1.0, 1.0]


def test_fedasync_needs_the_base_and_checks_it():
    aggregator = FedAsync()
    state = aggregator.init((START,))
    with pytest.raises(ValueError, match="client 0 has no base: FedAsync mixes the client's arrays"):
        aggregator.apply(state, [_update(START)])
    for base, message in (([1, 2], r"shape \(2,\), expected \(3,\)"), ([np.inf, 0, 0], "is not finite")):
        with pytest.raises(UpdateRefusedError, match=message):
            aggregator.apply(state, [_update(START, base=base)])
    assert aggregator.arrays(state)[0].tolist() == START.tolist()


def test_fedbuff_adds_the_weighted_mean_of_k_updates_at_once():
    aggregator = FedBuff(buffer_size=3, server_rate=0.5)
    state = aggregator.init((START,))
    deltas = generator(6, "fedbuff").normal(size=(6, 3))
    for n, base_version in enumerate([0, 0, 0, 1, 0, 1]):
        state, _ = aggregator.apply(state, [_update(deltas[n], base_version=base_version)])
        assert (state.version, state.buffered, state.received) == ((n + 1) // 3, (n + 1) % 3, n + 1)
        if n < 2:
            assert aggregator.arrays(state)[0].tolist() == START.tolist()
    # The fifth update is one flush old: 1 / sqrt(2).
    weights = np.array([1, 1, 1, 1, 2**-0.5, 1])
    assert state.arrays[0] == pytest.approx(START + 0.5 / 3 * weights @ deltas, rel=1e-14)


@pytest.mark.parametrize(("before", "after", "number"), [(2, 4, 4), (5, 2, 4), (4, 3, 4), (5, 4, 4)])
def test_fedbuff_of_another_size_flushes_the_mean_of_all_that_a_buffer_holds(before, after, number):
    """``before`` - 1 or 3 updates are in the buffer, whichever is fewer, when its size changes."""
    deltas = generator(7, "fedbuff").normal(size=(number, 3))
    held = min(before - 1, 3)
    aggregator = FedBuff(buffer_size=before)
    state = aggregator.init((START,))
    for n in range(number):
        if n == held:
            aggregator = FedBuff(buffer_size=after)
        assert state.version == 0
        state, _ = aggregator.apply(state, [_update(deltas[n])])
    assert (state.version, state.buffered) == (1, 0)
    assert state.arrays[0] == pytest.approx(START + deltas.mean(axis=0), rel=1e-14)


def test_fedavg_by_the_barrier_is_the_mean_of_the_clients_models():
    rng = generator(6, "fedavg")
    models, examples = rng.normal(size=(5, 3)), [3, 1, 4, 1, 5]
    updates = [
        _update(model - START, client=k, num_examples=n)
        for k, (model, n) in enumerate(zip(models, examples, strict=True))
    ]
    aggregator = FedAvg()
    state, told = aggregator.apply(aggregator.init((START,)), updates)
    assert state.arrays[0] == pytest.approx(np.average(models, axis=0, weights=examples), rel=1e-14)
    assert (state.version, {merged.staleness for merged in told}) == (1, {0})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FedAsync(mixing=0.0), "mixing = 0.0: expected a number above 0 and at most 1"),
        (lambda: FedAsync(mixing=1.5), "mixing = 1.5"),
        (lambda: FedAvg(server_rate=float("nan")), "FedAvg: server_rate = nan"),
        (lambda: FedBuff(server_rate=0.0), "FedBuff: server_rate = 0.0"),
        (lambda: FedBuff(buffer_size=0), "buffer_size = 0: expected an integer of at least 1"),
    ],
)
def test_settings_out_of_range_are_named(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
