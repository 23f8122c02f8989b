import numpy as np
import pytest

from eafl_flower.models.encoder.word_vectors import word_vectors


def test_pieces_with_the_same_neighbours_have_the_same_vector():
    texts = [[0, 1, 2], [0, 3, 2], [4, 5, 6, 7]]
    vectors = word_vectors(texts, vocabulary=9, width=6)
    np.testing.assert_allclose(vectors[1], vectors[3], atol=1e-12)
    assert np.linalg.norm(vectors[1] - vectors[5]) > 0.1


def test_vectors_reproduce_how_far_above_chance_pieces_meet():
    # 0 and 1 always meet, and so do 2 and 3: n_ij = 1, so that log(n_ij sum n_k^(3/4) / (n_i n_j^(3/4))) = log 4
    vectors = word_vectors([[0, 1], [2, 3]], vocabulary=4, width=4)
    # M is log 4 times a permutation, so that all its singular values are alike and U S U^T is a multiple of 1
    inner = vectors @ vectors.T
    np.testing.assert_allclose(inner / inner[0, 0], np.eye(4), atol=1e-12)


@pytest.mark.parametrize("texts", [[], [[1], [2]]])
def test_pieces_that_stand_alone_have_no_vector(texts):
    np.testing.assert_allclose(word_vectors(texts, vocabulary=4, width=3), 0, atol=1e-12)


def test_the_mean_square_is_one_and_each_time_the_same():
    rng = np.random.default_rng(0)
    texts = [rng.integers(0, 60, 12).tolist() for _ in range(100)]
    one, again = (word_vectors(texts, vocabulary=64, width=8) for _ in range(2))
    np.testing.assert_array_equal(one, again)
    assert np.mean(one**2) == pytest.approx(1)
    np.testing.assert_allclose(one[60:], 0, atol=1e-12)


def test_sparse_and_dense_reduction_agree():
    rng = np.random.default_rng(0)
    texts = [rng.integers(0, 30, 12).tolist() for _ in range(200)]
    few, all_of_them = (word_vectors(texts, vocabulary=30, width=width) for width in (8, 30))

    def angles(vectors):
        return vectors @ vectors.T / np.linalg.norm(vectors @ vectors.T)

    np.testing.assert_allclose(angles(few), angles(all_of_them[:, :8]), atol=1e-8)
