import doctest

import pytest

from eafl_flower.results.views import quantities


def test_the_examples_are_true():
    assert doctest.testmod(quantities).failed == 0


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 9995, 99_950, 999_499, 999_500, 123_456_789, 10**15])
def test_a_size_is_never_longer_than_seven_characters(count):
    assert len(quantities.bytes_text(count)) <= 7


@pytest.mark.parametrize(("count", "text"), [(999_499, "999 kB"), (999_500, "1.00 MB"), (9_995, "10.0 kB")])
def test_rounding_carries_into_the_next_prefix(count, text):
    assert quantities.bytes_text(count) == text
