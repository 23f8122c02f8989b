import numpy as np
import pytest

from eafl_flower.data.lookup import NUM_BINS, Lookup, lookup_scores, majority_scores
from eafl_flower.data.source import InMemorySource
from eafl_flower.heads.blocks import FEWEST_ROWS
from eafl_flower.types import Rows


def source(num_seen=1):
    x = np.array([[0, 5], [0, 6], [1, 5], [1, 6]], dtype=np.float32)
    y = np.array([0, 0, 1, 2])
    rows = Rows(x_train=x, y_train=y, x_test=x, y_test=np.array([0, 1, 1, 1]))
    return InMemorySource(
        name="s", class_names=("a", "b", "c"), feature_names=("first", "second"), num_seen=num_seen, parts=(rows, rows)
    )


def test_few_values_are_looked_up_one_by_one_and_unknown_ones_get_the_majority():
    table = Lookup.fit(np.array(["u", "u", "v", "v", "v"]), np.array([0, 0, 1, 1, 0]))
    assert table.predict(np.array(["u", "v", "zz", ""])).tolist() == [0, 1, 0, 0]


def test_many_values_are_looked_up_by_quantile():
    values = np.arange(3000.0)
    labels = (values >= 1500).astype(int)
    table = Lookup.fit(values, labels)
    assert table.binned and len(table.keys) == NUM_BINS - 1
    assert table.accuracy(values, labels) == 1.0
    assert table.predict(np.array([-1e9, 1e9])).tolist() == [0, 1]


def test_a_column_of_ties_does_not_break_the_bins():
    values = np.concatenate([np.zeros(1000), np.arange(100.0)])
    table = Lookup.fit(values, (values > 50).astype(int))
    assert table.accuracy(values, (values > 50).astype(int)) > 0.9


def test_noise_is_not_looked_up_better_than_the_majority():
    rng = np.random.default_rng(0)
    table = Lookup.fit(rng.random(20000), rng.integers(0, 2, 20000))
    score = table.accuracy(rng.random(20000), rng.integers(0, 2, 20000))
    assert score == pytest.approx(0.5, abs=5 * 0.5 / np.sqrt(20000))


def test_scores_are_over_test_rows_of_seen_and_of_unseen_clients():
    assert majority_scores(source()) == {"seen": 0.25, "unlabelled": 0.25, "unseen": 0.25}
    assert lookup_scores(source()) == ("first", {"seen": 0.75, "unlabelled": 0.75, "unseen": 0.75})


def test_without_unseen_clients_there_is_no_unseen_score():
    assert majority_scores(source(num_seen=2)) == {"seen": 0.25, "unlabelled": None, "unseen": None}


def test_a_table_is_adapted_where_a_clients_rows_bear_it_out():
    rng = np.random.default_rng(1)
    values, own = rng.integers(0, 4, 400), rng.integers(0, 4, 40)
    table = Lookup.fit(values, values % 2)
    other = table.adapted(own, 1 - own % 2)
    assert table.accuracy(own, 1 - own % 2) == 0
    assert other.accuracy(own, 1 - own % 2) == 1
    assert table.adapted(own, own % 2).predict(np.arange(4)).tolist() == table.predict(np.arange(4)).tolist()


@pytest.mark.parametrize("count", [0, FEWEST_ROWS - 1, 40])
def test_with_few_rows_or_one_class_the_table_stays_as_it_is(count):
    table = Lookup.fit(np.arange(4), np.array([0, 0, 1, 1]))
    own = np.arange(count) % 4
    assert table.adapted(own, np.full(count, 1)) is table


def test_a_class_of_its_own_is_learnt():
    table = Lookup.fit(np.arange(40) % 4, np.arange(40) % 2)
    own = np.arange(60) % 4
    assert table.adapted(own, np.where(own == 3, 5, own % 2)).predict(np.array([3, 0])).tolist() == [5, 0]
