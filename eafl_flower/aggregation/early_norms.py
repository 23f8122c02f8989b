"""How long an update may be before enough norms are known to tell an outlier by."""

import math
from collections.abc import Sequence
from typing import Final

from eafl_flower.aggregation.merge import squared_norm
from eafl_flower.types import Arrays

_TIMES_MODEL: Final = 4.0
_NORMS_NEEDED: Final = 16


def longest_early(arrays: Arrays, norms: Sequence[float], multiple: float) -> float:
    r"""Return the norm to which an update is scaled down while only few norms are known.

    .. math:: \min\bigl(4 \max(\|\theta\|, \|\theta_0\|),\; m \frac{16}{n} \tilde\ell\bigr)

    Nobody can tell whether the first update is too long except by the model it changes: one that is several times as
    long as the model leaves nothing of it. A model of zeros is held to be as long as ``fresh_norm``. As soon as there
    are others they are the measure, loosely while they are few: a model that has to grow by orders of magnitude grows
    by such a factor with each merge.

    Parameters
    ----------
    arrays
        The model :math:`\theta`.
    norms
        Norms of the :math:`n` updates merged so far; :math:`\tilde\ell` is the (lower) median of those above 0.
    multiple
        The multiple :math:`m` of the median that is believed when many are known.
    """
    model = math.sqrt(max(squared_norm(arrays), 0.0))
    longest = _TIMES_MODEL * max(model, fresh_norm(arrays))
    if moved := sorted(norm for norm in norms if norm > 0):
        median = moved[(len(moved) - 1) // 2]
        longest = min(longest, multiple * _NORMS_NEEDED / len(moved) * median)
    return longest


def fresh_norm(arrays: Arrays) -> float:
    """Return the norm of such arrays when they are initialised at random, with variance 1 / (the longest side).

    Examples
    --------
    >>> import numpy as np
    >>> fresh_norm((np.zeros((64, 8)), np.zeros(8)))  # 8 columns, and a bias, of length 1 each
    3.0
    """
    return math.hypot(*fresh_norms(arrays))


def fresh_norms(arrays: Arrays) -> tuple[float, ...]:
    """Return ``fresh_norm`` of each array by itself, 0 for those that are not floating point."""
    return tuple(math.sqrt(a.size / max(a.shape, default=1)) if a.dtype.kind == "f" and a.size else 0.0 for a in arrays)
