"""Prices of computation, and the ledger that books what is spent."""

from eafl_flower.energy.ledger import Ledger, Spent
from eafl_flower.energy.model import CMOSEnergy, computation_energy, computation_time_s, transmission_time_s
from eafl_flower.energy.processors import Processors

__all__ = [
    "CMOSEnergy",
    "Ledger",
    "Processors",
    "Spent",
    "computation_energy",
    "computation_time_s",
    "transmission_time_s",
]
