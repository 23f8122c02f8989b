r"""Windows of recorded trips and what they say about the way of moving.

A window is 30 consecutive points of one trip. Its points have a time in whole seconds and a position; the step from
point :math:`i` to the next has the great-circle length :math:`s_i` [m], the time :math:`\Delta t_i` [s], the
speed :math:`v_i = s_i / \Delta t_i` and the heading :math:`\varphi_i`. The 18 features are statistics of speed,
acceleration :math:`(v_{i+1} - v_i) / \Delta t_{i+1}` and turn :math:`|\varphi_{i+1} - \varphi_i|`, none of place or
time of day: those tell where a person lives and when a bus leaves, not how they move.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eafl_flower.types import Array


@dataclass(frozen=True, kw_only=True)
class TripThresholds:
    """Every number that decides what a window is and what its features count."""

    window_points: int = 30
    shortest_s: float = 20.0
    longest_s: float = 600.0
    stop_m_s: float = 0.5
    sharp_turn_rad: float = 0.5
    # Faster than any train of the recordings: such a step is an error of position.
    fastest_m_s: float = 100.0
    earth_radius_m: float = 6_371_000.0


THRESHOLDS = TripThresholds()

FEATURE_NAMES = (
    "speed_mean_m_s",
    "speed_sd_m_s",
    "speed_p10_m_s",
    "speed_p25_m_s",
    "speed_p50_m_s",
    "speed_p75_m_s",
    "speed_max_m_s",
    "acceleration_mean_m_s2",
    "acceleration_sd_m_s2",
    "acceleration_p90_m_s2",
    "turn_mean_rad",
    "turn_sd_rad",
    "stop_share",
    "straightness",
    "distance_m",
    "duration_s",
    "sharp_turn_share",
    "speed_change_m_s",
)


def window_starts(trip: Array, time_s: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the first row of each window: 30 rows of one trip, one window after the other, 20 to 600 s long.

    Parameters
    ----------
    trip
        Trip of each row, ``(n,)``; rows of one trip are consecutive and in time order.
    time_s
        Time of each row [s], ``(n,)``.
    """
    size = THRESHOLDS.window_points
    starts = np.concatenate([[0], np.flatnonzero(trip[1:] != trip[:-1]) + 1]).astype(np.int64)
    windows = np.diff(np.append(starts, len(trip))) // size  # of each trip
    place = np.arange(int(windows.sum())) - np.repeat(np.cumsum(windows) - windows, windows)
    first = np.repeat(starts, windows) + place * size
    duration_s = time_s[first + size - 1] - time_s[first]
    kept: NDArray[np.int64] = first[(duration_s >= THRESHOLDS.shortest_s) & (duration_s <= THRESHOLDS.longest_s)]
    return kept


def motion_features(
    latitude_deg: NDArray[np.float64], longitude_deg: NDArray[np.float64], time_s: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the 18 features of windows.

    Points that a fast logger gave the same second count as one second apart.

    Parameters
    ----------
    latitude_deg, longitude_deg, time_s
        Points of the windows, ``(windows, points)``.

    Returns
    -------
    NDArray
        ``(windows, 18)``, columns as in ``FEATURE_NAMES``.
    """
    limits = THRESHOLDS
    step_s = np.maximum(np.diff(time_s, axis=1), 1).astype(np.float64)  # (windows, points - 1)
    step_m, heading = _steps(latitude_deg, longitude_deg)
    step_m = np.minimum(step_m, limits.fastest_m_s * step_s)
    speed = step_m / step_s
    change = np.diff(speed, axis=1)  # (windows, points - 2)
    acceleration = change / step_s[:, 1:]
    turn = np.abs((np.diff(heading, axis=1) + np.pi) % (2 * np.pi) - np.pi)
    p10, p25, p50, p75 = np.quantile(speed, [0.10, 0.25, 0.50, 0.75], axis=1)
    distance_m = step_m.sum(axis=1)
    ends_m, _ = _steps(latitude_deg[:, [0, -1]], longitude_deg[:, [0, -1]])
    return np.stack(
        [
            speed.mean(axis=1),
            speed.std(axis=1),
            p10,
            p25,
            p50,
            p75,
            speed.max(axis=1),
            acceleration.mean(axis=1),
            acceleration.std(axis=1),
            np.quantile(acceleration, 0.9, axis=1),
            turn.mean(axis=1),
            turn.std(axis=1),
            (speed < limits.stop_m_s).mean(axis=1),
            np.minimum(ends_m[:, 0] / np.maximum(distance_m, 1.0), 1.0),
            distance_m,
            (time_s[:, -1] - time_s[:, 0]).astype(np.float64),
            (turn > limits.sharp_turn_rad).mean(axis=1),
            np.abs(change).mean(axis=1),
        ],
        axis=1,
    )


def impossible_steps(
    latitude_deg: NDArray[np.float64], longitude_deg: NDArray[np.float64], time_s: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Whether each step of windows is faster than any vehicle, so that it counts as one at the fastest speed.

    Parameters
    ----------
    latitude_deg, longitude_deg, time_s
        Points of the windows, ``(windows, points)``.

    Returns
    -------
    NDArray
        ``(windows, points - 1)``.
    """
    step_s = np.maximum(np.diff(time_s, axis=1), 1)
    fast: NDArray[np.bool_] = _steps(latitude_deg, longitude_deg)[0] > THRESHOLDS.fastest_m_s * step_s
    return fast


def _steps(
    latitude_deg: NDArray[np.float64], longitude_deg: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Length [m] and heading [rad] of the steps between neighbouring points.

    On the plane that touches the sphere between the two points: steps are short, and it is several times
    faster than the haversine.
    """
    latitude, longitude = np.radians(latitude_deg), np.radians(longitude_deg)
    north = np.diff(latitude, axis=1)
    east = np.diff(longitude, axis=1)
    east = ((east + np.pi) % (2 * np.pi) - np.pi) * np.cos((latitude[:, 1:] + latitude[:, :-1]) / 2)
    return THRESHOLDS.earth_radius_m * np.hypot(north, east), np.arctan2(east, north)
