"""Unit, budget and largest price of energy: as they were given, or as the jobs of the run tell."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from eafl_flower.ranks.costs import JobCosts
from eafl_flower.ranks.ucb_dual import largest_dual

MOST_MEANS: Final = 3.0  # of all jobs: an arm that was tried once, and then took fifty times as much, is no unit


@dataclass(frozen=True, kw_only=True)
class Prices:
    """What energies are counted in [J], the budget of a job in that unit (None: unknown), and the largest price."""

    unit_j: float = 1.0
    budget: float | None = None
    largest_dual: float = 0.0


def budget_problem(budget_j: float, least_j: float, most_j: float) -> dict[str, str]:
    """Return by setting what is wrong with a budget and the energies it stands against [J]; 0: not given."""
    if bool(least_j) != bool(most_j):
        missing = "most_energy_j" if least_j else "least_energy_j"
        return {missing: "expected both energies, of the smallest rank and the largest one, or neither"}
    if least_j and least_j >= most_j:
        return {"most_energy_j": f"expected a number above least_energy_j = {least_j}"}
    if budget_j and budget_j < least_j:
        text = f"is below what a job of the smallest rank takes, {least_j} J: raise it, or add a smaller rank"
        return {"budget_j": text}
    return {}


def prices(costs: JobCosts, *, budget_j: float, least_j: float, most_j: float) -> Prices:
    """Return what is known.

    Parameters
    ----------
    costs
        What merged jobs took so far.
    budget_j, least_j, most_j
        As they were given [J]; 0: not given. A budget is then 0.6 of what the largest rank takes and 0.4 of what the
        smallest does; what these take is their mean over all clients, of ranks that were played.
    """
    unit_j = most_j or min(costs.mean_most_j, MOST_MEANS * costs.mean_j)
    if not unit_j:
        return Prices()
    if most_j:
        low_j, high_j = least_j, most_j
    else:
        played = np.flatnonzero(costs.plays)
        if played.size < 2 and not budget_j:
            return Prices(unit_j=unit_j)
        low_j, high_j = (float(costs.energy_j[arm] / costs.plays[arm]) for arm in played[[0, -1]])
    budget = (budget_j or 0.6 * high_j + 0.4 * low_j) / unit_j
    return Prices(unit_j=unit_j, budget=budget, largest_dual=largest_dual(budget, low_j / unit_j))
