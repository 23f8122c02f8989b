"""Prices of computation and radio, and the ledger that books them."""

from eafl_flower.energy.ledger import Ledger, Spent
from eafl_flower.energy.model import CMOSRadioEnergy, computation_energy, computation_time_s, transmission_time_s

__all__ = ["CMOSRadioEnergy", "Ledger", "Spent", "computation_energy", "computation_time_s", "transmission_time_s"]
