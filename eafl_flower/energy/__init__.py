"""Prices of computation, and the ledger that books what is spent."""

from eafl_flower.energy.finetuning import FineTuningEnergy, StepTime, fit_step_time
from eafl_flower.energy.ledger import Ledger, Spent
from eafl_flower.energy.model import CMOSEnergy, computation_energy, computation_time_s, transmission_time_s
from eafl_flower.energy.processors import Processors

__all__ = [
    "CMOSEnergy",
    "FineTuningEnergy",
    "Ledger",
    "Processors",
    "Spent",
    "StepTime",
    "computation_energy",
    "computation_time_s",
    "fit_step_time",
    "transmission_time_s",
]
