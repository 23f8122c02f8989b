import numpy as np
import pytest

from eafl_flower.data.tables.times import sortable_times, unix_seconds
from eafl_flower.errors import DataError


def test_seconds_since_1970():
    texts = np.array(["1970-01-01 00:00:01", "2008-02-29 12:00:00"], dtype=object)
    assert unix_seconds(texts, path="f", column="t").tolist() == [1, 1_204_286_400]
    with pytest.raises(
        DataError, match=r"f, line 3, column t: expected a time as in 2008-05-21 14:30:00, found '2009-02"
    ):
        unix_seconds(np.array(["1970-01-01 00:00:01", "2009-02-29 12:00:00"], dtype=object), path="f", column="t")


@pytest.mark.parametrize(
    ("cells", "seconds"),
    [
        (["5", "-1.5", "1e3"], [5, -1.5, 1000]),
        (["1970-01-02", "1970-01-01T00:00:00.5", "1970-01-01 01:00:00+01:00"], [86400, 0.5, 0]),
    ],
)
def test_times_of_any_unit_become_numbers(cells, seconds):
    assert sortable_times(np.array(cells, dtype=object), path="f", column="t").tolist() == seconds


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["1", "2", "noon"], "line 4, column t: .*found 'noon'"),
        (["1970-01-02", ""], "line 3, column t: .*found an empty cell"),
        (["1970-01-02", "1970-01-03", "x"], "line 4, column t: .*found 'x'"),
    ],
)
def test_what_is_no_time_is_named_by_line(cells, message):
    with pytest.raises(DataError, match=message):
        sortable_times(np.array(cells, dtype=object), path="f", column="t")
