"""Rules that average A and B by themselves, against their definitions, in whole rounds."""

from dataclasses import replace

import numpy as np
import pytest
from adapter_updates import ALPHA, initial, moved, update_of

from eafl_flower.aggregation.lora import AveragedFactors, Pair, hetlora, scale_of
from eafl_flower.core.orders import Order
from eafl_flower.core.state import flatten, restore
from eafl_flower.errors import ConfigError, UpdateRefusedError

WEIGHTS = (1.0, 3.0, 2.0)


def rule_of(rule):
    return AveragedFactors(rule=rule, head=2, lora_alpha=ALPHA)


def started(rule, *, trained=True):
    aggregator = rule_of(rule)
    return aggregator, aggregator.init(initial(trained=trained))


def test_without_a_merge_a_slice_counts_as_it_does_in_the_whole():
    aggregator, state = started("hetlora")
    whole, part = aggregator.arrays(state), aggregator.arrays(state, Order(rank=2))
    np.testing.assert_allclose(whole[0], initial(trained=True)[0], rtol=1e-6)
    for a, b in ((0, 1), (2, 3)):
        counted = scale_of(6, ALPHA) * whole[a][:, :2] @ whole[b][:2]
        np.testing.assert_allclose(scale_of(2, ALPHA) * part[a] @ part[b], counted, rtol=1e-5, atol=1e-5)


def test_homolora_is_the_mean_of_each_array_by_examples():
    aggregator, state = started("homolora")
    updates = [update_of(aggregator, state, client, num_examples=w) for client, w in enumerate(WEIGHTS)]
    after, told = aggregator.apply(state, updates)
    for i, array in enumerate(aggregator.arrays(after)[:5]):
        mean = sum(w * moved(u)[i] for w, u in zip(WEIGHTS, updates, strict=True)) / sum(WEIGHTS)
        np.testing.assert_allclose(array, mean, rtol=1e-5, atol=1e-5)
    assert [merged.weight for merged in told] == pytest.approx(np.array(WEIGHTS) / 6)
    assert after.version == 1


def test_hetlora_pads_with_zeros_weighs_by_products_and_keeps_what_nobody_has():
    aggregator, state = started("hetlora")
    updates = [update_of(aggregator, state, client, rank) for client, rank in enumerate((2, 4, 3))]
    after, _ = aggregator.apply(state, updates)
    roots = [np.sqrt(scale_of(u.order.rank, ALPHA)) for u in updates]
    pairs = [
        Pair(root * moved(u)[0].astype(float), root * moved(u)[1].astype(float))
        for root, u in zip(roots, updates, strict=True)
    ]
    mean = hetlora(pairs)
    np.testing.assert_allclose(after.factors[0][:, :4], mean.a, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(after.factors[0][:, 4:], state.factors[0][:, 4:])
    np.testing.assert_array_equal(after.factors[1][4:], state.factors[1][4:])


def test_fedra_averages_a_layer_over_those_who_trained_it():
    aggregator, state = started("fedra")
    updates = []
    for client, layers in enumerate(((0,), (0, 1), ())):
        update = update_of(aggregator, state, client)
        for layer in {0, 1} - set(layers):
            for i in (2 * layer, 2 * layer + 1):
                update.delta[i][...] = 0
        updates.append(update)
    after, _ = aggregator.apply(state, updates)
    arrays, before = aggregator.arrays(after), aggregator.arrays(state)
    for i, trained in ((0, (0, 1)), (1, (0, 1)), (2, (1,)), (3, (1,))):
        np.testing.assert_allclose(arrays[i], np.mean([moved(updates[c])[i] for c in trained], 0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(arrays[4], np.mean([moved(u)[4] for u in updates], 0), rtol=1e-4, atol=1e-5)
    untouched, _ = aggregator.apply(state, [updates[2]])
    for array, kept in zip(aggregator.arrays(untouched)[:4], before[:4], strict=True):
        np.testing.assert_allclose(array, kept, rtol=1e-6)


@pytest.mark.parametrize("rule", ["homolora", "hetlora", "fedra"])
def test_a_state_that_was_stored_goes_on_alike(rule):
    aggregator, state = started(rule)
    update = update_of(aggregator, state)
    again = restore(aggregator.init(initial()), *flatten(state))
    one, _ = aggregator.apply(state, [update])
    other, _ = aggregator.apply(again, [update])
    for a, b in zip(aggregator.arrays(one), aggregator.arrays(other), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_does_not_fit_is_refused():
    aggregator, state = started("hetlora")
    with pytest.raises(ConfigError, match="expected from 1 to 6"):
        aggregator.arrays(state, Order(rank=7))
    update = update_of(aggregator, state, 0, 2)
    with pytest.raises(UpdateRefusedError, match="shape"):
        aggregator.apply(state, [replace(update, order=Order(rank=3))])
    with pytest.raises(ConfigError, match="all of one rank"):
        aggregator.init(initial()[1:])
    with pytest.raises(ConfigError, match="rule"):
        rule_of("mean")
