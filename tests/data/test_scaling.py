import itertools
from statistics import NormalDist

import numpy as np
import pytest

from eafl_flower.data.row_summary import RowSummary, total
from eafl_flower.data.scaling import Scaler, scaled_rows
from eafl_flower.data.splits import Part

NORMAL = np.array([NormalDist().inv_cdf((i + 0.5) / 2000) for i in range(2000)])


def part(train, test):
    y = np.zeros(len(train), dtype=int)
    return Part(x_train=np.array(train), y_train=y, x_test=np.array(test), y_test=np.zeros(len(test), dtype=int))


def column(values):
    return np.asarray(values, np.float64)[:, None]


def with_outliers(values, share, place):
    """Values of which a share, the least, the largest or evenly spread ones, became a million; which are not."""
    count = int(len(values) * share)
    which = {"low": np.arange(count), "high": len(values) - 1 - np.arange(count)}.get(place)
    which = np.arange(count) * len(values) // count if which is None else which
    changed = np.sort(values)
    changed[which] = 1e6
    return changed, np.setdiff1d(np.arange(len(values)), which)


def test_only_training_rows_of_training_clients_set_the_scale():
    seen = part([[1.0], [3.0]], [[100.0]])
    rows, scaler = scaled_rows([seen, part([[1e6]], [[5.0]])], num_seen=1)
    assert (scaler.mean, scaler.scale) == (2, 1)
    np.testing.assert_allclose(rows[0].x_train[:, 0], [-1, 1])
    np.testing.assert_allclose(rows[1].x_test[:, 0], [3])
    assert rows[0].x_train.dtype == np.float32


def test_a_constant_column_becomes_zero_and_far_values_are_cut():
    scaler = Scaler.fit(np.array([[0.1, 0.0], [0.1, 2.0], [0.1, 4.0]]))
    np.testing.assert_array_equal(scaler.apply(np.array([[0.1, 1e9], [7.0, -1e9]])), [[0, 8], [0, -8]])


def test_clients_that_sum_up_their_rows_get_the_scaler_of_the_pooled_rows():
    rng = np.random.default_rng(0)
    rows = np.stack([rng.normal(size=5000), rng.lognormal(8, 3, 5000), rng.random(5000) < 0.02], axis=1)
    pooled = Scaler.fit(rows)
    parts = [part(rows[a:b], rows[:1]) for a, b in itertools.pairwise([0, 3, 50, 4000, 5000])]
    _, scaler = scaled_rows(parts, num_seen=len(parts))
    backwards = Scaler.of(total([RowSummary.of(p.x_train) for p in reversed(parts)]))
    for other in (scaler, backwards):
        assert other.mean.tobytes() == pooled.mean.tobytes()
        assert other.scale.tobytes() == pooled.scale.tobytes()


def test_a_column_without_outliers_gets_its_mean_and_deviation():
    normal = Scaler.fit(column(NORMAL))
    assert abs(normal.mean[0]) < 0.01 and abs(normal.scale[0] - 1) < 0.01
    for values in ([0.0, 1.0] * 50, [0.0] * 95 + [1.0] * 5, [1.0] * 295 + [0.0] * 5, [0.0] * 400 + [3.0]):
        scaler = Scaler.fit(column(values))
        np.testing.assert_allclose((scaler.mean[0], scaler.scale[0]), (np.mean(values), np.std(values)))


def test_how_far_away_an_outlier_is_makes_no_difference():
    near, far = (Scaler.fit(column([*NORMAL, -size, size])) for size in (1e3, 1e300))
    assert (near.mean, near.scale) == (far.mean, far.scale)


@pytest.mark.parametrize("place", ["low", "high", "spread"])
@pytest.mark.parametrize("share, most", [(0.01, 0.25), (0.05, 1.0)])
def test_outliers_move_what_is_normal_by_no_more_than_is_stated(share, most, place):
    changed, inliers = with_outliers(NORMAL, share, place)
    before, after = (Scaler.fit(column(values)).scores(column(NORMAL[inliers])) for values in (NORMAL, changed))
    usual = np.abs(NORMAL[inliers]) <= 3
    assert np.abs(before - after)[usual].max() < most


@pytest.mark.parametrize("place", ["low", "high", "spread"])
@pytest.mark.parametrize("shape", ["normal", "lognormal", "two modes", "counts", "coordinates"])
def test_up_to_a_sixteenth_of_anything_leaves_the_others_as_far_apart_as_is_stated(shape, place):
    values = {
        "normal": NORMAL,
        "lognormal": np.exp(3 * NORMAL),
        "two modes": np.where(NORMAL < 0.8, 1e-3 * NORMAL, 20 + NORMAL),
        "counts": np.floor(np.exp(NORMAL)),
        "coordinates": 37.77 + 1e-3 * NORMAL,
    }[shape]
    changed, inliers = with_outliers(values, 1 / 16, place)
    others = np.sort(changed[inliers])
    rank, outliers = len(values) // 16, len(values) - len(others)
    widest = others[len(others) - 1 - (rank - outliers)] - others[rank - outliers]
    narrowest = others[len(others) - 1 - rank] - others[rank]
    scale = Scaler.fit(column(changed)).scale[0]
    assert narrowest * np.sqrt((rank + 1) / (2 * len(values))) * 0.95 <= scale <= widest * 1.05  # width of the bins


@pytest.mark.parametrize("power", [-250, -20, 0, 20, 250])
@pytest.mark.parametrize("offset", [0, 1e5])
def test_the_unit_of_a_column_makes_no_difference(power, offset):
    unit = 2.0**power  # by powers of 2 numbers keep their digits
    scores = Scaler.fit(column(NORMAL + offset)).apply(column(NORMAL + offset))
    rescaled = unit * column(NORMAL + offset)
    np.testing.assert_array_equal(Scaler.fit(rescaled).apply(rescaled), scores)


def test_scaled_values_are_within_the_limit_whatever_comes():
    rows = column([*NORMAL, 1e308, -1e308, 5e-324])
    for fitted in (NORMAL, 1e-300 * NORMAL, 1e300 * NORMAL, np.ones(9), [0.0, 5e-324]):
        scores = Scaler.fit(column(fitted)).apply(rows)
        assert np.isfinite(scores).all() and np.abs(scores).max() <= 8


def test_digits_that_differ_by_rounding_are_no_spread_and_small_numbers_are():
    assert Scaler.fit(column([0.3, 0.1 + 0.2] * 20)).scale[0] == 0
    assert Scaler.fit(column([1e-15, 2e-15] * 20)).scale[0] == pytest.approx(0.5e-15)
