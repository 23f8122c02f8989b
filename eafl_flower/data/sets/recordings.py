"""Recordings of a vehicle, a user or a network as features, made by the code that made the training rows.

Nothing is held out here and nothing is left out but rows of which the past is unknown: the first seconds of a drive.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eafl_flower.data.sets import car_following, geolife, iot_devices, ngsim, trips, unsw_nb15
from eafl_flower.data.splits import content_groups
from eafl_flower.data.tables.columns import TableColumn, encoded, numbers_of
from eafl_flower.data.tables.files import read_columns, read_header, read_table, refuse_below_zero
from eafl_flower.data.tables.lines import lines_text
from eafl_flower.data.tables.names import spelled_as
from eafl_flower.data.tables.times import unix_seconds
from eafl_flower.errors import DataError
from eafl_flower.types import Array

DRIVE = ("speed_m_s", "headway_m")


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """Features ``(n, d)`` before scaling, the rows of the file, counted from 0, that they are of, and what to tell."""

    x: NDArray[np.float64]
    rows: NDArray[np.int64]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A data set's own kind of file.

    Parameters
    ----------
    columns
        Given the names of the features, the sets of columns of which such a file must have one.
    read
        Makes features of a file; told their names, for those that depend on the training rows.
    alone
        Whether a file of features is refused. It could be taken for a recording where features are called as columns
        of one but hold something else, a logarithm for example.
    words
        Class of each word of a label column, if there are more words than classes; -1: none of them.
    """

    columns: Callable[[Sequence[str]], Sequence[Sequence[str]]]
    read: Callable[[Path, tuple[str, ...]], Found]
    alone: bool = False
    words: Mapping[str, int] | None = None

    def is_one(self, header: Sequence[str], feature_names: Sequence[str]) -> bool:
        """Whether a file with these columns is such a recording."""
        return any(set(columns) <= set(header) for columns in self.columns(feature_names))


def _ngsim(path: Path, feature_names: tuple[str, ...]) -> Found:
    """Classify every frame of each vehicle that has 3 s of past."""
    if ngsim.is_ngsim(read_header(path)):
        recorded = ngsim.read_tracks(path)
        return _frames(path, recorded.tracks, recorded.notes)
    drive = _drive(path)
    return _frames(path, [replace(drive, headway_m=ngsim.within_sight(drive.headway_m))])


def _idm(path: Path, feature_names: tuple[str, ...]) -> Found:
    return _frames(path, [_drive(path)])


def _drive(path: Path) -> ngsim.Track:
    """Read what a vehicle's own sensors tell ten times a second: the whole file is one drive."""
    table = read_columns(path, numeric=DRIVE)
    speed_m_s, headway_m = (table[name].to_numpy() for name in DRIVE)
    impossible = np.flatnonzero(~car_following.possible(speed_m_s, headway_m))
    if len(impossible):
        row = int(impossible[0])
        msg = (
            f"{path}, {lines_text(path, impossible)}: speed {speed_m_s[row]:g} m/s with headway {headway_m[row]:g} m, "
            f"expected {car_following.limits_text()} (0 m without a leader); mend it or cut the drive there"
        )
        raise DataError(msg)
    return ngsim.Track(vehicle=0, rows=np.arange(len(table)), speed_m_s=speed_m_s, headway_m=headway_m)


def _frames(path: Path, tracks: Sequence[ngsim.Track], notes: tuple[str, ...] = ()) -> Found:
    tracks = [track for track in tracks if len(track.rows) > car_following.PAST_FRAMES]
    if not tracks:
        msg = f"{path}: no vehicle is recorded for more than 3 s at 10 Hz without a gap, and a row looks 3 s back"
        raise DataError(msg)
    frames = [np.arange(car_following.PAST_FRAMES, len(track.rows)) for track in tracks]
    x = [car_following.features(t.speed_m_s, t.headway_m, f) for t, f in zip(tracks, frames, strict=True)]
    rows = np.concatenate([track.rows[f] for track, f in zip(tracks, frames, strict=True)])
    order = np.argsort(rows, kind="stable")
    return Found(x=np.concatenate(x)[order], rows=rows[order], notes=notes)


def _unsw_nb15(path: Path, feature_names: tuple[str, ...]) -> Found:
    table = read_columns(path, numeric=unsw_nb15.NUMERIC, text=("proto", "service", "state"))
    refuse_below_zero(path, table, unsw_nb15.NUMERIC)
    x = unsw_nb15.features(table, unsw_nb15.protocols_of(feature_names))
    return Found(x=x, rows=np.arange(len(x)))


def _iot_devices(path: Path, feature_names: tuple[str, ...]) -> Found:
    table = read_columns(path, numeric=feature_names)
    refuse_below_zero(path, table, feature_names)
    return Found(x=iot_devices.features(table, feature_names), rows=np.arange(len(table)))


def _geolife(path: Path, feature_names: tuple[str, ...]) -> Found:
    """Classify each window of 30 points of a trip; its row is that of the last point."""
    header = read_header(path)
    trip_columns = [name for name in ("user", "segment" if "segment" in header else "trajectory") if name in header]
    table = read_columns(path, numeric=("latitude", "longitude"), text=("date_time", *trip_columns))
    time_s = unix_seconds(table["date_time"].to_numpy(dtype=object), path=path, column="date_time")
    trip = content_groups([table[name].to_numpy() for name in trip_columns] or [np.zeros(len(table))])
    latitude, longitude = table["latitude"].to_numpy(), table["longitude"].to_numpy()
    order = np.lexsort((time_s, trip))
    on = geolife.on_globe(latitude, longitude)
    order = order[on[order]]
    first = trips.window_starts(trip[order], time_s[order])
    if len(first) == 0:
        limits = trips.THRESHOLDS
        msg = (
            f"{path}: no trip has {limits.window_points} consecutive points in {limits.shortest_s:.0f} to "
            f"{limits.longest_s:.0f} s, which is what a row looks at"
        )
        raise DataError(msg)
    points = order[first[:, None] + np.arange(trips.THRESHOLDS.window_points)]  # (windows, points)
    positions = latitude[points], longitude[points], time_s[points]
    notes = (*geolife.off_globe_note(path, on), *geolife.fast_steps_note(path, points, *positions))
    return Found(x=trips.motion_features(*positions), rows=points[:, -1], notes=notes)


def own_table(columns: Sequence[TableColumn]) -> Recording:
    """Return what a file of one's own is: a table with the columns that were features in training."""

    def read(path: Path, feature_names: tuple[str, ...]) -> Found:
        numbers = {column.name: column.unit for column in columns if column.words is None}
        texts = [column.name for column in columns if column.words is not None]
        table = read_table(path, text=texts, others=list(numbers))
        cells: dict[str, Array] = {}
        notes: list[str] = []
        for column in columns:
            if column.words is not None:
                words = table[column.name].to_numpy(dtype=object)
                cells[column.name], more = spelled_as(column.words, column.name, words, of="word")
                notes += more
        for name, unit in numbers.items():
            cells[name], note = numbers_of(path, name, table[name], unit)
            notes += [note] if note else []
        return Found(x=encoded(columns, cells), rows=np.arange(len(table)), notes=tuple(notes))

    return Recording(columns=_one_of([column.name for column in columns]), read=read, alone=True)


def _one_of(*columns: Sequence[str]) -> Callable[[Sequence[str]], Sequence[Sequence[str]]]:
    return lambda feature_names: columns


# A data set that is not here is read as its features: they are the columns of its files.
RECORDINGS: Mapping[str, Recording] = {
    "idm": Recording(columns=_one_of(DRIVE), read=_idm),
    "ngsim-us101": Recording(columns=_one_of(DRIVE, *ngsim.SPELLINGS), read=_ngsim),
    "unsw-nb15": Recording(
        columns=_one_of((*unsw_nb15.NUMERIC, "proto", "service", "state")),
        read=_unsw_nb15,
        alone=True,
        words=unsw_nb15.CATEGORIES,
    ),
    "iot-devices": Recording(columns=lambda feature_names: (feature_names,), read=_iot_devices, alone=True),
    "geolife": Recording(columns=_one_of(("latitude", "longitude", "date_time")), read=_geolife, words=geolife.WORDS),
}
