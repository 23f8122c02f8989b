r"""UCB-DUAL: each vehicle chooses an arm (a rank) by its reward, its priced energy and how well it is known.

.. math::
    \max_\pi\ \mathbb{E}\,u(\pi)\quad\text{s.t.}\quad \mathbb{E}\,\tilde e(\pi)\le b, \qquad
    a_v = \arg\max_{a\in F_v}\ \frac{U_{va}}{n_{va}} - \lambda\frac{S_{va}}{n_{va}} + \beta\sqrt{\frac{2\ln m}{n_{va}}},
    \qquad \lambda \leftarrow [\lambda + \rho\,(\bar e - b)]_0^{\lambda_{max}}

References
----------
Zheng et al., "Decentralized Rank Scheduling for Energy-Constrained Multi-Task Federated Fine-Tuning in Edge-Assisted
IoV Networks", arXiv 2508.09532. Only its abstract was read; ``docs/ucb-dual.md`` says what the rest stands on.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from eafl_flower.core.settings import CountFromOne, NotNegative, Range, check_settings
from eafl_flower.errors import ConfigError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class BanditState:
    r"""What is known of each arm. Statistics have one row a vehicle, or fewer that are ``pooled``.

    Of :math:`r` pools, vehicle :math:`v` belongs to :math:`v \bmod r`.

    Parameters
    ----------
    counts
        Plays :math:`n` `(rows, arms)` that have ended; discounted, so they need not be whole.
    rewards, energies
        Sums :math:`U` and :math:`S` over them `(rows, arms)`.
    in_flight
        Plays under way `(rows, arms)`.
    dual
        The price of energy :math:`\lambda` `(1,)`, or one of each vehicle `(vehicles,)`.
    current
        Arm of each vehicle's newest play `(vehicles,)`, -1 before the first.
    jobs
        Plays of each vehicle that have begun `(vehicles,)`.
    pooled, dual_per_vehicle
        Whether vehicles of a pool learn from each other, and whether each has a price of its own.
    """

    counts: Floats
    rewards: Floats
    energies: Floats
    in_flight: Floats
    dual: Floats
    current: Integers
    jobs: Integers
    pooled: bool
    dual_per_vehicle: bool

    @property
    def num_vehicles(self) -> int:
        """Number of vehicles."""
        return int(self.current.size)

    @property
    def num_arms(self) -> int:
        """Number of arms."""
        return int(self.counts.shape[1])


@dataclass(frozen=True, kw_only=True)
class Choosing:
    r"""How arms are chosen.

    Parameters
    ----------
    bonus
        :math:`\beta`: 1 is what bounds are proved for, less explores less.
    bonus_grows
        Multiply the bonus by :math:`1+\lambda`, as the error of what is maximised grows; bounds are proved for that.
    period
        A vehicle chooses anew for every so many plays.
    neighbours_only
        Choose among the current arm and those beside it, while one of them is available.

    Raises
    ------
    ConfigError
        If a number is out of range.
    """

    bonus: NotNegative = 0.2
    bonus_grows: bool = False
    period: CountFromOne = 1
    neighbours_only: bool = False

    def __post_init__(self) -> None:
        check_settings(self)


def first_state(
    vehicles: int, arms: int, *, pools: int = 0, dual_per_vehicle: bool = False, optimism: float = 0.0
) -> BanditState:
    """Return the state before the first play; with ``pools`` 0 each vehicle learns for itself.

    With ``optimism`` 0 each arm is played once before any is played again. Above, every arm begins with so many
    plays of reward 1 and no energy instead.

    Raises
    ------
    ConfigError
        If there are no arms, or ``optimism`` is negative or not finite.
    """
    if arms < 1:
        raise ConfigError("there are no arms: expected one rank at least to choose from")
    if optimism not in Range(0) or optimism == np.inf:
        raise ConfigError(f"optimism = {optimism}: expected a number of at least 0")
    rows = pools or vehicles
    return BanditState(
        counts=np.full((rows, arms), float(optimism)),
        rewards=np.full((rows, arms), float(optimism)),
        energies=np.zeros((rows, arms)),
        in_flight=np.zeros((rows, arms)),
        dual=np.zeros(vehicles if dual_per_vehicle else 1),
        current=np.full(vehicles, -1, np.int64),
        jobs=np.zeros(vehicles, np.int64),
        pooled=pools > 0,
        dual_per_vehicle=dual_per_vehicle,
    )


def select(
    state: BanditState,
    available: Mask,
    choosing: Choosing,
    *,
    vehicles: Integers | None = None,
    energy_unit: float = 1.0,
) -> Integers:
    r"""Return the arm that each vehicle is to play next, -1 for one to which none is available.

    The smallest arm without a play comes first, then the arm of the largest index, the smaller one of two alike. With
    :math:`m = 1 + \sum_a n_a` and the plays under way :math:`o`, these count in the bonus alone:

    .. math:: \frac{U_a - \lambda S_a / E}{n_a} + \beta\sqrt{\frac{2\ln m}{n_a + o_a}}

    Where statistics are pooled, vehicles choose in order, and each one's choice is under way for the next of its pool.

    Parameters
    ----------
    state
        What is known; it stays as it is.
    available
        Which arms each of ``vehicles`` may play `(len(vehicles), arms)`.
    choosing
        The rule.
    vehicles
        Who chooses, each once; all of them by default.
    energy_unit
        :math:`E`: the sums of energies, divided by it, are in the unit that :math:`\lambda` is the price of.

    Raises
    ------
    ConfigError
        If ``available`` has another shape.
    """
    from eafl_flower.ranks import compiled  # imports numba

    chosen = np.arange(state.num_vehicles) if vehicles is None else np.ascontiguousarray(vehicles, np.int64)
    if available.shape != (chosen.size, state.num_arms):
        msg = f"available has shape {available.shape}: expected ({chosen.size}, {state.num_arms}), a vehicle a row"
        raise ConfigError(msg)
    arms = np.empty(chosen.size, np.int64)
    compiled.select(
        state.counts,
        state.rewards,
        state.energies,
        state.in_flight,
        state.dual,
        state.current,
        state.jobs,
        chosen,
        np.ascontiguousarray(available, bool),
        float(choosing.bonus),
        float(choosing.bonus_grows),
        float(energy_unit),
        int(choosing.period),
        1 if choosing.neighbours_only else state.num_arms,
        state.pooled,
        arms,
    )
    return arms


def begin(state: BanditState, vehicles: Integers, arms: Integers) -> BanditState:
    """Take in that these vehicles, each named once, begin to play these arms; -1 is none."""
    plays = arms >= 0
    vehicles, arms = vehicles[plays], arms[plays]
    in_flight, current, jobs = state.in_flight.copy(), state.current.copy(), state.jobs.copy()
    np.add.at(in_flight, (_rows(state, vehicles), arms), 1.0)
    current[vehicles] = arms
    jobs[vehicles] += 1
    return replace(state, in_flight=in_flight, current=current, jobs=jobs)


def observe(
    state: BanditState,
    vehicles: Integers,
    arms: Integers,
    rewards: Floats,
    energies: Floats,
    *,
    completed: Mask | None = None,
    discount: float = 1.0,
) -> BanditState:
    """Take in plays that have ended: all those of a round, or one.

    Parameters
    ----------
    state
        What is known; it stays as it is.
    vehicles, arms, rewards, energies
        Who played which arm, each vehicle once, what it was worth from 0 to 1, and what it cost `(plays,)`.
    completed
        Which of them completed; the others are worth 0 and cost what they cost.
    discount
        What is left of older plays of a row after as many new ones as it has vehicles.
    """
    rows = _rows(state, vehicles)
    worth = rewards if completed is None else np.where(completed, rewards, 0.0)
    counts, sums, costs = state.counts.copy(), state.rewards.copy(), state.energies.copy()
    in_flight = state.in_flight.copy()
    if discount != 1.0:
        touched, plays = np.unique(rows, return_counts=True)
        pools = len(counts)
        owners = (state.num_vehicles + pools - 1 - touched) // pools if state.pooled else 1
        for table in (counts, sums, costs):
            table[touched] *= (discount ** (plays / owners))[:, None]
    np.add.at(counts, (rows, arms), 1.0)
    np.add.at(sums, (rows, arms), worth)
    np.add.at(costs, (rows, arms), energies)
    np.subtract.at(in_flight, (rows, arms), 1.0)
    return replace(
        state, counts=counts, rewards=sums, energies=costs, in_flight=np.maximum(in_flight, 0, out=in_flight)
    )


def dual_step(dual: Floats, energy: Floats | float, budget: Floats | float, *, step: float, most: float) -> Floats:
    r"""Return the next price of energy.

    .. math:: \lambda \leftarrow \min(\lambda_{max}, \max(0, \lambda + \rho\,(e - b)))

    Once a round with the mean energy of its plays and :math:`\rho` as ``step``, or once a play that has ended, with its
    own energy and :math:`\rho / N` for :math:`N` vehicles. As many plays of one energy move it as one round does.

    Parameters
    ----------
    dual
        :math:`\lambda` `(1,)` or `(vehicles,)`.
    energy, budget
        :math:`e` and :math:`b`, in units of the largest energy of a play.
    step, most
        :math:`\rho` and :math:`\lambda_{max}`.

    Examples
    --------
    >>> dual_step(np.array([0.5]), 0.75, 0.25, step=0.5, most=2.0)
    array([0.75])
    """
    moved = dual + step * (np.asarray(energy) - budget)
    return np.asarray(np.clip(moved, 0.0, most), np.float64)


def largest_dual(budget: float, least_energy: float, *, least_slack: float = 0.05) -> float:
    r"""Return :math:`\lambda_{max} = 2 / \delta`, with the slack :math:`\delta = b - \tilde e(a_{min})`.

    No optimal price is above :math:`1/\delta`, as rewards are from 0 to 1. A slack below ``least_slack`` counts as it.

    Examples
    --------
    >>> largest_dual(0.75, 0.25)
    4.0
    """
    return 2.0 / max(budget - least_energy, least_slack)


def grown(state: BanditState, vehicles: int, *, optimism: float = 0.0) -> BanditState:
    """Return the state with room for so many vehicles, if it has room for fewer: nothing is known of the new ones."""
    more = vehicles - state.num_vehicles
    if more <= 0:
        return state
    new = first_state(
        more,
        state.num_arms,
        pools=len(state.counts) if state.pooled else 0,
        dual_per_vehicle=state.dual_per_vehicle,
        optimism=optimism,
    )
    own, priced = not state.pooled, state.dual_per_vehicle
    return replace(
        state,
        counts=np.concatenate([state.counts, new.counts]) if own else state.counts,
        rewards=np.concatenate([state.rewards, new.rewards]) if own else state.rewards,
        energies=np.concatenate([state.energies, new.energies]) if own else state.energies,
        in_flight=np.concatenate([state.in_flight, new.in_flight]) if own else state.in_flight,
        dual=np.concatenate([state.dual, new.dual]) if priced else state.dual,
        current=np.concatenate([state.current, new.current]),
        jobs=np.concatenate([state.jobs, new.jobs]),
    )


def _rows(state: BanditState, vehicles: Integers) -> Integers:
    return vehicles % len(state.counts) if state.pooled else vehicles
