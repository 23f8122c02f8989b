"""Dates and clock times of data files as seconds."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from eafl_flower.errors import DataError
from eafl_flower.types import Array

DATE_TIME = "%Y-%m-%d %H:%M:%S"


def unix_seconds(texts: Array, *, path: object, column: str, form: str = DATE_TIME) -> NDArray[np.int64]:
    """Return dates with clock times, ``(n,)``, as seconds since 1970 in the time zone they are in.

    Raises
    ------
    DataError
        If a text is not of the form; names the line of the first one.
    """
    times = pd.to_datetime(pd.Series(texts, dtype="str"), format=form, errors="coerce")
    bad = np.flatnonzero(times.isna().to_numpy())
    if len(bad):
        # The header is line 1 of the file.
        msg = (
            f"{path}, line {bad[0] + 2}, column {column}: expected a time as in "
            f"{pd.Timestamp('2008-05-21 14:30:00').strftime(form)}, found {str(texts[bad[0]])!r}"
        )
        raise DataError(msg)
    return times.to_numpy().astype("datetime64[s]").astype(np.int64)
