"""Where access points and users are, and how much of a signal arrives between them.

Distances wrap around: the area is a torus, so that no user is at an edge. Positions are arrays and everything that
follows is a function of them; a user that moves gives another array.
"""

from dataclasses import dataclass
from math import isqrt
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from eafl_flower.core.settings import Range, check_settings
from eafl_flower.errors import ConfigError
from eafl_flower.radio.decibel import from_db

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Area:
    """A square of access points (APs) on a grid from which each is moved at random.

    Parameters
    ----------
    side_m
        Side of the square [m].
    num_aps
        Number of APs, a square number.
    jitter_m
        Each coordinate of an AP is uniform within this distance [m] of its point of the grid.
    height_m
        Height of the APs above the users [m].

    Raises
    ------
    ConfigError
        If a number is out of range, or ``num_aps`` is not a square number.
    """

    side_m: Annotated[float, Range(1, 1e6)] = 1000.0
    num_aps: Annotated[int, Range(1, 10_000)] = 16
    jitter_m: Annotated[float, Range(0, 1e6)] = 62.5
    height_m: Annotated[float, Range(0, 1e6, above=True)] = 10.0

    def __post_init__(self) -> None:
        check_settings(self)
        if isqrt(self.num_aps) ** 2 != self.num_aps:
            raise ConfigError(f"num_aps = {self.num_aps}: expected a square number, as the APs stand on a square grid")


@dataclass(frozen=True, kw_only=True)
class PathLoss:
    r"""Path loss with three parameters.

    .. math:: \beta\,[\mathrm{dB}] = g_0 - a \log_{10}(r / 1\,\mathrm{m}) + F, \quad F \sim N(0, \sigma_F^2)

    Shadowing :math:`F` is independent over users and APs.

    Parameters
    ----------
    gain_at_1m_db
        :math:`g_0` [dB].
    loss_per_decade_db
        :math:`a` [dB]: what is lost when the distance grows tenfold.
    shadowing_db
        Standard deviation :math:`\sigma_F` [dB].
    """

    gain_at_1m_db: Annotated[float, Range(-200, 100)] = -30.5
    loss_per_decade_db: Annotated[float, Range(0, 100)] = 36.7
    shadowing_db: Annotated[float, Range(0, 40)] = 4.0

    def __post_init__(self) -> None:
        check_settings(self)


def access_points(area: Area, rng: np.random.Generator, drops: tuple[int, ...] = ()) -> Array:
    """Return positions of the APs [m], ``(*drops, num_aps, 2)``: the points of the grid, each moved at random."""
    per_side = isqrt(area.num_aps)
    ticks = (np.arange(per_side) + 0.5) * area.side_m / per_side
    grid = np.stack(np.meshgrid(ticks, ticks, indexing="ij"), axis=-1).reshape(-1, 2)
    moved: Array = grid + rng.uniform(-area.jitter_m, area.jitter_m, (*drops, area.num_aps, 2))
    return moved % area.side_m


def user_positions(area: Area, num_users: int, rng: np.random.Generator, drops: tuple[int, ...] = ()) -> Array:
    """Return positions of users [m], ``(*drops, num_users, 2)``, uniform over the area."""
    return rng.uniform(0.0, area.side_m, (*drops, num_users, 2))


def distances_m(area: Area, users_m: Array, aps_m: Array) -> Array:
    r"""Distance from every user to every AP [m] on the torus, in space.

    .. math:: r_{kl} = \sqrt{h^2 + d_x^2 + d_y^2}

    Parameters
    ----------
    area
        Its side is the period of both coordinates, its height :math:`h`.
    users_m
        Positions ``(..., num_users, 2)`` [m], at whatever time; they may lie outside the square.
    aps_m
        Positions ``(..., num_aps, 2)`` [m].

    Returns
    -------
    Array
        ``(..., num_users, num_aps)`` [m].

    Raises
    ------
    ConfigError
        If there is no user or no AP, an array has another shape, or a position is not finite.

    Examples
    --------
    >>> users, aps = np.array([[1.0, 500.0]]), np.array([[999.0, 500.0]])
    >>> round(float(distances_m(Area(), users, aps)[0, 0]), 3)
    10.198
    """
    users_m, aps_m = _positions("users", users_m), _positions("access points", aps_m)
    offset = users_m[..., :, None, :] - aps_m[..., None, :, :]
    offset -= area.side_m * np.round(offset / area.side_m)
    distance: Array = np.sqrt(area.height_m**2 + (offset**2).sum(axis=-1))
    return distance


def _positions(whose: str, positions_m: Array) -> Array:
    positions_m = np.asarray(positions_m, np.float64)
    if positions_m.ndim < 2 or positions_m.shape[-1] != 2 or positions_m.size == 0:
        msg = (
            f"positions of {whose} have shape {positions_m.shape}: expected (..., number, 2) with at least one of them"
        )
        raise ConfigError(msg)
    finite = np.isfinite(positions_m).all(axis=-1)
    if not finite.all():
        where = np.argwhere(~finite)[0]
        msg = (
            f"position of {whose} {where[-1]} is {positions_m[tuple(where)].tolist()} m: expected finite coordinates "
            f"({np.count_nonzero(~finite)} of {finite.size} are not)"
        )
        raise ConfigError(msg)
    return positions_m


def draw_shadowing_db(path_loss: PathLoss, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Return shadowing :math:`F` [dB] of ``shape`` ``(..., num_users, num_aps)``; a run draws it once."""
    return rng.normal(0.0, path_loss.shadowing_db, shape)


def large_scale_fading(path_loss: PathLoss, distance_m: Array, shadowing_db: Array | float = 0.0) -> Array:
    r"""Large-scale fading :math:`\beta_{kl}` between users and APs, linear.

    .. math:: \beta = 10^{(g_0 - a \log_{10} r + F) / 10}

    Parameters
    ----------
    path_loss
        The parameters :math:`g_0` and :math:`a`.
    distance_m
        Distance :math:`r` [m], ``(..., num_users, num_aps)``, positive.
    shadowing_db
        Shadowing :math:`F` [dB], of the same shape.

    Returns
    -------
    Array
        ``(..., num_users, num_aps)``, linear; 0 where the signal is too weak for a floating point number.

    Examples
    --------
    >>> round(float(10 * np.log10(large_scale_fading(PathLoss(), np.array(100.0)))), 6)
    -103.9
    """
    loss_db = path_loss.loss_per_decade_db * np.log10(distance_m)
    return from_db(np.asarray(path_loss.gain_at_1m_db - loss_db + shadowing_db, np.float64))
