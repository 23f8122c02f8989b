import numpy as np
import pytest

from eafl_flower.codecs.emq.minifloat import quantise_fixed, quantise_float
from eafl_flower.codecs.emq.quantiser import UniformGrid, exponent_of, power, quantise, relative_error
from eafl_flower.core.rng import generator
from eafl_flower.errors import CodecError

X = np.array([0.0421, -0.0098, 0.0049, -0.0151, 0.0003, -0.0247, 0, 0.0999], np.float32)
VECTORS = {
    0: ([4, -1, 0, -2, 0, -2, 0, 10], 22),
    1: ([42, -10, 5, -15, 0, -25, 0, 100], 39),
    2: ([421, -98, 49, -151, 3, -247, 0, 999], 60),
}


def update(scale=1.0, n=3000):
    return (scale * generator(1, "emq").standard_normal(n) ** 3).astype(np.float32)


@pytest.mark.parametrize("digits", VECTORS)
def test_mantissas_and_bits_are_those_worked_out_by_hand(digits):
    integers, grid = quantise(X, digits=digits)
    mantissas, bits = VECTORS[digits]
    assert integers.tolist() == mantissas
    assert (grid.exponent, grid.bits(integers)) == (-2, bits)
    np.testing.assert_array_equal(grid.values(integers), np.float32(np.array(mantissas) * 10.0 ** (-2 - digits)))


def test_the_literal_code_gives_zeros_a_thousandth_of_a_quantum():
    integers, grid = quantise(X, digits=0, tiny=True)
    assert grid.values(integers)[integers == 0] == pytest.approx([1e-5] * 3)


@pytest.mark.parametrize("base", [2, 10])
@pytest.mark.parametrize("scale", [1e-44, 1e-38, 1e-6, 1.0, 1e30])
def test_no_value_is_off_by_more_than_half_a_quantum(base, scale):
    x = update(scale)
    for digits in range(4):
        integers, grid = quantise(x, base=base, digits=digits)
        assert np.abs(integers).max() <= base ** (digits + 1)
        # beside half a quantum, the rounding of the decoded value to float32: half of its last place
        off = np.abs(grid.values(integers).astype(float) - x.astype(float))
        assert (off <= grid.quantum / 2 * (1 + 1e-9) + np.spacing(np.abs(x)) / 2 + 2.0**-149).all()


def test_more_digits_never_make_a_vector_worse():
    # a finer grid of the same base contains the coarser one
    for base in (2, 10):
        errors = []
        for digits in range(5):
            integers, grid = quantise(update(), base=base, digits=digits)
            errors.append(relative_error(grid.values(integers), update()))
        assert errors == sorted(errors, reverse=True)


@pytest.mark.parametrize("squared_error", [0.3, 1e-2, 1e-3, 1e-5])
def test_as_few_digits_are_chosen_as_keep_the_error(squared_error):
    x = update()
    integers, grid = quantise(x, squared_error=squared_error)
    assert relative_error(grid.values(integers), x) ** 2 <= squared_error or grid.digits == 3
    if grid.digits:
        fewer, coarser = quantise(x, digits=grid.digits - 1)
        assert relative_error(coarser.values(fewer), x) ** 2 > squared_error
    same, fixed = quantise(x, digits=grid.digits)
    assert np.array_equal(same, integers)
    assert grid.bits(integers) == fixed.bits(same) + 2


@pytest.mark.parametrize("base", [2, 10])
def test_a_number_beside_a_power_has_the_exponent_below_or_that_of_the_power(base):
    for exponent in range(-149, 128) if base == 2 else range(-44, 39):
        exact = power(base, exponent)
        assert exponent_of(exact, base) == exponent
        assert exponent_of(np.nextafter(exact, np.inf), base) == exponent
        assert exponent_of(np.nextafter(exact, 0), base) == exponent - 1


def test_the_largest_numbers_stay_numbers():
    largest = np.finfo(np.float32).max
    for base in (2, 10):
        for digits in range(4):
            integers, grid = quantise(np.array([largest, -largest], np.float32), base=base, digits=digits)
            assert np.isfinite(grid.values(integers)).all()


def test_a_mantissa_that_no_vector_has_is_refused():
    grid = UniformGrid(base=10, exponent=0, digits=1)
    with pytest.raises(CodecError, match="a mantissa of the payload is 101: expected at most 100 with 1 digits"):
        grid.values(np.array([101], np.int32))


def test_small_floats_are_off_by_half_a_step_of_their_octave():
    x = update()
    integers, grid = quantise_fixed(x)
    inside = np.abs(x) >= 2.0 ** (grid.exponent - 14) * 2
    inside &= np.abs(x) < 2.0 ** (grid.exponent + 1) * (1 - 2.0**-4)  # beyond, the largest number stands for all
    off = np.abs(grid.values(integers)[inside] / x[inside] - 1)
    assert off.max() <= 2.0**-4 * (1 + 1e-6)
    assert grid.bits(integers) == 8 * x.size + abs(grid.exponent).bit_length()


def test_floats_keep_the_error_and_their_own_grid():
    x = update()
    integers, grid = quantise_float(x)
    decoded = grid.values(integers)
    assert relative_error(decoded, x) ** 2 <= 0.01
    assert np.array_equal(grid.integers(decoded), integers)
