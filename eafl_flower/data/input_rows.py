"""Rows to be classified: a file with the model's features, or a recording as the data set's publisher has them.

A recording becomes features by the code that made the training rows; nothing is held out and nothing is left out
but rows of which the past is unknown (the first seconds of a drive).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eafl_flower.data import car_following, geolife, ngsim, trips, unsw_nb15
from eafl_flower.data.files import listed, read_columns, read_header
from eafl_flower.data.labels import class_index
from eafl_flower.data.partition import content_groups
from eafl_flower.data.times import unix_seconds
from eafl_flower.errors import DataError

# The features (n, d) before scaling and the rows of the file, counted from 0, that they are of (n,).
Found = tuple[NDArray[np.float64], NDArray[np.int64]]


@dataclass(frozen=True, kw_only=True, eq=False)
class InputRows:
    """Rows to be classified.

    Parameters
    ----------
    x
        Features before scaling, ``(n, d)``.
    numbers
        Number of the file's row each is of, ``(n,)``; the first one below the header is 1.
    labels
        Index of the true class of each, ``(n,)``; None if it is not known.
    """

    x: NDArray[np.float64]
    numbers: NDArray[np.int64]
    labels: NDArray[np.int64] | None = None


def read_input_rows(
    path: Path, *, data: str, feature_names: Sequence[str], class_names: Sequence[str], label: str = ""
) -> InputRows:
    """Read the rows of a CSV file, plain or gzip.

    Parameters
    ----------
    path
        The file: a table that has ``feature_names`` among its columns, or a recording of the data set.
    data
        Name of the data set.
    feature_names, class_names
        What the model expects and gives.
    label
        Column with the name of the true class; empty if there is none.

    Raises
    ------
    DataError
        As ``files.read_columns``; if the columns are neither the features nor those of a recording; if a label is no
        class of the model; if there is nothing to classify.
    """
    header = read_header(path)
    words: Sequence[str] | Mapping[str, int] = class_names
    if set(feature_names) <= set(header):
        table = read_columns(path, numeric=feature_names)
        x, rows = table.to_numpy(dtype=np.float64), np.arange(len(table))
    else:
        recording = RECORDINGS.get(data)
        if recording is None or not recording.fits(header):
            raise DataError(_missing(path, header, feature_names, data))
        x, rows = recording.read(path, tuple(feature_names))
        words = recording.words or words
    labels = None
    if label:
        texts = read_columns(path, text=[label])[label].to_numpy(dtype=object)
        labels = class_index(texts, words, path=path, column=label)[rows]
    return InputRows(x=x, numbers=rows + 1, labels=labels)


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A data set's own kind of file.

    Parameters
    ----------
    columns
        What such a file must have, in words.
    fits
        Whether a file with these columns is one.
    read
        Makes features of a file; told their names, for those that depend on the training rows.
    words
        Class of each word of a label column, if there are more words than classes.
    """

    columns: str
    fits: Callable[[Sequence[str]], bool]
    read: Callable[[Path, tuple[str, ...]], Found]
    words: Mapping[str, int] | None = None


def _ngsim(path: Path, feature_names: tuple[str, ...]) -> Found:
    """Classify every frame that has 3 s of past, ten a second."""
    tracks = [track for track in ngsim.read_tracks(path) if len(track.rows) > car_following.PAST_FRAMES]
    if not tracks:
        msg = f"{path}: no vehicle is recorded for more than 3 s at 10 Hz without a gap, and a row looks 3 s back"
        raise DataError(msg)
    frames = [np.arange(car_following.PAST_FRAMES, len(track.rows)) for track in tracks]
    x = [car_following.features(t.speed_m_s, t.headway_m, f) for t, f in zip(tracks, frames, strict=True)]
    rows = np.concatenate([track.rows[f] for track, f in zip(tracks, frames, strict=True)])
    order = np.argsort(rows, kind="stable")
    return np.concatenate(x)[order], rows[order]


def _unsw_nb15(path: Path, feature_names: tuple[str, ...]) -> Found:
    table = read_columns(path, numeric=unsw_nb15.NUMERIC, text=("proto", "service", "state"))
    x = unsw_nb15.features(table, unsw_nb15.protocols_of(feature_names))
    return x, np.arange(len(x))


def _geolife(path: Path, feature_names: tuple[str, ...]) -> Found:
    """Classify each window of 30 points of a trip; its row is that of the last point."""
    trip_columns = [name for name in ("user", "trajectory", "segment") if name in read_header(path)]
    table = read_columns(path, numeric=("latitude", "longitude"), text=("date_time", *trip_columns))
    time_s = unix_seconds(table["date_time"].to_numpy(dtype=object), path=path, column="date_time")
    trip = content_groups([table[name].to_numpy() for name in trip_columns] or [np.zeros(len(table))])
    order = np.lexsort((time_s, trip))
    first = trips.window_starts(trip[order], time_s[order])
    if len(first) == 0:
        limits = trips.THRESHOLDS
        msg = (
            f"{path}: no trip has {limits.window_points} consecutive points in {limits.shortest_s:.0f} to "
            f"{limits.longest_s:.0f} s, which is what a row looks at"
        )
        raise DataError(msg)
    points = order[first[:, None] + np.arange(trips.THRESHOLDS.window_points)]  # (windows, points)
    latitude, longitude = table["latitude"].to_numpy(), table["longitude"].to_numpy()
    return trips.motion_features(latitude[points], longitude[points], time_s[points]), points[:, -1]


def _has(*columns: str) -> Callable[[Sequence[str]], bool]:
    return lambda header: set(columns) <= set(header)


# A data set that is not here has no other form than its features.
RECORDINGS: Mapping[str, Recording] = {
    "ngsim-us101": Recording(
        columns="Vehicle_ID, Global_Time, speed and space headway as the publisher has them",
        fits=ngsim.is_ngsim,
        read=_ngsim,
    ),
    "unsw-nb15": Recording(
        columns="the publisher's columns from dur to is_sm_ips_ports",
        fits=_has(*unsw_nb15.NUMERIC, "proto", "service", "state"),
        read=_unsw_nb15,
        words=unsw_nb15.CATEGORIES,
    ),
    "geolife": Recording(
        columns="latitude, longitude and date_time",
        fits=_has("latitude", "longitude", "date_time"),
        read=_geolife,
        words=geolife.MODES,
    ),
}


def _missing(path: Path, header: Sequence[str], feature_names: Sequence[str], data: str) -> str:
    missing = [name for name in feature_names if name not in header]
    other = f", or those of a recording ({RECORDINGS[data].columns})" if data in RECORDINGS else ""
    return f"{path} has no column {listed(missing)}: expected the {len(feature_names)} features of the model{other}"
