"""Vehicles are there while some roadside unit covers them."""

import math
from dataclasses import dataclass

from eafl_flower.roadside.leaving import Coverage


@dataclass(frozen=True)
class WithinReach:
    """When each vehicle is reachable: while it is covered, whoever serves it.

    Parameters
    ----------
    coverage
        Who is covered by which unit.
    """

    coverage: Coverage

    def interval(self, client: int, time_s: float) -> tuple[bool, float]:
        """Return whether ``client`` is covered at ``time_s``, and until when that stays so [s]."""
        unit, until_s = self.coverage.interval(client, time_s)
        covered = unit >= 0
        while math.isfinite(until_s):
            unit, later_s = self.coverage.interval(client, until_s)
            if (unit >= 0) != covered:
                break
            until_s = later_s
        return covered, until_s
