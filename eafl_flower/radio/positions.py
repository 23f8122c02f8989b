r"""Where users are, as a function of time.

.. math:: x_k(t) = x_k(0) + v_k t

with one speed for all and a direction drawn for each. The square they drive on wraps around (`geometry.distances_m`),
so nobody ever leaves it.
"""

from dataclasses import dataclass

import numpy as np

from eafl_flower.radio.geometry import Area, Array, user_positions


@dataclass(frozen=True, kw_only=True, eq=False)
class StraightLines:
    """Users that go straight on, each at its own velocity.

    Parameters
    ----------
    start_m
        Positions at time 0 [m], ``(num_users, 2)``.
    velocity_m_s
        Velocities [m/s], of the same shape.
    """

    start_m: Array
    velocity_m_s: Array

    def at(self, time_s: float) -> Array:
        """Return the positions at ``time_s`` [m], ``(num_users, 2)``; they may lie outside the square."""
        position: Array = self.start_m + self.velocity_m_s * time_s
        return position


def straight_lines(area: Area, num_users: int, speed_m_s: float, rng: np.random.Generator) -> StraightLines:
    """Draw users uniform over ``area`` that go in random directions at ``speed_m_s`` [m/s]; at 0 they stay."""
    start_m = user_positions(area, num_users, rng)
    angle = rng.uniform(0.0, 2 * np.pi, num_users)
    return StraightLines(start_m=start_m, velocity_m_s=speed_m_s * np.stack([np.cos(angle), np.sin(angle)], axis=-1))
