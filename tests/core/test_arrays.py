"""Differences of arrays of which some elements are not finite."""

import numpy as np
import pytest

from eafl_flower.aggregation import merge
from eafl_flower.aggregation.emam import EMAMAggregator
from eafl_flower.aggregation.reference import FedAvg, FedBuff
from eafl_flower.core.arrays import difference, moved, since, trained
from eafl_flower.core.orders import Order
from eafl_flower.types import Update

SPECIAL = np.array([-np.inf, np.inf, np.nan, 1.0], np.float32)
FLAGS = np.array([True, False])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_elements_that_stay_nan_or_infinite_have_no_difference(dtype):
    base = SPECIAL.astype(dtype)
    (delta,) = difference((base + np.array([0, 0, 0, 0.5], dtype),), (base,))
    assert delta.dtype == dtype
    assert delta.tolist() == [0.0, 0.0, 0.0, 0.5]
    np.testing.assert_array_equal(moved((base,), (delta,))[0], [-np.inf, np.inf, np.nan, 1.5])


def test_elements_that_become_nan_or_infinite_or_cease_to_be_have_none_that_is_finite():
    base = np.array([1.0, 1.0, -np.inf, -np.inf, np.nan, np.nan], np.float32)
    new = np.array([np.nan, np.inf, 1.0, np.inf, 1.0, np.inf], np.float32)
    assert not np.isfinite(difference((new,), (base,))[0]).any()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_what_was_trained_is_handed_over_itself_and_the_other_side_finds_the_difference(dtype):
    base = (SPECIAL.astype(dtype), np.array([1.0, 2.0], dtype), np.array([250, 3], np.uint8), FLAGS)
    new = (base[0] + np.array([0, 0, 0, 0.5], dtype), np.array([1.5, 4.0]), np.array([4, 2], np.uint8), ~FLAGS)
    handed_over = trained(new, base)
    assert [a.dtype for a in handed_over] == [b.dtype for b in base]
    assert [a.tolist() for a in handed_over] == [[0, 0, 0, 1.5], [1.5, 4.0], [10, 255], [True, True]]
    for found, expected in zip(since(base, handed_over), difference(new, base), strict=True):
        np.testing.assert_array_equal(found, expected, strict=True)


def test_what_was_trained_is_refused_where_it_becomes_or_ceases_to_be_infinite():
    base = np.array([1.0, 1.0, -np.inf, -np.inf, np.nan, np.nan], np.float32)
    new = np.array([np.nan, np.inf, 1.0, np.inf, 1.0, np.inf], np.float32)
    assert not np.isfinite(trained((new,), (base,))[0]).any()


def test_scalars_have_differences_too():
    for special in (np.float32(-np.inf), np.float32(np.nan)):
        (delta,) = difference((special,), (np.asarray(special),))
        assert (delta.shape, float(delta)) == ((), 0.0)


@pytest.mark.parametrize("compiled_from", [0, merge.COMPILED_FROM], ids=["compiled", "numpy"])
@pytest.mark.parametrize(
    "aggregator",
    [
        EMAMAggregator(),
        EMAMAggregator(beta=0.2),
        EMAMAggregator(serve="average"),
        FedAvg(),
        FedBuff(buffer_size=2),
    ],
    ids=str,
)
def test_a_merge_leaves_a_buffer_that_is_not_finite_as_it_is(aggregator, compiled_from, monkeypatch):
    monkeypatch.setattr(merge, "COMPILED_FROM", compiled_from)
    weights = np.linspace(-1, 1, 4, dtype=np.float32)
    state = aggregator.init((weights, SPECIAL, FLAGS))
    plain = aggregator.init((weights,))
    for _ in range(8):
        (first, *_) = (np.array(a) for a in aggregator.arrays(state, Order()))
        delta = difference((first + np.float32(0.1), SPECIAL, FLAGS), (first, SPECIAL, FLAGS))
        given = {"client": 0, "num_examples": 1, "base_version": state.version}
        state, _ = aggregator.apply(state, [Update(delta=delta, base=(first, SPECIAL, FLAGS), **given)])
        plain, _ = aggregator.apply(plain, [Update(delta=delta[:1], base=(first,), **given)])
    for arrays in (aggregator.arrays(state, Order()), aggregator.arrays(state)):
        np.testing.assert_array_equal(arrays[1], SPECIAL)
        np.testing.assert_array_equal(arrays[2], FLAGS)
    np.testing.assert_array_equal(*(aggregator.arrays(s, Order())[0] for s in (state, plain)))
