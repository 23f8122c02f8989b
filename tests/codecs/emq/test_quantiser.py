import numpy as np
import pytest

from eafl_flower.codecs.emq.minifloat import fixed_grid, float_grid
from eafl_flower.codecs.emq.quantiser import (
    UniformGrid,
    exponent_of,
    norms_of,
    power,
    squared_difference,
    uniform_grid,
)
from eafl_flower.core.rng import generator
from eafl_flower.errors import CodecError

X = np.array([0.0421, -0.0098, 0.0049, -0.0151, 0.0003, -0.0247, 0, 0.0999], np.float32)
VECTORS = {
    0: ([4, -1, 0, -2, 0, -2, 0, 10], 22),
    1: ([42, -10, 5, -15, 0, -25, 0, 100], 39),
    2: ([421, -98, 49, -151, 3, -247, 0, 999], 60),
}


def rounded(grid, x):
    """Integers, bits and squared error of a vector on its grid."""
    integers = np.empty(x.size, np.int32)
    squared_error, bits = grid.round(x, integers)
    return integers, grid.head_bits + bits, squared_error


def values_of(grid, integers):
    values = np.empty(integers.size, np.float32)
    grid.fill(integers, values)
    return values


def quantise(x, **settings):
    grid = uniform_grid(x, **settings)
    integers, bits, squared_error = rounded(grid, x)
    return integers, grid, bits, squared_error


def relative(squared, x):
    return squared / float(np.sum(x.astype(float) ** 2))


def update(scale=1.0, n=3000):
    return (scale * generator(1, "emq").standard_normal(n) ** 3).astype(np.float32)


@pytest.mark.parametrize("digits", VECTORS)
def test_mantissas_and_bits_are_those_worked_out_by_hand(digits):
    integers, grid, bits, _ = quantise(X, digits=digits)
    mantissas, expected = VECTORS[digits]
    assert integers.tolist() == mantissas
    assert (grid.exponent, bits) == (-2, expected)
    np.testing.assert_array_equal(values_of(grid, integers), np.float32(np.array(mantissas) * 10.0 ** (-2 - digits)))


def test_the_literal_code_gives_zeros_a_thousandth_of_a_quantum():
    integers, grid, *_ = quantise(X, digits=0, tiny=True)
    assert values_of(grid, integers)[integers == 0] == pytest.approx([1e-5] * 3)


@pytest.mark.parametrize("base", [2, 10])
@pytest.mark.parametrize("scale", [1e-44, 1e-38, 1e-6, 1.0, 1e30])
def test_no_value_is_off_by_more_than_half_a_quantum(base, scale):
    x = update(scale)
    for digits in range(4):
        integers, grid, *_ = quantise(x, base=base, digits=digits)
        assert np.abs(integers).max() <= base ** (digits + 1)
        # beside half a quantum, the rounding of the decoded value to float32: half of its last place
        off = np.abs(values_of(grid, integers).astype(float) - x.astype(float))
        assert (off <= grid.quantum / 2 * (1 + 1e-9) + np.spacing(np.abs(x)) / 2 + 2.0**-149).all()


def test_more_digits_never_make_a_vector_worse():
    # a finer grid of the same base contains the coarser one
    for base in (2, 10):
        errors = []
        for digits in range(5):
            integers, grid, *_ = quantise(update(), base=base, digits=digits)
            errors.append(squared_difference(values_of(grid, integers), update()))
        assert errors == sorted(errors, reverse=True)


@pytest.mark.parametrize("squared_error", [0.3, 1e-2, 1e-3, 1e-5])
def test_as_few_digits_are_chosen_as_keep_the_error(squared_error):
    x = update()
    integers, grid, bits, _ = quantise(x, squared_error=squared_error)
    assert relative(squared_difference(values_of(grid, integers), x), x) <= squared_error or grid.digits == 3
    if grid.digits:
        *_, coarser = quantise(x, digits=grid.digits - 1)
        assert relative(coarser, x) > squared_error
    fixed, _, fewer_bits, _ = quantise(x, digits=grid.digits)
    assert np.array_equal(fixed, integers)
    assert bits == fewer_bits + 2


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
            integers, grid, *_ = quantise(np.array([largest, -largest], np.float32), base=base, digits=digits)
            assert np.isfinite(values_of(grid, integers)).all()


@pytest.mark.parametrize("digits", [0, 1, 3])
@pytest.mark.parametrize("tiny", [False, True])
def test_error_and_bits_are_those_of_the_numbers_it_gives(digits, tiny):
    x = update(n=10_001)
    integers, grid, bits, squared_error = quantise(x, digits=digits, tiny=tiny)
    assert squared_error == pytest.approx(squared_difference(values_of(grid, integers), x), rel=1e-9)
    lengths = sum(abs(m).bit_length() for m in integers.tolist())
    assert bits == x.size + lengths + abs(grid.exponent).bit_length()


def test_the_norms_of_a_vector_are_its_largest_magnitude_and_its_squared_length():
    x = update()
    assert norms_of(x)[0] == np.abs(x).max()
    assert norms_of(-x)[1] == pytest.approx(float(np.sum(x.astype(float) ** 2)), rel=1e-12)
    assert norms_of(x[:0]) == (0.0, 0.0)
    for value in (np.nan, -np.nan, np.inf, -np.inf):
        x[7] = value
        assert not np.isfinite(norms_of(x)[1])


def test_a_mantissa_that_no_vector_has_is_refused():
    grid = UniformGrid(base=10, exponent=0, digits=1)
    with pytest.raises(CodecError, match="a mantissa of the payload is 101: expected at most 100 with 1 digits"):
        values_of(grid, np.array([101], np.int32))


def test_small_floats_are_off_by_half_a_step_of_their_octave():
    x = update()
    grid = fixed_grid(x)
    integers, bits, _ = rounded(grid, x)
    inside = np.abs(x) >= 2.0 ** (grid.exponent - 14) * 2
    inside &= np.abs(x) < 2.0 ** (grid.exponent + 1) * (1 - 2.0**-4)  # beyond, the largest number stands for all
    off = np.abs(values_of(grid, integers)[inside] / x[inside] - 1)
    assert off.max() <= 2.0**-4 * (1 + 1e-6)
    assert bits == 8 * x.size + abs(grid.exponent).bit_length()


def test_floats_keep_the_error_and_their_own_grid():
    x = update()
    grid = float_grid(x)
    integers, _, squared_error = rounded(grid, x)
    decoded = values_of(grid, integers)
    assert squared_error == squared_difference(decoded, x)
    assert relative(squared_difference(decoded, x), x) <= 0.01
    assert np.array_equal(rounded(grid, decoded)[0], integers)
