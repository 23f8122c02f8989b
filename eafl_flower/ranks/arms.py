"""What can be wrong with a list of ranks, in words; "" if nothing is."""

from collections.abc import Sequence
from itertools import pairwise


def arms_problem(arms: Sequence[int]) -> str:
    """Return what is wrong with the ranks to choose from.

    Examples
    --------
    >>> arms_problem((4, 8)), arms_problem((8, 4))
    ('', 'expected ranks that increase: 4 is not above 8')
    """
    if not arms:
        return 'there is no rank to choose from: name one at least, as in "4,8,16"'
    for before, rank in pairwise(arms):
        if not rank > before:
            return f"expected ranks that increase: {rank} is not above {before}"
    return ""


def limits_problem(limits: Sequence[int], arms: Sequence[int]) -> str:
    """Return what is wrong with the largest ranks that clients can train; 0 is no limit.

    Examples
    --------
    >>> limits_problem((16, 32), (8, 64))
    'rank 64 is above the limit of every client (32): leave it out of the arms, or raise a limit'
    """
    if not limits:
        return 'expected one limit at least; "0" is none'
    if not arms:
        return ""
    largest, lowest = max(limits), min((limit for limit in limits if limit), default=0)
    if lowest and lowest < arms[0]:
        return f"a client of limit {lowest} can train none of the ranks from {arms[0]} on: add a smaller one"
    if all(limits) and largest < arms[-1]:
        advice = "leave it out of the arms, or raise a limit"
        return f"rank {arms[-1]} is above the limit of every client ({largest}): {advice}"
    return ""
