r"""How long a vehicle will stay in a disc, and whose disc comes next, from where it is and how it goes.

With :math:`p` the place relative to the centre, :math:`h` the heading and :math:`R` the radius, the way to the border
is

.. math:: \ell = -p \cdot h + \sqrt{(p \cdot h)^2 + R^2 - |p|^2}
"""

import numpy as np

from eafl_flower.mobility.traces import Array, Integers

SLOWEST_M_S = 1.0


def way_to_border_m(place_m: Array, velocity_m_s: Array, centre_m: Array, radius_m: float) -> Array:
    r"""Return the way along the heading to the border of a disc [m], ``(...)``.

    Without a heading (velocity 0) it is the way to the nearest point of the border, :math:`R - |p|`; outside of the
    disc it is 0.

    Parameters
    ----------
    place_m, velocity_m_s, centre_m
        ``(..., 2)`` [m], [m/s], [m].
    radius_m
        Radius :math:`R` [m].

    Examples
    --------
    >>> place, velocity, centre = np.array([-3.0, 4.0]), np.array([2.0, 0.0]), np.zeros(2)
    >>> float(way_to_border_m(place, velocity, centre, 5.0))
    6.0
    """
    from_centre_m = place_m - centre_m
    speed_m_s = np.hypot(velocity_m_s[..., 0], velocity_m_s[..., 1])
    heading = velocity_m_s / np.maximum(speed_m_s, np.finfo(float).tiny)[..., None]
    along_m = (from_centre_m * heading).sum(axis=-1)
    inside = radius_m**2 - (from_centre_m**2).sum(axis=-1)
    ahead_m = np.sqrt(np.maximum(along_m**2 + inside, 0.0)) - along_m
    nearest_m = radius_m - np.hypot(from_centre_m[..., 0], from_centre_m[..., 1])
    way_m: Array = np.where(inside >= 0, np.where(speed_m_s > 0, ahead_m, nearest_m), 0.0)
    return way_m


def time_to_leave_s(place_m: Array, velocity_m_s: Array, centre_m: Array, radius_m: float) -> Array:
    """Return when a vehicle that goes straight on leaves a disc [s], ``(...)``; it counts as fast as 1 m/s at least."""
    speed_m_s = np.hypot(velocity_m_s[..., 0], velocity_m_s[..., 1])
    way_m = way_to_border_m(place_m, velocity_m_s, centre_m, radius_m)
    time_s: Array = way_m / np.maximum(speed_m_s, SLOWEST_M_S)
    return time_s


def next_unit(
    place_m: Array, velocity_m_s: Array, unit: Integers, units_m: Array, radius_m: float, *, further_m: float
) -> Integers:
    """Return the unit nearest to where a vehicle is ``further_m`` after it has left the disc of its own, ``(...)``.

    Parameters
    ----------
    place_m, velocity_m_s
        ``(..., 2)`` [m], [m/s].
    unit
        The unit whose disc it is in, ``(...)``.
    units_m
        Positions of all units [m], ``(num_units, 2)``.
    radius_m, further_m
        Radius of all discs, and the way beyond the border [m].

    Returns
    -------
    Integers
        -1 where no other disc holds that point, or there is no heading.
    """
    speed_m_s = np.hypot(velocity_m_s[..., 0], velocity_m_s[..., 1])
    heading = velocity_m_s / np.maximum(speed_m_s, np.finfo(float).tiny)[..., None]
    way_m = way_to_border_m(place_m, velocity_m_s, units_m[unit], radius_m) + further_m
    point_m = place_m + way_m[..., None] * heading
    offset_m = point_m[..., None, :] - units_m
    distance_m = np.hypot(offset_m[..., 0], offset_m[..., 1])  # (..., num_units)
    distance_m = np.where(np.arange(len(units_m)) == unit[..., None], np.inf, distance_m)
    found = distance_m.argmin(axis=-1)
    known = (speed_m_s > 0) & (np.take_along_axis(distance_m, found[..., None], -1)[..., 0] <= radius_m)
    return np.where(known, found, -1)
