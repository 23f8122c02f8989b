r"""Car following as a classification task: will a driver brake, keep the speed or accelerate.

Rows are taken at frames :math:`t` of a vehicle's recorded speed :math:`v` [m/s] and headway
:math:`h` [m] at 10 frames a second. The label compares the mean speed 2 to 3 s ahead with now,

.. math:: d_t = \frac{1}{11}\sum_{i=20}^{30} v_{t+i} - v_t,

``brake`` if :math:`d_t < -1` m/s, ``accelerate`` if :math:`d_t > 1` m/s, else ``keep``. The 12
features see the past 3 s only: speed and headway now, and how far each has moved since 0.6, 1.2, 1.8,
2.4 and 3.0 s ago. (The same 12 readings as plain levels carry the same information, but levels of
one vehicle are nearly equal, and a small network learns them worse: on NGSIM US-101 0.53 against 0.57.)
"""

import numpy as np
from numpy.typing import NDArray

from eafl_flower.types import Array

FRAMES_PER_S = 10
PAST_FRAMES = 30
AHEAD_FRAMES = 30
LAGS_FRAMES = (6, 12, 18, 24, 30)
SPEED_CHANGE_M_S = 1.0
# Two rows this far apart share no frame: one looks 3 s ahead, the other 3 s back.
GAP_FRAMES = PAST_FRAMES + AHEAD_FRAMES

# What a vehicle on a road can do; a sensor's noise may make a standing one reverse slowly.
SPEEDS_M_S = (-1.0, 70.0)
HEADWAYS_M = (0.0, 1000.0)

CLASS_NAMES = ("brake", "keep", "accelerate")
FEATURE_NAMES = (
    "speed_m_s",
    *(f"speed_change_{lag / FRAMES_PER_S:.1f}s_m_s" for lag in LAGS_FRAMES),
    "headway_m",
    *(f"headway_change_{lag / FRAMES_PER_S:.1f}s_m" for lag in LAGS_FRAMES),
)


def possible(speed_m_s: Array, headway_m: Array) -> NDArray[np.bool_]:
    """Whether speeds and headways ``(n,)`` are those of a vehicle on a road.

    Examples
    --------
    >>> possible(np.array([0.0, 29.0, 1e4, 20.0]), np.array([12.0, 0.0, 20.0, -3.0])).tolist()
    [True, True, False, False]
    """
    inside = [(low <= v) & (v <= high) for v, (low, high) in ((speed_m_s, SPEEDS_M_S), (headway_m, HEADWAYS_M))]
    return np.logical_and(*inside)


def limits_text() -> str:
    """Return the limits of ``possible`` in words."""
    return "speeds from {:g} to {:g} m/s and headways from {:g} to {:g} m".format(*SPEEDS_M_S, *HEADWAYS_M)


def row_frames(num_frames: int, *, every: int = FRAMES_PER_S) -> NDArray[np.int64]:
    """Frames at which a track of ``num_frames`` frames gives a row: every ``every``-th with 3 s on both sides."""
    return np.arange(PAST_FRAMES, num_frames - AHEAD_FRAMES, every, dtype=np.int64)


def features(speed_m_s: Array, headway_m: Array, frames: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the 12 features at ``frames``.

    Parameters
    ----------
    speed_m_s, headway_m
        Tracks, ``(..., num_frames)``.
    frames
        Frame numbers of the rows, ``(n,)``, each at least ``PAST_FRAMES``.

    Returns
    -------
    NDArray
        ``(..., n, 12)``, columns as in ``FEATURE_NAMES``.
    """
    columns = []
    for track in (speed_m_s, headway_m):
        now = track[..., frames]
        columns.append(now)
        columns.extend(now - track[..., frames - lag] for lag in LAGS_FRAMES)
    return np.stack(columns, axis=-1).astype(np.float64, copy=False)


def labels(speed_m_s: Array, frames: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the class index at ``frames`` for tracks ``(..., num_frames)``: ``(..., n)``."""
    ahead = frames[:, None] + np.arange(20, AHEAD_FRAMES + 1)  # (n, 11)
    change = speed_m_s[..., ahead].mean(axis=-1) - speed_m_s[..., frames]
    brake, accelerate = change < -SPEED_CHANGE_M_S, change > SPEED_CHANGE_M_S
    return np.where(brake, 0, np.where(accelerate, 2, 1)).astype(np.int64)
