"""Differences between values of a score: which of them count, and how they are printed."""

import math
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Final

from eafl_flower.core.scores import Score
from eafl_flower.core.words import shown

MARGIN: Final = 0.01
"""Below it a difference is none: of a score in percent a point, of any other this share of what it is held against."""


def gain(score: Score, own: float, other: float) -> float:
    """Return by how much ``own`` is better than ``other``; negative if it is worse."""
    return own - other if score.higher_is_better else other - own


def counts(score: Score, difference: float, beside: float) -> bool:
    """Return whether a difference from the value ``beside`` is one that counts.

    Examples
    --------
    >>> from eafl_flower.core.scores import ACCURACY
    >>> counts(ACCURACY, 0.57 - 0.56, 0.56), counts(ACCURACY, -0.009, 0.56)
    (True, False)
    """
    if score.unit == "%":
        percents = score.factor * difference
    elif beside:
        percents = 100 * difference / beside
    else:
        percents = math.inf if difference else 0.0
    return round(abs(percents), 9) >= 100 * MARGIN  # 0.57 - 0.56 is a little less than 0.01


def difference_text(score: Score, difference: float) -> str:
    """Return a difference as it is printed, whichever way is better: points of a percentage, else the number.

    Examples
    --------
    >>> from eafl_flower.core.scores import ACCURACY
    >>> difference_text(ACCURACY, 0.075), difference_text(ACCURACY, -0.01)
    ('7.5 points', '1.0 points')
    """
    number = score.number(abs(difference))
    if not float(number):  # what counts is never told as zero
        number = f"{abs(score.factor * difference):.2g}"
    return f"{number} points" if score.unit == "%" else f"{number} {shown(score.unit)}".rstrip()


def spread_text(score: Score, values: Sequence[float]) -> str:
    """Return mean and standard deviation in words, and over how many seeds.

    Examples
    --------
    >>> from eafl_flower.core.scores import ACCURACY
    >>> spread_text(ACCURACY, [0.7, 0.72]), spread_text(ACCURACY, [0.7])
    ('71.0 ± 1.4 % (2 seeds)', '70.0 % (one seed)')
    """
    if len(values) == 1:
        return f"{score.text(values[0])} (one seed)"
    mean = f"{score.number(fmean(values))} ± {score.number(stdev(values))} {score.unit}".rstrip()
    return f"{mean} ({len(values)} seeds)"
