from itertools import combinations
from math import comb

import numpy as np
import pytest

from eafl_flower.codecs.lqgcm.tuples import (
    NUM_SUBSETS,
    TUPLE,
    join_bytes,
    make_tuples,
    positions_and_signs,
    rank,
    sign_words,
    split_bytes,
    unrank,
    words_of,
)
from eafl_flower.core.rng import generator
from eafl_flower.errors import CodecError

ENDS = np.array([[0, 1, 2, 3, 4], [251, 252, 253, 254, 255]])


def subsets(num, *purpose):
    rng = generator(1, "subsets", *purpose)
    drawn = np.sort(rng.integers(0, 256, (2 * num, 5)), axis=1)
    return drawn[(np.diff(drawn, axis=1) > 0).all(axis=1)][:num]


def test_a_tuple_is_eleven_bytes_in_the_order_of_the_source():
    tuples = make_tuples(np.array([0x04030201]), np.array([0x0908070605]), np.array([1.0]))
    assert TUPLE.itemsize == 11
    assert tuples.tobytes() == bytes([1, 2, 3, 4, 5, 6, 7, 8, 9, 0x00, 0x3C])
    assert words_of(tuples).tolist() == [0x0908070605]


def test_ranking_is_a_bijection_on_100_000_subsets_and_at_both_ends():
    positions = subsets(100_000)
    assert len(positions) == 100_000
    ranks = rank(positions)
    assert ranks.min() >= 0
    assert ranks.max() < NUM_SUBSETS
    assert np.array_equal(unrank(ranks), positions)
    assert rank(ENDS).tolist() == [0, NUM_SUBSETS - 1]
    assert np.array_equal(unrank(np.array([0, NUM_SUBSETS - 1])), ENDS)
    numbers = generator(1, "ranks").integers(0, NUM_SUBSETS, 100_000)
    assert np.array_equal(rank(unrank(numbers)), numbers)


def test_ranks_count_the_subsets_of_the_first_positions():
    first = np.array(list(combinations(range(12), 5)))
    assert sorted(rank(first).tolist()) == list(range(comb(12, 5)))


def test_34_bits_hold_a_rank_and_40_a_word():
    assert NUM_SUBSETS == 8_809_549_056 < 2**34
    assert int(sign_words(ENDS[1:], np.ones((1, 5), bool))[0]) < 2**39


def test_words_give_back_positions_and_signs_given_in_any_order():
    positions = subsets(2000, "signs")
    rng = generator(1, "signs")
    negative = rng.random(positions.shape) < 0.5
    order = rng.permuted(np.tile(np.arange(5), (len(positions), 1)), axis=1)
    words = sign_words(np.take_along_axis(positions, order, 1), np.take_along_axis(negative, order, 1))
    again, signs = positions_and_signs(words_of(make_tuples(np.zeros(2000), words, np.ones(2000))))
    assert np.array_equal(again, positions)
    assert np.array_equal(signs, negative)


@pytest.mark.parametrize("word", [NUM_SUBSETS, 2**34 - 1, 1 << 39, 2**40 - 1])
def test_words_that_name_no_subset_or_use_the_spare_bit_are_refused(word):
    with pytest.raises(CodecError, match="names subset"):
        positions_and_signs(np.array([0, word]))


def test_bytes_of_words_are_exact():
    parts = generator(1, "bytes").integers(0, 256, (500, 5))
    assert np.array_equal(split_bytes(join_bytes(parts)), parts)
    assert int(join_bytes(np.array([[1, 0, 0, 0, 255]]))[0]) == 1 + (255 << 32)
