"""What ``eafl_flower.data`` is asked for by name."""

from eafl_flower.data.generated.radio_map import Drives, simulate_radio_map
from eafl_flower.data.generated.town import Town
from eafl_flower.data.leaks.check import check_csv, check_file
from eafl_flower.data.leaks.report import ColumnScore, DataReport
from eafl_flower.data.lookup import lookup_scores, majority_scores
from eafl_flower.data.scaling import Scaler
from eafl_flower.data.sets.digits import load_digits
from eafl_flower.data.sets.geolife import load_geolife
from eafl_flower.data.sets.geolife_prepare import prepare_geolife
from eafl_flower.data.sets.idm import Traffic, simulate_idm_traffic
from eafl_flower.data.sets.images import load_cifar10, load_gtsrb
from eafl_flower.data.sets.iot_devices import load_iot_devices
from eafl_flower.data.sets.ngsim import load_ngsim_us101
from eafl_flower.data.sets.own_csv import load_csv
from eafl_flower.data.sets.ton_iot import load_ton_weather
from eafl_flower.data.sets.unsw_nb15 import load_unsw_nb15
from eafl_flower.data.source import InMemorySource
from eafl_flower.data.tables.columns import Columns
from eafl_flower.data.tables.files import DATA_DIR_VARIABLE, DataFile

__all__ = [
    "DATA_DIR_VARIABLE",
    "ColumnScore",
    "Columns",
    "DataFile",
    "DataReport",
    "Drives",
    "InMemorySource",
    "Scaler",
    "Town",
    "Traffic",
    "check_csv",
    "check_file",
    "load_cifar10",
    "load_csv",
    "load_digits",
    "load_geolife",
    "load_gtsrb",
    "load_iot_devices",
    "load_ngsim_us101",
    "load_ton_weather",
    "load_unsw_nb15",
    "lookup_scores",
    "majority_scores",
    "prepare_geolife",
    "simulate_idm_traffic",
    "simulate_radio_map",
]
