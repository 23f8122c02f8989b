r"""Whether a smaller head does as well: the rule, without the training.

Both sizes are fitted on four fifths of the client's training rows and scored on the rest, five times, so that every
row has one held-out cross-entropy for each size. With :math:`\delta_i` the smaller head's minus the larger
one's, the smaller one is taken while

.. math:: \bar\delta \le \mathrm{sd}(\delta) / \sqrt{n}

One standard error *of the paired difference*: rows that are hard for both do not blur the comparison.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from eafl_flower.heads.size import SMALLEST, HeadSize

NUM_FOLDS = 5
MIN_ROWS = 40


def is_as_good(smaller: NDArray[np.float64], larger: NDArray[np.float64]) -> bool:
    """Return whether the smaller head's losses are at most one standard error of the difference above the larger's.

    Losses that are not finite are not as good as any.
    """
    difference = smaller - larger
    error = difference.std(ddof=1) / len(difference) ** 0.5
    return bool(difference.mean() <= error)


def smallest_sufficient(
    prior: HeadSize, losses_of: Callable[[HeadSize], NDArray[np.float64]], num_rows: int
) -> HeadSize:
    """Go down from the prior size until the next smaller one is worse; return the last that was not.

    Parameters
    ----------
    prior
        Where to start.
    losses_of
        Returns the held-out cross-entropy of every row, in a fixed order, for heads of a size.
    num_rows
        Training rows of the client: below 40 nothing is compared, and the head is the smallest.
    """
    if num_rows < MIN_ROWS:
        return SMALLEST
    size, losses = prior, None
    while (smaller := size.next_smaller()) is not None:
        losses = losses_of(size) if losses is None else losses
        fewer = losses_of(smaller)
        if not is_as_good(fewer, losses):
            break
        size, losses = smaller, fewer
    return size


def fold_rows(num_rows: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Deal shuffled rows to five folds; the up to four rows that do not go round are left out.

    Returns
    -------
    tuple
        Row numbers to train on ``(5, 4 m)`` and those held out ``(5, m)``.
    """
    each = num_rows // NUM_FOLDS
    held_out = rng.permutation(num_rows)[: NUM_FOLDS * each].reshape(NUM_FOLDS, each)
    others = [np.delete(held_out, fold, axis=0).ravel() for fold in range(NUM_FOLDS)]
    return np.stack(others), held_out
