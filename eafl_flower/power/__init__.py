"""Allocation of power to users that upload together over one cell-free uplink."""

from eafl_flower.power.allocation import Allocation
from eafl_flower.power.dinkelbach import Efficiency, efficiencies, max_global_efficiency, max_min_efficiency
from eafl_flower.power.max_sum_rate import full_power, max_sum_rate
from eafl_flower.power.min_max import min_max_latency
from eafl_flower.power.problem import Budgets, Weighing, WeightedProblem
from eafl_flower.power.sqp import weighted_powers, weighted_problem
from eafl_flower.power.uploads import Uploads

__all__ = [
    "Allocation",
    "Budgets",
    "Efficiency",
    "Uploads",
    "Weighing",
    "WeightedProblem",
    "efficiencies",
    "full_power",
    "max_global_efficiency",
    "max_min_efficiency",
    "max_sum_rate",
    "min_max_latency",
    "weighted_powers",
    "weighted_problem",
]
