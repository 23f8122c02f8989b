"""The rounds that are over, in figures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eafl_flower.roadside.tally import Tally

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """What each task had in each finished round `(rounds, tasks)`.

    ``share_j`` is the task's share of the energy of a round, ``budget_j`` what this round might take of it and
    ``used_j`` what it took [J], ``price`` is that of energy during the round, ``jobs`` ended in it, merged or not,
    ``score`` is the mean reported in it (NaN: none), ``latency_s`` its longest merged job [s].
    """

    share_j: Floats
    budget_j: Floats
    used_j: Floats
    price: Floats
    jobs: Floats
    score: Floats
    latency_s: Floats

    @property
    def current(self) -> int:
        """Number of the round under way, from 1."""
        return len(self.jobs) + 1

    @property
    def mean_jobs(self) -> Floats:
        """Mean number of jobs of a round, over the rounds with one `(tasks,)`."""
        return np.asarray(self.jobs.sum(0) / np.maximum(1, (self.jobs > 0).sum(0)))

    @property
    def last_score(self) -> Floats:
        """The newest score of each task, 0 before the first `(tasks,)`."""
        last = np.zeros(self.score.shape[1])
        for scores in self.score:
            last = np.where(np.isnan(scores), last, scores)
        return last


def first_rounds(tasks: int) -> Rounds:
    """Return the history before the first round."""
    return Rounds(**{name: np.zeros((0, tasks)) for name in Rounds.__dataclass_fields__})


def finished(rounds: Rounds, tally: Tally, *, shares_j: Floats, budgets_j: Floats, prices: Sequence[float]) -> Rounds:
    """Return the history with the round that ``tally`` has summed up."""
    mean = np.divide(tally.scores, tally.weights, out=np.full_like(tally.scores, np.nan), where=tally.weights > 0)
    new = {
        "share_j": shares_j,
        "budget_j": budgets_j,
        "used_j": tally.used_j,
        "price": np.asarray(prices, float),
        "jobs": tally.jobs,
        "score": mean,
        "latency_s": tally.latency_s,
    }
    return Rounds(**{name: np.vstack([getattr(rounds, name), row]) for name, row in new.items()})
