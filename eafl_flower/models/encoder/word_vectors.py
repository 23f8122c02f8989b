r"""Vectors of word pieces from which of them stand near each other: where the training of an encoder starts.

With :math:`n_{ij}` the sum of one over the distance of :math:`i` and :math:`j` wherever both are in a text, at most
five apart, the matrix

.. math:: M_{ij} = \max\left(0, \log \frac{n_{ij} \sum_k n_k^{3/4}}{n_i \, n_j^{3/4}}\right),
          \qquad n_i = \sum_j n_{ij}

is cut to its largest singular values, :math:`M \approx U S V^T`, and the vectors are the rows of :math:`U S^{1/2}`.

References
----------
Levy, Goldberg and Dagan, "Improving distributional similarity with lessons learned from word embeddings", TACL 2015.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import svds

NEAR = 5
_SMOOTHED = 0.75


def word_vectors(texts: Sequence[Sequence[int]], *, vocabulary: int, width: int) -> NDArray[np.float64]:
    """Return a vector for each word piece, ``(vocabulary, width)``, with mean square 1.

    Pieces that stand near no other have 0, up to rounding.

    Parameters
    ----------
    texts
        Numbers of the word pieces of each text, without special ones.
    vocabulary, width
        Number of pieces, length of a vector. Fewer singular values than that leave zeros at its end.
    """
    pieces = np.fromiter((piece for text in texts for piece in text), dtype=np.int64)
    text = np.repeat(np.arange(len(texts)), [len(pieces_of) for pieces_of in texts])
    near = sparse.csr_matrix((vocabulary, vocabulary))
    for apart in range(1, NEAR + 1):
        together = text[apart:] == text[:-apart]
        pair = pieces[:-apart][together], pieces[apart:][together]
        near += sparse.csr_matrix((np.full(len(pair[0]), 1 / apart), pair), shape=near.shape)
    counts = (near + near.T).tocoo()
    total = np.asarray(counts.sum(axis=1)).ravel()
    smoothed = total**_SMOOTHED
    surprise = np.log(counts.data * smoothed.sum() / (total[counts.row] * smoothed[counts.col]))
    matrix = sparse.csr_matrix((np.maximum(surprise, 0), (counts.row, counts.col)), shape=counts.shape)
    left, values = _largest(matrix, width)
    vectors = np.zeros((vocabulary, width))
    vectors[:, : len(values)] = left * np.sqrt(values)
    size = np.sqrt(np.mean(vectors**2))
    return vectors / size if size > 0 else vectors


def _largest(matrix: sparse.csr_matrix, number: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the left singular vectors of the largest singular values, in falling order of these."""
    if number < min(matrix.shape) - 1:
        # a start of its own makes it the same each time
        left, values, _ = svds(matrix, k=number, v0=np.ones(matrix.shape[0]))
        return left[:, ::-1], values[::-1]
    left, values, _ = np.linalg.svd(matrix.toarray())
    return left[:, :number], values[:number]
