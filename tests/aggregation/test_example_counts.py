import math

from eafl_flower.aggregation.example_counts import MOST_TIMES_MEDIAN, largest_believed


def test_the_limit_is_a_multiple_of_the_median_of_those_who_have_any():
    assert largest_believed([3, 0, 7, 0, 5]) == MOST_TIMES_MEDIAN * 5
    assert largest_believed([]) == largest_believed([0, 0]) == math.inf


def test_a_minority_cannot_lift_the_limit():
    honest = [10] * 5
    assert largest_believed([*honest, *[2**53] * 5]) == MOST_TIMES_MEDIAN * 10
    assert largest_believed([10, 2**53]) == MOST_TIMES_MEDIAN * 10
