"""Sums of products in SVD form, against the dense matrices that they stand for."""

import doctest

import numpy as np
import pytest

from eafl_flower.aggregation.lora import (
    LowRank,
    Pair,
    Term,
    balanced_pair,
    mean_of_matrices,
    mean_of_products,
    pair_term,
    product_norm,
    scale_of,
    sum_of_products,
    zero_matrix,
)
from eafl_flower.aggregation.lora import aggregator as its_aggregator
from eafl_flower.aggregation.lora import factors as its_factors
from eafl_flower.aggregation.lora import product as its_products
from eafl_flower.core.rng import generator
from eafl_flower.errors import ConfigError, UpdateRefusedError

SHAPES = [(40, 30), (30, 40), (64, 64)]
RANKS = (4, 1, 7)
WEIGHTS = (3.0, 1.0, 0.5)


def pairs_of(shape, ranks=RANKS, dtype=np.float32, purpose="pairs"):
    d_in, d_out = shape
    made = []
    for i, rank in enumerate(ranks):
        rng = generator(1, purpose, i)
        made.append(Pair(*(rng.standard_normal(s).astype(dtype) for s in ((d_in, rank), (rank, d_out)))))
    return made


def dense(matrix):
    return (matrix.u * matrix.s) @ matrix.v.T


def product(pair):
    return pair.a.astype(np.float64) @ pair.b.astype(np.float64)


def dense_mean(pairs, weights):
    return sum(w * product(p) for w, p in zip(weights, pairs, strict=True)) / sum(weights)


def assert_same(found, expected, relative=1e-6):
    assert np.linalg.norm(found - expected) <= relative * np.linalg.norm(expected)


@pytest.mark.parametrize("ranks", [RANKS, (20, 30, 25)], ids=["few columns", "more columns than the layer has sides"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_core_has_singular_values_and_product_of_the_dense_matrix(shape, ranks):
    pairs = pairs_of(shape, ranks)
    expected = dense_mean(pairs, WEIGHTS)
    matrix, discarded = mean_of_products(pairs, WEIGHTS)
    s = np.linalg.svd(expected, compute_uv=False)
    np.testing.assert_allclose(matrix.s, s[: matrix.rank], rtol=1e-6)
    assert matrix.rank == min(sum(ranks), *shape)
    assert discarded == pytest.approx(0, abs=1e-12)
    assert_same(dense(matrix), expected)
    for side in (matrix.u, matrix.v):
        np.testing.assert_allclose(side.T @ side, np.eye(matrix.rank), atol=1e-12)


@pytest.mark.parametrize("most", [1, 3, 8, 11])
@pytest.mark.parametrize("shape", SHAPES)
def test_truncation_is_the_best_of_its_rank_and_tells_the_dense_tail(shape, most):
    pairs = pairs_of(shape)
    u, s, vt = np.linalg.svd(dense_mean(pairs, WEIGHTS))
    matrix, discarded = mean_of_products(pairs, WEIGHTS, most=most)
    assert_same(dense(matrix), (u[:, :most] * s[:most]) @ vt[:most])  # the product: signs of vectors do not matter
    assert discarded == pytest.approx((s[most:] ** 2).sum() / (s**2).sum(), rel=1e-6, abs=1e-14)
    full = mean_of_products(pairs, WEIGHTS).matrix
    assert full.energy_above(most) == pytest.approx(discarded, abs=1e-12)
    assert_same(dense(full.truncated(most)), dense(matrix))


def test_columns_of_any_size_count_by_their_product():
    """A column of 1e8 that goes with a row of 1e-8 hides no other."""
    pair = pairs_of((40, 30), (6,), np.float64)[0]
    sizes = 10.0 ** np.array([8, -8, 0, 5, -3, 2])
    scaled = Pair(pair.a * sizes, pair.b / sizes[:, None])
    assert_same(dense(sum_of_products([pair_term(scaled)]).matrix), product(pair), 1e-13)


def test_what_cancels_is_gone():
    pair = pairs_of((40, 30), (6,))[0]
    kept = pairs_of((40, 30), (2,), purpose="kept")[0]
    nothing = sum_of_products([pair_term(pair), pair_term(pair, -1.0)], tolerance=1e-7)
    something = sum_of_products([pair_term(pair), pair_term(kept), pair_term(pair, -1.0)], tolerance=1e-7)
    assert nothing.matrix.norm < 1e-12 * product_norm(pair)
    assert something.matrix.rank == 2
    assert_same(dense(something.matrix), product(kept))


def test_a_sum_of_zeros_has_rank_zero_and_discards_nothing():
    zeros = Pair(np.zeros((5, 2)), np.zeros((2, 4)))
    for terms in ([pair_term(zeros)], [Term(1.0, np.zeros((5, 0)), np.zeros((4, 0)))]):
        matrix, discarded = sum_of_products(terms, most=1)
        assert (matrix.rank, matrix.shape, matrix.energy_above(0), discarded) == (0, (5, 4), 0, 0)


@pytest.mark.parametrize("shape", SHAPES)
def test_units_at_the_road_and_then_the_cloud_merge_as_one(shape):
    pairs = pairs_of(shape, (4, 1, 7, 3, 5))
    weights = [3.0, 1.0, 0.5, 2.0, 7.0]
    flat = mean_of_products(pairs, weights, most=9).matrix
    units = [slice(0, 2), slice(2, 5)]
    sent = [mean_of_products(pairs[u], weights[u]).matrix for u in units]
    cloud = mean_of_matrices(sent, [sum(weights[u]) for u in units], most=9).matrix
    assert_same(dense(cloud), dense(flat))
    np.testing.assert_allclose(cloud.s, flat.s, rtol=1e-6)


@pytest.mark.parametrize("rank", [1, 5, 12, 30])
def test_the_balanced_pair_is_the_truncation_and_begins_as_lora_beyond_it(rank):
    matrix = mean_of_products(pairs_of((40, 30)), WEIGHTS).matrix
    scale = scale_of(rank, 32.0)
    a, b = balanced_pair(matrix, rank, scale, generator(2, "new"))
    known = min(rank, matrix.rank)
    assert_same(scale * a @ b, dense(matrix.truncated(rank)), 1e-12)
    np.testing.assert_allclose(np.linalg.norm(a, axis=0)[:known], np.linalg.norm(b, axis=1)[:known], rtol=1e-12)
    assert not b[known:].any()
    new = a[:, known:]
    assert (np.abs(new) <= 40**-0.5).all()
    assert new.size == np.count_nonzero(new)
    lower = balanced_pair(matrix, max(1, rank - 3), 1.0, generator(2, "new")).a[:, known:]
    np.testing.assert_array_equal(lower, new[:, : lower.shape[1]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_norm_of_a_product_is_that_of_the_dense_one(dtype):
    for pair in pairs_of((40, 30), dtype=dtype):
        assert product_norm(pair) == pytest.approx(np.linalg.norm(product(pair)), rel=1e-12)
    assert product_norm(Pair(np.ones((3, 1)), np.zeros((1, 3)))) == 0


def test_norm_and_energy_are_those_of_the_matrix():
    matrix = mean_of_products(pairs_of((40, 30)), WEIGHTS).matrix
    assert matrix.norm == pytest.approx(np.linalg.norm(dense(matrix)), rel=1e-12)
    assert matrix.energy_above(0) == pytest.approx(1)
    assert matrix.energy_above(matrix.rank) == 0
    assert isinstance(matrix.truncated(3), LowRank)


@pytest.mark.parametrize("rank", [0, -1, 31])
def test_a_rank_that_the_layer_cannot_have_is_refused(rank):
    matrix = zero_matrix(40, 30)
    with pytest.raises(ConfigError, match=f"rank {rank} for a layer of 40 x 30: expected a rank from 1 to 30"):
        balanced_pair(matrix, rank, 1.0, generator(0))


def test_a_scale_needs_a_rank():
    with pytest.raises(ConfigError, match="an adapter has rank 0: expected at least 1"):
        scale_of(0, 32.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda a, b: (a, b[:-1]),
            r"factors 1 have shapes \(6, 2\) and \(1, 5\), expected \(d_in, r\) and \(r, d_out\)",
        ),
        (lambda a, b: (a[:, :0], b[:0]), r"factors 1 have shapes \(6, 0\) and \(0, 5\)"),
        (lambda a, b: (a[0], b), r"factors 1 have shapes \(2,\) and \(2, 5\)"),
        (lambda a, b: (a[:-1], b), r"factors 1 are those of a layer \(5, 5\), expected \(6, 5\)"),
        (lambda a, b: (a * np.nan, b), "factors 1 are not finite"),
        (lambda a, b: (a, b + np.inf), "factors 1 are not finite"),
    ],
)
def test_factors_that_do_not_fit_are_refused(change, message):
    good, bad = pairs_of((6, 5), (3, 2))
    with pytest.raises(UpdateRefusedError, match=message):
        mean_of_products([good, Pair(*change(*bad))], [1, 1])


def test_sums_without_summands_or_weights_are_refused():
    pairs = pairs_of((6, 5), (3, 2))
    for weights, message in (
        ([1.0], "1 weights for 2 clients"),
        ([0.0, 0.0], "one of them above"),
        ([2.0, -1.0], "numbers of at least 0"),
        ([np.nan, 1.0], "numbers of at least 0"),
        ([np.inf, 1.0], "numbers of at least 0"),
    ):
        with pytest.raises(UpdateRefusedError, match=message):
            mean_of_products(pairs, weights)
    with pytest.raises(UpdateRefusedError, match="1 scales for the factors of 2"):
        mean_of_products(pairs, [1, 1], scales=[1])
    with pytest.raises(UpdateRefusedError, match="no factors were given"):
        mean_of_products([], [])
    with pytest.raises(UpdateRefusedError, match="without a product"):
        sum_of_products([])
    with pytest.raises(UpdateRefusedError, match="with one d_in and one d_out"):
        mean_of_matrices([zero_matrix(3, 4), zero_matrix(4, 3)], [1, 1])
    with pytest.raises(ConfigError, match="expected 0 or more"):
        sum_of_products([pair_term(pairs[0])], most=-1)


@pytest.mark.parametrize("module", [its_factors, its_products, its_aggregator])
def test_the_examples_hold(module):
    assert doctest.testmod(module).failed == 0
