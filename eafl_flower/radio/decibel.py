"""From decibels to plain numbers and watts."""

from typing import overload

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@overload
def from_db(level_db: float) -> float: ...
@overload
def from_db(level_db: Array) -> Array: ...
def from_db(level_db: float | Array) -> float | Array:
    """Return the ratio that ``level_db`` [dB] stands for.

    Examples
    --------
    >>> from_db(30.0)
    1000.0
    """
    ratio: Array = np.power(10.0, np.asarray(level_db) / 10.0)
    return ratio if isinstance(level_db, np.ndarray) else float(ratio)


def from_dbm(level_dbm: float) -> float:
    """Return the power [W] that ``level_dbm`` [dBm] stands for.

    Examples
    --------
    >>> from_dbm(20.0)
    0.1
    """
    return from_db(level_dbm - 30.0)
