"""Flower strategies (Message API)."""

from typing import TYPE_CHECKING

from eafl_flower.lazy import names_of

if TYPE_CHECKING:
    from eafl_flower.strategies.public import *
else:
    __getattr__, __dir__ = names_of(__name__)
