"""Flower strategies (Message API)."""

from eafl_flower.strategies.asynchronous import AsynchronousStrategy
from eafl_flower.strategies.compressed import Compressed
from eafl_flower.strategies.emam import EMAM, AsyncEMAM
from eafl_flower.strategies.options import RunOptions
from eafl_flower.strategies.stop_rule import StopRule

__all__ = ["EMAM", "AsyncEMAM", "AsynchronousStrategy", "Compressed", "RunOptions", "StopRule"]
