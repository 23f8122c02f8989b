"""The aggregator of adapters: what clients of each rank start from, and what becomes of what they send."""

import json
from dataclasses import replace

import numpy as np
import pytest
from adapter_updates import ALPHA, initial, moved, update_of

from eafl_flower.aggregation import Constant, HalfLife
from eafl_flower.aggregation.lora import LoRAAggregator
from eafl_flower.core.orders import NO_ORDER, Order
from eafl_flower.core.state import flatten, restore
from eafl_flower.errors import ConfigError, UpdateRefusedError
from eafl_flower.types import digest, layout_of


def aggregator_of(**settings):
    return LoRAAggregator(**{"head": 2, "lora_alpha": ALPHA, "staleness": Constant(), **settings})


def dense(layer):
    return (layer.u * layer.s) @ layer.v.T


def products(arrays, alpha=ALPHA):
    """The matrices s A B of the two layers."""
    floats = [a.astype(np.float64) for a in arrays[:4]]
    return [alpha / a.shape[1] * a @ b for a, b in zip(floats[::2], floats[1::2], strict=True)]


def assert_same(found, expected, relative=1e-6):
    assert np.linalg.norm(found - expected) <= relative * np.linalg.norm(expected)


def warmed(aggregator, merges=3, ranks=(6, 2, 9)):
    state = aggregator.init(initial())
    for n in range(merges):
        state, _ = aggregator.apply(state, [update_of(aggregator, state, n, ranks[n % len(ranks)])])
    return state


@pytest.mark.parametrize("form", ["delta", "replace", "partition"])
def test_one_client_of_full_rank_makes_the_model_what_it_trained(form):
    aggregator = aggregator_of(form=form)
    state = aggregator.init(initial())
    for client in range(3):
        update = update_of(aggregator, state, client)
        expected = moved(update)
        state, (merged,) = aggregator.apply(state, [update])
        for layer, product in zip(state.layers, products(expected), strict=True):
            assert_same(dense(layer), product)
        for handed, product in zip(products(aggregator.arrays(state)), products(expected), strict=True):
            assert_same(handed, product)
        assert_same(aggregator.arrays(state)[4], expected[4])
        assert (merged.weight, merged.staleness, state.discarded) == (1.0, 0, pytest.approx(0, abs=1e-12))


@pytest.mark.parametrize("counts", [(1, 1, 1, 1), (10, 30, 5, 40)])
def test_n_replies_to_one_version_at_a_step_of_one_nth_are_the_weighted_mean_of_flexloras_delta(counts):
    ranks, mean = (2, 6, 4, 9), sum(counts) / 4
    one_by_one = aggregator_of(alpha=0.25, weight_by_examples=True, mean_examples=mean, max_rank=20)
    at_once = aggregator_of(max_rank=20)
    start = warmed(at_once)
    updates = [
        update_of(at_once, start, i, r, num_examples=n) for i, (r, n) in enumerate(zip(ranks, counts, strict=True))
    ]
    expected = [dense(layer) for layer in start.layers]
    for update in updates:
        share = update.num_examples / sum(counts)
        kept = [dense(layer.truncated(update.order.rank)) for layer in start.layers]
        expected = [e + share * (p - k) for e, p, k in zip(expected, products(moved(update)), kept, strict=True)]
    whole, told = at_once.apply(start, updates)
    state = start
    for update in updates:
        state, _ = one_by_one.apply(state, [update])
    assert [m.weight for m in told] == pytest.approx([n / sum(counts) for n in counts])
    for layers in (whole.layers, state.layers):
        for layer, product in zip(layers, expected, strict=True):
            assert_same(dense(layer), product)
    assert_same(state.head[0], whole.head[0])
    assert state.head[1] == whole.head[1] == start.head[1] + 6


def test_a_job_starts_from_the_best_part_of_its_rank_and_from_new_columns_beyond_it():
    aggregator = aggregator_of()
    state = warmed(aggregator, merges=1, ranks=(2,))
    assert {layer.rank for layer in state.layers} == {2}
    for rank in (1, 2, 5, 12):
        arrays = aggregator.arrays(state, Order(rank=rank))
        assert [a.shape for a in arrays[:4]] == [(24, rank), (rank, 20), (16, rank), (rank, 30)]
        for layer, product in zip(state.layers, products(arrays), strict=True):
            assert_same(product, dense(layer.truncated(rank)))
        assert arrays[0][:, 2:].all()
        assert not arrays[1][2:].any()
    low, high = (aggregator.arrays(state, Order(rank=rank)) for rank in (5, 12))
    np.testing.assert_array_equal(low[0][:, 2:], high[0][:, 2:5])
    assert (low[0][:, 2:] != replace(aggregator, seed=1).arrays(state, Order(rank=5))[0][:, 2:]).all()
    assert layout_of(aggregator.arrays(state)) == layout_of(aggregator.arrays(state, NO_ORDER)) == layout_of(initial())


def test_the_same_version_and_rank_give_the_same_arrays():
    aggregator = aggregator_of()
    state = warmed(aggregator)
    for rank in (0, 2, 12):
        once, again = (digest(aggregator.arrays(state, Order(rank=rank))) for _ in range(2))
        assert once == again


def test_a_stale_update_weighs_less_and_touches_what_its_client_had():
    aggregator = aggregator_of(alpha=0.5, staleness=HalfLife(1.0))
    old = warmed(aggregator)
    sent = aggregator.arrays(old, Order(rank=4))
    state = old
    for client in (1, 2):
        state, _ = aggregator.apply(state, [update_of(aggregator, state, client, 2)])
    late = update_of(aggregator, state, 3, 4, base_version=old.version, like=sent)
    after, (merged,) = aggregator.apply(state, [late])
    assert (merged.staleness, merged.weight) == (2, 0.25)
    gained = [new - old for new, old in zip(products(moved(late)), products(sent), strict=True)]
    for layer, new, gain in zip(state.layers, after.layers, gained, strict=True):
        expected = dense(layer) + 0.5 * 0.25 * gain
        s = np.linalg.svd(expected, compute_uv=False)
        distance = np.linalg.norm(dense(new) - expected) / np.linalg.norm(expected)
        assert distance**2 == pytest.approx((s[new.rank :] ** 2).sum() / (s**2).sum(), rel=1e-6, abs=1e-12)
    assert after.discarded > 0


def test_examples_weigh_by_their_mean_so_far_within_bounds():
    aggregator = aggregator_of(weight_by_examples=True)
    state = aggregator.init(initial())
    for count, expected in ((10, 1.0), (30, 1.5), (0.0, 0.2), (5000, 5000 / 1260)):
        state, (merged,) = aggregator.apply(state, [update_of(aggregator, state, num_examples=count)])
        assert merged.weight == pytest.approx(expected)
    _, (merged,) = replace(aggregator, mean_examples=1.0).apply(
        state, [update_of(aggregator, state, num_examples=5000)]
    )
    assert merged.weight == 5.0


def test_a_scale_that_is_ignored_stays_out_of_what_is_sent_and_merged():
    aggregator = aggregator_of(agg_scale="ignore")
    state = aggregator.init(initial())
    update = update_of(aggregator, state)
    state, _ = aggregator.apply(state, [update])
    for rank in (6, 12):
        handed = aggregator.arrays(state, Order(rank=rank))
        for a, b, c, d in zip(handed[0:4:2], handed[1:4:2], moved(update)[0:4:2], moved(update)[1:4:2], strict=True):
            assert_same(a @ b, c @ d, 1e-5)


def test_what_was_stored_goes_on_as_if_nothing_had_happened():
    aggregator = aggregator_of(alpha=0.6, staleness=HalfLife(2.0), weight_by_examples=True)
    ranks = (6, 2, 9, 12, 1)

    def go(state, start, stop):
        for n in range(start, stop):
            update = update_of(
                aggregator, state, n, ranks[n % 5], base_version=max(0, state.version - n % 3), num_examples=1 + n
            )
            state, _ = aggregator.apply(state, [update])
        return state

    def told(state):
        arrays, tree = flatten(state)
        return json.dumps(tree), digest([arrays[name] for name in sorted(arrays)])

    whole = told(go(aggregator.init(initial()), 0, 12))
    for stop in (0, 1, 5, 11):
        arrays, tree = flatten(go(aggregator.init(initial()), 0, stop))
        copies = {name: np.array(array) for name, array in arrays.items()}
        for array in copies.values():
            array.flags.writeable = False
        stored = restore(aggregator.init(initial()), copies, json.loads(json.dumps(tree)))
        assert told(go(stored, stop, 12)) == whole


def test_an_old_state_is_still_what_it_was():
    aggregator = aggregator_of()
    state = warmed(aggregator)
    before = digest(aggregator.arrays(state))
    update = update_of(aggregator, state)
    once, again = (aggregator.apply(state, [update])[0] for _ in range(2))
    assert digest(aggregator.arrays(once)) == digest(aggregator.arrays(again)) != before
    assert digest(aggregator.arrays(state)) == before


@pytest.mark.parametrize(
    ("arrays", "settings", "message"),
    [
        (initial()[:5], {"head": 2}, "5 arrays with a head of 2: expected A and B of each layer"),
        (initial(), {"head": 6}, "6 arrays with a head of 6"),
        (initial(), {"head": 0}, "adapters have dtypes float32, int64: expected float32, or float64, for all"),
        (initial(dtype=np.float16), {}, "adapters have dtypes float16"),
        (initial(17), {}, "layer 1: an adapter of rank 17 for a layer of 16 x 30: expected a rank from 1 to 16"),
        ((*initial()[:2], *initial(3)[2:]), {}, r"adapters of ranks \[3, 6\]: expected one rank for all layers"),
        ((initial()[0].T, *initial()[1:]), {}, r"layer 0: .* have shapes \(6, 24\) and \(6, 20\), expected"),
        ((initial()[0] * np.float32(np.nan), *initial()[1:]), {}, "layer 0: .* are not finite"),
        (initial(), {"max_rank": 5}, "max_rank = 5: the initial arrays have rank 6, expected that at least"),
    ],
)
def test_arrays_that_are_no_adapters_are_refused(arrays, settings, message):
    with pytest.raises(ConfigError, match=message):
        aggregator_of(**settings).init(arrays)


@pytest.mark.parametrize(
    "settings",
    [
        {"alpha": 0.0},
        {"alpha": 1.5},
        {"form": "mean"},
        {"agg_scale": "yes"},
        {"lora_alpha": 0.0},
        {"head": -1},
        {"seed": -1},
    ],
)
def test_settings_are_held_to_their_ranges(settings):
    with pytest.raises(ConfigError, match=f"{next(iter(settings))} = .*expected"):
        aggregator_of(**settings)


def test_a_rank_that_cannot_be_is_refused_where_it_is_ordered():
    aggregator = aggregator_of()
    state = aggregator.init(initial())
    with pytest.raises(ConfigError, match=r"rank 13 was ordered, adapters are kept up to rank 12: .* raise max_rank"):
        aggregator.arrays(state, Order(rank=13))
    with pytest.raises(ConfigError, match="rank 18 for a layer of 16 x 30: expected a rank from 1 to 16"):
        aggregator_of(max_rank=20).arrays(state, Order(rank=18))


def test_an_update_that_does_not_fit_is_refused_and_changes_nothing():
    aggregator = aggregator_of()
    state = warmed(aggregator)
    before = digest(aggregator.arrays(state))
    good = update_of(aggregator, state, 4, 3)
    spoiled = tuple(d if i else d * np.nan for i, d in enumerate(good.delta))
    for update, message in (
        (replace(good, order=Order(rank=4)), r"client 4: array 0 has shape \(24, 3\), expected \(24, 4\)"),
        (replace(good, order=NO_ORDER), r"array 0 has shape \(24, 3\), expected \(24, 6\)"),
        (replace(good, order=Order(rank=13)), "client 4: rank 13 was ordered"),
        (replace(good, delta=spoiled), "client 4 is not finite"),
        (
            replace(good, base=tuple(b * np.inf if i == 1 else b for i, b in enumerate(good.base))),
            "base that is not finite",
        ),
        (replace(good, base=aggregator.arrays(state)), "client 4 started from arrays"),
        (replace(good, base_version=9), "based on version 9, but the newest is 3"),
        (replace(good, kind="message", base=None), "is a message, expected a difference"),
    ):
        for updates in ([update], [update_of(aggregator, state, 1, 2), update]):
            if len({u.base_version for u in updates}) == 1:
                with np.errstate(invalid="ignore"), pytest.raises(UpdateRefusedError, match=message):
                    aggregator.apply(state, updates)
    with pytest.raises(ValueError, match="client 4 has no base"):
        aggregator.apply(state, [replace(good, base=None)])
    with pytest.raises(ValueError, match=r"base versions \[2, 3\], expected updates of one version"):
        aggregator.apply(state, [good, replace(good, base_version=2)])
    with pytest.raises(ValueError, match="base versions none"):
        aggregator.apply(state, [])
    assert digest(aggregator.arrays(state)) == before
