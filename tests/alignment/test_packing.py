import numpy as np
import pytest

from eafl_flower.alignment import as_floats, from_floats, pack, unpack
from eafl_flower.errors import CodecError, DataError


@pytest.mark.parametrize("size", [1, 2, 7, 8])
def test_what_is_packed_comes_back(size):
    latents = np.random.default_rng(size).standard_normal((size, 5))
    packed = pack(latents)
    assert packed.shape == ((size + 1) // 2, 5)
    np.testing.assert_array_equal(unpack(packed, size), latents)


def test_the_upper_half_is_real_and_an_odd_size_gets_a_zero():
    np.testing.assert_array_equal(pack(np.array([[1.0], [2.0], [3.0]])), [[1 + 3j], [2]])


def test_packing_keeps_energy():
    latents = np.random.default_rng(0).standard_normal((9, 4))
    np.testing.assert_allclose(np.linalg.norm(pack(latents), axis=0), np.linalg.norm(latents, axis=0))


def test_complex_arrays_travel_as_floats():
    array = pack(np.random.default_rng(1).standard_normal((6, 4)))
    np.testing.assert_array_equal(from_floats(as_floats(array)), array)
    single = from_floats(as_floats(array, np.float32))
    np.testing.assert_allclose(single, array, rtol=1e-6)
    assert single.dtype == np.complex128


def test_latents_that_are_none_are_refused():
    broken = np.ones((4, 3))
    broken[2, 1] = np.nan
    with pytest.raises(DataError, match=r"of sample 1 are not finite \(1 samples\)"):
        pack(broken)
    with pytest.raises(DataError, match="expected a real matrix"):
        pack(np.ones((4, 3), np.complex128))
    with pytest.raises(DataError, match="expected a real matrix"):
        pack(np.ones(4))
    with pytest.raises(DataError, match=r"expected \(4, n\) for 7 real dimensions"):
        unpack(np.ones((3, 2), np.complex128), 7)


@pytest.mark.parametrize(
    ("floats", "told"),
    [
        (np.ones((3, 2)), "expected floats"),
        (np.ones((2, 2), np.int64), "expected floats"),
        (np.array(1.0), "expected floats"),
        (np.full((2, 1), np.inf), "not finite"),
    ],
)
def test_floats_that_are_no_complex_array_are_refused(floats, told):
    with pytest.raises(CodecError, match=told):
        from_floats(floats)
