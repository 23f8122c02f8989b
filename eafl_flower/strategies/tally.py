"""What a run has counted so far."""

from dataclasses import dataclass


@dataclass(kw_only=True, slots=True)
class Tally:
    """Counts of a run.

    ``updates`` are accepted updates, ``refused`` those that did not fit or were not finite, ``lost`` jobs
    whose client vanished, ``timed_out`` jobs past their deadline, ``errors`` error replies, ``late`` replies
    to jobs that had ended, ``states_lost`` client states that had to start afresh. In a row, that is since
    the last accepted update: ``failures_in_row`` are errors and refusals, ``fruitless_in_row`` all ended jobs.
    """

    updates: int = 0
    refused: int = 0
    lost: int = 0
    timed_out: int = 0
    errors: int = 0
    late: int = 0
    states_lost: int = 0
    failures_in_row: int = 0
    fruitless_in_row: int = 0
