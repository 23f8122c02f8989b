"""What jobs of each arm took so far, and so will take: an arm that does not fit a vehicle's stay is not played."""

from dataclasses import dataclass, replace

import numpy as np

from eafl_flower.ranks.ucb_dual import Floats, Mask


@dataclass(frozen=True, kw_only=True)
class JobCosts:
    """Merged jobs: time [s], energy [J] and number by arm `(arms,)`, and of each vehicle how it compares `(vehicles,)`.

    ``ratios`` is the sum over a vehicle's ``jobs`` of their time over the mean of all at that arm, ``ended`` counts
    those that were not merged, too.
    """

    time_s: Floats
    energy_j: Floats
    plays: Floats
    ratios: Floats
    jobs: Floats
    ended: Floats

    @property
    def mean_most_j(self) -> float:
        """Mean energy of a job at the arm at which that is largest [J], 0 before the first."""
        return float(np.max(self.energy_j / np.maximum(self.plays, 1)))

    @property
    def mean_j(self) -> float:
        """Mean energy of a job [J], 0 before the first."""
        return float(self.energy_j.sum() / max(1.0, float(self.plays.sum())))

    @property
    def mean_least_j(self) -> float:
        """Mean energy of a job at the smallest arm that was played [J], 0 before."""
        played = np.flatnonzero(self.plays)
        return float(self.energy_j[played[0]] / self.plays[played[0]]) if played.size else 0.0


def no_costs(arms: int) -> JobCosts:
    """Return the state before the first job; vehicles find a place when they have ended one."""
    zeros, none = np.zeros(arms), np.zeros(0)
    return JobCosts(time_s=zeros, energy_j=zeros, plays=zeros, ratios=none, jobs=none, ended=none)


def with_job(costs: JobCosts, vehicle: int, arm: int, *, time_s: float, energy_j: float) -> JobCosts:
    """Take in what a job took ``vehicle`` that was merged."""
    costs = with_end(costs, vehicle)
    sums, energies, plays = costs.time_s.copy(), costs.energy_j.copy(), costs.plays.copy()
    ratios, jobs = costs.ratios.copy(), costs.jobs.copy()
    sums[arm] += time_s
    energies[arm] += energy_j
    plays[arm] += 1
    ratios[vehicle] += time_s * plays[arm] / sums[arm] if sums[arm] > 0 else 1.0
    jobs[vehicle] += 1
    return replace(costs, time_s=sums, energy_j=energies, plays=plays, ratios=ratios, jobs=jobs)


def with_end(costs: JobCosts, vehicle: int) -> JobCosts:
    """Take in that a job of ``vehicle`` has ended, however it did."""
    room = (0, max(0, vehicle + 1 - costs.jobs.size))
    ratios, jobs, ended = (np.pad(a, room) for a in (costs.ratios, costs.jobs, costs.ended))
    ended[vehicle] += 1
    return replace(costs, ratios=ratios, jobs=jobs, ended=ended)


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
    """Return the arms whose job is predicted to end within ``1 - margin`` of the stay `(arms,)`.

    A vehicle that has had no job yet is held against its computation alone for one of the smallest arm: those that
    came first may have been slower, and without a job nobody would ever know.
    """
    longest_s = (1 - margin) * dwell_s
    fitting = np.asarray(predicted_s(costs, vehicle, least_s) <= longest_s)
    if vehicle >= costs.ended.size or not costs.ended[vehicle]:
        fitting[0] |= least_s <= longest_s
    return fitting


def deadline_s(costs: JobCosts) -> float:
    """Return one and a half times the mean time of the largest arm that was played [s]; infinite before the first."""
    played = np.flatnonzero(costs.plays)
    if not played.size or costs.time_s[played[-1]] <= 0:
        return float(np.inf)
    return float(1.5 * costs.time_s[played[-1]] / costs.plays[played[-1]])
