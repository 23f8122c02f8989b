"""What the jobs of each task took and reported: of the round under way, and of each vehicle so far."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eafl_flower.core.forecasts import Outcome
from eafl_flower.roadside.leaving import Expected
from eafl_flower.types import Phase

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Sums over jobs.

    Parameters
    ----------
    used_j, jobs
        Energy [J] and number of the jobs of the round under way that have ended `(tasks,)`.
    scores, weights
        Sum of scores times examples of its merged jobs, and of these examples `(tasks,)`.
    latency_s
        The longest time of a merged job of the round [s] `(tasks,)`.
    best, best_before
        Best score of the round under way and of the newest round before that had one; NaN: none `(tasks,)`.
    reported
        Newest score of each vehicle in each task `(tasks, vehicles)`, NaN: none.
    local_s, local_j, epochs
        Of merged jobs: time [s] and energy [J] up to the upload, and epochs `(tasks, vehicles)`.
    upload_s, upload_j, upload_ranks
        Of their uploads: time [s], energy [J] and the sum of ranks `(tasks,)`.
    """

    used_j: Floats
    jobs: Floats
    scores: Floats
    weights: Floats
    latency_s: Floats
    best: Floats
    best_before: Floats
    reported: Floats
    local_s: Floats
    local_j: Floats
    epochs: Floats
    upload_s: Floats
    upload_j: Floats
    upload_ranks: Floats

    def next_round(self) -> "Tally":
        """Return the sums at the start of the next round."""
        zeros = np.zeros_like(self.jobs)
        of_round = dict.fromkeys(("used_j", "jobs", "scores", "weights", "latency_s"), zeros)
        best = np.where(np.isnan(self.best), self.best_before, self.best)
        return replace(self, **of_round, best=np.full_like(zeros, np.nan), best_before=best)


def first_tally(tasks: int, vehicles: int) -> Tally:
    """Return the sums before the first job."""
    by_task = ("used_j", "jobs", "scores", "weights", "latency_s", "upload_s", "upload_j", "upload_ranks")
    by_vehicle = ("local_s", "local_j", "epochs")
    values: dict[str, Floats] = {name: np.zeros(tasks) for name in by_task}
    values |= {name: np.zeros((tasks, vehicles)) for name in by_vehicle}
    none = np.full(tasks, np.nan)
    return Tally(**values, best=none, best_before=none, reported=np.full((tasks, vehicles), np.nan))


def with_outcome(tally: Tally, task: int, outcome: Outcome, metric: str, *, lower_is_better: bool) -> Tally:
    """Take in what came of a job; one that has only begun changes nothing."""
    if outcome.kind == "begun":
        return tally
    tally = _grown(tally, outcome.client + 1)
    changed: dict[str, Floats] = {
        "used_j": _added(tally.used_j, task, outcome.energy_j),
        "jobs": _added(tally.jobs, task, 1.0),
    }
    if outcome.kind != "merged":
        return replace(tally, **changed)
    place = (task, outcome.client)
    time_s, upload = outcome.time_s - outcome.began_s, outcome.upload
    changed |= {
        "local_s": _added(tally.local_s, place, time_s - upload.time_s),
        "local_j": _added(tally.local_j, place, outcome.energy_j - upload.energy_j),
        "epochs": _added(tally.epochs, place, max(1, outcome.order.epochs)),
        "upload_s": _added(tally.upload_s, task, upload.time_s),
        "upload_j": _added(tally.upload_j, task, upload.energy_j),
        "upload_ranks": _added(tally.upload_ranks, task, max(1, outcome.order.rank)),
        "latency_s": _set(tally.latency_s, task, max(float(tally.latency_s[task]), time_s)),
    }
    score = outcome.metrics.get(metric, math.nan)
    if math.isfinite(score):
        better = np.fmin if lower_is_better else np.fmax
        changed |= {
            "scores": _added(tally.scores, task, score * outcome.num_examples),
            "weights": _added(tally.weights, task, outcome.num_examples),
            "best": _set(tally.best, task, float(better(tally.best[task], score))),
            "reported": _set(tally.reported, place, score),
        }
    return replace(tally, **changed)


def behind_best(tally: Tally, task: int, vehicle: int, *, lower_is_better: bool) -> tuple[float, float]:
    """Return by how many points a vehicle is behind the best of its task, and how many that has.

    A point is a hundredth: of a score itself or, where lower is better, of the best one. Both are 0 before there is a
    best one; a vehicle without a score is behind by all of it. A best one that is not above 0 has 100.
    """
    best = float(tally.best_before[task])
    if not math.isfinite(best):
        return 0.0, 0.0
    own = float(tally.reported[task, vehicle]) if vehicle < tally.reported.shape[1] else math.nan
    if lower_is_better:
        return (100.0 * (own / best - 1.0) if math.isfinite(own) and best > 0 else 100.0), 100.0
    points = 100.0 * best if best > 0 else 100.0
    return (100.0 * (best - own) if math.isfinite(own) else points), points


def expected_job(tally: Tally, task: int, vehicle: int, rank: int, epoch: Phase, *, epochs: int) -> Expected:
    """Return what a vehicle expects of a job: what its jobs took so far, else those of all in its task.

    An epoch takes at least as long as ``epoch``, what its computation alone takes. Uploads grow with the rank.
    """
    known = vehicle < tally.epochs.shape[1] and tally.epochs[task, vehicle] > 0
    of = (task, vehicle) if known else (task,)
    passes = float(np.sum(tally.epochs[of]))
    epoch_s, epoch_j = (float(np.sum(sums[of])) / passes if passes else 0.0 for sums in (tally.local_s, tally.local_j))
    ranks = float(tally.upload_ranks[task])
    upload_s, upload_j = (float(s[task]) * rank / ranks if ranks else 0.0 for s in (tally.upload_s, tally.upload_j))
    return Expected(
        epochs=epochs,
        epoch_s=max(epoch_s, epoch.time_s),
        epoch_j=max(epoch_j, epoch.energy_j),
        upload_s=upload_s,
        upload_j=upload_j,
    )


def _grown(tally: Tally, vehicles: int) -> Tally:
    more = vehicles - tally.epochs.shape[1]
    if more <= 0:
        return tally
    names: dict[str, float] = {"reported": math.nan, "local_s": 0.0, "local_j": 0.0, "epochs": 0.0}
    return replace(
        tally,
        **{name: np.pad(getattr(tally, name), ((0, 0), (0, more)), constant_values=v) for name, v in names.items()},
    )


def _added(sums: Floats, place: Any, value: float) -> Floats:
    sums = sums.copy()
    sums[place] += value
    return sums


def _set(values: Floats, place: Any, value: float) -> Floats:
    values = values.copy()
    values[place] = value
    return values
