"""What is read off a recorded run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
SETTLED: Final = 10  # rounds at the beginning that violations leave out
WINDOW: Final = 5  # rounds
FIFTEEN: Final = 15  # rounds, over which hand-overs are told
LATEST: Final = 3  # evaluations at the end whose accuracies are averaged
ENDED: Final = ("lost", "refused", "timeout", "error")


@dataclass(frozen=True)
class Job:
    """One job that has ended; ``number`` is that of its round, ``unit`` that of its roadside unit, both from 0."""

    number: int
    vehicle: int
    unit: int
    rank: int
    event: str
    leaving: str


@dataclass(frozen=True, eq=False)
class Recording:
    """A recorded run; ``found`` is what ``record.recorded`` returned."""

    found: Mapping[str, Any]

    def by_round(self, name: str) -> Floats:
        """Return a column of the rounds `(rounds, tasks)`; NaN: none."""
        values = np.asarray(self.found["rounds"][name], np.float64)
        return np.where(values < 0, np.nan, values)

    @property
    def rounds(self) -> int:
        """Number of rounds."""
        return len(self.found["rounds"]["jobs"])

    @property
    def budget_j(self) -> float:
        """Energy of a round that all tasks together may take [J], whether the method keeps to it or not."""
        return float(self.found["budget_j"])

    @property
    def used_j(self) -> Floats:
        """Energy of each round [J] `(rounds,)`."""
        return np.asarray(self.by_round("used_j").sum(axis=1))

    @property
    def least_used_j(self) -> Floats:
        """Energy that as many jobs would have taken at the smallest rank [J] `(rounds, tasks)`, by the mean vehicle."""
        job_j = float(self.found["span_j"][0]) / float(np.mean(self.found["covered"]))
        return np.asarray(job_j * self.by_round("jobs"))

    @property
    def latency_s(self) -> Floats:
        """Longest merged job of each round [s] `(rounds,)`; 0 if there was none."""
        return np.asarray(self.by_round("latency_s").max(axis=1))

    @cached_property
    def jobs(self) -> list[Job]:
        """All jobs that have ended, in the order of their rounds.

        Raises
        ------
        ValueError
            If the rounds do not have as many.
        """
        told = self.found["jobs"]
        numbers = np.repeat(np.arange(self.rounds), self.by_round("jobs").sum(axis=1).astype(int))
        if len(numbers) != len(told):
            raise ValueError(f"a recording of {len(told)} jobs whose rounds have {len(numbers)}: record it again")
        return [
            Job(int(number), int(vehicle), int(unit) - 1, int(rank), event, leaving)
            for number, (_, vehicle, unit, rank, event, leaving) in zip(numbers, told, strict=True)
        ]

    @property
    def mean_rank(self) -> float:
        """Mean rank of the jobs that were merged."""
        return float(np.mean([job.rank for job in self.jobs if job.event == "merge"]))

    def ranks(self, vehicles: int) -> Floats:
        """Return the rank of each vehicle in each round `(vehicles, rounds)`, NaN: it had no job."""
        found = np.full((vehicles, self.rounds), np.nan)
        for job in self.jobs:
            found[job.vehicle, job.number] = job.rank
        return found

    @property
    def handovers(self) -> float:
        """Hand-overs of a vehicle in 15 rounds, the mean over all."""
        return float(np.mean(self.found["handovers"])) * FIFTEEN / self.rounds

    @property
    def idle(self) -> int:
        """How often a vehicle was covered when a round began and got no job: none fitted its stay, or was worth it."""
        return int(np.sum(self.found["covered"])) - len(self.jobs)

    @property
    def evaluated(self) -> list[int]:
        """Numbers of the rounds after which the models were evaluated, 0 before the first."""
        return [int(score["round"]) for score in self.found["scores"]]

    def curve(self, task: str, what: str = "test") -> Floats:
        """Return the scores of a task at each evaluation."""
        return np.array([score[task][what] for score in self.found["scores"]], np.float64)

    def accuracy(self, task: str, what: str = "test") -> float:
        """Return the mean accuracy of a task over the last evaluations; the initial one does not count."""
        return float(self.curve(task, what)[-min(LATEST, max(1, len(self.found["scores"]) - 1)) :].mean())

    def mean_accuracy(self, what: str = "test") -> float:
        """Return the mean accuracy over tasks."""
        return float(np.mean([self.accuracy(task, what) for task in self.found["scores"][-1] if task != "round"]))


def violation(budget_j: Floats, used_j: Floats, *, settled: int = SETTLED) -> Floats:
    """Return ``max(0, mean energy / budget - 1)`` over the rounds after the first ``settled`` ones, of each task.

    Budgets move between tasks: their mean over the same rounds counts. A run of no more rounds has all of them counted.
    """
    begin = settled if len(budget_j) > settled else 0
    return np.asarray(np.maximum(0.0, used_j[begin:].mean(axis=0) / budget_j[begin:].mean(axis=0) - 1))


def worst_window(budget_j: Floats, used_j: Floats, *, settled: int = SETTLED, over: int = WINDOW) -> Floats:
    """Return the largest violation in any ``over`` rounds one after another, after the first ones, of each task."""
    begin = settled if len(budget_j) > settled else 0
    last = max(begin, len(budget_j) - over)
    windows = [slice(start, start + over) for start in range(begin, last + 1)]
    return np.asarray(np.max([violation(budget_j[w], used_j[w], settled=0) for w in windows], axis=0))


def of_all(found: Recording) -> tuple[Floats, Floats]:
    """Return budget and energy of all tasks together `(rounds, 1)`, for methods that have no budgets for each."""
    used_j = found.used_j[:, None]
    return np.full_like(used_j, found.budget_j), used_j


def price_share(price: Floats) -> Floats:
    """Return in what share of the rounds energy had a price, of each task."""
    return np.asarray((price > 0).mean(axis=0))


def departures(jobs: Sequence[Job]) -> dict[str, int]:
    """Count the jobs that were uploaded early, migrated, or were abandoned, and those lost in spite or for want of it.

    An early upload or a migration counts if its update came in; else its job is lost.
    """
    found = dict.fromkeys(("early", "migrate", "abandon", "lost"), 0)
    for job in jobs:
        if job.leaving == "abandon":
            found["abandon"] += 1
        elif job.event in ENDED:
            found["lost"] += 1
        elif job.leaving:
            found[job.leaving] += 1
    return found


def best_rate(rates: Sequence[float], scores: Sequence[float]) -> float:
    """Return the rate of the best score; of equal ones the smallest rate."""
    return min(zip(rates, scores, strict=True), key=lambda pair: (-pair[1], pair[0]))[0]
