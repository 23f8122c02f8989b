"""What ``eafl_flower.clients`` is asked for by name."""

from eafl_flower.clients.alignment import AlignmentClient, alignment_app
from eafl_flower.clients.answering import answering_mod
from eafl_flower.clients.bridge import numpy_client_app
from eafl_flower.clients.compression import compression_mod
from eafl_flower.clients.durable_state import durable_state_mod
from eafl_flower.clients.finetune import ClientTask, FineTuneClient, HowToTune, finetune_app
from eafl_flower.clients.numpy_client import FederatedClient, Workload, federated_client_fn

__all__ = [
    "AlignmentClient",
    "ClientTask",
    "FederatedClient",
    "FineTuneClient",
    "HowToTune",
    "Workload",
    "alignment_app",
    "answering_mod",
    "compression_mod",
    "durable_state_mod",
    "federated_client_fn",
    "finetune_app",
    "numpy_client_app",
]
