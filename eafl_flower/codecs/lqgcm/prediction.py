"""What both sides of an LQGCM stream remember, and what they predict from it."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from eafl_flower.codecs.histories import HistoryState
from eafl_flower.codecs.lqgcm.frame import MAX_GAIN
from eafl_flower.codecs.lqgcm.tuples import Vector
from eafl_flower.codecs.pooling import Pool

LARGEST: Final = np.finfo(np.float32).max


@dataclass(frozen=True, kw_only=True, eq=False)
class LQGCMState(HistoryState):
    """A stream of arrays with one layout, and the reconstruction that both sides predict from."""


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
