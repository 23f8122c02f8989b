"""What ``eafl_flower.strategies`` is asked for by name."""

from eafl_flower.runs.limits import StopRule
from eafl_flower.runs.options import RunOptions
from eafl_flower.strategies.alignment import FederatedAlignment
from eafl_flower.strategies.asynchronous import AsynchronousStrategy
from eafl_flower.strategies.compressed import Compressed
from eafl_flower.strategies.emam import EMAM, AsyncEMAM
from eafl_flower.strategies.emq import EMQ
from eafl_flower.strategies.options import Options
from eafl_flower.strategies.ucb_dual import UCBDual

__all__ = [
    "EMAM",
    "EMQ",
    "AsyncEMAM",
    "AsynchronousStrategy",
    "Compressed",
    "FederatedAlignment",
    "Options",
    "RunOptions",
    "StopRule",
    "UCBDual",
]
