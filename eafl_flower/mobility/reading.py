"""One door for files with vehicles: tables of positions, and floating-car output of SUMO."""

import os
from pathlib import Path

from eafl_flower.mobility.floating_cars import is_xml, read_floating_cars
from eafl_flower.mobility.recordings import Limits, Recording, recording_of
from eafl_flower.mobility.tables import TraceColumns, read_samples


def read_traces(
    path: str | os.PathLike[str],
    columns: TraceColumns | None = None,
    *,
    geographic: bool = False,
    limits: Limits | None = None,
) -> Recording:
    """Read the vehicles of a file, plain or gzip; its content tells which kind it is.

    Parameters
    ----------
    path
        A table (CSV) or floating-car output (XML).
    columns
        What the columns of a table mean; told by its header if not given.
    geographic
        Whether x and y of floating-car output are longitude and latitude.
    limits
        What is believed of it; as it is by default if not given.

    Raises
    ------
    DataError
        If it cannot be read; see `tables.read_samples` and `floating_cars.read_floating_cars`.
    """
    file = Path(path)
    samples = read_floating_cars(file, geographic=geographic) if is_xml(file) else read_samples(file, columns)
    return recording_of(file, samples, limits or Limits())
