import json
import math
from dataclasses import replace

import numpy as np
import pytest

from eafl_flower.aggregation import (
    Constant,
    EMAMAggregator,
    Estimated,
    Exponential,
    HalfLife,
    Polynomial,
    energy,
    energy_gradient,
)
from eafl_flower.core.orders import Order
from eafl_flower.core.rng import generator
from eafl_flower.core.state import flatten, restore
from eafl_flower.errors import ConfigError, UpdateRefusedError
from eafl_flower.types import Update, digest

SHAPES = ((4, 3), (5,), ())


def _draw(purpose, *, dtype=np.float64):
    rng = generator(5, "emam", purpose)
    return tuple(np.asarray(rng.normal(size=shape), dtype=dtype) for shape in SHAPES)


def _update(delta, *, base_version=0, client=0, num_examples=1):
    return Update(client=client, delta=delta, base_version=base_version, num_examples=num_examples)


def _scalar(value):
    return (np.array([float(value)]),)


def _merge_all(aggregator, state, deltas):
    for delta in deltas:
        state, _ = aggregator.apply(state, [_update(delta, base_version=state.version)])
    return state


def _merged(aggregator, state, delta):
    """Return the state after one more fresh update, and how that was merged."""
    state, (merged,) = aggregator.apply(state, [_update(delta, base_version=state.version)])
    return state, merged


def _warmed(aggregator):
    """Return a state whose arrays and average differ, and copies of both."""
    state = _merge_all(aggregator, aggregator.init(_draw("start")), [_draw(f"warm {i}") for i in range(3)])
    return state, tuple(a.copy() for a in state.arrays), tuple(a.copy() for a in state.average)


@pytest.mark.parametrize("beta", [0.0, 0.2, 1.5])
def test_a_merge_is_the_minimiser_of_the_energy(beta):
    aggregator = EMAMAggregator(beta=beta, serve="average", staleness=HalfLife(2.0))
    state, before, average = _warmed(aggregator)
    delta = _draw("delta")
    state, _ = aggregator.apply(state, [_update(delta, base_version=state.version - 1)])
    push = tuple(0.8 * math.sqrt(0.5) * d for d in delta)
    gradient = energy_gradient(state.arrays, before, push, average=average, beta=beta)
    scale = max(float(np.abs(p).max()) for p in (*push, *before, *average))
    assert max(float(np.abs(g).max()) for g in gradient) < 1e-12 * scale


@pytest.mark.parametrize("beta", [0.0, 0.2, 1.5])
def test_the_energy_drops_by_half_the_stiffness_times_the_squared_step(beta):
    aggregator = EMAMAggregator(beta=beta, serve="average", staleness=Constant())
    state, before, average = _warmed(aggregator)
    delta = _draw("delta")
    state, _ = aggregator.apply(state, [_update(delta, base_version=state.version)])
    push = tuple(0.8 * d for d in delta)
    drop = energy(before, before, push, average=average, beta=beta) - energy(
        state.arrays, before, push, average=average, beta=beta
    )
    squared_step = sum(float(np.square(a - b).sum()) for a, b in zip(state.arrays, before, strict=True))
    assert drop == pytest.approx((1 + beta) / 2 * squared_step, rel=1e-12)


def test_the_energy_gradient_is_the_slope_of_the_energy():
    arrays, push, average, point, direction = (_draw(name) for name in ("a", "q", "m", "p", "d"))
    h = 1e-3

    def at(t):
        moved = tuple(p + t * d for p, d in zip(point, direction, strict=True))
        return energy(moved, arrays, push, average=average, beta=0.3)

    slope = sum(
        float(np.sum(g * d))
        for g, d in zip(energy_gradient(point, arrays, push, average=average, beta=0.3), direction, strict=True)
    )
    # A central difference of a quadratic has no truncation error: only rounding, amplified by 1 / 2h.
    assert (at(h) - at(-h)) / (2 * h) == pytest.approx(slope, rel=1e-10)


@pytest.mark.parametrize(("variant", "share", "half_life"), [("geolife", 0.2, 2.97), ("ton-iot", 1 / 3, 2.41)])
def test_an_update_of_the_paper_keeps_its_permanent_share(variant, share, half_life):
    aggregator = EMAMAggregator.paper(variant)
    state = _merge_all(aggregator, aggregator.init(_scalar(0)), [_scalar(1)])
    first_gap = float(state.average[0][0] - state.arrays[0][0])
    state = _merge_all(aggregator, state, [_scalar(0)])
    ratio = float(state.average[0][0] - state.arrays[0][0]) / first_gap
    assert ratio == pytest.approx(aggregator.mu / (1 + aggregator.beta), rel=1e-12)
    assert round(math.log(2) / -math.log(ratio), 2) == half_life
    state = _merge_all(aggregator, state, [_scalar(0)] * 200)
    assert (1 - aggregator.mu) / (1 + aggregator.beta - aggregator.mu) == pytest.approx(share, rel=1e-12)
    # After 200 merges the transient is below 0.8 ** 200 = 4e-20 of the update.
    assert float(state.arrays[0][0]) == pytest.approx(aggregator.alpha * share, rel=1e-12)


def test_the_paper_has_its_published_constants():
    paper = EMAMAggregator.paper("geolife")
    assert (paper.alpha, paper.beta, paper.mu, paper.eta, paper.norm_guard) == (0.8, 0.2, 0.95, 1e-3, 0.0)
    assert paper.staleness == Exponential(2e-3)
    assert (EMAMAggregator.paper("ton-iot").alpha, EMAMAggregator.paper("ton-iot").mu) == (1.0, 0.9)
    with pytest.raises(ConfigError, match="expected 'geolife' or 'ton-iot'"):
        EMAMAggregator.paper("gps")


def test_without_staleness_and_spring_a_merge_adds_alpha_times_the_update():
    aggregator = EMAMAggregator(alpha=0.5)
    state = _merge_all(aggregator, aggregator.init(_scalar(3)), [_scalar(2), _scalar(4)])
    assert state.arrays[0].tolist() == [6.0]
    assert state.average is None


def test_staleness_counts_the_merges_since_the_clients_version():
    aggregator = EMAMAggregator(alpha=1.0, staleness=HalfLife(3.0))
    state = aggregator.init(_scalar(0))
    for client, base_version in enumerate([0, 0, 0, 0]):  # four clients train at once
        state, (merged,) = aggregator.apply(state, [_update(_scalar(1), base_version=base_version, client=client)])
        assert (merged.staleness, state.version) == (client, client + 1)
    assert merged.weight == 0.5
    assert float(state.arrays[0][0]) == pytest.approx(sum(2 ** (-t / 3) for t in range(4)), rel=1e-15)


def test_a_thousand_updates_of_concurrent_clients_lose_none():
    aggregator = EMAMAggregator(alpha=1.0, staleness=Constant(), norm_guard=0.0)
    state = aggregator.init((np.zeros(1000),))
    rng = generator(5, "concurrent")
    in_flight = [(client, 0) for client in range(50)]
    for n in range(1000):
        client, base_version = in_flight.pop(int(rng.integers(len(in_flight))))
        delta = np.zeros(1000)
        delta[n] = 1.0
        version = state.version
        state, (merged,) = aggregator.apply(state, [_update((delta,), base_version=base_version, client=client)])
        assert merged.staleness == version - base_version
        in_flight.append((client, state.version))
    assert state.version == 1000
    assert np.all(state.arrays[0] == 1.0)


def test_the_average_is_kept_only_when_it_is_read():
    start = _scalar(1)
    assert EMAMAggregator().init(start).average is None
    assert EMAMAggregator(beta=0.1).init(start).average is not None
    served = EMAMAggregator(serve="average", mu=0.5, alpha=1.0)
    state = _merge_all(served, served.init(start), [_scalar(2)])
    assert served.arrays(state, Order())[0].tolist() == [3.0]
    assert served.arrays(state)[0].tolist() == [2.0]
    pulled = EMAMAggregator(beta=0.1)
    state = pulled.init(start)
    assert pulled.arrays(state) is pulled.arrays(state, Order())


def test_a_restored_average_is_the_same_to_the_last_bit():
    aggregator = EMAMAggregator.paper()
    start = _draw("start", dtype=np.float32)
    state = _merge_all(aggregator, aggregator.init(start), [_draw(f"{i}", dtype=np.float32) for i in range(20)])
    stored, tree = flatten(state)
    copies = {name: array.copy() for name, array in stored.items()}
    restored = restore(aggregator.init(start), copies, json.loads(json.dumps(tree)))
    assert digest(restored.average) == digest(state.average)
    assert digest(restored.average) != digest(state.arrays)
    rest = [_draw(f"{i}", dtype=np.float32) for i in range(20, 40)]
    ended, resumed = _merge_all(aggregator, state, rest), _merge_all(aggregator, restored, rest)
    assert digest(ended.average) == digest(resumed.average)
    assert digest(ended.arrays) == digest(resumed.arrays)


def test_the_norm_guard_scales_to_four_medians():
    aggregator = EMAMAggregator(alpha=1.0, staleness=Constant())
    state = _merge_all(aggregator, aggregator.init(_scalar(0)), [_scalar(1)] * 16)
    state, merged = _merged(aggregator, state, _scalar(-100))
    assert (merged.scale, merged.norm) == (0.04, 100.0)
    assert float(state.arrays[0][0]) == 12.0
    assert state.norms[-1] == 4.0  # the norm as accepted: a flood of long updates raises the limit slowly
    state = _merge_all(aggregator, state, [_scalar(4)])
    state, merged = _merged(aggregator, state, _scalar(0))
    assert merged.scale == 1.0


@pytest.mark.parametrize("place", range(20))
def test_a_lone_outlier_spoils_nothing_however_early_it_comes(place):
    aggregator = EMAMAggregator(alpha=1.0, staleness=Constant())
    deltas = [_scalar(1.0)] * 20
    deltas[place] = _scalar(1e8)
    state = _merge_all(aggregator, aggregator.init(_scalar(0)), deltas)
    # At most 4 times the model (0, 1, 2, ...; of zeros: as if 1), and 64 / n times the median of n updates.
    assert 19 + 4 <= float(state.arrays[0][0]) <= 19 + 16


def test_early_updates_of_one_length_are_merged_as_they_are():
    aggregator = EMAMAggregator(alpha=1.0, staleness=Constant())
    state = _merge_all(aggregator, aggregator.init(_scalar(0)), [_scalar(4)] * 16)
    assert float(state.arrays[0][0]) == 64.0
    state, merged = _merged(aggregator, aggregator.init(_scalar(1000)), _scalar(4000))  # the model is the measure
    assert merged.scale == 1.0


def test_a_model_that_must_grow_by_orders_of_magnitude_does():
    aggregator = EMAMAggregator(alpha=1.0, staleness=Constant())
    state, goal = aggregator.init(_scalar(0)), 1e4
    for _ in range(20):
        state = _merge_all(aggregator, state, [_scalar(goal - float(state.arrays[0][0]))])
    assert float(state.arrays[0][0]) == pytest.approx(goal, rel=1e-6)


def test_the_norm_guard_remembers_64_norms_and_can_be_switched_off():
    aggregator = EMAMAggregator()
    state = _merge_all(aggregator, aggregator.init(_scalar(0)), [_scalar(1)] * 100)
    assert len(state.norms) == 64
    unguarded = EMAMAggregator(norm_guard=0.0, alpha=1.0)
    state = _merge_all(unguarded, unguarded.init(_scalar(0)), [_scalar(1)] * 20 + [_scalar(1000)])
    assert (state.norms, float(state.arrays[0][0])) == ((), 1020.0)


def test_clients_that_did_not_train_do_not_close_the_guard():
    aggregator = EMAMAggregator(alpha=1.0)
    state = _merge_all(aggregator, aggregator.init(_scalar(0)), [_scalar(0)] * 30 + [_scalar(5)])
    assert float(state.arrays[0][0]) == 5.0


def test_weights_by_examples_are_relative_to_the_mean_and_clipped():
    aggregator = EMAMAggregator(weight_by_examples=True, staleness=Constant())
    state = aggregator.init(_scalar(0))
    weights = []
    for num_examples in (10, 30, 0, 4000):
        update = _update(_scalar(1), base_version=state.version, num_examples=num_examples)
        state, (merged,) = aggregator.apply(state, [update])
        weights.append(merged.weight)
    # Means 10, 20, 13.3 and 1,010, the update itself included: 1, 1.5, 0 and 3.96.
    assert weights == pytest.approx([1.0, 1.5, 0.2, 4000 / 1010], rel=1e-15)
    state = replace(state, examples=0)
    state, (merged,) = aggregator.apply(state, [_update(_scalar(1), base_version=state.version, num_examples=9)])
    assert merged.weight == 5.0


def test_the_estimated_rule_learns_from_merged_updates():
    aggregator = EMAMAggregator(staleness=Estimated())
    state = aggregator.init((np.zeros(2),))
    for n in range(6):
        delta = (np.array([math.cos(0.4 * n), math.sin(0.4 * n)]),)
        state, _ = aggregator.apply(state, [_update(delta, base_version=state.version)])
    state, (merged,) = aggregator.apply(state, [_update((np.ones(2),), base_version=state.version - 3, client=1)])
    assert merged.weight == pytest.approx(math.cos(0.4) ** 3, rel=1e-12)


def test_the_proxy_gradient_is_taken_at_the_current_arrays():
    seen = []

    def proxy(arrays):
        seen.append(float(arrays[0][0]))
        return _scalar(1)

    aggregator = EMAMAggregator(alpha=0.5, eta=0.01, proxy=proxy)
    state = _merge_all(aggregator, aggregator.init(_scalar(3)), [_scalar(2), _scalar(2)])
    assert seen == [3.0, pytest.approx(3.99, rel=1e-15)]
    assert float(state.arrays[0][0]) == pytest.approx(4.98, rel=1e-15)


def test_the_proxy_step_is_at_most_a_tenth_of_the_update():
    aggregator = EMAMAggregator(alpha=0.5, eta=100.0, proxy=lambda _: _scalar(7))
    state = _merge_all(aggregator, aggregator.init(_scalar(0)), [_scalar(2)])
    assert float(state.arrays[0][0]) == pytest.approx(1.0 - 0.1, rel=1e-15)
    state = _merge_all(aggregator, state, [_scalar(0)])
    assert float(state.arrays[0][0]) == pytest.approx(0.9, rel=1e-15)


@pytest.mark.parametrize(
    ("gradient", "message"),
    [
        ((np.ones(2),), r"the proxy gradient has shapes \[\(2,\)\]"),
        (_scalar(math.nan), "the proxy gradient is not fin"),
    ],
)
def test_a_wrong_proxy_gradient_is_not_the_clients_fault(gradient, message):
    aggregator = EMAMAggregator(proxy=lambda _: gradient)
    state = aggregator.init(_scalar(0))
    with pytest.raises(ValueError, match=message) as caught:
        aggregator.apply(state, [_update(_scalar(1))])
    assert not isinstance(caught.value, UpdateRefusedError)
    assert aggregator.arrays(state)[0].tolist() == [0.0]


def test_settings_out_of_range_are_all_named():
    with pytest.raises(
        ConfigError, match=r"mu = 1\.0: expected .* below 1; serve = 'both': .*; alpha = 0: expected a number above 0"
    ):
        EMAMAggregator(alpha=0, mu=1.0, serve="both")


def test_an_interrupted_merge_leaves_no_state_that_lies(monkeypatch):
    aggregator = EMAMAggregator(staleness=Polynomial())
    state = aggregator.init(_scalar(0))

    def interrupted(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr("eafl_flower.aggregation.emam.step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        aggregator.apply(state, [_update(_scalar(1))])
    with pytest.raises(RuntimeError, match="apply\\(\\) has consumed it"):
        aggregator.arrays(state)


@pytest.mark.parametrize("beta", [0.0, 0.2])
def test_the_self_check_notes_the_energy_and_its_drop(beta):
    rng = np.random.default_rng(3)
    counter = np.array([5], dtype=np.int64)  # no part of the energy
    arrays = (rng.standard_normal((4, 3)), rng.standard_normal(4), counter)
    aggregator = EMAMAggregator(beta=beta, self_check=True)
    state = aggregator.init(arrays)
    for version in range(3):
        old = tuple(a.copy() for a in aggregator.arrays(state))
        delta = (rng.standard_normal((4, 3)), rng.standard_normal(4), np.array([1]))
        state, (merged,) = aggregator.apply(
            state, [Update(client=0, delta=delta, base_version=version, num_examples=1)]
        )
        moved = sum(float(((n - o) ** 2).sum()) for n, o in zip(state.arrays[:2], old[:2], strict=True))
        drop = merged.objective_before - merged.objective_after
        assert drop == pytest.approx((1 + beta) / 2 * moved, rel=1e-12)
