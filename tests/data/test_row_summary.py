import itertools

import numpy as np
import pytest

from eafl_flower.data.row_summary import MAX_BINS, ColumnSummary, RowSummary, quantile_table, total
from eafl_flower.errors import DataError


def columns():
    """Columns of every kind, and then some."""
    rng = np.random.default_rng(0)
    n = 6000
    normal = rng.normal(size=n)
    return {
        "normal": normal,
        "offset": 1.7e9 + 1000 * normal,
        "tiny": 1e-200 * normal,
        "huge": -1e200 * np.abs(normal),
        "bytes": np.round(2 ** rng.uniform(0, 30, n)),
        "flag": (rng.random(n) < 0.003).astype(float),
        "codes": rng.choice([1.0, 2.0, 443.0, 8080.0, 65535.0], n),
        "constant": np.full(n, 0.1),
        "one outlier": np.where(np.arange(n) == 7, 1e12, normal),
        "every size": np.sign(normal) * 10 ** rng.uniform(-300, 300, n),
        "zeros of both signs": np.where(np.arange(n) % 2, -0.0, 0.0),
    }


def table():
    return np.stack(list(columns().values()), axis=1)


def bits(summary):
    return [(c.dropped, c.bins.tobytes(), c.counts.tobytes()) for c in summary.columns]


def test_summaries_add_up_to_that_of_all_rows_in_every_order_and_grouping():
    rows = table()
    pooled = bits(RowSummary.of(rows))
    cuts = [0, 1, 40, 2500, 2501, 5000, len(rows)]  # clients of very different sizes have bins of different widths
    clients = [RowSummary.of(rows[a:b]) for a, b in itertools.pairwise(cuts)]
    assert len({c.columns[0].dropped for c in clients}) > 1
    rng = np.random.default_rng(1)
    for _ in range(5):
        left = [clients[i] for i in rng.permutation(len(clients))]
        assert bits(total(left)) == pooled
        while len(left) > 1:  # two neighbours, wherever they are, become one
            at = int(rng.integers(len(left) - 1))
            left[at : at + 2] = [left[at] + left[at + 1]]
        assert bits(left[0]) == pooled


@pytest.mark.parametrize("name", columns())
def test_every_value_and_so_every_quantile_is_known_to_within_the_stated_error(name):
    column = columns()[name]
    summary = ColumnSummary.of(column)
    ordered = np.sort(column)
    known = np.repeat(summary.values, summary.counts)
    np.testing.assert_array_equal([summary.ranked(r) for r in (0, 17, 3000, 5999)], known[[0, 17, 3000, 5999]])
    gap = np.abs(ordered) - np.abs(known)
    assert (gap >= 0).all() and (gap <= summary.relative_error * np.abs(ordered)).all()
    assert (np.sign(known) == np.sign(ordered)).all()
    assert len(summary.bins) <= MAX_BINS


@pytest.mark.parametrize(
    "name, error", [("normal", 2**-6), ("bytes", 2**-6), ("offset", 2**-24), ("one outlier", 2**-6)]
)
def test_usual_columns_are_known_well(name, error):
    assert ColumnSummary.of(columns()[name]).relative_error <= error


def test_few_different_values_are_kept_exactly_however_many_rows_there_are():
    values = np.random.default_rng(0).normal(size=MAX_BINS)
    summary = ColumnSummary.of(np.tile(values, 3))
    assert summary.relative_error == 0
    np.testing.assert_array_equal(summary.values, np.sort(values))
    np.testing.assert_array_equal(summary.counts, 3)
    assert ColumnSummary.of(np.append(values, 9.5)).relative_error > 0


def test_no_more_bins_are_united_than_the_bound_asks_for():
    column = columns()["normal"]
    summary = ColumnSummary.of(column)
    digits = np.abs(column).view(np.int64) >> (summary.dropped - 1)
    assert len(np.unique(np.sign(column) * digits)) > MAX_BINS


def test_a_client_without_rows_adds_nothing():
    rows = table()
    none = RowSummary.of(rows[:0])
    assert bits(none + RowSummary.of(rows) + none) == bits(RowSummary.of(rows))
    assert none.columns[0].num_rows == 0


def test_what_is_no_number_and_summaries_of_other_columns_are_refused():
    with pytest.raises(DataError, match="row 1, feature 0: expected a finite number, found nan"):
        RowSummary.of(np.array([[1.0], [np.nan]]))
    with pytest.raises(DataError, match="summaries of 1, 2 columns: expected one number for all clients"):
        RowSummary.of(np.ones((3, 1))) + RowSummary.of(np.ones((3, 2)))


def test_a_table_of_quantiles_has_equal_shares_of_rows_between_its_rows():
    rows = table()
    summary = RowSummary.of(rows)
    found, n = summary.quantiles(), len(rows)
    ordered = np.sort(rows, axis=0)
    exact = ordered[[min(share * n // 32, n - 1) for share in range(33)]]
    errors = np.array([column.relative_error for column in summary.columns])
    assert found.shape == exact.shape
    assert (np.abs(found - exact) <= errors * np.abs(exact)).all()
    assert (np.diff(found, axis=0) >= 0).all()
    np.testing.assert_array_equal(quantile_table(found.tolist(), rows.shape[1]), found)


def test_quantiles_of_clients_summaries_are_those_of_all_rows():
    rows = table()
    clients = [RowSummary.of(part) for part in np.array_split(rows, [1, 40, 2500, 5000])]
    np.testing.assert_array_equal(total(clients).quantiles(), RowSummary.of(rows).quantiles())


def test_quantiles_of_few_rows_or_none_are_those_there_are():
    np.testing.assert_array_equal(
        RowSummary.of(np.array([[3.0], [1.0]])).quantiles()[:, 0], np.repeat([1, 3], [16, 17])
    )
    np.testing.assert_array_equal(RowSummary.of(np.empty((0, 2))).quantiles(), np.zeros((33, 2)))
