import doctest

import numpy as np
import pytest

from eafl_flower.data import splits
from eafl_flower.data.leaks import spelling
from eafl_flower.data.leaks.values import what_values_tell


def told(columns, y):
    test = np.arange(len(y)) % 4 == 3
    return what_values_tell(columns, y, test=test, by_row=test, held_out="every fourth row", left_out=("time",))


def test_two_columns_tell_together_what_neither_tells_alone():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 2, (2, 4000))
    found = told({"a": a.astype(float), "b": b.astype(float)}, a ^ b)
    assert found.together == 1
    # A coin: five standard errors of 1,000 rows.
    assert found.best == pytest.approx(0.5, abs=5 * 0.5 / np.sqrt(1000))
    assert found.anything


def test_noise_tells_nothing_and_spelling_does_not_count():
    rng = np.random.default_rng(1)
    y = (rng.random(4000) < 0.3).astype(int)
    words = np.where(y == 1, "on ", "On")
    found = told({"noise": rng.normal(size=4000), "word": words}, y)
    assert not found.anything
    assert found.lines()[-1].startswith("nothing to learn: with every fourth row held out")


def test_the_examples_are_true():
    for module in (spelling, splits):
        assert doctest.testmod(module, extraglobs={"np": np}).failed == 0
