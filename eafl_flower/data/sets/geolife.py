"""GeoLife: how is this user moving, by the motion within 30 points of a trip? One client a user.

The table has one labelled point a row: ``user``, ``latitude``, ``longitude`` (degrees), ``date_time`` (GMT), ``label``
(mode of transport), ``segment`` (index of the label interval of that user); ``eafl data prepare geolife`` makes it
from the publisher's folder. Taxi counts as car and train as subway; the four rare modes (airplane, boat, run,
motorcycle) are left out. Windows and features are those of ``trips``: no place and no time of day.

* A window never leaves its segment, and the windows of a segment lie on one side of every split: neighbouring
  points of a trip tell each other's mode.
* Some users recorded the same trips (together, or with two accounts). A window with a point that an
  earlier user has too, by time and position to 1e-5 degrees (1 m), is dropped.
* One point of the original lies at latitude 400; points off the globe are dropped before windows are cut.
* Altitude is not read: it is unknown (-777) for many points and tells the district rather than the mode.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eafl_flower.core import rng as randomness
from eafl_flower.data.holders import Holders
from eafl_flower.data.sets.trips import FEATURE_NAMES, THRESHOLDS, impossible_steps, motion_features, window_starts
from eafl_flower.data.source import InMemorySource
from eafl_flower.data.splits import (
    UNSEEN_TRAIN_SHARE,
    Part,
    client_counts,
    content_groups,
    group_boundary,
    seen_and_unseen,
)
from eafl_flower.data.tables.files import DataFile, counted, find, read_columns
from eafl_flower.data.tables.labels import class_index
from eafl_flower.data.tables.lines import line_of, lines_text
from eafl_flower.data.tables.times import unix_seconds
from eafl_flower.errors import DataError
from eafl_flower.types import Array

FILE = DataFile(
    title="GeoLife trajectories 1.3, the labelled points as one table; eafl data prepare geolife makes it",
    relative="geolife/geolife_labelled_points.csv.gz",
    published="https://www.microsoft.com/en-us/research/publication/geolife-gps-trajectory-dataset-user-guide/",
)
TEST_SHARE = 0.25
MIN_WINDOWS = 20
MIN_SEGMENTS = 4

CLASS_NAMES = ("walk", "bike", "bus", "car", "subway")
MODES = {"walk": 0, "bike": 1, "bus": 2, "car": 3, "taxi": 3, "subway": 4, "train": 4}
LEFT_OUT = ("airplane", "boat", "run", "motorcycle")
WORDS = MODES | dict.fromkeys(LEFT_OUT, -1)
# Of a degree: points nearer than this at the same second are the same point.
_SAME_PLACE = 1e5
_LARGEST_WHOLE = 1e15 - 1  # beyond it, floating-point numbers are not all the whole numbers


@dataclass(frozen=True, kw_only=True, eq=False)
class Windows:
    """Windows of all users, ordered by user, segment and time: features ``(n, 18)`` before scaling, the rest ``(n,)``.

    ``user`` indexes into ``users``; ``shared`` says whether a point of the window is an earlier user's too.
    ``points_left_out`` are no places, and ``notes`` tell of them.
    """

    users: tuple[str, ...]
    user: NDArray[np.int64]
    segment: NDArray[np.int64]
    shared: NDArray[np.bool_]
    x: NDArray[np.float64]
    y: NDArray[np.int64]
    points_left_out: int
    notes: tuple[str, ...]


def read_windows(path: Path) -> Windows:
    """Read the labelled points of a table and cut them into windows.

    Raises
    ------
    DataError
        As ``files.read_columns``; if a label, a time or a segment is none; if no window is long enough.
    """
    table = read_columns(
        path,
        numeric=("latitude", "longitude", "segment"),
        text=("user", "date_time", "label"),
        published=FILE.published,
    )
    names, user = np.unique(table["user"].to_numpy(dtype=object).astype(str), return_inverse=True)
    mode = class_index(table["label"].to_numpy(dtype=object), WORDS, path=path, column="label")
    time_s = unix_seconds(table["date_time"].to_numpy(dtype=object), path=path, column="date_time")
    latitude, longitude = table["latitude"].to_numpy(), table["longitude"].to_numpy()
    segment = _whole(path, "segment", table["segment"].to_numpy())

    on = on_globe(latitude, longitude)
    kept = np.flatnonzero(on)
    order = kept[np.lexsort((time_s[kept], segment[kept], user[kept]))]
    user, segment, mode, time_s = user[order], segment[order], mode[order], time_s[order]
    latitude, longitude = latitude[order], longitude[order]
    shared = _of_an_earlier_user(user, time_s, latitude, longitude)

    moving = np.flatnonzero(mode >= 0)
    user, segment, mode, time_s = user[moving], segment[moving], mode[moving], time_s[moving]
    latitude, longitude, shared = latitude[moving], longitude[moving], shared[moving]
    first = window_starts(content_groups([user, segment]), time_s)
    if len(first) == 0:
        limits = THRESHOLDS
        msg = (
            f"{path}: no segment has {limits.window_points} consecutive points of {', '.join(MODES)} "
            f"in {limits.shortest_s:.0f} to {limits.longest_s:.0f} s"
        )
        raise DataError(msg)
    points = first[:, None] + np.arange(THRESHOLDS.window_points)  # (windows, points)
    return Windows(
        users=tuple(str(name) for name in names),
        user=user[first],
        segment=segment[first],
        shared=shared[points].any(axis=1),
        x=motion_features(latitude[points], longitude[points], time_s[points]),
        y=mode[first],
        points_left_out=int((~on).sum()),
        notes=(
            *off_globe_note(path, on),
            *fast_steps_note(path, order[moving][points], latitude[points], longitude[points], time_s[points]),
        ),
    )


def fast_steps_note(
    path: Path,
    rows: NDArray[np.int64],
    latitude_deg: NDArray[np.float64],
    longitude_deg: NDArray[np.float64],
    time_s: NDArray[np.int64],
) -> tuple[str, ...]:
    """Return one sentence about impossible steps of windows ``(windows, points)``, none if there are none."""
    to = np.sort(rows[:, 1:][impossible_steps(latitude_deg, longitude_deg, time_s)])
    if not len(to):
        return ()
    fastest = THRESHOLDS.fastest_m_s
    return (
        f"{path.name}: {counted(len(to), 'step')} faster than {fastest:g} m/s (to the points of "
        f"{lines_text(path, to)}) count as {fastest:g} m/s; mend or delete the points if their places are wrong",
    )


def off_globe_note(path: Path, on: NDArray[np.bool_]) -> tuple[str, ...]:
    """Return one sentence about the points that are not on the globe, none if all are."""
    if on.all():
        return ()
    off = np.flatnonzero(~on)
    return (
        f"{path.name}: left out {counted(len(off), 'point')} off the globe ({lines_text(path, off)}), expected "
        "latitudes to 90 and longitudes to 180 degrees; mend or delete them",
    )


def _whole(path: Path, column: str, values: NDArray[np.float64]) -> NDArray[np.int64]:
    bad = np.flatnonzero((values != np.floor(values)) | (np.abs(values) > _LARGEST_WHOLE))
    if len(bad):
        row = int(bad[0])
        msg = (
            f"{path}, line {line_of(path, row)}, column {column}: expected a whole number of at most 15 digits, "
            f"found {values[row]:.15g}"
        )
        raise DataError(msg)
    return values.astype(np.int64)


def on_globe(latitude_deg: NDArray[np.float64], longitude_deg: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether points are places at all: one of the original lies at latitude 400."""
    return (np.abs(latitude_deg) <= 90) & (np.abs(longitude_deg) <= 180)


@dataclass(frozen=True, kw_only=True)
class GeoLife:
    """GeoLife, a client a user: ``load_geolife``."""

    def make(self, holders: Holders) -> InMemorySource:
        """Load it."""
        return load_geolife(**holders.of_files)


def load_geolife(
    *, data_dir: str | os.PathLike[str] = "", clients: int = 0, unseen: int = -1, seed: int = 1
) -> InMemorySource:
    """Load GeoLife: windows of 30 points, five modes, a quarter of each user's segments held out.

    Clients are the users with at least 20 windows in at least 4 segments. An unseen client trains on the
    segments that make up the first quarter of its windows.

    Parameters
    ----------
    data_dir
        Folder of the file, or the file; ``EAFL_DATA_DIR`` if empty.
    clients
        Number of users, drawn at random; 0 takes all.
    unseen
        How many of them never train; -1 takes a fifth.
    seed
        Decides which users are taken, which are unseen, and which segments are held out.

    Raises
    ------
    DataError
        If the file is missing, damaged or has other columns, or no user has windows enough.
    ConfigError
        If it has fewer users than asked for.
    """
    path = find(FILE, data_dir)
    windows = read_windows(path)
    users = [np.flatnonzero((windows.user == number) & ~windows.shared) for number in range(len(windows.users))]
    own = [rows for rows in users if len(rows) >= MIN_WINDOWS and len(np.unique(windows.segment[rows])) >= MIN_SEGMENTS]
    if not own:
        msg = f"{path}: no user has {MIN_WINDOWS} windows in {MIN_SEGMENTS} segments"
        raise DataError(msg)
    notes = list(windows.notes)
    if copies := int(windows.shared.sum()):
        notes.append(f"{path.name}: left out {counted(copies, 'window')} with a point that an earlier user has too")
    if few := len(users) - len(own):
        notes.append(
            f"{path.name}: left out {counted(few, 'user')} of {len(users):,} without {MIN_WINDOWS} windows in "
            f"{MIN_SEGMENTS} segments"
        )
    clients, unseen = client_counts(clients, unseen, if_zero=len(own), available=len(own))
    order = seen_and_unseen(
        len(own), clients=clients, unseen=unseen, rng=randomness.generator(seed, "data", "geolife", "clients")
    )
    parts = []
    for client, number in enumerate(order):
        rows = own[number]
        segment = windows.segment[rows]
        if client < clients - unseen:
            user = windows.users[windows.user[rows[0]]]
            test = _held_out(segment, randomness.generator(seed, "data", "geolife", "held out", user))
        else:
            test = np.arange(len(rows)) >= group_boundary(segment, round(len(rows) * UNSEEN_TRAIN_SHARE))
        train, test_rows = rows[~test], rows[test]
        parts.append(
            Part(
                x_train=windows.x[train],
                y_train=windows.y[train],
                x_test=windows.x[test_rows],
                y_test=windows.y[test_rows],
            )
        )
    return InMemorySource.scaled(
        parts,
        name="geolife",
        class_names=CLASS_NAMES,
        feature_names=FEATURE_NAMES,
        num_seen=clients - unseen,
        client_names=tuple(windows.users[windows.user[own[number][0]]] for number in order),
        notes=tuple(notes),
        clients_left_out=few,
        rows_left_out=windows.points_left_out,
    )


def _held_out(segment: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.bool_]:
    segments = rng.permutation(np.unique(segment))
    return np.isin(segment, segments[: max(round(len(segments) * TEST_SHARE), 1)])


def _of_an_earlier_user(user: NDArray[np.int64], time_s: NDArray[np.int64], *position: Array) -> NDArray[np.bool_]:
    # Rows are in order of users, so the first row of a point is its earliest user's.
    point = content_groups([time_s, *(np.round(degrees * _SAME_PLACE).astype(np.int64) for degrees in position)])
    first = np.empty(int(point.max(initial=-1)) + 1, dtype=np.int64)
    first[point[::-1]] = user[::-1]
    shared: NDArray[np.bool_] = user != first[point]
    return shared
