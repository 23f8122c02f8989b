"""Vehicles are there while some roadside unit covers them."""

from dataclasses import dataclass

from eafl_flower.roadside.leaving import Coverage


@dataclass(frozen=True)
class WhileServed:
    """Client k is vehicle k, and reachable while any unit serves it.

    Parameters
    ----------
    coverage
        Who is covered by which unit.
    """

    coverage: Coverage

    def interval(self, client: int, time_s: float) -> tuple[bool, float]:
        """Return whether ``client`` is there at ``time_s``, and until when that stays so [s]."""
        return self.coverage.served(client, time_s)
