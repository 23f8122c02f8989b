"""Dates and clock times of data files as seconds."""

import numpy as np
from numpy.typing import NDArray

from eafl_flower.data.tables.lines import line_of
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
    import pandas as pd

    times = pd.to_datetime(pd.Series(texts, dtype="str"), format=form, errors="coerce")
    bad = np.flatnonzero(times.isna().to_numpy())
    if len(bad):
        msg = (
            f"{path}, line {line_of(path, int(bad[0]))}, column {column}: expected a time as in "
            f"{pd.Timestamp('2008-05-21 14:30:00').strftime(form)}, found {str(texts[bad[0]])!r}"
        )
        raise DataError(msg)
    return times.to_numpy().astype("datetime64[s]").astype(np.int64)


def sortable_times(cells: Array, *, path: object, column: str) -> NDArray[np.float64]:
    """Return times of any unit as numbers, ``(n,)``: numbers as they are, dates in ISO 8601 as seconds since 1970.

    Raises
    ------
    DataError
        If a cell is neither, or numbers and dates are mixed; names the line.
    """
    import pandas as pd

    numbers = pd.to_numeric(pd.Series(cells, dtype="str"), errors="coerce").to_numpy(dtype=np.float64)
    if np.isfinite(numbers).all():
        return numbers
    dates = pd.to_datetime(pd.Series(cells, dtype="str"), format="ISO8601", utc=True, errors="coerce")
    bad = np.flatnonzero(dates.isna().to_numpy())
    if len(bad):
        if np.isfinite(numbers).sum() > len(numbers) - len(bad):
            bad = np.flatnonzero(~np.isfinite(numbers))
        shown = repr(str(cells[bad[0]])) if str(cells[bad[0]]) else "an empty cell"
        msg = (
            f"{path}, line {line_of(path, int(bad[0]))}, column {column}: "
            f"expected a number or a time as in 2008-05-21 14:30:00, found {shown}"
        )
        raise DataError(msg)
    seconds: NDArray[np.float64] = dates.dt.tz_localize(None).to_numpy().astype("datetime64[us]").astype(np.int64) / 1e6
    return seconds
