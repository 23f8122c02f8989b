"""How a run counts: in rounds' worth of updates, or in merges.

There are no rounds where each update is merged when it comes. A *round's worth* is as many updates as Flower's
``FedAvg`` takes in a round, so that as many rounds are as much work. With a barrier a round is a round.
"""

from dataclasses import dataclass
from logging import INFO

from eafl_flower.engines.flower_log import log
from eafl_flower.runs.options import RunOptions, Unit


def updates_in_a_round(options: RunOptions, num_trainers: int) -> int:
    """Return how many of ``num_trainers`` nodes FedAvg would sample for each round."""
    return max(int(options.fraction_train * num_trainers), options.min_train_nodes, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """Turns merges and updates of a run into the unit that it counts in.

    ``merges`` and ``updates`` differ where several updates make one merge: with a buffer, or a barrier.

    Parameters
    ----------
    unit
        What ``num_rounds``, ``evaluate_every`` and the keys of the result count.
    round_size
        Updates in a round's worth.
    barrier
        Whether rounds are real ones, each of them a merge.
    """

    unit: Unit
    round_size: int
    barrier: bool

    def done(self, *, merges: int, updates: int) -> int:
        """Return how many whole units are done."""
        return merges if self.unit == "merges" or self.barrier else updates // self.round_size

    def begun(self, *, merges: int, updates: int) -> int:
        """Return the same, a unit that has begun counted as a whole: the number of an evaluation in its midst."""
        return merges if self.unit == "merges" else self.evaluation_round(merges=merges, updates=updates)

    def evaluation_round(self, *, merges: int, updates: int) -> int:
        """Return how many rounds (or rounds' worth) are in the arrays, one that has begun counted as a whole."""
        return merges if self.barrier else -(-updates // self.round_size)

    def server_round(self, *, merges: int, updates: int) -> int:
        """Return the number, from 1, of the round (or round's worth) that a job belongs to."""
        return 1 + (merges if self.barrier else updates // self.round_size)

    def planned_merges(self, num_rounds: int) -> int:
        """Return how many merges ``num_rounds`` units are, if each update is one."""
        return num_rounds if self.unit == "merges" or self.barrier else num_rounds * self.round_size


def announce(pace: Pace, num_rounds: int, *, clients: int, in_flight: int) -> None:
    """Log what ``num_rounds`` stand for."""
    if pace.barrier:
        log(INFO, "%d rounds of %d of %d clients each", num_rounds, in_flight, clients)
        return
    log(
        INFO,
        "%d rounds' worth of %d updates each, %d in all, from %d clients, %d at a time (unit = 'merges' counts merges)",
        num_rounds,
        pace.round_size,
        pace.planned_merges(num_rounds),
        clients,
        in_flight,
    )
