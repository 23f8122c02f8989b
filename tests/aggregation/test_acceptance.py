import numpy as np
import pytest

from eafl_flower.aggregation import accept
from eafl_flower.aggregation.acceptance import begin, new_clock, own
from eafl_flower.aggregation.emam import EMAMAggregator
from eafl_flower.errors import UpdateRefusedError
from eafl_flower.types import Update

ARRAYS = (np.zeros((2, 3), dtype=np.float32), np.zeros(2, dtype=np.int64))


def _update(*delta, base_version=0, num_examples=1):
    return Update(client=7, delta=delta, base_version=base_version, num_examples=num_examples)


GOOD = (np.ones((2, 3), dtype=np.float32), np.ones(2, dtype=np.int64))


def test_an_accepted_update_is_measured():
    accepted = accept(ARRAYS, _update(*GOOD, base_version=4), version=9)
    assert accepted.staleness == 5
    assert accepted.norm == pytest.approx(6**0.5, rel=1e-15)  # counters do not enter
    assert accepted.deltas == GOOD


@pytest.mark.parametrize(
    ("update", "message"),
    [
        (_update(GOOD[0]), "update of client 7 has 1 arrays, expected 2"),
        (_update(np.ones((3, 2), dtype=np.float32), GOOD[1]), r"array 0 has shape \(3, 2\), expected \(2, 3\)"),
        (_update(GOOD[0], np.ones(2)), "array 1 has dtype float64, expected int64"),
        (_update(GOOD[0] * np.float32("nan"), GOOD[1]), "is not finite: .* in array 0"),
        (_update(np.full((2, 3), 1e300), GOOD[1]), "is not finite: .* in array 0"),
        (_update(*GOOD, base_version=3), "based on version 3, but the newest is 2"),
        (_update(*GOOD, num_examples=-1), "counts -1 examples"),
    ],
)
def test_a_bad_update_is_refused_with_its_client_and_reason(update, message):
    with pytest.raises(UpdateRefusedError, match=message):
        accept(ARRAYS, update, version=2)


def test_finite_values_whose_squares_overflow_are_refused():
    arrays = (np.zeros(1),)
    with pytest.raises(UpdateRefusedError, match="far too large values in array 0"):
        accept(arrays, _update(np.array([1e200])), version=0)
    with pytest.raises(UpdateRefusedError, match="in all arrays"):
        accept((*arrays, *arrays), _update(np.array([1.2e154]), np.array([1.2e154])), version=0)


def test_deltas_take_the_dtype_of_the_arrays():
    accepted = accept(ARRAYS, _update(np.full((2, 3), 0.1), np.ones(2, dtype=np.int8)), version=0)
    assert [d.dtype for d in accepted.deltas] == [a.dtype for a in ARRAYS]
    assert accept((np.array(1.0),), _update(np.float64(2.0)), version=0).norm == 2.0


@pytest.mark.parametrize("dtype", ["complex64", "U3"])
def test_arrays_that_cannot_be_averaged_are_refused_at_the_start(dtype):
    with pytest.raises(ValueError, match="array 1 has dtype"):
        own((np.zeros(1), np.zeros(1, dtype=dtype)))


def test_boolean_arrays_pass_as_long_as_they_do_not_change():
    flags = (np.zeros(1), np.array([True, False, True]))
    state = EMAMAggregator(beta=0.2).init(flags)
    kept, _ = EMAMAggregator(beta=0.2).apply(state, [_update(np.ones(1), np.zeros(3, bool))])
    assert kept.arrays[1].tolist() == [True, False, True]
    with pytest.raises(UpdateRefusedError, match="changes boolean array 1, which cannot be averaged"):
        accept(flags, _update(np.ones(1), np.array([False, True, False])), version=0)


def test_arrays_mapped_read_only_are_copied_once():
    clock, mapped = new_clock(), (np.zeros(3),)
    mapped[0].flags.writeable = False
    first, (arrays,) = begin(clock, mapped)
    assert clock[0] == 0
    assert first[0] == 1
    second, (again,) = begin(first, arrays)
    assert second is first
    assert again[0] is arrays[0]


def test_owned_arrays_start_at_cache_lines_and_keep_value_shape_and_dtype():
    matrix = np.linspace(-1, 1, 15).reshape(3, 5)
    given = (matrix.T, np.array(2.5, dtype=">f4"), np.zeros((0, 3)), np.arange(7, dtype=np.int16))
    for array, copy in zip(given, own(given), strict=True):
        assert copy.size == 0 or copy.ctypes.data % 64 == 0
        assert copy.flags.carray
        assert (copy.shape, copy.dtype.name, copy.tolist()) == (array.shape, array.dtype.name, array.tolist())
        assert not np.shares_memory(copy, array)


def test_an_update_that_merges_could_pile_up_to_an_overflow_is_refused():
    arrays = (np.full(3, 2.0**40, np.float32),)
    accept(arrays, _update(np.array([2.0**60, 0, 0], np.float32)), version=0)
    with pytest.raises(UpdateRefusedError, match="more than any training makes"):
        accept(arrays, _update(np.array([2.0**61, 0, 0], np.float32)), version=0)


def test_an_update_of_quite_another_size_than_the_model_is_refused():
    arrays = (np.zeros(3, np.float32),)
    longer = _update(np.array([2.0**31, 0, 0], np.float32))
    accept(arrays, _update(np.array([2.0**30, 0, 0], np.float32)), version=0)
    with pytest.raises(UpdateRefusedError, match=r"norm 2.15e\+09, more than any training makes \(1.07e\+09\)"):
        accept(arrays, longer, version=0)
    accept((np.array([2.0, 0, 0], np.float32),), longer, version=0)
    accept(arrays, longer, version=0, into_model=False)
