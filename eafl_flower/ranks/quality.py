"""How good a reported score is, from 0 to 1, beside what was usual in the round's worth before."""

import math
from dataclasses import dataclass, replace

from eafl_flower.ranks.rewards import centred_quality


@dataclass(frozen=True, kw_only=True)
class Usual:
    """The mean score of the last finished round's worth, if there was one, and that of this one so far."""

    mean: float | None = None
    summed: float = 0.0
    weight: float = 0.0
    server_round: int = 1


def taken_in(usual: Usual, score: float, weight: float, server_round: int) -> Usual:
    """Take a score of ``server_round`` in; one that is not finite, or without a weight, is left out."""
    if server_round > usual.server_round:
        mean = usual.summed / usual.weight if usual.weight else usual.mean
        usual = Usual(mean=mean, server_round=server_round)
    if not math.isfinite(score * weight) or weight <= 0:
        return usual
    return replace(usual, summed=usual.summed + weight * score, weight=usual.weight + weight)


def quality(score: float, usual: float | None, *, spread: float, lower_is_better: bool, raw: bool = False) -> float:
    """Return the quality of a score, one half where nothing is known.

    Parameters
    ----------
    score
        What a client reported, not finite if it did not.
    usual
        What it is held against; None if there is nothing.
    spread
        Width of what is told apart: of the score, or of a ``lower_is_better`` score the share of what is usual.
    lower_is_better
        Whether a smaller score is the better one.
    raw
        Whether the score itself is the quality.

    Examples
    --------
    >>> quality(0.9, 1.0, spread=0.4, lower_is_better=True)
    0.75
    """
    if not math.isfinite(score):
        return 0.5
    if raw:
        return min(1.0, max(0.0, score))
    if usual is None:
        return 0.5
    if not lower_is_better:
        return float(centred_quality(score, usual, spread=spread))
    return float(centred_quality(-score / abs(usual), -math.copysign(1.0, usual), spread=spread)) if usual else 0.5
