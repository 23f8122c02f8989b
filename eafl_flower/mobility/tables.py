"""Tables of positions, CSV plain or gzip: a row is a vehicle, a time, and where it was.

Times are Unix seconds or in ISO 8601. These headers are known without being told:

* San Francisco's taxis (Cabspotting; ``cab``, ``latitude``, ``longitude``, ``time``);
* NGSIM, the publisher's (``Local_X``, ``Local_Y`` in feet) or a copy in metres (``local_x(m)``, ``local_y(m)``) whose
  author took 0.3084 m for a foot, which is set right; times in milliseconds;
* any other with one of the names below for each of the columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from eafl_flower.data.tables.files import listed, read_columns, read_header
from eafl_flower.data.tables.times import sortable_times
from eafl_flower.errors import DataError
from eafl_flower.mobility.recordings import Samples, numbered

VEHICLES = ("vehicle", "vehicle_id", "id", "cab", "taxi", "taxi_id")
TIMES = ("time", "timestamp", "time_s", "date_time", "datetime")
PLACES = (("longitude", "latitude"), ("lon", "lat"), ("x_m", "y_m"), ("x", "y"))
_GEOGRAPHIC = frozenset(PLACES[:2])
_FOOT_M, _WRONG_FOOT_M = 0.3048, 0.3084
_HOW = "name them (vehicle, time, and longitude and latitude in degrees or x and y in metres)"


@dataclass(frozen=True, kw_only=True)
class TraceColumns:
    """Names of a table's columns.

    ``x`` and ``y`` are longitude and latitude in degrees if ``geographic``, else metres. Times are in seconds or in ISO
    8601; ``time_unit_s`` and ``place_unit_m`` are what numbers are multiplied by.
    """

    vehicle: str
    time: str
    x: str
    y: str
    geographic: bool
    time_unit_s: float = 1.0
    place_unit_m: float = 1.0


def columns_of(path: Path, header: Sequence[str]) -> TraceColumns:
    """Return what the columns of a known header mean; raises ``DataError`` if it is not known."""
    if {"Vehicle_ID", "Global_Time"} <= set(header):
        for x, y, unit_m in (
            ("local_x(m)", "local_y(m)", _FOOT_M / _WRONG_FOOT_M),
            ("Local_X", "Local_Y", _FOOT_M),
        ):
            if {x, y} <= set(header):
                return TraceColumns(
                    vehicle="Vehicle_ID",
                    time="Global_Time",
                    x=x,
                    y=y,
                    geographic=False,
                    time_unit_s=1e-3,
                    place_unit_m=unit_m,
                )
    vehicle = next((name for name in VEHICLES if name in header), "")
    time = next((name for name in TIMES if name in header), "")
    place = next((pair for pair in PLACES if set(pair) <= set(header)), ("", ""))
    if not (vehicle and time and place[0]):
        found = {"a vehicle": vehicle, "a time": time, "a place": place[0]}
        missing = ", ".join(what for what, name in found.items() if not name)
        msg = f"{path} has no column known for {missing}: found {listed(header)}; {_HOW}"
        raise DataError(msg)
    return TraceColumns(vehicle=vehicle, time=time, x=place[0], y=place[1], geographic=place in _GEOGRAPHIC)


def read_samples(path: Path, columns: TraceColumns | None = None) -> Samples:
    """Read the samples of a table.

    Parameters
    ----------
    path
        The file.
    columns
        What its columns mean; told by the header if not given.

    Raises
    ------
    DataError
        If the file is missing, truncated or no table, a column is missing, it has no rows, a number or a time is none,
        or it holds several locations of NGSIM.
    """
    header = read_header(path)
    meant = columns or columns_of(path, header)
    place = [meant.x, meant.y]
    text = [meant.vehicle, meant.time, *({"Location"} & set(header) if meant.vehicle == "Vehicle_ID" else ())]
    table = read_columns(path, numeric=place, text=text)
    if "Location" in table and len(found := table["Location"].str.lower().unique()) > 1:
        msg = (
            f"{path} holds several locations, whose coordinates and vehicles have nothing in common: "
            f"{listed(list(found))}; keep the rows of one"
        )
        raise DataError(msg)
    names, vehicle = numbered(_names(path, meant.vehicle, table[meant.vehicle]))
    time_s = sortable_times(table[meant.time].to_numpy(), path=path, column=meant.time)
    return Samples(
        names=names,
        vehicle=vehicle,
        time_s=time_s * meant.time_unit_s,
        x=table[meant.x].to_numpy() * meant.place_unit_m,
        y=table[meant.y].to_numpy() * meant.place_unit_m,
        geographic=meant.geographic,
    )


def _names(path: Path, column: str, cells: "pd.Series[str]") -> list[str]:
    if (cells == "").any():
        msg = f"{path}, column {column}: {int((cells == '').sum()):,} cells are empty, and so belong to no vehicle"
        raise DataError(msg)
    return list(cells)
