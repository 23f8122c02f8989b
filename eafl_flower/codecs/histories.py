"""What sender and receiver both remember of a stream: the last reconstruction that the receiver has."""

from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from eafl_flower.codecs.pooling import Pool
from eafl_flower.types import Layout

Vector = NDArray[np.float32]
S = TypeVar("S", bound="HistoryState")


def nothing() -> Vector:
    """Return the history of a side that remembers none."""
    return np.zeros(0, np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class HistoryState:
    """A stream of arrays with one layout, and what both sides remember of it.

    ``history`` is the reconstruction of payload ``reference`` (0: none, and the history is empty), which the
    other side has too. ``pending`` is that of payload ``pending_counter``, which the other side may have.
    """

    layout: Layout
    history: Vector = field(default_factory=nothing)
    reference: int = 0
    pending: Vector = field(default_factory=nothing)
    pending_counter: int = 0
    counter: int = 0
    acknowledged: int = 0


def settled(state: S, pool: Pool) -> S:
    """Return the state whose history is what the receiver holds; none if that is not here, or damaged."""
    if state.acknowledged == state.pending_counter > 0:
        state = replace(state, history=state.pending, reference=state.pending_counter)
    usable = (
        state.acknowledged == state.reference < state.counter
        and state.history.size == (pool.num_values if state.reference else 0)
        and bool(np.isfinite(state.history).all())
    )
    return state if usable else replace(state, history=nothing(), reference=0)
