r"""Whether to adapt to a client's own rows, and how far: judged on its rows in their order, as it would have seen them.

The rows are cut into five blocks, and each but the first is predicted from those before it. With :math:`d_b(c)` the
change of the mean loss on block b by a candidate c, a candidate is *borne out* if

.. math:: \bar d(c) < -4.18\,\mathrm{SE}_b\bigl(d_b(c)\bigr)

and of these the one with the lowest :math:`\bar d` is taken. Blocks that come later, not folds at random, because what
a vehicle does in its first minutes may not last. Beyond 4.18 standard errors lie 1.25 % of a t-distribution with three
degrees of freedom: of four candidates that bring nothing, one is taken with a probability of at most 5 %, were the
changes normally distributed.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BLOCKS = 5
FEWEST_ROWS = 2 * BLOCKS
STANDARD_ERRORS = 4.18  # by which a candidate has to lower the loss


class Block(NamedTuple):
    """Which rows `(n,)` a candidate is made from, and which ones it is judged by."""

    before: NDArray[np.bool_]
    now: NDArray[np.bool_]


def why_not(labels: NDArray[np.generic]) -> str:
    """Return why rows with these labels cannot tell whether adapting helps; "" if they can."""
    if len(labels) < FEWEST_ROWS:
        return f"of {len(labels)} labelled rows it cannot tell whether adapting helps, only of {FEWEST_ROWS}"
    if len(np.unique(labels)) < 2:
        return f"all its {len(labels)} labelled rows are of one class"
    return ""


def blocks_of(num_rows: int) -> list[Block]:
    """Return the blocks that are predicted, in order."""
    number = np.arange(num_rows) * BLOCKS // max(1, num_rows)
    return [Block(number < block, number == block) for block in range(1, BLOCKS)]


def best(changes: NDArray[np.float64]) -> int | None:
    """Return the candidate that is borne out and lowers the loss most, or None.

    Parameters
    ----------
    changes
        :math:`d_b(c)`, ``(candidates, blocks)``; a change that is not finite speaks against its candidate.

    Examples
    --------
    >>> best(np.array([[-0.1, -0.2, -0.1, -0.2], [-0.9, 0.1, -0.9, 0.1], [-0.3, -0.2, -0.3, -0.2]]))
    2
    """
    mean = changes.mean(axis=1)
    error = changes.std(axis=1, ddof=1) / changes.shape[1] ** 0.5
    with np.errstate(invalid="ignore"):
        gain = np.where(mean < -STANDARD_ERRORS * error, mean, 0.0)
    place = int(gain.argmin()) if len(gain) else 0
    return place if len(gain) and gain[place] < 0 else None
