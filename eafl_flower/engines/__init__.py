"""Engines: where clients run. The same strategy and ClientApp give the same arrays on each.

``InlineGrid`` runs clients in the caller's thread, ``RayGrid`` in Ray actors on one machine or many,
``run_on_flower`` on Flower's own simulation runtime. Ray is imported only by the latter two, when used.
"""

from eafl_flower.engines.flower import run_on_flower
from eafl_flower.engines.inline import InlineGrid
from eafl_flower.engines.ray_grid import RayGrid
from eafl_flower.engines.waiting import WaitingGrid, wait_for

__all__ = ["InlineGrid", "RayGrid", "WaitingGrid", "run_on_flower", "wait_for"]
