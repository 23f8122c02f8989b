"""The scheduler by which vehicles choose the rank that they train, by UCB-DUAL."""

import math
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np

from eafl_flower.core.forecasts import Forecast, Outcome
from eafl_flower.core.orders import Order
from eafl_flower.core.settings import Count, CountFromOne, NotNegative, Positive, Range, Share, check_settings
from eafl_flower.ranks.arms import arms_problem, limits_problem
from eafl_flower.ranks.costs import JobCosts, deadline_s, fits, no_costs, with_end, with_job
from eafl_flower.ranks.energies import Prices, budget_problem, prices
from eafl_flower.ranks.quality import Usual, quality, taken_in
from eafl_flower.ranks.rewards import normalised_reward
from eafl_flower.ranks.ucb_dual import BanditState, Choosing, begin, dual_step, first_state, grown, observe, select


@dataclass(frozen=True, kw_only=True)
class RankState:
    """State of ``UCBDualScheduler``.

    ``bandit`` has energies in joules; ``costs`` and ``usual`` are what merged jobs took and reported.
    """

    bandit: BanditState
    costs: JobCosts
    usual: Usual


@dataclass(frozen=True, kw_only=True)
class UCBDualScheduler:
    r"""Each client trains the rank that promises most for its energy, so that a job takes ``budget_j`` on average.

    See ``ucb_dual.select``. A job that has ended, however it did, moves the price of energy,

    .. math:: \lambda \leftarrow \min(\lambda_{max}, \max(0, \lambda + \tfrac{\rho}{N}(\tilde e - b))), \qquad
              \lambda_{max} = 2 / (b - \tilde e(a_{min}))

    with :math:`\tilde e = e / E_{max}` and :math:`b` the budget over :math:`E_{max}`. One that was not merged is worth
    0. A client gets no order while no rank fits 0.9 of its stay.

    Parameters
    ----------
    arms
        Ranks to choose from, increasing.
    most_rank
        Largest rank of a client (its memory), given to the clients in turn; 0: no limit.
    budget_j
        Energy of a job on average [J]; 0: 0.6 of what the largest rank takes and 0.4 of what the smallest does.
    least_energy_j, most_energy_j
        Energy of a job at the smallest rank, and at the largest, :math:`E_{max}` [J], if both are known; 0: the means
        of the run.
    bonus, bonus_grows, period, neighbours_only
        See ``Choosing``.
    optimism
        Plays of reward 1 without energy that each arm begins with; 0: each is played once first.
    discount
        See ``observe``.
    share_statistics
        Whether clients learn from each other.
    kinds
        How many kinds of clients there are, given to the clients in turn as their processors are: those of a kind learn
        from each other.
    dual_step
        :math:`\rho`; 0: energy has no price.
    dual_scope
        One price for all, or one of each client, which has the budget of a job for itself and :math:`N = 1`.
    metric, lower_is_better
        What clients report of their training, and which way is better.
    quality
        "centred": by how much it is better than the mean of the round's worth before; "raw": the score itself.
    spread
        Width of what is told apart around that mean: of a score itself, of one that is better lower the share of it.
    quality_weight, time_weight
        Weights in the reward, ``normalised_reward``.
    deadline_s
        Time after which a job is worth nothing for its time [s]; 0: 1.5 times what the largest rank takes.
    dwell_margin
        Share of a client's stay that is left as a reserve.

    Raises
    ------
    ConfigError
        If there are no arms, they do not increase, one is above every limit, a limit is below all of them, the budget
        is below what the smallest rank takes, or a number is out of range.
    """

    arms: tuple[CountFromOne, ...] = (4, 8, 16, 24, 32, 48, 64)
    most_rank: tuple[Count, ...] = (0,)
    budget_j: NotNegative = 0.0
    least_energy_j: Annotated[float, Range(0, 1e15)] = 0.0
    most_energy_j: NotNegative = 0.0
    bonus: NotNegative = 0.2
    bonus_grows: bool = False
    period: CountFromOne = 1
    neighbours_only: bool = False
    optimism: NotNegative = 0.0
    discount: Annotated[float, Range(0, 1, above=True)] = 1.0
    share_statistics: bool = False
    kinds: Annotated[int, Range(1, 10_000)] = 1
    dual_step: NotNegative = 0.1
    dual_scope: Literal["task", "vehicle"] = "task"
    metric: str = "loss"
    lower_is_better: bool = True
    quality: Literal["centred", "raw"] = "centred"
    spread: Positive = 0.2
    quality_weight: NotNegative = 0.75
    time_weight: NotNegative = 0.25
    deadline_s: NotNegative = 0.0
    dwell_margin: Share = 0.1

    def __post_init__(self) -> None:
        check_settings(self)
        raw = self.quality == "raw" and self.lower_is_better
        nothing = not self.quality_weight and not self.time_weight
        apart = self.kinds > 1 and not self.share_statistics
        check_settings(
            self,
            arms=arms_problem(self.arms),
            most_rank=limits_problem(self.most_rank, self.arms),
            **budget_problem(self.budget_j, self.least_energy_j, self.most_energy_j),
            quality='expected "centred" where lower is better: a raw score is one from 0 to 1' if raw else "",
            kinds="expected 1, as clients share no statistics: set share_statistics" if apart else "",
            quality_weight="expected a number above 0, or one of time_weight" if nothing else "",
        )

    def init(self, clients: int) -> RankState:
        """Return the state before the first job."""
        bandit = first_state(
            clients,
            len(self.arms),
            pools=self.kinds if self.share_statistics else 0,
            dual_per_vehicle=self.dual_scope == "vehicle",
            optimism=self.optimism,
        )
        return RankState(bandit=bandit, costs=no_costs(len(self.arms)), usual=Usual())

    def offer(self, state: RankState, client: int, forecast: Forecast) -> Order | None:
        """Return the rank to train, None if none fits."""
        bandit = grown(state.bandit, client + 1, optimism=self.optimism)
        limit = self.most_rank[client % len(self.most_rank)] or math.inf
        dwell_s = forecast.ends_s - forecast.time_s
        available = np.array(self.arms) <= limit
        available &= fits(state.costs, client, least_s=forecast.epoch.time_s, dwell_s=dwell_s, margin=self.dwell_margin)
        (arm,) = select(
            bandit,
            available[None],
            Choosing(
                bonus=self.bonus,
                bonus_grows=self.bonus_grows,
                period=self.period,
                neighbours_only=self.neighbours_only,
            ),
            vehicles=np.array([client]),
            energy_unit=self._prices(state).unit_j,
        )
        return None if arm < 0 else Order(rank=self.arms[arm])

    def learn(self, state: RankState, outcome: Outcome) -> RankState:
        """Take in a job; one that has ended moves the statistics of its arm and the price of energy."""
        if outcome.order.rank not in self.arms:
            return state
        client, arm = outcome.client, self.arms.index(outcome.order.rank)
        vehicle, place = np.array([client]), np.array([arm])
        bandit = grown(state.bandit, client + 1, optimism=self.optimism)
        if outcome.kind == "begun":
            return replace(state, bandit=begin(bandit, vehicle, place))
        costs, usual, worth = state.costs, state.usual, 0.0
        if outcome.kind == "merged":
            time_s = outcome.time_s - outcome.began_s
            costs = with_job(costs, client, arm, time_s=time_s, energy_j=outcome.energy_j)
            worth, usual = self._worth(costs, usual, outcome, time_s)
        else:
            costs = with_end(costs, client)
        bandit = observe(
            bandit, vehicle, place, np.array([worth]), np.array([outcome.energy_j]), discount=self.discount
        )
        state = RankState(bandit=bandit, costs=costs, usual=usual)
        return replace(state, bandit=self._priced(state, client, outcome.energy_j))

    def told(self, state: RankState, client: int, order: Order, time_s: float) -> dict[str, float]:
        """Return the price of energy and what a job may take on average [J]; nothing while no budget is known."""
        known = self._prices(state)
        if known.budget is None or not self.dual_step:
            return {}
        dual = state.bandit.dual
        price = dual[0] if self.dual_scope == "task" else dual[client] if client < len(dual) else 0.0
        return {"price": float(price), "budget_j": float(known.budget * known.unit_j)}

    def after_round(self, state: RankState, *, energy_j: float, jobs: float, budget_j: float) -> RankState:
        r"""Move the one price of energy by a whole round, instead of by each of its jobs.

        .. math:: \lambda \leftarrow [\lambda + \rho\,(\textstyle\sum e - E) / (n E_{max})]_0^{\lambda_{max}}

        Parameters
        ----------
        state
            What is known; as it is while no energy is.
        energy_j, jobs
            Energy of the round's jobs [J], and how many there were (:math:`n`, at least 1).
        budget_j
            :math:`E`, what they may take together [J].
        """
        known = prices(state.costs, budget_j=budget_j / jobs, least_j=self.least_energy_j, most_j=self.most_energy_j)
        if known.budget is None or not self.dual_step:
            return state
        excess = energy_j / jobs / known.unit_j
        dual = dual_step(state.bandit.dual, excess, known.budget, step=self.dual_step, most=known.largest_dual)
        return replace(state, bandit=replace(state.bandit, dual=dual))

    def _worth(self, costs: JobCosts, usual: Usual, outcome: Outcome, time_s: float) -> tuple[float, Usual]:
        score = outcome.metrics.get(self.metric, math.nan)
        usual = taken_in(usual, score, outcome.num_examples, outcome.server_round)
        good = quality(
            score,
            None if self.quality == "raw" else usual.mean,
            spread=self.spread,
            lower_is_better=self.lower_is_better,
            raw=self.quality == "raw",
        )
        reward = normalised_reward(
            good,
            time_s,
            deadline_s=self.deadline_s or deadline_s(costs),
            quality_weight=self.quality_weight,
            time_weight=self.time_weight,
        )
        return float(reward), usual

    def _priced(self, state: RankState, client: int, energy_j: float) -> BanditState:
        """Return the bandit with its next price of energy; as it is while no budget is known."""
        bandit, known = state.bandit, self._prices(state)
        if known.budget is None or not self.dual_step:
            return bandit
        of_all = self.dual_scope == "task"
        now = bandit.dual if of_all else bandit.dual[client : client + 1]
        moved = dual_step(
            now,
            energy_j / known.unit_j,
            known.budget,
            step=self.dual_step / (bandit.num_vehicles if of_all else 1),
            most=known.largest_dual,
        )
        if of_all:
            return replace(bandit, dual=moved)
        dual = bandit.dual.copy()
        dual[client] = moved[0]
        return replace(bandit, dual=dual)

    def _prices(self, state: RankState) -> Prices:
        return prices(
            state.costs,
            budget_j=self.budget_j,
            least_j=self.least_energy_j,
            most_j=self.most_energy_j,
        )
