"""The scheduler of a city: units hand out jobs of their tasks to vehicles that they cover, within budgets of tasks."""

from collections.abc import Sequence, Sized
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from eafl_flower.core.forecasts import Forecast, Outcome
from eafl_flower.core.orders import Order
from eafl_flower.core.settings import CountFromOne, NotNegative, check_settings
from eafl_flower.errors import ConfigError
from eafl_flower.protocols import Scheduler
from eafl_flower.ranks.budget import Shares, Sharing, first_shares, shared_anew
from eafl_flower.ranks.scheduler import RankState, UCBDualScheduler
from eafl_flower.roadside.history import Rounds, finished, first_rounds
from eafl_flower.roadside.leaving import Course, Coverage, Departures, Expected, course_of, places_of, units_of
from eafl_flower.roadside.tally import Tally, behind_best, expected_job, first_tally, with_outcome

Floats = NDArray[np.float64]
_SHARING = Sharing()
_DEPARTURES = Departures()
_UCB_DUAL = UCBDualScheduler(share_statistics=True, metric="accuracy", lower_is_better=False)


@dataclass(frozen=True, kw_only=True)
class RoadsideState:
    """State of ``RoadsideScheduler``: those of the tasks' schedulers, budgets, what jobs took, and finished rounds."""

    tasks: tuple[Any, ...]
    shares: Shares
    tally: Tally
    rounds: Rounds


@dataclass(frozen=True, kw_only=True)
class RoadsideScheduler:
    r"""A vehicle trains the task of the unit that serves it, at the rank that this task's scheduler chooses for it.

    Each task has a share :math:`E_\tau` of the energy of a round, the budget of as many jobs as it has on average,
    :math:`\bar n_\tau`. A round of :math:`n_\tau` jobs may take :math:`E_\tau n_\tau / \bar n_\tau`: vehicles take
    their budget with them. When a round is over, the task's price of energy moves,

    .. math:: \lambda_\tau \leftarrow \Big[\lambda_\tau + \frac{\rho}{E_{max}}
              \Big(\frac{\sum_v e_v}{n_\tau} - \frac{E_\tau}{\bar n_\tau}\Big)\Big]_0^{\lambda_{max}}

    and every ``sharing.period`` rounds the shares change between the tasks.
    Statistics are those of the task, or of the task and the vehicle: they go with it from unit to unit.

    Parameters
    ----------
    coverage
        Who is covered by which unit, and when.
    tasks
        Names of the models, in the order of their numbers.
    hosted
        Number of the task, from 0, of each unit.
    ranks
        What chooses ranks, for each task on its own. Its price moves by rounds where it has one for all vehicles; where
        each has its own it moves by jobs, towards the ``budget_j`` of ``ranks``.
    epochs
        Passes of a whole job.
    energy_j
        Budget of a round for all tasks [J]; 0: none, and no price.
    budget_of
        "job": as above; "round": each round may take :math:`E_\tau`, however many vehicles a task has.
    sharing
        How shares change between tasks. Before, and with None always, a job may take the same in every task
        (of rounds: each task has the same share).
    departures
        What vehicles do that are about to leave.
    metric, lower_is_better
        The score that clients report of their training, by which tasks are hard and vehicles are behind.

    Raises
    ------
    ConfigError
        If units and tasks do not fit each other, or a number is out of range.
    """

    coverage: Coverage
    tasks: tuple[str, ...]
    hosted: tuple[int, ...]
    ranks: Scheduler[Any] = _UCB_DUAL
    epochs: CountFromOne = 1
    energy_j: NotNegative = 0.0
    budget_of: Literal["job", "round"] = "job"
    sharing: Sharing | None = _SHARING
    departures: Departures = _DEPARTURES
    metric: str = "accuracy"
    lower_is_better: bool = False

    def __post_init__(self) -> None:
        check_settings(self)
        if not self.tasks or len(set(self.tasks)) < len(self.tasks):
            raise ConfigError(f"tasks = {self.tasks}: expected names of models, each once")
        if set(self.hosted) != set(range(len(self.tasks))):
            msg = f"hosted = {self.hosted}: expected for each unit the number of its task, from 0 to"
            raise ConfigError(f"{msg} {len(self.tasks) - 1}, and a unit at least for each task")
        if len(self.hosted) < (units := units_of(self.coverage)):
            raise ConfigError(f"hosted = {self.hosted}: expected one task for each of {units} units of the coverage")

        if self._moves_by_rounds and (budget_j := self.ranks.budget_j):  # type: ignore[attr-defined]
            msg = f"ranks.budget_j = {budget_j}: expected 0, as the price of energy moves by rounds; give energy_j"
            raise ConfigError(msg)
        if self.energy_j and isinstance(self.ranks, UCBDualScheduler) and not self._moves_by_rounds:
            msg = f"energy_j = {self.energy_j}: expected 0, as each vehicle has a price of its own;"
            raise ConfigError(f"{msg} give ranks.budget_j, the energy of a job, instead")
        if self.energy_j and self.sharing and (self.sharing.difficulty == "loss") != self.lower_is_better:
            of, expected = ("lower", "loss") if self.lower_is_better else ("higher", "accuracy")
            msg = f'sharing.difficulty = "{self.sharing.difficulty}": {of} is better of "{self.metric}", expected'
            raise ConfigError(f'{msg} "{expected}"')

    def init(self, clients: int) -> RoadsideState:
        """Return the state before the first job.

        Raises
        ------
        ConfigError
            If the coverage has fewer vehicles.
        """
        if isinstance(self.coverage, Sized) and clients > len(self.coverage):
            msg = f"{clients} clients, the coverage has {len(self.coverage)} vehicles: expected one for each client"
            raise ConfigError(msg)
        count = len(self.tasks)
        return RoadsideState(
            tasks=tuple(self._ranks.init(clients) for _ in self.tasks),
            shares=first_shares(self.energy_j or 1.0, np.zeros(count), self.sharing or _SHARING),
            tally=first_tally(count, clients),
            rounds=first_rounds(count),
        )

    def offer(self, state: RoadsideState, client: int, forecast: Forecast) -> Order | None:
        """Return the job of the unit that serves ``client``; None if none does, or no job fits its stay."""
        unit, _ = self.coverage.interval(client, forecast.time_s)
        if unit < 0:
            return None
        if unit >= len(self.hosted):
            msg = f"unit {unit} serves vehicle {client}, hosted has the tasks of {len(self.hosted)} units: add its task"
            raise ConfigError(msg)
        task = self.hosted[unit]
        stay_s = float(self.coverage.predicted_stay_s(forecast.time_s, [client])[0])
        within = replace(forecast, ends_s=min(forecast.ends_s, forecast.time_s + stay_s))
        chosen = self._ranks.offer(state.tasks[task], client, within)
        if chosen is None:
            return None
        job = self._expected(state, task, client, chosen.rank, forecast)
        course = course_of(self.coverage, client, forecast.time_s, job, self.departures)
        if course.until_s <= forecast.time_s:  # abandoned before it began
            return None
        return Order(
            model=self.tasks[task],
            rank=chosen.rank,
            epochs=course.epochs,
            unit=unit + 1,
            until_s=course.until_s,
            share=_share(course, self.epochs),
            leaving=course.leaving,
        )

    def learn(self, state: RoadsideState, outcome: Outcome) -> RoadsideState:
        """Take in a job; the first one of a new round closes the rounds before."""
        if outcome.order.model not in self.tasks:
            return state
        while state.rounds.current < outcome.server_round:
            state = self.closed(state)
        task = self.tasks.index(outcome.order.model)
        learnt = self._ranks.learn(state.tasks[task], outcome)
        tasks = (*state.tasks[:task], learnt, *state.tasks[task + 1 :])
        tally = with_outcome(state.tally, task, outcome, self.metric, lower_is_better=self.lower_is_better)
        return replace(state, tasks=tasks, tally=tally)

    def told(self, state: RoadsideState, client: int, order: Order, time_s: float) -> dict[str, float]:
        """Return the price of energy in its task and a job's budget [J], and where vehicle and unit are [m]."""
        told = {}
        if self.energy_j and order.model in self.tasks:
            task, mean_jobs = self.tasks.index(order.model), _mean_jobs(state.rounds, state.tally)
            shares = self._followed(state, mean_jobs)
            if mean_jobs[task]:
                told = {"price": self.prices(state)[task], "budget_j": float(shares.budgets[task] / mean_jobs[task])}
        return told | places_of(self.coverage, client, order.unit - 1, time_s)

    def prices(self, state: RoadsideState) -> list[float]:
        """Return the price of energy of each task, the mean over vehicles where each has its own; 0 without."""
        return [float(np.mean(s.bandit.dual)) if isinstance(s, RankState) else 0.0 for s in state.tasks]

    def closed(self, state: RoadsideState) -> RoadsideState:
        """Return the state after the round under way: prices have moved, and budgets if it is time.

        A run closes a round when a job of the next one begins: the last round is left to whoever reads the state.
        """
        tally, tasks = state.tally, list(state.tasks)
        mean_jobs = _mean_jobs(state.rounds, tally)
        shares = self._followed(state, mean_jobs)
        budgets_j = self._budgets_j(shares.budgets, tally.jobs, mean_jobs)
        rounds = finished(state.rounds, tally, shares_j=shares.budgets, budgets_j=budgets_j, prices=self.prices(state))
        if self.energy_j and isinstance(self.ranks, UCBDualScheduler):
            for task, learnt in enumerate(tasks):
                if self._moves_by_rounds and (jobs := float(tally.jobs[task])):
                    tasks[task] = self.ranks.after_round(
                        learnt, energy_j=float(tally.used_j[task]), jobs=jobs, budget_j=float(budgets_j[task])
                    )
            if self.sharing is not None and mean_jobs.any():
                scores = np.where(
                    tally.weights > 0, tally.scores / np.maximum(tally.weights, 1e-300), rounds.last_score
                )
                least_j = self._least_j(tasks, rounds, shares)
                used_j = self._used_j(shares, tally, mean_jobs)
                crowds = mean_jobs if self.budget_of == "job" else np.ones(len(tasks))
                shares = shared_anew(shares, used_j, scores, least_j=least_j, sharing=self.sharing, jobs=crowds)
        return RoadsideState(tasks=tuple(tasks), shares=shares, tally=tally.next_round(), rounds=rounds)

    def _followed(self, state: RoadsideState, mean_jobs: Floats) -> Shares:
        """Return the shares of tasks that have so many jobs on average now: what a job may take stays, and the sum.

        Until they are first shared anew a job may take the same in every task.
        """
        shares = state.shares
        if self.budget_of == "round" or not mean_jobs.any():
            return shares
        total, before = shares.budgets.sum(), state.rounds.mean_jobs
        budgets_of_job, used_of_job = np.full((2, before.size), total / mean_jobs.sum())
        if self.sharing is not None and shares.rounds >= self.sharing.period:
            np.divide(shares.budgets, before, out=budgets_of_job, where=before > 0)
        np.divide(shares.used, before, out=used_of_job, where=before > 0)
        budgets = mean_jobs * budgets_of_job
        return replace(shares, budgets=budgets * (total / budgets.sum()), used=mean_jobs * used_of_job)

    def _budgets_j(self, shares_j: Floats, jobs: Floats, mean_jobs: Floats) -> Floats:
        """Return what a round of so many jobs may take [J]: nothing of a task that had none, if budgets are of jobs."""
        if self.budget_of == "round":
            return shares_j
        return np.asarray(np.divide(shares_j * jobs, mean_jobs, out=np.zeros_like(shares_j), where=jobs > 0))

    def _used_j(self, shares: Shares, tally: Tally, mean_jobs: Floats) -> Floats:
        """Return what the tasks used in a round [J], of as many jobs as they have on average where budgets are of jobs.

        Otherwise budgets would follow who drives where. A task without a job counts as before.
        """
        if self.budget_of == "round":
            return tally.used_j
        as_before = shares.used if shares.rounds else shares.budgets
        return np.asarray(np.divide(tally.used_j * mean_jobs, tally.jobs, out=as_before.copy(), where=tally.jobs > 0))

    def without_jobs(self, state: RoadsideState) -> tuple[str, ...]:
        """Return the tasks for which no job has ended yet."""
        jobs = state.rounds.jobs.sum(0) + state.tally.jobs
        return tuple(task for task, count in zip(self.tasks, jobs.tolist(), strict=True) if not count)

    def short_of_energy(self, state: RoadsideState) -> dict[str, tuple[float, float]]:
        """Return the tasks whose budget is below what a round takes with the smallest rank: both energies [J]."""
        if not self.energy_j or not isinstance(self.ranks, UCBDualScheduler):
            return {}
        least = _smallest_j(state.tasks, state.rounds)
        pairs = zip(self.tasks, state.shares.budgets.tolist(), least.tolist(), strict=True)
        return {task: (budget_j, least_j) for task, budget_j, least_j in pairs if least_j > budget_j}

    def _least_j(self, tasks: list[Any], rounds: Rounds, shares: Shares) -> NDArray[np.float64]:
        """Return what a round of each task takes with the smallest rank that was tried, at most all there is [J]."""
        least = _smallest_j(tasks, rounds)
        most = float(shares.budgets.sum()) / (self.sharing or _SHARING).least_factor
        return least * min(1.0, most / least.sum()) if least.sum() > 0 else least

    def _expected(self, state: RoadsideState, task: int, client: int, rank: int, forecast: Forecast) -> Expected:
        behind, best = behind_best(state.tally, task, client, lower_is_better=self.lower_is_better)
        job = expected_job(state.tally, task, client, rank, forecast.epoch, epochs=self.epochs)
        return replace(job, behind=behind, best=best)

    @cached_property
    def _ranks(self) -> Scheduler[Any]:
        """What chooses ranks, without a price that moves by jobs where it moves by rounds."""
        return replace(self.ranks, dual_step=0.0) if self._moves_by_rounds else self.ranks  # type: ignore[type-var]

    @property
    def _moves_by_rounds(self) -> bool:
        """Whether the price of energy does: there is one for all vehicles."""
        return isinstance(self.ranks, UCBDualScheduler) and self.ranks.dual_scope == "task"


def _mean_jobs(before: Rounds, tally: Tally) -> Floats:
    """Return the mean number of jobs of each task over the rounds in which it had one, the one under way included."""
    rounds = (before.jobs > 0).sum(0) + (tally.jobs > 0)
    return np.asarray((before.jobs.sum(0) + tally.jobs) / np.maximum(1, rounds))


def _smallest_j(tasks: Sequence[Any], rounds: Rounds) -> NDArray[np.float64]:
    """Return what a round of each task takes with the smallest rank that was tried [J]."""
    return np.asarray(np.array([task.costs.mean_least_j for task in tasks]) * rounds.mean_jobs)


def _share(course: Course, epochs: int) -> float:
    return course.epochs / epochs if course.leaving == "early" else 1.0
