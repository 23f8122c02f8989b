"""What jobs of each arm took so far, and so will take: an arm that does not fit a vehicle's stay is not played."""

from dataclasses import dataclass

import numpy as np

from eafl_flower.ranks.ucb_dual import Floats, Mask


@dataclass(frozen=True, kw_only=True)
class JobCosts:
    """Merged jobs: time [s], energy [J] and number by arm `(arms,)`, and of each vehicle how it compares `(vehicles,)`.

    ``ratios`` is the sum over a vehicle's ``jobs`` of their time over the mean of all at that arm, ``largest_j`` the
    largest energy of a job [J].
    """

    time_s: Floats
    energy_j: Floats
    plays: Floats
    largest_j: float
    ratios: Floats
    jobs: Floats

    @property
    def mean_least_j(self) -> float:
        """Mean energy of a job at the smallest arm that was played [J], 0 before."""
        played = np.flatnonzero(self.plays)
        return float(self.energy_j[played[0]] / self.plays[played[0]]) if played.size else 0.0


def no_costs(arms: int) -> JobCosts:
    """Return the state before the first job; vehicles find a place when they have ended one."""
    zeros, none = np.zeros(arms), np.zeros(0)
    return JobCosts(time_s=zeros, energy_j=zeros, plays=zeros, largest_j=0.0, ratios=none, jobs=none)


def with_job(costs: JobCosts, vehicle: int, arm: int, *, time_s: float, energy_j: float) -> JobCosts:
    """Take in what a job took ``vehicle``."""
    room = (0, max(0, vehicle + 1 - costs.jobs.size))
    sums, energies, plays = costs.time_s.copy(), costs.energy_j.copy(), costs.plays.copy()
    ratios, jobs = np.pad(costs.ratios, room), np.pad(costs.jobs, room)
    sums[arm] += time_s
    energies[arm] += energy_j
    plays[arm] += 1
    ratios[vehicle] += time_s * plays[arm] / sums[arm] if sums[arm] > 0 else 1.0
    jobs[vehicle] += 1
    return JobCosts(
        time_s=sums,
        energy_j=energies,
        plays=plays,
        largest_j=max(costs.largest_j, energy_j),
        ratios=ratios,
        jobs=jobs,
    )


def predicted_s(costs: JobCosts, vehicle: int, least_s: float) -> Floats:
    """Return how long a job of each arm will take ``vehicle`` [s] `(arms,)`.

    That is the mean at the arm, times how the vehicle's jobs compared with the means so far; for an arm that nobody has
    played, the mean of the next smaller one that somebody has. It is at least ``least_s``, the computation alone.
    """
    seen = np.maximum.accumulate(np.where(costs.plays > 0, np.arange(costs.plays.size), -1))
    means = np.where(seen >= 0, costs.time_s[seen] / np.maximum(costs.plays[seen], 1), 0.0)
    known = vehicle < costs.jobs.size and costs.jobs[vehicle] > 0
    ratio = costs.ratios[vehicle] / costs.jobs[vehicle] if known else 1.0
    return np.asarray(np.maximum(ratio * means, least_s))


def fits(costs: JobCosts, vehicle: int, *, least_s: float, dwell_s: float, margin: float = 0.1) -> Mask:
    """Return the arms whose job is predicted to end within ``1 - margin`` of the stay `(arms,)`."""
    return np.asarray(predicted_s(costs, vehicle, least_s) <= (1 - margin) * dwell_s)


def deadline_s(costs: JobCosts) -> float:
    """Return one and a half times the mean time of the largest arm that was played [s]; infinite before the first."""
    played = np.flatnonzero(costs.plays)
    if not played.size or costs.time_s[played[-1]] <= 0:
        return float(np.inf)
    return float(1.5 * costs.time_s[played[-1]] / costs.plays[played[-1]])
