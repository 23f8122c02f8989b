import numpy as np
import pytest

from eafl_flower.codecs.laq.quantiser import Levels, aquila_bits, innovation_of, range_of
from eafl_flower.codecs.laq.skipping import aquila_skips, laq_uploads
from eafl_flower.core.rng import generator

X = np.array([0.3, -1.2, 0.7, 0.05], np.float32)
NOTHING = np.zeros(0, np.float32)


def quantised(x, previous, bits, rounding="canonical"):
    y = innovation_of(x, previous)
    levels = Levels(bits=bits, range=range_of(y), rounding=rounding)
    return levels.values(levels.integers(y), previous), levels


@pytest.mark.parametrize(("bits", "expected"), [(2, [0.4, -1.2, 0.4, 0.4]), (4, [0.24, -1.2, 0.72, 0.08])])
def test_the_levels_are_those_worked_out_by_hand(bits, expected):
    np.testing.assert_allclose(quantised(X, NOTHING, bits)[0], expected, rtol=1e-6)


def test_aquila_takes_one_bit_for_four_values_of_which_one_is_large():
    y = innovation_of(X, NOTHING)
    assert np.log2(1 + 1.2 * 2 / np.linalg.norm(y)) == pytest.approx(1.4263, abs=5e-5)
    assert (aquila_bits(y), aquila_bits(y, "authors")) == (1, 2)


@pytest.mark.parametrize("bits", [1, 2, 5, 10, 16])
def test_no_value_is_off_by_more_than_delta(bits):
    rng = generator(1, "laq")
    x, previous = (rng.standard_normal(2000).astype(np.float32) for _ in range(2))
    decoded, levels = quantised(x, previous, bits)
    # beside delta, the rounding of float32: 2**-24 of values below 16
    assert np.abs(decoded.astype(float) - x).max() <= levels.step / 2 * (1 + 1e-9) + 2.0**-20


def test_the_authors_rounding_overshoots_and_gives_nothing_at_one_bit():
    decoded, levels = quantised(X, NOTHING, 2, "authors")
    assert decoded[1] == pytest.approx(-1.6)
    assert levels.count == 5
    assert not quantised(X, NOTHING, 1, "authors")[0].any()


def test_laq_uploads_what_moves_more_than_model_and_errors_or_when_its_patience_ends():
    rule = {"model_steps_squared": [1.0] * 10, "learning_rate": 0.5, "num_clients": 4, "since_upload": 3}
    # 0.8 / (0.5 * 4)**2 + 3 * (0.01 + 0.02) = 0.29
    assert laq_uploads(0.2901, error_squared=0.01, last_error_squared=0.02, **rule)
    assert not laq_uploads(0.2899, error_squared=0.01, last_error_squared=0.02, **rule)
    assert laq_uploads(0.0, error_squared=1.0, last_error_squared=1.0, **rule | {"since_upload": 100})


def test_aquila_skips_what_moves_less_than_the_model():
    # 0.25 / 0.5**2 * 2 = 2
    assert aquila_skips(1.9, 0.1, 2.0, learning_rate=0.5, beta=0.25)
    assert not aquila_skips(1.9, 0.11, 2.0, learning_rate=0.5, beta=0.25)
