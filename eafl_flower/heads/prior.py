r"""How large a client's head should be, judged by the entropy of its features.

.. math::
    H = \frac{1}{d} \sum_{j=1}^{d} \Big( -\sum_{b=1}^{30} p_{jb} \log_2 p_{jb} \Big), \qquad
    w = \mathrm{clip}\big(\tfrac12 + \tfrac12 H / \log_2 30,\ \tfrac12,\ 1\big)

:math:`p_{jb}` is the share of the client's rows whose feature j is in bin b of 30 equal bins between the 0.5 %
and the 99.5 % quantile of the pooled training rows. That is a table of 2 d public numbers. The width of the
head is :math:`8 \lceil 4w \rceil`, its depth 1, 2, 3 or 4 as H is below 2.0, 2.7, 3.3 or not.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from eafl_flower.heads.size import WIDTH_STEP, HeadSize
from eafl_flower.types import Array

NUM_BINS = 30
TAIL = 0.005
DEPTH_LIMITS_BITS = (2.0, 2.7, 3.3)


@dataclass(frozen=True, eq=False)
class FeatureRanges:
    """Where the bins of each feature begin and end, ``(d,)`` each."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @classmethod
    def of(cls, rows: Array) -> Self:
        """Return the 0.5 % and 99.5 % quantiles of pooled rows ``(n, d)``."""
        low, high = np.quantile(np.asarray(rows, np.float64), (TAIL, 1 - TAIL), axis=0)
        return cls(low, high)


@runtime_checkable
class SizedByRanges(Protocol):
    """A task whose private heads may be sized by entropies; ``ranges`` is None where they are not."""

    @property
    def ranges(self) -> Callable[[], FeatureRanges | None] | None:
        """Gives the bins of the entropies."""


def entropy_bits(rows: Array, ranges: FeatureRanges) -> NDArray[np.float64]:
    """Return the entropy of each feature of rows ``(n, d)``: ``(d,)``, from 0 to log2(30) = 4.907 bits.

    Values outside the range count to the outer bins; a feature whose range is empty has entropy 0.

    Raises
    ------
    ValueError
        If there are no rows.

    Examples
    --------
    >>> rows = np.arange(30.0).reshape(30, 1)
    >>> entropy_bits(rows, FeatureRanges(np.zeros(1), np.full(1, 30.0))).round(3).tolist()
    [4.907]
    """
    if not len(rows):
        msg = "the entropy of no rows is not defined"
        raise ValueError(msg)
    span = ranges.high - ranges.low
    num_features = len(span)
    place = (rows - ranges.low) / np.where(span > 0, span, 1.0)
    bins = np.clip(np.floor(NUM_BINS * place), 0, NUM_BINS - 1).astype(np.int64)
    bins += NUM_BINS * np.arange(num_features)
    counts = np.bincount(bins.ravel(), minlength=NUM_BINS * num_features).reshape(num_features, NUM_BINS)
    share = counts / len(rows)
    terms = share * np.log2(share, where=share > 0, out=np.zeros_like(share))
    return np.where(span > 0, np.abs(terms.sum(axis=1)), 0.0)


def prior_size(mean_entropy_bits: float) -> HeadSize:
    """Return depth and width for a client whose features have this entropy on average.

    Examples
    --------
    >>> str(prior_size(0.0)), str(prior_size(2.5)), str(prior_size(4.0))
    ('1x16', '2x32', '4x32')
    """
    share = min(max(0.5 + 0.5 * mean_entropy_bits / math.log2(NUM_BINS), 0.5), 1.0)
    depth = 1 + sum(mean_entropy_bits >= limit for limit in DEPTH_LIMITS_BITS)
    return HeadSize(depth, WIDTH_STEP * math.ceil(4 * share))
