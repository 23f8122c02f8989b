"""How many examples a client is believed to have: its count is its weight, and it may claim any number."""

from collections.abc import Iterable
from typing import Final

MOST_TIMES_MEDIAN: Final = 100
"""No client weighs more than this many clients of median size.

Honest counts lie far apart: Dirichlet(0.1) over ten labels makes 7 to 16 times the median, over two labels 100 and
more. A claim may pass that by little, not by the fifteen orders of magnitude that a number has room for.
"""


def largest_believed(counts: Iterable[float]) -> float:
    """Return the most examples that a client is believed to have, given what all claim; infinite if none claims any.

    It is ``MOST_TIMES_MEDIAN`` times the median of the positive counts, of two middle ones the lower: of two clients
    neither can lift the limit of both.

    Examples
    --------
    >>> largest_believed([10, 2**53, 12]), largest_believed([0, 5, 2**53])
    (1200, 500)
    """
    claimed = sorted(n for n in counts if n > 0)
    return MOST_TIMES_MEDIAN * claimed[(len(claimed) - 1) // 2] if claimed else float("inf")


def too_many(whose: str, count: float, most: float) -> str:
    """Say that a count is not believed."""
    return (
        f"{whose} counts {count:.16g} examples, {MOST_TIMES_MEDIAN} times the median of all clients are {most:.16g}: "
        "it counts as no more than these"
    )
