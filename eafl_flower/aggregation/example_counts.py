"""How many examples a client is believed to have: its count is its weight, and it may claim any number."""

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping
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
    return _limit(sorted(n for n in counts if n > 0))


class Counts:
    """What each client claims, with ``largest_believed`` of them at hand after each change without a look at all."""

    def __init__(self, counts: Mapping[int, float]) -> None:
        self._of = {client: count for client, count in counts.items() if count > 0}
        self._sorted = sorted(self._of.values())

    def claim(self, client: int, count: float) -> None:
        """Let ``client`` claim ``count`` from now on; 0 is no claim."""
        last = self._of.get(client, 0)
        if last == count:
            return
        if last > 0:
            del self._sorted[bisect_left(self._sorted, last)]
            del self._of[client]
        if count > 0:
            insort(self._sorted, count)
            self._of[client] = count

    @property
    def largest_believed(self) -> float:
        """The most examples that a client is believed to have."""
        return _limit(self._sorted)


def _limit(claimed: list[float]) -> float:
    return MOST_TIMES_MEDIAN * claimed[(len(claimed) - 1) // 2] if claimed else float("inf")


def too_many(whose: str, count: float, most: float) -> str:
    """Say that a count is not believed."""
    return (
        f"{whose} counts {count:.16g} examples, {MOST_TIMES_MEDIAN} times the median of all clients are {most:.16g}: "
        "it counts as no more than these"
    )
