"""What a run has counted so far, and when that is too much."""

from dataclasses import dataclass
from typing import Final

from eafl_flower.errors import RunFailedError

MOST_FRUITLESS: Final = 1000  # jobs in a row that ended without an update, plus 20 for each in flight


@dataclass(kw_only=True, slots=True)
class Tally:
    """Counts of a run.

    ``updates`` are accepted updates, ``refused`` those that did not fit or were not finite, ``lost`` jobs
    whose client vanished, ``timed_out`` jobs past their deadline, ``errors`` error replies, ``late`` replies
    to jobs that had ended, ``states_lost`` client states that had to start afresh, ``rounds`` those of a barrier that
    had updates, ``uncertified`` allocations of power that are not proven to be the best. In a row, that is since the
    last accepted update: ``failures_in_row`` are errors and refusals, ``fruitless_in_row`` all ended jobs.
    """

    updates: int = 0
    refused: int = 0
    lost: int = 0
    timed_out: int = 0
    errors: int = 0
    late: int = 0
    states_lost: int = 0
    rounds: int = 0
    uncertified: int = 0
    failures_in_row: int = 0
    fruitless_in_row: int = 0

    def merged(self) -> None:
        """Count an accepted update."""
        self.updates += 1
        self.failures_in_row = self.fruitless_in_row = 0

    def failed(self, client: int, reason: str, *, budget: int) -> None:
        """Count an error or a refusal.

        Raises
        ------
        RunFailedError
            If there were more than ``budget`` in a row.
        """
        self.failures_in_row += 1
        if self.failures_in_row > budget:
            msg = (
                f"{self.failures_in_row} errors and refusals without a merge in between (error budget {budget}); "
                f"the last, of client {client}: {reason}"
            )
            raise RunFailedError(msg)

    def ended(self, client: int, outcome: str, *, in_flight: int) -> None:
        """Count a job that ended without an update.

        Raises
        ------
        RunFailedError
            If no job has led to an update for very long.
        """
        self.fruitless_in_row += 1
        if self.fruitless_in_row > MOST_FRUITLESS + 20 * in_flight:
            msg = (
                f"{self.fruitless_in_row} jobs in a row have ended without an update, the last ({outcome}) of "
                f"client {client}: does any job fit into its deadline, and into the time its client stays?"
            )
            raise RunFailedError(msg)
