"""What both sides of an LQGCM stream remember, and what they predict from it."""

from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from eafl_flower.codecs.lqgcm.frame import MAX_GAIN
from eafl_flower.codecs.lqgcm.tuples import Vector
from eafl_flower.codecs.pooling import Pool
from eafl_flower.types import Layout

LARGEST: Final = np.finfo(np.float32).max


def nothing() -> Vector:
    """Return the history of a side that remembers none."""
    return np.zeros(0, np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class LQGCMState:
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


def settled(state: LQGCMState, pool: Pool) -> LQGCMState:
    """Return the state whose history is what the receiver holds; none if that is not here, or damaged."""
    if state.acknowledged == state.pending_counter > 0:
        state = replace(state, history=state.pending, reference=state.pending_counter)
    usable = (
        state.acknowledged == state.reference < state.counter
        and state.history.size == (pool.num_values if state.reference else 0)
        and bool(np.isfinite(state.history).all())
    )
    return state if usable else replace(state, history=nothing(), reference=0)


def predictor_gain_of(values: Vector, history: Vector) -> float:
    """Return the least-squares multiple of the history, clipped and rounded to float16; 0 without one."""
    if not history.size:
        return 0.0
    wide = history.astype(np.float64)
    # by einsum, whose sum, unlike that of BLAS, does not depend on the number of threads
    energy = float(np.einsum("i,i->", wide, wide))
    if energy == 0:
        return 0.0
    gain = float(np.einsum("i,i->", wide, values.astype(np.float64))) / energy
    return float(np.float16(min(max(gain, 0.0), MAX_GAIN)))


def predicted_from(history: Vector, gain: float, pool: Pool) -> Vector:
    """Return the padded vector of the history times its gain; both sides call this."""
    predicted = np.zeros(pool.num_padded, np.float32)
    if gain:
        with np.errstate(over="ignore"):
            np.multiply(history, np.float32(gain), out=predicted[: pool.num_values])
        np.clip(predicted, -LARGEST, LARGEST, out=predicted)
    return predicted
