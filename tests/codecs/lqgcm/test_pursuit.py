import math
from itertools import combinations

import numpy as np
import pytest

from eafl_flower.codecs.lqgcm.pursuit import MAX_GAIN, SignSparse, compiled_loop, half, numpy_loop, scale_for
from eafl_flower.codecs.lqgcm.tuples import positions_and_signs, words_of
from eafl_flower.core.rng import generator

LARGEST = float(np.finfo(np.float32).max)


def vector(num_values, *purpose, tail=1.0):
    rng = generator(1, "pursuit", *purpose)
    padded = np.zeros(256 * -(-num_values // 256), np.float32)
    padded[:num_values] = rng.standard_normal(num_values) * np.abs(rng.standard_normal(num_values)) ** tail
    return padded


def pursued(values, num_tuples, *, num_values=None, loop=None):
    rest = values.copy()
    scale = scale_for(float(np.abs(values).max()))
    tuples = SignSparse(loop).pursue(rest, num_values=num_values or values.size, num_tuples=num_tuples, scale=scale)
    return tuples, rest, tuples["gain"].astype(float) * scale


def added(tuples, amounts, like):
    total = np.zeros_like(like)
    SignSparse().add(total, tuples, amounts)
    return total


@pytest.mark.parametrize("num_values", [1, 3, 255, 256, 258, 261, 7296, 100_000])
@pytest.mark.parametrize("tail", [0.0, 3.0])
def test_the_compiled_loop_and_the_numpy_form_give_the_same_bytes(num_values, tail):
    assert compiled_loop() is not None
    values = vector(num_values, num_values, tail=tail)
    for loops in (values, np.round(values), np.float32(1e-41) * values, np.float32(3e36) * np.clip(values, -9, 9)):
        results = [pursued(loops, 200, num_values=num_values, loop=loop) for loop in (None, numpy_loop)]
        assert results[0][0].tobytes() == results[1][0].tobytes()
        assert np.array_equal(results[0][1], results[1][1])


def test_each_step_is_the_best_of_all_atoms():
    # two blocks that are zero but for eight values each: all subsets, all signs, best gain
    values = np.zeros(512, np.float32)
    rng = generator(1, "brute force")
    alive = np.concatenate([rng.choice(256, 8, replace=False), 256 + rng.choice(256, 8, replace=False)])
    values[alive] = rng.standard_normal(16).astype(np.float32)
    rest = values.astype(float)
    tuples, _, amounts = pursued(values, 12)
    positions, negative = positions_and_signs(words_of(tuples))
    for n in range(12):
        best = 0.0
        for block in (0, 1):
            places = np.flatnonzero(rest[256 * block : 256 * (block + 1)]) + 256 * block
            # zeros may fill an atom; they add nothing to its sum
            for subset in combinations(places, min(5, places.size)):
                best = max(best, np.abs(rest[list(subset)]).sum() ** 2 / 5)
        before = np.sum(rest**2)
        signs = np.where(negative[n], -1, 1)
        rest[256 * int(tuples["block"][n]) + positions[n]] -= amounts[n] * signs
        # the gain is off by at most 2**-11 of itself: 5 g**2 2**-22 of energy
        assert before - np.sum(rest**2) == pytest.approx(best, rel=2**-20)


def test_disjoint_tuples_take_off_five_times_their_squared_gains():
    # each block is one atom: five equal magnitudes
    values, rng = np.zeros(256 * 40, np.float32), generator(1, "disjoint")
    magnitudes = np.sort(rng.uniform(0.5, 2, 40).astype(np.float16).astype(np.float32))[::-1]
    for block, magnitude in enumerate(magnitudes):
        values[256 * block + rng.choice(256, 5, replace=False)] = magnitude * rng.choice([-1, 1], 5)
    tuples, rest, amounts = pursued(values, 25)
    assert tuples["block"].tolist() == list(range(25))
    energy, left = np.sum(values.astype(float) ** 2), np.sum(rest.astype(float) ** 2)
    assert energy - left == pytest.approx(5 * np.sum(amounts**2), rel=1e-12)
    expected_db = -10 * math.log10(1 - 5 * np.sum(amounts**2) / energy)
    assert -10 * math.log10(left / energy) == pytest.approx(expected_db, rel=1e-9)


def test_every_tuple_takes_off_what_the_matching_pursuit_says():
    values = vector(7296, "energy")
    rest = values.astype(float)
    tuples, left, amounts = pursued(values, 60)
    positions, negative = positions_and_signs(words_of(tuples))
    taken = []
    for n in range(60):
        places = 256 * int(tuples["block"][n]) + positions[n]
        before = np.sum(rest**2)
        rest[places] -= amounts[n] * np.where(negative[n], -1, 1)
        taken.append(before - np.sum(rest**2))
        assert taken[n] == pytest.approx(5 * amounts[n] ** 2, rel=2**-10)
    np.testing.assert_allclose(rest, left, atol=1e-6)


def test_what_is_left_and_what_is_added_make_the_vector():
    values = vector(3000, "sum")
    tuples, rest, amounts = pursued(values, 300, num_values=3000)
    np.testing.assert_allclose(rest + added(tuples, amounts, values), values, atol=300 * 2**-24 * np.abs(values).max())


def test_ties_go_to_the_lower_block_and_position():
    tuples, _, _ = pursued(np.ones(1024, np.float32), 5)
    positions, negative = positions_and_signs(words_of(tuples))
    assert tuples["block"].tolist() == [0, 0, 0, 0, 0]
    assert positions.reshape(-1).tolist() == list(range(25))
    assert not negative.any()


@pytest.mark.parametrize("num_values", [1, 2, 3, 4, 257, 260])
def test_a_last_block_with_few_values_is_coded_by_atoms_of_that_many(num_values):
    values = np.zeros(256 * -(-num_values // 256), np.float32)
    values[num_values - num_values % 256 : num_values] = 3
    tuples, rest, _ = pursued(values, 1, num_values=num_values)
    assert tuples.size == 1
    assert not rest.any()


def test_nothing_is_sent_of_nothing():
    for values in (np.zeros(512, np.float32), np.zeros(0, np.float32)):
        tuples = SignSparse().pursue(values, num_values=values.size, num_tuples=18, scale=1.0)
        assert tuples.size == 0


@pytest.mark.parametrize("peak", [1e-45, 1e-40, 1e-6, 1.0, 3.0, LARGEST])
def test_gains_keep_the_precision_of_a_normal_float16_whatever_the_size_of_an_update(peak):
    scale = scale_for(peak)
    assert math.frexp(scale)[0] == 0.5
    ratio = peak / scale
    assert ratio < 2**15
    if peak > 1e-37:
        assert ratio >= 2**14
        assert math.isfinite(np.float32(MAX_GAIN * scale))
        for share in (1.0, 1e-3, 1e-8):
            assert half(share * ratio) == pytest.approx(min(share * ratio, MAX_GAIN), rel=2**-10)


def test_half_rounds_as_numpy_does():
    rng = generator(1, "half")
    values = np.concatenate([10.0 ** rng.uniform(-9, 4.5, 20_000), 2.0 ** np.arange(-30, 15), [2049.0, 2051.0, 0.0]])
    expected = np.minimum(values.astype(np.float16).astype(float), MAX_GAIN)
    assert [half(v) for v in values] == expected.tolist()
