import math

import numpy as np
import pytest

from eafl_flower.core.rng import generator
from eafl_flower.heads.prior import NUM_BINS, FeatureRanges, entropy_bits, prior_size
from eafl_flower.heads.size import HeadSize

MOST = math.log2(NUM_BINS)


def test_a_feature_that_is_everywhere_the_same_has_no_entropy():
    rows = np.full((50, 3), 7.0, np.float32)
    assert entropy_bits(rows, FeatureRanges.of(rows)).tolist() == [0, 0, 0]  # the range is empty
    assert entropy_bits(rows, FeatureRanges(np.zeros(3), np.full(3, 10.0))).tolist() == [0, 0, 0]


def test_equally_full_bins_have_the_most_entropy():
    rows = (np.arange(3000.0) % NUM_BINS)[:, None]
    entropy = entropy_bits(rows, FeatureRanges(np.zeros(1), np.full(1, float(NUM_BINS))))
    assert entropy[0] == pytest.approx(MOST, abs=1e-12)


def test_two_equally_frequent_values_have_one_bit():
    rows = np.array([[0.0], [1.0]] * 20)
    assert entropy_bits(rows, FeatureRanges.of(rows)).tolist() == [1.0]


def test_values_outside_the_range_count_to_the_outer_bins():
    ranges = FeatureRanges(np.zeros(1), np.ones(1))
    far, near = (entropy_bits(np.array([[-v], [v]]), ranges) for v in (1e9, 1.0))
    assert far == near == 1.0


def test_the_entropy_of_uniform_rows_is_nearly_the_most():
    rows = generator(1, "uniform").random((20_000, 4))
    entropy = entropy_bits(rows, FeatureRanges.of(rows))
    # a plug-in estimate falls short by (bins - 1) / (2 n ln 2) on average; the outer bins hold 0.5 % more each
    assert np.all(entropy <= MOST)
    assert np.all(entropy >= MOST - 0.01)


def test_entropies_lie_between_nothing_and_the_most_for_any_rows():
    rng = generator(1, "rows")
    pooled = np.concatenate([rng.standard_normal((500, 6)), rng.exponential(5, (300, 6)), np.zeros((100, 6))])
    ranges = FeatureRanges.of(pooled)
    for rows in (pooled, pooled[:1], pooled[500:700], 1e6 * pooled):
        entropy = entropy_bits(rows, ranges)
        assert np.all((entropy >= 0) & (entropy <= MOST))


def test_the_tails_of_the_pooled_rows_do_not_widen_the_range():
    rows = np.arange(1000.0)[:, None]
    far = rows.copy()
    far[0], far[-1] = -1e12, 1e12
    assert FeatureRanges.of(far).low == FeatureRanges.of(rows).low
    assert FeatureRanges.of(far).high == FeatureRanges.of(rows).high


def test_no_rows_have_no_entropy():
    with pytest.raises(ValueError, match="no rows"):
        entropy_bits(np.zeros((0, 2)), FeatureRanges(np.zeros(2), np.ones(2)))


def test_the_prior_grows_with_the_entropy_within_its_bounds():
    sizes = [prior_size(h) for h in np.linspace(0, MOST, 200)]
    assert sizes == sorted(sizes)
    assert {size.depth for size in sizes} == {1, 2, 3, 4}
    assert {size.width for size in sizes} == {16, 24, 32}
    assert (sizes[0], sizes[-1]) == (HeadSize(1, 16), HeadSize(4, 32))


@pytest.mark.parametrize(("limit", "depth"), [(2.0, 2), (2.7, 3), (3.3, 4)])
def test_depth_changes_at_the_limits(limit, depth):
    assert prior_size(limit).depth == depth
    assert prior_size(math.nextafter(limit, 0)).depth == depth - 1


@pytest.mark.parametrize("entropy", [-1.0, 100.0])
def test_an_impossible_entropy_is_cut(entropy):
    assert prior_size(entropy) in (HeadSize(1, 16), HeadSize(4, 32))
