import numpy as np
import pytest

from eafl_flower.core.rng import generator
from eafl_flower.models.piecewise import BEYOND, PiecewiseLinear


@pytest.fixture
def table():
    """Quantiles of a normal feature, a flag, a constant, one with heavy ties, and one with two ends alike."""
    rng = generator(1, "table")
    normal, ties = np.sort(rng.standard_normal(33)), np.repeat([0.0, 1.0, 1.5], 11)
    flag, most = np.repeat([-0.2, 3.0], [20, 13]), np.concatenate([np.zeros(30), [1.0, 2.0, 3.0]])
    return np.stack([normal, flag, np.zeros(33), ties, most], axis=1)


def some_rows(count=200, spread=3.0):
    return (spread * generator(2, "rows").standard_normal((count, 5))).astype(np.float32)


def one_by_one(table, num_bins, rows):
    """The same, feature by feature and bin by bin, as the equation says it."""
    columns = []
    for feature in range(rows.shape[1]):
        x = rows[:, feature].astype(np.float64)
        columns.append(x)
        edges = sorted(set(table[:: (len(table) - 1) // num_bins, feature].tolist()))
        for t in range(1, len(edges)) if len(edges) >= 3 else ():
            low = -4.0 if t == 1 else 0.0
            high = 4.0 if t == len(edges) - 1 else 1.0
            columns.append(np.clip((x - edges[t - 1]) / (edges[t] - edges[t - 1]), low, high))
    return np.stack(columns, axis=1).astype(np.float32)


@pytest.mark.parametrize("num_bins", [1, 2, 4, 8, 16, 32])
def test_all_features_at_once_are_what_each_is_alone(table, num_bins):
    encoding, rows = PiecewiseLinear(table, num_bins), some_rows()
    found = encoding.apply(rows)
    assert found.dtype == np.float32
    assert found.shape == (len(rows), encoding.num_outputs)
    np.testing.assert_array_equal(found, one_by_one(table, num_bins, rows))


@pytest.mark.parametrize("num_bins", [2, 4, 8, 16, 32])
def test_features_with_fewer_than_three_edges_are_themselves_alone(table, num_bins):
    rows = some_rows()
    encoding = PiecewiseLinear(table[:, [1, 2]], num_bins)
    np.testing.assert_array_equal(encoding.apply(rows[:, :2]), rows[:, :2])


def test_edges_that_are_alike_are_one(table):
    assert PiecewiseLinear(table[:, [3]], 32).num_outputs == 1 + 2
    assert PiecewiseLinear(table[:, [4]], 32).num_outputs == 1 + 3
    assert PiecewiseLinear(table[:, [4]], 4).num_outputs == 1  # 0 and 3 alone
    assert PiecewiseLinear(table[:, [0]], 4).num_outputs == 1 + 4


def test_each_output_rises_with_its_feature_without_a_jump(table):
    x = np.linspace(-9, 9, 20_001)[:, None]
    outputs = PiecewiseLinear(table[:, [0]], 8).apply(x).astype(np.float64)
    steps = np.diff(outputs, axis=0)
    steepest = 1 / np.diff(table[::4, 0])
    assert (steps >= 0).all()
    assert (steps[:, 1:] <= (x[1, 0] - x[0, 0]) * steepest + 1e-6).all()  # float32 near 4: within 5e-7


def test_between_the_outermost_edges_the_bins_add_up_to_the_feature(table):
    edges = table[::4, 0]
    x = np.concatenate([edges, np.linspace(edges[0], edges[-1], 500)])[:, None]
    bins = PiecewiseLinear(table[:, [0]], 8).apply(x)[:, 1:].astype(np.float64)
    np.testing.assert_allclose(edges[0] + bins @ np.diff(edges), x[:, 0], atol=1e-6)
    # at an edge all bins below are full and all above are empty
    np.testing.assert_allclose(bins[:9], np.tri(9, 8, -1), atol=1e-6)


def test_far_beyond_the_edges_bins_stay_within_their_limits_and_the_feature_is_as_it_is(table):
    encoding = PiecewiseLinear(table[:, [0]], 4)
    far = encoding.apply(np.array([[-1e6], [1e6]], np.float32))
    np.testing.assert_array_equal(far, [[-1e6, -BEYOND, 0, 0, 0], [1e6, 1, 1, 1, BEYOND]])


def test_no_rows_are_no_rows(table):
    assert PiecewiseLinear(table, 4).apply(np.empty((0, 5), np.float32)).shape == (0, 5 + 4 + 2 + 0)


@pytest.mark.parametrize(
    ("change", "num_bins", "message"),
    [
        (lambda table: table[::-1], 4, "finite numbers that ascend"),
        (lambda table: table * np.nan, 4, "finite numbers that ascend"),
        (lambda table: table[:, 0], 4, "of shape \\(33,\\): expected two dimensions"),
        (lambda table: table, 3, "33 quantiles of each feature cannot be the edges of 3 bins"),
        (lambda table: table, 64, "of 64 bins"),
        (lambda table: table, 0, "of 0 bins"),
        (lambda table: table[:1], 1, "1 quantiles"),
    ],
)
def test_what_is_no_table_or_cannot_be_divided_is_refused(table, change, num_bins, message):
    with pytest.raises(ValueError, match=message):
        PiecewiseLinear(change(table), num_bins)
