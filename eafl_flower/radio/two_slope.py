r"""Path loss with two slopes, as measured along roads: beyond a break point it grows faster.

.. math:: g(d)\,[\mathrm{dB}] = g_0 - 10\,n_1\log_{10} d - 10\,(n_2 - n_1)\,[\log_{10}(d / d_b)]_+

Cheng, Henty, Stancil, Bai and Mudalige, "Mobile vehicle-to-vehicle narrow-band channel measurement and characterization
of the 5.9 GHz dedicated short range communication (DSRC) frequency band", IEEE J. Sel. Areas Commun. 25(8), 2007. The
exponents are of the order of theirs, from memory.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from eafl_flower.core.settings import Positive, Range, check_settings
from eafl_flower.radio.decibel import from_db

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class TwoSlope:
    """Constants of the path loss.

    Parameters
    ----------
    gain_at_1m_db
        :math:`g_0` [dB]; as it is by default, that of free space at 5.9 GHz.
    exponent_near, exponent_far
        :math:`n_1` and :math:`n_2`.
    break_m
        Break point :math:`d_b` [m].
    unit_height_m
        Height of the units above the vehicles [m].

    Raises
    ------
    ConfigError
        If a number is out of range.
    """

    gain_at_1m_db: Annotated[float, Range(-200, 100)] = -47.9
    exponent_near: Annotated[float, Range(0, 10)] = 2.1
    exponent_far: Annotated[float, Range(0, 10)] = 3.8
    break_m: Positive = 100.0
    unit_height_m: Annotated[float, Range(0, 1e4, above=True)] = 5.0

    def __post_init__(self) -> None:
        check_settings(self)


def two_slope_gain(path: TwoSlope, flat_m: Array, shadowing_db: Array | float = 0.0) -> Array:
    """Return the large-scale gain, linear, ``(...)``.

    Parameters
    ----------
    path
        Constants.
    flat_m
        Distances on the map [m], ``(...)``; the height of the unit comes on top.
    shadowing_db
        Shadowing [dB], ``(...)``: above 0 more arrives.

    Examples
    --------
    >>> round(float(10 * np.log10(two_slope_gain(TwoSlope(unit_height_m=1e-6), np.array(1000.0)))), 6)
    -127.9
    """
    decades = np.log10(np.hypot(flat_m, path.unit_height_m))
    beyond = np.maximum(decades - np.log10(path.break_m), 0.0)
    loss_db = 10 * path.exponent_near * decades + 10 * (path.exponent_far - path.exponent_near) * beyond
    return from_db(np.asarray(path.gain_at_1m_db - loss_db + shadowing_db, np.float64))
