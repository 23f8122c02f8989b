"""Data sets as clients with rows: generated traffic, NGSIM US-101, UNSW-NB15, digits."""

from eafl_flower.data.check import ColumnScore, DataReport, check_file
from eafl_flower.data.digits import load_digits
from eafl_flower.data.files import DATA_DIR_VARIABLE, DataFile
from eafl_flower.data.idm import Traffic, simulate_idm_traffic
from eafl_flower.data.lookup import lookup_scores, majority_scores
from eafl_flower.data.ngsim import load_ngsim_us101
from eafl_flower.data.scaling import Scaler
from eafl_flower.data.source import InMemorySource
from eafl_flower.data.unsw_nb15 import load_unsw_nb15

__all__ = [
    "DATA_DIR_VARIABLE",
    "ColumnScore",
    "DataFile",
    "DataReport",
    "InMemorySource",
    "Scaler",
    "Traffic",
    "check_file",
    "load_digits",
    "load_ngsim_us101",
    "load_unsw_nb15",
    "lookup_scores",
    "majority_scores",
    "simulate_idm_traffic",
]
