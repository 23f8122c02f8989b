import math
import subprocess
import sys

import numpy as np
import pytest

from eafl_flower.aggregation import merge
from eafl_flower.aggregation.blockwise import BLOCKWISE
from eafl_flower.core.rng import generator

# Odd sizes: shorter than one vector register, not a multiple of it, longer than one block of numpy.
SIZES = (1, 7, 1000, 3 * 8192 + 5)


def _draws(purpose, dtype, count, sizes=SIZES):
    rng = generator(3, "merge", purpose)
    return [tuple(rng.normal(size=n).astype(dtype) for n in sizes) for _ in range(count)]


def _copies(arrays):
    return tuple(a.copy() for a in arrays)


@pytest.fixture
def compiled(monkeypatch):
    """Merge everything by the compiled loops, however small."""
    monkeypatch.setattr(merge, "COMPILED_FROM", 0)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_step_adds_the_weighted_delta(dtype):
    theta, delta = _draws("step", dtype, 2)
    result = _copies(theta)
    merge.step(result, delta, 0.3)
    for r, t, d in zip(result, theta, delta, strict=True):
        exact = t.astype(np.float64) + 0.3 * d.astype(np.float64)
        # Rounding of the weight, the product and the sum: three half units at the largest term.
        bound = 1.5 * np.finfo(dtype).eps * (np.abs(exact) + 2 * np.abs(0.3 * d.astype(np.float64)))
        assert r.dtype == dtype
        assert np.all(np.abs(r - exact) <= bound)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_compiled_and_numpy_merges_agree_bit_for_bit(dtype, monkeypatch):
    theta, delta, mean = _draws("paths", dtype, 3)
    results = []
    for threshold in (0, math.inf):
        monkeypatch.setattr(merge, "COMPILED_FROM", threshold)
        a, b, m = _copies(theta), _copies(theta), _copies(mean)
        merge.step(a, delta, 0.3)
        merge.pull(b, delta, m, weight=0.7, stiffness=0.1, momentum=0.95)
        ahead, behind = _copies(theta), _copies(mean)
        merge.lead(ahead, theta, behind, shares=[1.1, 0.0, 0.3, 1.5], rate=0.07)
        results.append(b"".join(x.tobytes() for x in (*a, *b, *m, *ahead, *behind)))
    assert results[0] == results[1]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("threshold", [0, math.inf], ids=["compiled", "numpy"])
def test_the_lead_is_a_share_of_the_way_from_the_average(dtype, threshold, monkeypatch):
    monkeypatch.setattr(merge, "COMPILED_FROM", threshold)
    theta, mean = _draws("lead", dtype, 2)
    ahead, behind = _copies(mean), _copies(mean)
    merge.lead(ahead, theta, behind, shares=[1.1] * 4, rate=0.25)
    eps = float(np.finfo(dtype).eps)
    for y, t, m, b in zip(ahead, *((a.astype(float) for a in x) for x in (theta, mean, behind)), strict=True):
        np.testing.assert_allclose(b, 0.75 * m + 0.25 * t, rtol=0, atol=8 * eps * np.abs([m, t]).max())
        np.testing.assert_allclose(y, t + 1.1 * (t - b), rtol=0, atol=8 * eps * np.abs([m, t]).max())


@pytest.mark.parametrize("threshold", [0, math.inf], ids=["compiled", "numpy"])
def test_arrays_with_nan_and_infinite_elements_do_not_disturb_what_updates_do_along_the_way(threshold, monkeypatch):
    monkeypatch.setattr(merge, "COMPILED_FROM", threshold)
    mean = (np.array([1.0, 3.0]), np.array([np.inf, 2.0]), np.array([np.nan, 9.0]), np.array([4]))
    average = (np.array([0.0, 1.0]), np.array([np.inf, 1.0]), np.array([np.nan, 1.0]), np.array([1]))
    delta = (np.array([1.0, 1.0]), np.array([0.0, 5.0]), np.array([0.0, 5.0]), np.array([1]))
    assert merge.along(delta, mean, average) == (1 + 2 + 5, 1 + 4 + 1)
    ahead = _copies(average)
    merge.lead(ahead, mean, average, shares=[1.0] * 4, rate=0.5)
    assert ahead[1].tolist() == [np.inf, 2.5]
    assert average[1].tolist() == [np.inf, 1.5]
    assert ahead[3].tolist() == average[3].tolist() == [4]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_compiled_and_numpy_sums_agree_to_rounding(dtype, monkeypatch):
    x, y = _draws("sums", dtype, 2)
    results = []
    for threshold in (0, math.inf):
        monkeypatch.setattr(merge, "COMPILED_FROM", threshold)
        results.append(merge.inner(x, y))
        product, square = merge.along(x, y, tuple(map(np.zeros_like, y)))
        assert (product, square) == pytest.approx((merge.inner(x, y), merge.squared_norm(y)))
        assert sum(merge.squared_norms(x)) == merge.squared_norm(x)
    # n additions of float64, in any order, err by at most n * eps * sum |x y|.
    size = sum(SIZES)
    weight = sum(float(np.abs(a.astype(float) * b).sum()) for a, b in zip(x, y, strict=True))
    assert abs(results[0] - results[1]) <= size * 2**-52 * weight
    assert results[1] == pytest.approx(math.fsum(float(np.dot(a.astype(float), b)) for a, b in zip(x, y, strict=True)))


def test_merging_an_average_that_stands_at_the_arrays_with_nothing_leaves_both():
    (theta,) = _draws("fixed point", "float32", 1)
    arrays, mean = _copies(theta), _copies(theta)
    merge.pull(arrays, tuple(np.zeros_like(a) for a in theta), mean, weight=0.7, stiffness=0.2, momentum=0.95)
    for a, m, t in zip(arrays, mean, theta, strict=True):
        assert a.tobytes() == m.tobytes() == t.tobytes()


@pytest.mark.parametrize("threshold", [0, math.inf], ids=["compiled", "numpy"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 8191, 8192, -1])
def test_any_value_that_is_not_finite_makes_the_norm_not_finite(threshold, value, place, monkeypatch):
    monkeypatch.setattr(merge, "COMPILED_FROM", threshold)
    for dtype in ("float32", "float64"):
        array = np.ones(3 * 8192 + 5, dtype=dtype)
        assert merge.squared_norm((array,)) == array.size
        array[place] = value
        assert not math.isfinite(merge.squared_norm((np.ones(3, dtype=dtype), array)))


def test_a_float32_norm_is_summed_in_float64():
    assert merge.squared_norm((np.full(4, 1e30, dtype=np.float32),)) == pytest.approx(4e60, rel=1e-6)


@pytest.mark.parametrize("threshold", [0, math.inf], ids=["compiled", "numpy"])
def test_deltas_of_any_memory_order_are_merged(threshold, monkeypatch):
    monkeypatch.setattr(merge, "COMPILED_FROM", threshold)
    delta = generator(3, "memory order").normal(size=(40, 30)).astype(np.float32)
    expected = np.zeros_like(delta)
    merge.step((expected,), (delta,), 0.3)
    wide = np.zeros((40, 60), dtype=np.float32)
    wide[:, ::2] = delta
    raw = np.frombuffer(b"x" + delta.tobytes(), dtype=np.uint8)[1:].view(np.float32).reshape(40, 30)
    frozen = delta.copy()
    frozen.flags.writeable = False
    orders = {
        "transposed": delta.T.copy().T,
        "strided": wide[:, ::2],
        "reversed": delta[::-1].copy()[::-1],
        "big-endian": delta.astype(">f4"),
        "unaligned": raw,
        "read-only": frozen,
    }
    for name, order in orders.items():
        result = np.zeros_like(delta)
        merge.step((result,), (order,), 0.3)
        assert result.tobytes() == expected.tobytes(), name
        assert merge.inner((delta,), (order,)) == merge.squared_norm((delta,)), name


@pytest.mark.parametrize("threshold", [0, math.inf], ids=["compiled", "numpy"])
def test_empty_arrays_and_scalars_are_merged(threshold, monkeypatch):
    monkeypatch.setattr(merge, "COMPILED_FROM", threshold)
    arrays = (np.zeros((0, 3), dtype=np.float32), np.array(1.0))
    merge.step(arrays, (np.zeros((0, 3), dtype=np.float32), np.array(2.0)), 0.5)
    assert arrays[1] == 2.0
    merge.step((), (), 1.0)
    assert merge.squared_norm(()) == 0.0


def test_integer_arrays_are_counters():
    arrays, mean = (np.array([5, 6]), np.zeros(1)), (np.array([1, 1]), np.zeros(1))
    delta = (np.array([3, -1]), np.ones(1))
    merge.step(arrays, delta, 0.25)
    assert arrays[0].tolist() == [8, 5]
    merge.pull(arrays, delta, mean, weight=0.25, stiffness=0.0, momentum=0.5)
    assert arrays[0].tolist() == mean[0].tolist() == [11, 4]
    assert merge.squared_norm(delta) == 1.0


@pytest.mark.parametrize("spoil", ["read-only", "strided"])
def test_arrays_that_cannot_be_merged_into_are_refused(spoil):
    array = np.zeros((4, 4))
    if spoil == "read-only":
        array.flags.writeable = False
    else:
        array = array[:, ::2]
    with pytest.raises(ValueError, match="read-only or not contiguous: make it with"):
        merge.step((array,), (np.ones(array.shape),), 1.0)


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"array 1 has shape \(3,\), expected \(2,\)"):
        merge.step((np.zeros(1), np.zeros(2)), (np.zeros(1), np.zeros(3)), 1.0)
    with pytest.raises(ValueError, match="got 1 arrays to go with 2"):
        merge.inner((np.zeros(1), np.zeros(2)), (np.zeros(1),))


def test_a_small_model_never_imports_the_compiler():
    code = """
import sys
import numpy as np
from eafl_flower.aggregation import EMAMAggregator
from eafl_flower.aggregation.merge import COMPILED_FROM
from eafl_flower.types import Update
aggregator = EMAMAggregator()
state = aggregator.init((np.zeros(COMPILED_FROM - 1, dtype=np.float32),))
one = np.ones(COMPILED_FROM - 1, dtype=np.float32)
aggregator.apply(state, [Update(client=0, delta=(one,), base_version=0, num_examples=1)])
print([name for name in ("numba", "flwr", "torch", "ray") if name in sys.modules])
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_the_layout_alone_chooses_the_loops():
    assert merge.kernels(np.dtype("float32"), merge.COMPILED_FROM - 1) is BLOCKWISE
    assert merge.kernels(np.dtype("float16"), merge.COMPILED_FROM) is BLOCKWISE
    assert merge.kernels(np.dtype("float32"), merge.COMPILED_FROM) is not BLOCKWISE


def test_without_a_writable_cache_folder_the_loops_are_compiled_all_the_same(monkeypatch):
    import numba
    from numba.core import caching

    from eafl_flower.aggregation.compiled import compile_loop

    # Numba looks for a writable folder through this list; empty, as for a user without a home.
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])

    def double(x):
        return 2.0 * x

    with pytest.raises(RuntimeError, match="no locator available"):
        numba.njit((numba.float64,), cache=True)(double)
    assert compile_loop(double, (numba.float64,))(1.5) == 3.0
