"""How updates become the next global arrays: rules, staleness weights and the merge loops."""

from eafl_flower.aggregation.acceptance import Accepted, accept, accept_message
from eafl_flower.aggregation.barrier import combine
from eafl_flower.aggregation.emam import EMAMAggregator, EMAMState
from eafl_flower.aggregation.newest import NewestMean, NewestState
from eafl_flower.aggregation.objective import energy, energy_gradient
from eafl_flower.aggregation.reference import FedAsync, FedAvg, FedBuff, FedBuffState, ReferenceState
from eafl_flower.aggregation.server_optimizers import AdamState, FedAdam, FedAvgM, MomentumState
from eafl_flower.aggregation.staleness import (
    Constant,
    Estimated,
    EstimatedState,
    Exponential,
    HalfLife,
    Hinge,
    Polynomial,
    StalenessRule,
)
from eafl_flower.types import Merged

__all__ = [
    "Accepted",
    "AdamState",
    "Constant",
    "EMAMAggregator",
    "EMAMState",
    "Estimated",
    "EstimatedState",
    "Exponential",
    "FedAdam",
    "FedAsync",
    "FedAvg",
    "FedAvgM",
    "FedBuff",
    "FedBuffState",
    "HalfLife",
    "Hinge",
    "Merged",
    "MomentumState",
    "NewestMean",
    "NewestState",
    "Polynomial",
    "ReferenceState",
    "StalenessRule",
    "accept",
    "accept_message",
    "combine",
    "energy",
    "energy_gradient",
]
