"""Rewards and energies of ranks by formula, the best static policy for them, and a bandit that plays them."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linprog

from eafl_flower.ranks.ucb_dual import Choosing, dual_step, first_state, largest_dual, observe, select

RANKS = np.array([4, 8, 16, 32, 48, 64])


@dataclass(frozen=True, kw_only=True)
class World:
    """Mean reward and energy of each arm `(arms,)`, both from 0 to 1; a reward is drawn 0 or 1, energies are exact."""

    reward: np.ndarray
    energy: np.ndarray
    budget: float

    @property
    def slack(self) -> float:
        return self.budget - float(self.energy[0])

    @property
    def largest_dual(self) -> float:
        return largest_dual(self.budget, float(self.energy[0]))

    def optimum(self) -> tuple[float, float]:
        """Return the reward of the best mixture of arms within the budget, and the price of energy there."""
        found = linprog(
            -self.reward, A_ub=self.energy[None], b_ub=[self.budget], A_eq=np.ones((1, self.reward.size)), b_eq=[1.0]
        )
        return -float(found.fun), -float(found.ineqlin.marginals[0])


def world() -> World:
    """Concave rewards, energies linear in the rank, a budget of 0.6 of the largest and 0.4 of the smallest energy.

    The energies are such that the largest price is 6.3; the reward is such that the optimal one is 0.127.
    """
    rise = 2 / 6.3 / 0.6 * RANKS[-1] / (RANKS[-1] - RANKS[0])
    energy = 1 - rise + rise * RANKS / RANKS[-1]
    reward = 0.3 + 0.35 * (1 - np.exp(-RANKS / 12))
    return World(reward=reward, energy=energy, budget=float(0.6 * energy[-1] + 0.4 * energy[0]))


@dataclass(frozen=True, kw_only=True)
class Played:
    """Regret and excess of energy a vehicle, summed over rounds `(runs,)`; price and arms of each round."""

    regret: np.ndarray
    violation: np.ndarray
    dual: np.ndarray  # (rounds, runs)
    arms: np.ndarray  # (rounds, runs, vehicles)


def play(world: World, rounds: int, *, runs: int, choosing: Choosing, step: float | None = None, vehicles: int = 9):
    """Play ``runs`` independent runs side by side, each of so many vehicles that share a price."""
    rng = np.random.default_rng([rounds, runs, vehicles])
    state = first_state(runs * vehicles, world.reward.size, dual_per_vehicle=True)
    available, everybody = np.ones((state.num_vehicles, state.num_arms), bool), np.arange(state.num_vehicles)
    step, best = 1 / np.sqrt(rounds) if step is None else step, world.optimum()[0]
    duals, arms = np.empty((rounds, runs)), np.empty((rounds, runs, vehicles), np.int64)
    for m in range(rounds):
        chosen = select(state, available, choosing)
        seen = (rng.random(chosen.size) < world.reward[chosen]).astype(float)
        energy = world.energy[chosen]
        state = observe(state, everybody, chosen, seen, energy)
        mean = np.repeat(energy.reshape(runs, vehicles).mean(1), vehicles)
        state = replace(state, dual=dual_step(state.dual, mean, world.budget, step=step, most=world.largest_dual))
        duals[m], arms[m] = state.dual[::vehicles], chosen.reshape(runs, vehicles)
    return Played(
        regret=(best - world.reward[arms]).mean(2).sum(0),
        violation=(world.energy[arms] - world.budget).mean(2).sum(0),
        dual=duals,
        arms=arms,
    )
